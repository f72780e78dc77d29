/**
 * Time and randomness are arguments: everything that waits, dates or draws takes a `Clock` or a `Random`,
 * so that a test or a simulation can hold them. This file is the only place that touches the globals.
 */

import { randomBytes, randomUUID } from 'node:crypto'
import { V7Generator } from 'uuidv7'

/** Cancels a pending timer; safe to call twice and after it fired. */
export type CancelTimer = () => void

export interface Clock {
  /** Wall clock, milliseconds since 1970. For dates that people read, never for measuring. */
  now(): number
  /** Monotonic clock in milliseconds, shared by all threads of the process. For measuring and for leases. */
  monotonic(): number
  /** Runs `task` at the end of this turn of the loop: what is gathered until then travels together. */
  soon(task: () => void): void
  /** Runs `task` once after `delayMs`; the timer does not keep the process alive. */
  after(delayMs: number, task: () => void): CancelTimer
  /** Runs `task` every `periodMs`; the timer does not keep the process alive. */
  every(periodMs: number, task: () => void): CancelTimer
  /** Resolves after `delayMs`, or rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

export interface Random {
  /** A new UUIDv4. */
  uuid(): string
  /** A new UUIDv7 of this time, milliseconds since 1970; those of one process grow. */
  uuidOfTime(atMs: number): string
  /** `bytes` random bytes, fit for secrets, as base64url text. */
  secret(bytes: number): string
  /** A number in [0, 1), for jitter; never for secrets. */
  fraction(): number
}

/** `setTimeout` fires at once beyond this; longer waits are cut into pieces by the callers' own checks. */
export const timerMaxMs = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  soon(task) {
    setImmediate(task)
  },
  after(delayMs, task) {
    const timer = setTimeout(task, Math.min(Math.max(0, delayMs), timerMaxMs))
    timer.unref()
    return () => clearTimeout(timer)
  },
  every(periodMs, task) {
    const timer = setInterval(task, periodMs)
    timer.unref()
    return () => clearInterval(timer)
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const abort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
        Math.min(Math.max(0, delayMs), timerMaxMs),
      )
      signal?.addEventListener('abort', abort, { once: true })
    })
  },
}

const ordered = new V7Generator()

export const systemRandom: Random = {
  uuid: () => randomUUID(),
  uuidOfTime: atMs => ordered.generateOrResetWithTs(Math.floor(atMs)).toString(),
  secret: bytes => randomBytes(bytes).toString('base64url'),
  fraction: () => Math.random(),
}

/** A clock that stands still until it is told to go on; timers fire in the order of their times, promises settle in between. */
import type { CancelTimer, Clock } from '../../../src/async/index.ts'

interface Timer {
  readonly id: number
  atMs: number
  readonly periodMs: number | null
  readonly task: () => void
}

export class ManualClock implements Clock {
  #monotonicMs = 1000
  #wallMs = Date.UTC(2026, 0, 1)
  #timers: Timer[] = []
  #ids = 0

  now(): number {
    return this.#wallMs
  }
  monotonic(): number {
    return this.#monotonicMs
  }

  soon(task: () => void): void {
    setImmediate(task)
  }
  after(delayMs: number, task: () => void): CancelTimer {
    return this.#add(delayMs, null, task)
  }
  every(periodMs: number, task: () => void): CancelTimer {
    return this.#add(periodMs, periodMs, task)
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const cancel = this.after(delayMs, resolve)
      signal?.addEventListener('abort', () => {
        cancel()
        reject(signal.reason)
      })
    })
  }

  /** Lets `byMs` pass; what the timers start is given the chance to settle. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#monotonicMs + byMs
    await settle()
    for (;;) {
      const next = this.#timers.filter(timer => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs || a.id - b.id)[0]
      if (!next) break
      this.#pass(next.atMs - this.#monotonicMs)
      if (next.periodMs === null) this.#timers = this.#timers.filter(timer => timer !== next)
      else next.atMs += next.periodMs
      next.task()
      await settle()
    }
    this.#pass(untilMs - this.#monotonicMs)
    await settle()
  }

  /** The machine is suspended: the wall clock goes on, the monotonic one does not. */
  suspend(forMs: number): void {
    this.#wallMs += forMs
  }

  #pass(ms: number): void {
    this.#monotonicMs += Math.max(0, ms)
    this.#wallMs += Math.max(0, ms)
  }

  #add(delayMs: number, periodMs: number | null, task: () => void): CancelTimer {
    const timer: Timer = { id: this.#ids++, atMs: this.#monotonicMs + delayMs, periodMs, task }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter(known => known !== timer)
    }
  }
}

/** Several turns of the loop: promise chains of some length come to rest. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>(resolve => setImmediate(resolve))
}

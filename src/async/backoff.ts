/** Delays between attempts: exponential, bounded, with jitter so that many waiters do not return together. */
import type { Clock, Random } from './clock.ts'

export interface Backoff {
  /** First delay, in milliseconds. */
  readonly firstMs: number
  /** No delay is longer than this. */
  readonly limitMs: number
}

/** The delay before attempt `attempt` (0 = the first repetition), between 50 % and 100 % of the exponential step. */
export function backoffDelayMs(backoff: Backoff, attempt: number, random: Random): number {
  const step = Math.min(backoff.limitMs, backoff.firstMs * 2 ** Math.min(attempt, 30))
  return step * (0.5 + random.fraction() / 2)
}

export interface RetryOptions {
  readonly clock: Clock
  readonly random: Random
  readonly backoff: Backoff
  /** How many repetitions at the most; infinite unless given. */
  readonly repetitionsMax?: number
  /** True when `error` is worth another attempt. */
  readonly retryable: (error: unknown) => boolean
  readonly signal?: AbortSignal
  /** Told before every repetition. */
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void
}

/** Runs `task` until it succeeds, fails for good, or the signal aborts. */
export async function retry<T>(task: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { clock, random, backoff, retryable, signal, onRetry, repetitionsMax = Number.POSITIVE_INFINITY } = options
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await task(attempt)
    } catch (error) {
      if (attempt >= repetitionsMax || signal?.aborted || !retryable(error)) throw error
      const delayMs = backoffDelayMs(backoff, attempt, random)
      onRetry?.(error, attempt, delayMs)
      await clock.sleep(delayMs, signal)
    }
  }
}

/**
 * The pace of work that nobody waits for: batches that grow while they are short and shrink when they are not, and behind each a
 * pause in proportion to it, so that a database with much to do is asked for less, whatever its speed.
 */
import type { Clock } from '../../async/index.ts'

/** How long a batch should take, and how much longer than itself the pause behind it is. */
const targetMs = 10
const pauseFactor = 3

export class Pace {
  readonly #clock: Clock
  readonly #largest: number
  #size: number

  constructor(clock: Clock, largest: number) {
    this.#clock = clock
    this.#largest = largest
    this.#size = Math.min(5, largest)
  }

  /** Does one batch of at most so many, and pauses; gives what it gave. The pause ends early when the signal aborts. */
  async batch<T>(signal: AbortSignal, work: (limit: number) => Promise<T>): Promise<T> {
    const begun = this.#clock.monotonic()
    const done = await work(this.#size)
    const tookMs = this.#clock.monotonic() - begun
    if (tookMs > targetMs) this.#size = Math.max(1, Math.floor(this.#size / 2))
    else if (tookMs < targetMs / 2) this.#size = Math.min(this.#largest, this.#size * 2)
    await this.#clock.sleep(Math.max(1, tookMs * pauseFactor), signal).catch(() => undefined)
    return done
  }
}

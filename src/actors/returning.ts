/**
 * Nothing is launched while queries of a dead owner come back. Whoever waits for those waits since its death, and a launch takes as much
 * of the processor as two of them: together, all would come later.
 */
import type { CancelTimer, Clock } from '../async/index.ts'
import type { Lanes } from './lanes.ts'

/** About what it takes to bring one back on a busy machine, until its subscribers know. */
const eachMs = 2
/** What runs elsewhere must not be held up for long. */
const mostMs = 250

export class Returning {
  readonly #lanes: Lanes
  readonly #clock: Clock
  /** By the monotonic clock. */
  #until = 0
  #release: (() => void) | null = null
  #cancelTimer: CancelTimer | null = null

  constructor(lanes: Lanes, clock: Clock) {
    this.#lanes = lanes
    this.#clock = clock
  }

  /** So many that ran have come back. */
  add(count: number): void {
    if (count === 0) return
    const now = this.#clock.monotonic()
    this.#until = Math.min(now + mostMs, Math.max(now, this.#until) + count * eachMs)
    this.#release ??= this.#lanes.hold()
    this.#cancelTimer?.()
    this.#cancelTimer = this.#clock.after(this.#until - now, () => this.stop())
  }

  /** Launches go on. */
  stop(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    const release = this.#release
    this.#release = null
    release?.()
  }
}

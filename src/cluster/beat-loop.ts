/**
 * The heartbeat itself: renews a member's lease, and the leader's with its term, again and again, whatever the database
 * does. It runs in a thread of its own (`heartbeat-worker.ts`), so that a busy main loop does not cost the lease; but a main
 * loop that hangs must cost it, so no beat is sent unless that loop has ticked since the beat before.
 *
 *     ──▶ pause ──(due)──▶ ticked? ──yes──▶ attempt ──▶ report ──▶ pause
 *                            └──no──▶ skipped ──(soon)──▶ ticked? …
 *
 * An attempt that takes too long is given up together with its connection: a dead connection must not outlive a dead server.
 */
import { type Backoff, backoffDelayMs, type Clock, type Random } from '../async/index.ts'
import type { LeaseStore } from '../store/contract.ts'

/** Whose lease is renewed. */
export interface BeatIdentity {
  readonly incarnation: string
  readonly leaseMs: number
}

export type BeatOutcome =
  /** The row is alive, its lease extended. */
  | 'renewed'
  /** The row is dead or gone. */
  | 'refused'
  /** The database answered with an error, or cannot be reached. */
  | 'failed'
  /** It did not answer in time. */
  | 'late'
  /** The main loop has not ticked: nothing was sent. */
  | 'skipped'

export interface BeatReport {
  readonly incarnation: string
  readonly outcome: BeatOutcome
  /** On the monotonic clock: the lease counts from here. */
  readonly startedAtMs: number
  readonly endedAtMs: number
  /** On the wall clock, which goes on in a suspended machine. */
  readonly wallStartedAtMs: number
  /** The term that was renewed too, and whether the lease was still its. */
  readonly term: number | null
  readonly leader: boolean
  /** The database's clock in milliseconds since 1970, and who answered; null unless it answered. */
  readonly databaseNowMs: number | null
  readonly serverIdentity: string | null
  readonly error: string | null
}

export interface BeatLoopOptions {
  readonly open: () => Promise<LeaseStore>
  readonly clock: Clock
  readonly random: Random
  readonly heartbeatMs: number
  readonly attemptMs: number
  /** Grows with every turn of the main loop. */
  readonly ticks: () => number
  readonly load: () => { running: number; queued: number }
  readonly report: (report: BeatReport) => void
}

/** A beat that failed is repeated sooner than a heartbeat, so that the database's return is noticed at once. */
const repetition: Backoff = { firstMs: 50, limitMs: 250 }
/** How soon a skipped beat looks again for a tick. */
const tickWaitMs = 25

export class BeatLoop {
  readonly #options: BeatLoopOptions
  #identity: BeatIdentity | null = null
  #term: number | null = null
  #store: LeaseStore | undefined
  #lastTicks = -1
  #failures = 0
  #wake: (() => void) | undefined
  #woken = false
  #stopped = false
  #done: Promise<void> | undefined

  constructor(options: BeatLoopOptions) {
    this.#options = options
  }

  /** From now on renews this lease; null: none. */
  act(identity: BeatIdentity | null): void {
    this.#identity = identity
    this.beatNow()
  }

  /** From now on renews the leader's lease too, under this term; null: no more. */
  lead(term: number | null): void {
    this.#term = term
  }

  beatNow(): void {
    this.#woken = true
    this.#wake?.()
  }

  start(): void {
    this.#done ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.beatNow()
    await this.#done
    this.#discard()
  }

  async #run(): Promise<void> {
    const { clock, random, heartbeatMs } = this.#options
    let skipping = false
    while (!this.#stopped) {
      const identity = this.#identity
      if (!identity) {
        await this.#pause(heartbeatMs)
        continue
      }
      const startedAtMs = clock.monotonic()
      const ticks = this.#options.ticks()
      if (ticks === this.#lastTicks) {
        if (!skipping) this.#report(identity, 'skipped', startedAtMs, clock.now(), null, null, null)
        skipping = true
        await this.#pause(tickWaitMs)
        continue
      }
      skipping = false
      this.#lastTicks = ticks
      this.#woken = false
      const renewed = await this.#attempt(identity, startedAtMs)
      this.#failures = renewed ? 0 : this.#failures + 1
      const spentMs = clock.monotonic() - startedAtMs
      await this.#pause(renewed ? heartbeatMs - spentMs : backoffDelayMs(repetition, this.#failures - 1, random))
    }
  }

  /** True when the database answered. */
  async #attempt(identity: BeatIdentity, startedAtMs: number): Promise<boolean> {
    const { clock, attemptMs, load } = this.#options
    const wallStartedAtMs = clock.now()
    const term = this.#term
    const { running, queued } = load()
    let cancelTimer: (() => void) | undefined
    const late = new Promise<'late'>(resolve => {
      cancelTimer = clock.after(attemptMs, () => resolve('late'))
    })
    const renewing = this.#renew({
      incarnation: identity.incarnation,
      leaseMs: identity.leaseMs,
      running,
      queued,
      term,
    })
    renewing.catch(() => undefined)
    try {
      const answer = await Promise.race([renewing, late])
      if (answer === 'late') {
        this.#discard()
        this.#report(identity, 'late', startedAtMs, wallStartedAtMs, term, null, `no answer within ${attemptMs} ms`)
        return false
      }
      this.#report(identity, answer.member ? 'renewed' : 'refused', startedAtMs, wallStartedAtMs, term, answer, null)
      return true
    } catch (error) {
      this.#discard()
      const message = error instanceof Error ? error.message : String(error)
      this.#report(identity, 'failed', startedAtMs, wallStartedAtMs, term, null, message)
      return false
    } finally {
      cancelTimer?.()
    }
  }

  async #renew(beat: Parameters<LeaseStore['renew']>[0]): ReturnType<LeaseStore['renew']> {
    let store = this.#store
    if (!store) {
      store = await this.#options.open()
      // Meanwhile this attempt may have been given up, and another have opened its own.
      if (this.#store || this.#stopped) void store.close().catch(() => undefined)
      else this.#store = store
    }
    return (this.#store ?? store).renew(beat)
  }

  /** Lets go of a connection that failed; nobody waits for its end. */
  #discard(): void {
    const store = this.#store
    this.#store = undefined
    void store?.close().catch(() => undefined)
  }

  #report(
    identity: BeatIdentity,
    outcome: BeatOutcome,
    startedAtMs: number,
    wallStartedAtMs: number,
    term: number | null,
    answer: Awaited<ReturnType<LeaseStore['renew']>> | null,
    error: string | null,
  ): void {
    this.#options.report({
      incarnation: identity.incarnation,
      outcome,
      startedAtMs,
      endedAtMs: this.#options.clock.monotonic(),
      wallStartedAtMs,
      term,
      leader: answer?.leader ?? false,
      databaseNowMs: answer?.databaseNow ?? null,
      serverIdentity: answer?.serverIdentity ?? null,
      error,
    })
  }

  #pause(delayMs: number): Promise<void> {
    if (this.#woken || this.#stopped) {
      this.#woken = false
      return Promise.resolve()
    }
    return new Promise(resolve => {
      const cancel = this.#options.clock.after(Math.max(0, delayMs), () => this.#wake?.())
      this.#wake = () => {
        this.#wake = undefined
        this.#woken = false
        cancel()
        resolve()
      }
    })
  }
}

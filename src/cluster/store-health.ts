/**
 * Since when the database has been serving everybody, as far as this node can tell. While it stalls nobody can renew a
 * lease, so a lease that runs out then, or before everyone had one lease period to renew it, says nothing about its member.
 * The same holds after another server took over, or when its clock jumped: both may end leases that nobody let lapse.
 */
import type { BeatReport } from './beat-loop.ts'
import type { ClusterPeriods } from './settings.ts'

export class StoreHealth {
  readonly #periods: Pick<ClusterPeriods, 'heartbeatMs' | 'stallMs' | 'marginMs'>
  /** Monotonic; null while it stalls, and before its first answer. */
  #healthySinceMs: number | null = null
  #lastAnswerMs: number | null = null
  #serverIdentity: string | null = null
  /** The database's clock minus the monotonic one, and how uncertain that is. */
  #offset: { readonly ms: number; readonly uncertainMs: number; readonly atMs: number } | null = null

  constructor(periods: Pick<ClusterPeriods, 'heartbeatMs' | 'stallMs' | 'marginMs'>) {
    this.#periods = periods
  }

  observe(beat: BeatReport): void {
    if (beat.outcome === 'skipped') return
    if (beat.databaseNowMs === null) {
      this.#healthySinceMs = null
      return
    }
    this.#lastAnswerMs = beat.endedAtMs
    const stalled = beat.endedAtMs - beat.startedAtMs > this.#periods.stallMs
    if (stalled || this.#healthySinceMs === null) this.#healthySinceMs = beat.endedAtMs
    if (beat.serverIdentity !== this.#serverIdentity) {
      if (this.#serverIdentity !== null) this.#healthySinceMs = beat.endedAtMs
      this.#serverIdentity = beat.serverIdentity
    }
    this.observeClock(beat.databaseNowMs, beat.startedAtMs, beat.endedAtMs)
  }

  /** A reading of the database's clock, asked at `startedAtMs` and answered at `endedAtMs` on the monotonic one. */
  observeClock(databaseNowMs: number, startedAtMs: number, endedAtMs: number): void {
    const ms = databaseNowMs - (startedAtMs + endedAtMs) / 2
    const uncertainMs = (endedAtMs - startedAtMs) / 2
    const known = this.#offset
    if (known && Math.abs(ms - known.ms) > this.#periods.marginMs + uncertainMs + known.uncertainMs) {
      this.#healthySinceMs = endedAtMs
      this.#offset = { ms, uncertainMs, atMs: endedAtMs }
      return
    }
    // The most certain reading is kept, but not for ever: clocks drift apart.
    if (!known || uncertainMs <= known.uncertainMs || endedAtMs - known.atMs > 60_000)
      this.#offset = { ms, uncertainMs, atMs: endedAtMs }
  }

  /** For how long it has been healthy without a break; 0 while it stalls. */
  healthyForMs(monotonicMs: number): number {
    if (this.#healthySinceMs === null || this.#lastAnswerMs === null) return 0
    // No answer for longer than a beat and a stall take: it may be stalling just now.
    if (monotonicMs - this.#lastAnswerMs > this.#periods.heartbeatMs + 2 * this.#periods.stallMs) return 0
    return Math.max(0, monotonicMs - this.#healthySinceMs)
  }

  /** Monotonic time of the last answer, whatever it said; null before the first. */
  get lastAnswerMs(): number | null {
    return this.#lastAnswerMs
  }

  /** The database's clock now, in milliseconds since 1970; null before the first answer. */
  databaseNowMs(monotonicMs: number): number | null {
    return this.#offset ? monotonicMs + this.#offset.ms : null
  }
}

/** What has to be cleared away now and then: sessions and results past their time, the rows of the dead, counters gone astray. */
import type { Clock } from '../../async/index.ts'
import type { LeaderDuty, Term } from '../leader-duty.ts'
import type { ClusterLog, ClusterStores } from '../ports.ts'
import type { ClusterPeriods } from '../settings.ts'

export interface SweepsOptions {
  readonly stores: Pick<ClusterStores, 'cluster' | 'sessions' | 'pages' | 'queries'>
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'sweepMs' | 'recountMs'>
  readonly log: ClusterLog
  /** How long finished queries are kept; 0 = for ever. */
  readonly queryRetentionMs: number
  /** Deletes what lies outside the store of an expired result. */
  readonly onResultExpired: (handle: string, attempt: number) => Promise<void>
  /** Sessions were expired or removed: every node drops them from memory. */
  readonly onSessionsEnded: (ids: readonly string[]) => void
}

const sessionsInOneSweep = 500
const resultsInOneSweep = 100
const queriesInOneSweep = 200

export class Sweeps implements LeaderDuty {
  readonly #options: SweepsOptions
  #done: Promise<void> = Promise.resolve()

  constructor(options: SweepsOptions) {
    this.#options = options
  }

  start(term: Term): void {
    const { periods, stores } = this.#options
    this.#done = Promise.all([
      this.#repeat(term, periods.sweepMs, 'sessions', () => this.#sweepSessions(term)),
      this.#repeat(term, periods.sweepMs, 'results', () => this.#sweepResults(term)),
      this.#repeat(term, periods.recountMs, 'queries', () => this.#forgetQueries(term)),
      this.#repeat(term, periods.recountMs, 'limits', () => stores.cluster.recountLimits(term.number)),
      this.#repeat(term, periods.recountMs, 'members', () => stores.cluster.sweepMembers(term.number)),
    ]).then(() => undefined)
  }

  stop(): Promise<void> {
    return this.#done
  }

  async #repeat(term: Term, periodMs: number, what: string, sweep: () => Promise<unknown>): Promise<void> {
    const { clock, log } = this.#options
    while (term.valid()) {
      await sweep().catch(error => log.debug({ err: error, what }, 'a sweep did not succeed; it is repeated'))
      await clock.sleep(periodMs, term.signal).catch(() => undefined)
    }
  }

  async #sweepSessions(term: Term): Promise<void> {
    while (term.valid()) {
      const { expired, closed } = await this.#options.stores.sessions.sweep(term.number, sessionsInOneSweep)
      const ended = [...expired, ...closed]
      if (ended.length > 0) this.#options.onSessionsEnded(ended)
      if (ended.length < sessionsInOneSweep) return
    }
  }

  async #forgetQueries(term: Term): Promise<void> {
    const { stores, queryRetentionMs } = this.#options
    while (queryRetentionMs > 0 && term.valid())
      if ((await stores.queries.forget(term.number, queryRetentionMs, queriesInOneSweep)) === 0) return
  }

  async #sweepResults(term: Term): Promise<void> {
    while (term.valid()) {
      const expired = await this.#options.stores.pages.expire(term.number, resultsInOneSweep)
      for (const { handle, attempt } of expired) await this.#options.onResultExpired(handle, attempt)
      if (expired.length < resultsInOneSweep) return
    }
  }
}

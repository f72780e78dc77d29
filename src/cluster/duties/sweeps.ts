/** What has to be cleared away now and then: sessions and results past their time, the rows of the dead, counters gone astray. */
import type { Clock } from '../../async/index.ts'
import type { Finished } from '../../store/contract.ts'
import type { LeaderDuty, Term } from '../leader-duty.ts'
import type { ClusterLog, ClusterStores } from '../ports.ts'
import type { ClusterPeriods } from '../settings.ts'
import { Pace } from './pace.ts'

/** What is kept of finished queries; 0 = all of it. */
export interface RetentionLimits {
  /** How long queries are kept, ms. */
  readonly queryMs: number
  /** How many are kept. */
  readonly finishedMax: number
  /** How large their rows may be together. */
  readonly resultBytesMax: number
}

export interface SweepsOptions {
  readonly stores: Pick<ClusterStores, 'cluster' | 'sessions' | 'pages' | 'retention' | 'rates'>
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'sweepMs' | 'recountMs' | 'owedEndsMs' | 'leftoversMs'>
  readonly log: ClusterLog
  readonly retention: RetentionLimits
  /** Deletes what lies outside the store of an expired result. */
  readonly onResultExpired: (handle: string, attempt: number) => Promise<void>
  /** Deletes what lies outside the store and belongs to no result. */
  readonly onLeftovers: (goesOn: () => boolean) => Promise<void>
  /** Asks engines once for the ends that they still owe. */
  readonly onOwedEnds: (goesOn: () => boolean) => Promise<void>
  /** Sessions were expired or removed: every node drops them from memory. */
  readonly onSessionsEnded: (ids: readonly string[]) => void
}

const sessionsInOneSweep = 500
const resultsInOneBatch = 100
const queriesInOneBatch = 25
const bucketsInOneSweep = 500

export class Sweeps implements LeaderDuty {
  readonly #options: SweepsOptions
  #done: Promise<void> = Promise.resolve()
  #expiring: Promise<void> | null = null
  #lone: Promise<unknown> = Promise.resolve()

  constructor(options: SweepsOptions) {
    this.#options = options
  }

  start(term: Term): void {
    const { periods, stores, onOwedEnds, onLeftovers } = this.#options
    this.#done = Promise.all([
      this.#repeat(term, periods.sweepMs, 'sessions', () => this.#sweepSessions(term)),
      this.#repeat(term, periods.sweepMs, 'results', () => this.#sweepResults(term)),
      this.#repeat(term, periods.owedEndsMs, 'owed ends', () => onOwedEnds(() => term.valid())),
      this.#repeat(term, periods.leftoversMs, 'leftovers', () => onLeftovers(() => term.valid())),
      this.#repeat(term, periods.recountMs, 'queries', () => this.#forgetQueries(term)),
      this.#repeat(term, periods.recountMs, 'limits', () => stores.cluster.recountLimits(term.number)),
      this.#repeat(term, periods.recountMs, 'members', () => stores.cluster.sweepMembers(term.number)),
      this.#repeat(term, periods.recountMs, 'buckets', () => this.#sweepBuckets(term)),
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
    const { stores, retention } = this.#options
    if (retention.queryMs > 0) await this.#forget(term, { agoMs: retention.queryMs })
    const before =
      retention.finishedMax > 0 && term.valid() ? await stores.retention.endOfNewest(retention.finishedMax) : null
    if (before !== null) await this.#forget(term, { before })
  }

  async #forget(term: Term, finished: Finished): Promise<void> {
    const { stores, clock } = this.#options
    const pace = new Pace(clock, queriesInOneBatch)
    while (term.valid()) {
      const { queries, waiting, sessionSteps } = await this.#alone(() =>
        pace.batch(term.signal, limit => stores.retention.forget(term.number, finished, limit)),
      )
      if (waiting > 0) await this.#expireResults(term)
      if (queries + waiting + sessionSteps === 0) return
    }
  }

  /** Whoever deletes a full bucket changes nothing: this needs no term, only somebody who does it. */
  async #sweepBuckets(term: Term): Promise<void> {
    while (term.valid()) if ((await this.#options.stores.rates.sweep(bucketsInOneSweep)) < bucketsInOneSweep) return
  }

  async #sweepResults(term: Term): Promise<void> {
    const { stores, retention, clock } = this.#options
    await this.#expireResults(term)
    if (retention.resultBytesMax === 0) return
    await this.#alone(async () => {
      let excess = await stores.retention.excess(retention.resultBytesMax)
      const pace = new Pace(clock, resultsInOneBatch)
      while (excess > 0 && term.valid()) {
        const due = await pace.batch(term.signal, limit => stores.retention.expireEarly(term.number, excess, limit))
        await this.#expireResults(term)
        if (due === 0) return
        excess -= due
      }
    })
  }

  /**
   * What is too much in bytes is counted once and then made due step by step: rows that their query takes along meanwhile would not
   * be counted, and as many others go for them.
   */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#lone.then(work)
    this.#lone = run.catch(() => undefined)
    return run
  }

  /** Deletes what is due, to the end; one at a time, whoever asks for it. */
  #expireResults(term: Term): Promise<void> {
    this.#expiring ??= this.#expireDue(term).finally(() => {
      this.#expiring = null
    })
    return this.#expiring
  }

  async #expireDue(term: Term): Promise<void> {
    const { stores, clock, onResultExpired } = this.#options
    const pace = new Pace(clock, resultsInOneBatch)
    while (term.valid()) {
      const expired = await pace.batch(term.signal, async limit => {
        const gone = await stores.pages.expire(term.number, limit)
        for (const { handle, attempt } of gone) await onResultExpired(handle, attempt)
        return gone
      })
      if (expired.length === 0) return
    }
  }
}

/**
 * Who leads. Leadership is a term: renewing and resigning name node and term, and every holder gets a greater one.
 *
 *     follower ──(lease ran out, or its holder is proved dead; acquired)──▶ leading(term)
 *         ▲──(lease lost, or in doubt, or resigned)──────────────────────────┘
 *
 * In doubt it steps down: a leader whose member lease or leader lease cannot be trusted any more leads nothing, even when
 * nobody has taken it. (A leader on a database that became read-only cannot renew, and so is in doubt soon.)
 */
import type { CancelTimer, Clock, Service } from '../async/index.ts'
import type { ClusterStore } from '../store/contract.ts'
import type { BeatReport } from './beat-loop.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { LeaderDuty, Term } from './leader-duty.ts'
import { Listeners } from './listeners.ts'
import type { MemberSnapshot } from './member-watch.ts'
import type { Membership } from './membership.ts'
import type { ClusterLog, CountUp } from './ports.ts'
import type { ClusterPeriods, ClusterSettings } from './settings.ts'

export interface ElectorOptions {
  readonly settings: ClusterSettings
  readonly periods: ClusterPeriods
  readonly store: Pick<ClusterStore, 'acquireLease' | 'resignLease'>
  readonly membership: Membership
  readonly heartbeat: Heartbeat
  readonly clock: Clock
  readonly log: ClusterLog
  readonly count: CountUp
}

interface Leadership {
  readonly incarnation: string
  readonly number: number
  readonly abort: AbortController
  /** Monotonic: the last attempt that renewed the leader's lease began then. */
  renewedAtMs: number
  wallRenewedAtMs: number
}

export class Elector implements Service {
  readonly #options: ElectorOptions
  readonly #duties: LeaderDuty[] = []
  readonly #changed: Listeners<[number | null]>
  #leading: Leadership | undefined
  #seeks = false
  #acquiring: Promise<boolean> | undefined
  #ending: Promise<unknown> = Promise.resolve()
  #cancelWatch: CancelTimer | undefined

  constructor(options: ElectorOptions) {
    this.#options = options
    this.#changed = new Listeners(options.log)
    options.heartbeat.onBeat(report => this.#observe(report))
    options.membership.onLost(() => this.stepDown('this incarnation was fenced'))
  }

  /** Before `start`. */
  addDuty(duty: LeaderDuty): void {
    this.#duties.push(duty)
  }

  /** The term that this node leads in, beyond doubt; else null. */
  get term(): number | null {
    return this.#leading && this.#valid(this.#leading) ? this.#leading.number : null
  }

  /** Told of every gain (the term) and every loss (null). */
  onChange(listener: (term: number | null) => void): () => void {
    return this.#changed.add(listener)
  }

  async start(): Promise<void> {
    this.#seeks = true
    this.#cancelWatch ??= this.#options.clock.every(Math.max(10, this.#options.periods.marginMs / 2), () => {
      if (this.#leading && !this.#valid(this.#leading)) this.stepDown('the lease cannot be trusted any more')
    })
  }

  async stop(): Promise<void> {
    this.#seeks = false
    this.#cancelWatch?.()
    this.#cancelWatch = undefined
    await this.resign()
    await this.#ending
  }

  /** Leads nothing any more and seeks nothing, without telling anybody. */
  async abandon(): Promise<void> {
    this.#seeks = false
    this.stepDown('abandoned')
    await this.#acquiring
    await this.#ending
  }

  /** Gives leadership away, and seeks none until `start`: a node that leaves does not lead. */
  async resign(): Promise<void> {
    this.#seeks = false
    await this.#acquiring
    const leading = this.#leading
    if (!leading) return
    this.stepDown('resigned')
    await this.#ending
    try {
      await this.#options.store.resignLease(leading.incarnation, leading.number)
    } catch (error) {
      this.#options.log.debug({ err: error }, 'could not resign: the lease runs out by itself')
    }
  }

  /** A follower tries when the lease is free or has run out, or is its own by an answer that was lost. */
  consider({ lease }: MemberSnapshot): void {
    if (!this.#mayLead()) return
    const incarnation = this.#options.membership.incarnation
    if (!lease || lease.leftMs <= 0) void this.#acquire(null)
    else if (lease.holderIncarnation === incarnation) void this.#acquire({ incarnation, term: lease.term })
  }

  /** The holder was proved dead: takes the lease at once. True when this node leads now. */
  async takeFromDead(incarnation: string, term: number): Promise<boolean> {
    return this.#mayLead() && (await this.#acquire({ incarnation, term }))
  }

  stepDown(reason: string): void {
    const leading = this.#leading
    if (!leading) return
    this.#leading = undefined
    leading.abort.abort(new Error(reason))
    this.#options.heartbeat.lead(null)
    this.#options.count('termsLost')
    this.#options.log.info({ term: leading.number, reason }, 'leads no more')
    this.#ending = Promise.allSettled([this.#ending, ...this.#duties.map(duty => duty.stop())])
    this.#changed.tell(null)
  }

  #mayLead(): boolean {
    return this.#seeks && !this.#leading && !this.#acquiring && this.#options.membership.leaseValid()
  }

  #acquire(deadHolder: { incarnation: string; term: number } | null): Promise<boolean> {
    const acquiring = this.#acquireNow(deadHolder).finally(() => {
      this.#acquiring = undefined
    })
    this.#acquiring = acquiring
    return acquiring
  }

  async #acquireNow(deadHolder: { incarnation: string; term: number } | null): Promise<boolean> {
    const { clock, membership, settings, periods, store, log } = this.#options
    try {
      // The duties of a term before this one have ended when they start again.
      await this.#ending
      const incarnation = membership.incarnation
      const acquiredAtMs = clock.monotonic()
      const wallMs = clock.now()
      const holder = { incarnation, node: settings.node, leaseMs: periods.leaseMs }
      const term = await store.acquireLease(holder, deadHolder)
      if (term === null) return false
      if (!this.#seeks || membership.incarnation !== incarnation) {
        // It leaves, or was fenced meanwhile: nobody shall wait for the end of this lease.
        await store.resignLease(incarnation, term)
        return false
      }
      this.#lead(incarnation, term, acquiredAtMs, wallMs)
      return this.term !== null
    } catch (error) {
      log.debug({ err: error }, 'could not take the lease')
      return false
    }
  }

  #lead(incarnation: string, number: number, renewedAtMs: number, wallRenewedAtMs: number): void {
    const abort = new AbortController()
    const leading: Leadership = { incarnation, number, abort, renewedAtMs, wallRenewedAtMs }
    if (!this.#valid(leading)) return
    this.#leading = leading
    this.#options.heartbeat.lead(number)
    this.#options.count('termsGained')
    this.#options.log.info({ term: number }, 'leads')
    const term: Term = { number, signal: abort.signal, valid: () => this.#leading === leading && this.#valid(leading) }
    for (const duty of this.#duties) {
      try {
        duty.start(term)
      } catch (error) {
        this.#options.log.error({ err: error, term: number }, 'a duty of the leader could not start')
      }
    }
    this.#changed.tell(number)
  }

  #observe(report: BeatReport): void {
    const leading = this.#leading
    if (!leading || report.incarnation !== leading.incarnation || report.term !== leading.number) return
    if (report.outcome !== 'renewed') return
    if (report.leader) {
      leading.renewedAtMs = report.startedAtMs
      leading.wallRenewedAtMs = report.wallStartedAtMs
    } else this.stepDown('another node took the lease')
  }

  #valid(leading: Leadership): boolean {
    const { clock, periods, membership } = this.#options
    if (membership.incarnation !== leading.incarnation || !membership.leaseValid()) return false
    const ageMs = Math.max(clock.monotonic() - leading.renewedAtMs, clock.now() - leading.wallRenewedAtMs)
    return ageMs < periods.leaseMs - periods.marginMs
  }
}

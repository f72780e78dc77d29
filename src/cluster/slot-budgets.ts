/**
 * The member's side of the slot budgets: what this node may run. It uses a greater grant only after it has acknowledged it
 * and read its acknowledgement back, and acknowledges a smaller one as soon as it runs no more than that.
 */
import type { CancelTimer, Clock, Service } from '../async/index.ts'
import type { BudgetRow, ClusterStore } from '../store/contract.ts'
import { Coalesced } from './coalesced.ts'
import type { Membership } from './membership.ts'
import { type ClusterLog, type OwnedWork, slotKey } from './ports.ts'
import type { ClusterPeriods } from './settings.ts'

export interface SlotBudgetsOptions {
  readonly store: Pick<ClusterStore, 'budgets' | 'acknowledgeBudget'>
  readonly membership: Membership
  readonly work: Pick<OwnedWork, 'load' | 'budgetsChanged'>
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'budgetsMs' | 'heartbeatMs'>
  readonly log: ClusterLog
  /** A smaller grant was acknowledged: the leader can give the difference to others. */
  readonly onReturned: () => void
}

export class SlotBudgets implements Service {
  readonly #options: SlotBudgetsOptions
  readonly #reading: Coalesced
  #rows = new Map<string, BudgetRow>()
  /** Whose rows these are. */
  #incarnation = ''
  #cancelPeriod: CancelTimer | undefined
  #cancelShrink: CancelTimer | undefined
  #cancelWatch: CancelTimer | undefined
  /** Somebody was refused because the lease could not be trusted: whoever waits is to be served once it can. */
  #refused = false
  #stopped = true

  constructor(options: SlotBudgetsOptions) {
    this.#options = options
    this.#reading = new Coalesced(() => this.#readNow())
  }

  /** Slots of this engine's lane that this node may fill; 0 while its lease cannot be trusted. */
  budgetOf(engine: string, lane: string): number {
    const { membership } = this.#options
    if (!membership.leaseValid() || membership.incarnation !== this.#incarnation) {
      this.#refused = true
      return 0
    }
    const row = this.#rows.get(slotKey(engine, lane))
    return row ? Math.min(row.granted, row.acknowledged) : 0
  }

  async start(): Promise<void> {
    this.#stopped = false
    const { clock, periods } = this.#options
    this.#cancelPeriod ??= clock.every(periods.budgetsMs, () => this.hint())
    this.#cancelWatch ??= clock.every(periods.heartbeatMs / 2, () => this.#serveRefused())
    this.hint()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelPeriod?.()
    this.#cancelPeriod = undefined
    this.#cancelWatch?.()
    this.#cancelWatch = undefined
    this.#cancelShrink?.()
    await this.#reading.idle()
  }

  /** Reads soon. */
  hint(): void {
    if (this.#stopped || !this.#options.membership.joined) return
    this.#reading.run().catch(error => this.#options.log.debug({ err: error }, 'budgets cannot be read'))
  }

  /** A lease that is good again changes no row, so no reading would tell those who wait. */
  #serveRefused(): void {
    const { membership, work } = this.#options
    if (!this.#refused || !membership.leaseValid() || membership.incarnation !== this.#incarnation) return
    this.#refused = false
    work.budgetsChanged()
  }

  async #readNow(): Promise<void> {
    const { store, membership, work } = this.#options
    const { incarnation } = membership
    const before = this.#incarnation === incarnation ? [...this.#rows.values()] : []
    let rows = await this.#own(incarnation)
    const inUse = work.load().slots
    let raised = false
    let returned = false
    for (const row of rows) {
      if (row.acknowledged === row.granted) continue
      if (row.acknowledged > row.granted && (inUse.get(slotKey(row.engine, row.lane)) ?? 0) > row.granted) continue
      if (membership.incarnation !== incarnation || !membership.leaseValid()) return
      // From here on no more than the grant may be launched, even before the acknowledgement is read back.
      this.#take(incarnation, rows)
      await store.acknowledgeBudget(incarnation, row.engine, row.lane, row.granted)
      if (row.acknowledged > row.granted) returned = true
      else raised = true
    }
    if (raised || returned) rows = await this.#own(incarnation)
    this.#take(incarnation, rows)
    if (returned) this.#options.onReturned()
    this.#watchShrinking(rows)
    if (JSON.stringify(before) !== JSON.stringify(rows)) work.budgetsChanged()
  }

  async #own(incarnation: string): Promise<readonly BudgetRow[]> {
    const rows = await this.#options.store.budgets()
    return rows.filter(row => row.incarnation === incarnation)
  }

  #take(incarnation: string, rows: readonly BudgetRow[]): void {
    if (this.#options.membership.incarnation !== incarnation) return
    this.#incarnation = incarnation
    this.#rows = new Map(rows.map(row => [slotKey(row.engine, row.lane), row]))
  }

  /** While it runs more than it is granted, looks often (in memory) for the moment when it does not. */
  #watchShrinking(rows: readonly BudgetRow[]): void {
    this.#cancelShrink?.()
    const over = rows.filter(row => row.acknowledged > row.granted)
    if (over.length === 0 || this.#stopped) return
    this.#cancelShrink = this.#options.clock.after(this.#options.periods.heartbeatMs / 10, () => {
      const inUse = this.#options.work.load().slots
      if (over.some(row => (inUse.get(slotKey(row.engine, row.lane)) ?? 0) <= row.granted)) this.hint()
      else this.#watchShrinking(over)
    })
  }
}

/**
 * The member's side of the slot budgets: what this node may run. It uses a greater grant only after it has acknowledged it
 * and read its acknowledgement back, and acknowledges a smaller one as soon as it runs no more than that.
 *
 * Running queries can be given to it at any moment. Whoever gives them raises its acknowledgement in the same transaction, on top
 * of all that it may be filling. So an acknowledgement that is not as this node left it means: look at the own rows, so that those
 * queries fill their slots here, and only then use this reading, or lower the acknowledgement again.
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
  readonly work: Pick<OwnedWork, 'look' | 'load' | 'budgetsChanged'>
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
  /** What this node last acknowledged, by `slotKey`; null: a write may or may not have come to pass. */
  #left = new Map<string, number | null>()
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
    const { membership, work, onReturned } = this.#options
    const { incarnation } = membership
    if (this.#incarnation !== incarnation) this.#left.clear()
    const before = this.#incarnation === incarnation ? [...this.#rows.values()] : []
    let returned = false
    for (;;) {
      const rows = await this.#own(incarnation)
      // What was given before this reading is found by a look that begins after it.
      if (rows.some(row => row.acknowledged !== this.#leftOf(row))) await work.look()
      if (membership.incarnation !== incarnation) return
      for (const row of rows) this.#left.set(slotKey(row.engine, row.lane), row.acknowledged)
      // From here on no more than the grants may be launched, even before they are acknowledged.
      this.#take(incarnation, rows)
      const due = this.#due(rows)
      if (due.length === 0) {
        this.#watchShrinking(rows)
        break
      }
      for (const { row, acknowledged } of due) {
        if (membership.incarnation !== incarnation || !membership.leaseValid()) return
        await this.#acknowledge(row, acknowledged)
        returned ||= acknowledged < row.acknowledged
      }
    }
    if (returned) onReturned()
    if (JSON.stringify(before) !== JSON.stringify([...this.#rows.values()])) work.budgetsChanged()
  }

  #leftOf({ engine, lane }: BudgetRow): number | null {
    const left = this.#left.get(slotKey(engine, lane))
    return left === undefined ? 0 : left
  }

  /** Where something else is to be acknowledged: a greater grant, or that fewer slots are in use than was said. */
  #due(rows: readonly BudgetRow[]): { row: BudgetRow; acknowledged: number }[] {
    const inUse = this.#options.work.load().slots
    return rows
      .map(row => ({ row, acknowledged: Math.max(row.granted, inUse.get(slotKey(row.engine, row.lane)) ?? 0) }))
      .map(({ row, acknowledged }) => ({
        row,
        acknowledged: row.acknowledged < row.granted ? row.granted : Math.min(row.acknowledged, acknowledged),
      }))
      .filter(({ row, acknowledged }) => acknowledged !== row.acknowledged)
  }

  async #acknowledge({ incarnation, engine, lane, acknowledged: instead }: BudgetRow, acknowledged: number) {
    const key = slotKey(engine, lane)
    this.#left.set(key, null)
    const written = await this.#options.store.acknowledgeBudget(incarnation, engine, lane, acknowledged, instead)
    if (written) this.#left.set(key, acknowledged)
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

  /** While it holds more than it is granted, looks often (in memory) for the moment when it can acknowledge less. */
  #watchShrinking(rows: readonly BudgetRow[]): void {
    this.#cancelShrink?.()
    const over = rows.filter(row => row.acknowledged > row.granted)
    if (over.length === 0 || this.#stopped) return
    this.#cancelShrink = this.#options.clock.after(this.#options.periods.heartbeatMs / 10, () => {
      if (this.#due(over).length > 0) this.hint()
      else this.#watchShrinking(over)
    })
  }
}

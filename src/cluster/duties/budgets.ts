/** The leader's side of the slot budgets: reads, plans, writes under its term; again on every change of the members. */
import type { CancelTimer, Clock } from '../../async/index.ts'
import type { ClusterStore } from '../../store/contract.ts'
import { changesBudgets, type LaneSlots, planBudgets } from '../budget-plan.ts'
import { Coalesced } from '../coalesced.ts'
import type { LeaderDuty, Term } from '../leader-duty.ts'
import type { MemberWatch } from '../member-watch.ts'
import type { ClusterLog } from '../ports.ts'
import type { ClusterPeriods } from '../settings.ts'

export interface BudgetDutyOptions {
  readonly store: Pick<ClusterStore, 'budgets' | 'grantBudgets' | 'slotsHeld'>
  readonly watch: MemberWatch
  readonly lanes: readonly LaneSlots[]
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'budgetsMs'>
  readonly log: ClusterLog
  /** Grants changed: tell the members. */
  readonly onGranted: () => void
}

export class BudgetDuty implements LeaderDuty {
  readonly #options: BudgetDutyOptions
  readonly #planning: Coalesced
  #term: Term | undefined
  #ends: (() => void)[] = []

  constructor(options: BudgetDutyOptions) {
    this.#options = options
    this.#planning = new Coalesced(() => this.#plan())
  }

  start(term: Term): void {
    const { watch, clock, periods } = this.#options
    this.#term = term
    const period: CancelTimer = clock.every(periods.budgetsMs, () => this.hint())
    this.#ends = [period, watch.onChange(() => this.hint())]
    this.hint()
  }

  async stop(): Promise<void> {
    this.#term = undefined
    for (const end of this.#ends) end()
    this.#ends = []
    await this.#planning.idle()
  }

  /** A member acknowledged a smaller grant, or a dead one's queries are claimed: there may be slots to give. */
  hint(): void {
    if (this.#term)
      this.#planning.run().catch(error => this.#options.log.debug({ err: error }, 'budgets could not be planned'))
  }

  async #plan(): Promise<void> {
    const { store, watch, lanes, onGranted } = this.#options
    const term = this.#term
    if (!term?.valid()) return
    const rows = await store.budgets()
    const { members } = watch.snapshot
    const living = members.map(member => ({ incarnation: member.incarnation, draining: member.state === 'draining' }))
    if (living.length === 0) return
    // In this order: what is claimed meanwhile counts for the dead and for who has it now.
    const plan = planBudgets(lanes, living, rows, await store.slotsHeld())
    // Rows of others than the living are removed by the write, once nothing of theirs is left to claim.
    const known = new Set(living.map(member => member.incarnation))
    const leftOver = rows.some(row => !known.has(row.incarnation))
    if (!changesBudgets(plan, rows) && !leftOver) return
    if (!term.valid() || !(await store.grantBudgets(term.number, plan))) return
    if (changesBudgets(plan, rows)) onGranted()
    // What those who are gone had is free now.
    if (leftOver && (await store.budgets()).length < rows.length) this.hint()
  }
}

/**
 * How the cluster's slots are split: purely, so that a property test can hold it to its one rule. For every engine and lane,
 * the sum over all members, living or not, of max(granted, acknowledged) never exceeds the slots.
 *
 * A member runs what it has acknowledged and still is granted. It acknowledges a greater grant before it uses it, and a
 * smaller one when it runs no more than that. So what a member may be running is max(granted, acknowledged) as long as
 * nobody lowers `granted`; and a plan that lowers one member's grant leaves the difference unused until a later reading shows
 * that the member has acknowledged it (it may be raising its acknowledgement at this very moment, to the grant it knows).
 *
 * Who took queries over that were running holds their slots whatever it was granted: what a member holds beyond its budget is
 * not free for others either, until those queries end.
 */
import type { SlotLane } from '../domain/index.ts'
import type { BudgetRow, SlotsHeld } from '../store/contract.ts'

export interface LaneSlots {
  readonly engine: string
  readonly lane: SlotLane
  /** In the whole cluster. */
  readonly slots: number
}

export interface BudgetMember {
  readonly incarnation: string
  /** Draining members get nothing more. */
  readonly draining: boolean
}

export type Grant = Omit<BudgetRow, 'acknowledged'>

/**
 * The grants of all living members, for every engine and lane. `members` are the living ones in the order that all nodes
 * agree on; `rows` is one reading of the budgets, with those of the dead whose queries are not claimed yet, and `held` a later
 * one of the queries that hold slots.
 */
export function planBudgets(
  lanes: readonly LaneSlots[],
  members: readonly BudgetMember[],
  rows: readonly BudgetRow[],
  held: readonly SlotsHeld[] = [],
): readonly Grant[] {
  return lanes.flatMap(lane => planLane(lane, members, rows, held))
}

function planLane(
  { engine, lane, slots }: LaneSlots,
  members: readonly BudgetMember[],
  rows: readonly BudgetRow[],
  held: readonly SlotsHeld[],
): readonly Grant[] {
  const ofLane = rows.filter(row => row.engine === engine && row.lane === lane)
  const rowOf = new Map(ofLane.map(row => [row.incarnation, row]))
  const takers = members.filter(member => !member.draining)
  const share = takers.length > 0 ? Math.floor(slots / takers.length) : 0
  let remainder = takers.length > 0 ? slots % takers.length : 0
  const heldBy = new Map(
    held.filter(row => row.engine === engine && row.lane === lane).map(row => [row.incarnation, row.count]),
  )
  const usedBy = (incarnation: string) => {
    const row = rowOf.get(incarnation)
    return Math.max(row?.granted ?? 0, row?.acknowledged ?? 0, heldBy.get(incarnation) ?? 0)
  }
  let free = slots
  for (const incarnation of new Set([...rowOf.keys(), ...heldBy.keys()])) free -= usedBy(incarnation)
  return members.map(({ incarnation, draining }) => {
    const row = rowOf.get(incarnation)
    const target = draining ? 0 : share + (remainder-- > 0 ? 1 : 0)
    const granted = row?.granted ?? 0
    if (target <= granted) return { incarnation, engine, lane, granted: target }
    // It may not have looked at what it was given, and would fill a greater grant beside it.
    const own = Math.max(granted, row?.acknowledged ?? 0)
    if ((heldBy.get(incarnation) ?? 0) > own) return { incarnation, engine, lane, granted }
    // Up to what it once acknowledged, or holds, costs nothing: that much counts as used already.
    const counted = usedBy(incarnation)
    const grown = Math.min(target, counted + Math.max(0, free))
    free -= Math.max(0, grown - counted)
    return { incarnation, engine, lane, granted: Math.max(granted, grown) }
  })
}

/** True when the plan differs from what stands in the database. */
export function changesBudgets(plan: readonly Grant[], rows: readonly BudgetRow[]): boolean {
  const granted = new Map(rows.map(row => [`${row.incarnation} ${row.engine} ${row.lane}`, row.granted]))
  return plan.some(grant => granted.get(`${grant.incarnation} ${grant.engine} ${grant.lane}`) !== grant.granted)
}

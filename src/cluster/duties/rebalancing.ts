/**
 * Moves queued work from members that have more than their slots to members that have slots to spare, lane by lane. It asks
 * the database only while some member says that it has a queue, so an idle cluster pays nothing.
 */
import type { Clock } from '../../async/index.ts'
import { holdsSlot, lanes, type OwnershipChangeView, type SlotLane } from '../../domain/index.ts'
import type { BudgetRow, ClusterStore, QueryStore } from '../../store/contract.ts'
import type { LeaderDuty, Term } from '../leader-duty.ts'
import type { MemberWatch } from '../member-watch.ts'
import type { ClusterLog, CountUp } from '../ports.ts'
import type { ClusterPeriods } from '../settings.ts'

export interface RebalancingOptions {
  readonly store: Pick<ClusterStore, 'budgets' | 'rebalance'>
  readonly queries: Pick<QueryStore, 'countUnfinished'>
  readonly watch: MemberWatch
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'leaseMs' | 'claimsMax'>
  readonly log: ClusterLog
  readonly count: CountUp
  readonly databaseNow: () => number
  /** Running queries of one user in the cluster; 0 = unlimited. */
  readonly runningPerUser: number
  /** Tells the new owner to look, and everyone what changed. */
  readonly announce: (targetIncarnation: string, change: OwnershipChangeView, users: readonly string[]) => void
  /** Tells the old owner to look. */
  readonly tellToLook: (incarnation: string) => void
}

export interface Move {
  readonly from: string
  readonly to: string
  readonly lane: SlotLane
  readonly queries: number
}

type UnfinishedCounts = Awaited<ReturnType<QueryStore['countUnfinished']>>

/**
 * Users with as many running queries as they may have. What else they have queued wants no slot, wherever it waits: counted, it
 * would hide a free slot from the queries of others.
 */
export function usersAtLimit(counts: UnfinishedCounts, runningPerUser: number): ReadonlySet<string> {
  const running = new Map<string, number>()
  for (const { user, status, count } of counts)
    if (holdsSlot(status)) running.set(user, (running.get(user) ?? 0) + count)
  const isFull = ([, count]: readonly [string, number]) => runningPerUser > 0 && count >= runningPerUser
  return new Set([...running].filter(isFull).map(([user]) => user))
}

/** What to move, at most `movesMax` queries per pair: from who has more queued than free slots to who has more free slots than queued. */
export function planMoves(
  members: readonly string[],
  budgets: readonly BudgetRow[],
  counts: UnfinishedCounts,
  movesMax: number,
): readonly Move[] {
  return lanes.flatMap(lane => {
    const spare = members.map(incarnation => {
      const granted = budgets
        .filter(row => row.incarnation === incarnation && row.lane === lane)
        .reduce((sum, row) => sum + row.granted, 0)
      const own = counts.filter(row => row.ownerIncarnation === incarnation && row.lane === lane)
      const queued = own.filter(row => row.status === 'QUEUED').reduce((sum, row) => sum + row.count, 0)
      const used = own.filter(row => holdsSlot(row.status)).reduce((sum, row) => sum + row.count, 0)
      return { incarnation, queued, free: granted - used - queued }
    })
    const moves: Move[] = []
    for (const from of spare.filter(member => member.free < 0 && member.queued > 0)) {
      for (const to of spare.filter(member => member.free > 0).sort((a, b) => b.free - a.free)) {
        const queries = Math.min(-from.free, from.queued, to.free, movesMax)
        if (queries <= 0) continue
        from.free += queries
        from.queued -= queries
        to.free -= queries
        moves.push({ from: from.incarnation, to: to.incarnation, lane, queries })
      }
    }
    return moves
  })
}

export class Rebalancing implements LeaderDuty {
  readonly #options: RebalancingOptions
  #done: Promise<void> = Promise.resolve()

  constructor(options: RebalancingOptions) {
    this.#options = options
  }

  start(term: Term): void {
    this.#done = this.#run(term)
  }

  stop(): Promise<void> {
    return this.#done
  }

  async #run(term: Term): Promise<void> {
    const { clock, periods, log } = this.#options
    while (term.valid()) {
      await this.#balance(term).catch(error => log.debug({ err: error }, 'queued work could not be balanced'))
      await clock.sleep(periods.leaseMs / 2, term.signal).catch(() => undefined)
    }
  }

  async #balance(term: Term): Promise<void> {
    const { watch, store, queries, periods } = this.#options
    const members = watch.snapshot.members.filter(member => member.state === 'alive' && watch.leaseLeftMs(member) > 0)
    if (members.length < 2 || members.every(member => member.queued === 0)) return
    const [budgets, counts] = await Promise.all([store.budgets(), queries.countUnfinished()])
    const waiting = usersAtLimit(counts, this.#options.runningPerUser)
    const moves = planMoves(
      members.map(member => member.incarnation),
      budgets,
      counts.filter(({ user, status }) => status !== 'QUEUED' || !waiting.has(user)),
      periods.claimsMax,
    )
    for (const move of moves) {
      if (!term.valid()) return
      await this.#move(term, move, [...waiting])
    }
  }

  async #move(term: Term, { from, to, lane, queries }: Move, exceptUsers: readonly string[]): Promise<void> {
    const { store, watch, log, count, databaseNow, announce, tellToLook } = this.#options
    const source = watch.member(from)
    const target = watch.member(to)
    if (!source || !target) return
    const goal = { incarnation: to, node: target.nodeId }
    const moved = await store.rebalance(term.number, from, goal, queries, lane, exceptUsers)
    if (!moved || moved.length === 0) return
    count('queriesRebalanced', moved.length)
    log.debug(
      { from: source.nodeId, to: target.nodeId, lane, queries: moved.length, term: term.number },
      'moved queued queries',
    )
    const change: OwnershipChangeView = {
      kind: 'hand-over',
      from: source.nodeId,
      to: target.nodeId,
      count: moved.length,
      handles: moved.map(query => query.handle),
      at: new Date(databaseNow()).toISOString(),
    }
    announce(
      to,
      change,
      moved.map(query => query.user),
    )
    tellToLook(from)
  }
}

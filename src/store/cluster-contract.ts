/** Members, leases, ownership and budgets, as the store keeps them. The rules of `contract.ts` hold for every method. */
import type { MemberState, QueryStatus, SlotLane } from '../domain/index.ts'

export interface MemberRow {
  readonly incarnation: string
  readonly nodeId: string
  readonly address: string
  readonly state: MemberState
  readonly softwareVersion: string
  /** Newest snapshot version that it reads. */
  readonly snapshotVersion: number
  readonly startedAt: string
  readonly leaseExpiresAt: string
  /** Milliseconds of lease left by the database's clock; negative when it has run out. */
  readonly leaseLeftMs: number
  /** From when on it may be taken over early; null: never. */
  readonly earlyTakeover: boolean
  readonly running: number
  readonly queued: number
}

export interface NewMember {
  readonly incarnation: string
  readonly nodeId: string
  readonly address: string
  readonly softwareVersion: string
  readonly snapshotVersion: number
  readonly leaseMs: number
  /** Milliseconds from now during which it may not be taken over early; null: never until `allowEarlyTakeover`. */
  readonly earlyTakeoverAfterMs: number | null
  /** The incarnation that this process has proved dead: its lease does not stand in the way. Null or absent: none. */
  readonly supersedes?: string | null
}

export interface LeaseRow {
  readonly holderIncarnation: string
  readonly holderNode: string
  readonly term: number
  readonly expiresAt: string
  readonly leftMs: number
}

export interface SlotsHeld {
  readonly incarnation: string
  readonly engine: string
  readonly lane: SlotLane
  readonly count: number
}

/** A slot budget: what one member may run of one engine and lane. */
export interface BudgetRow {
  readonly incarnation: string
  readonly engine: string
  readonly lane: SlotLane
  /** Written by the leader: what it may run from now on. */
  readonly granted: number
  /**
   * Written by the member: what it may still be running. Counts as used until the member has lowered it. Who gives it queries
   * that hold slots raises it by as many, in the transaction that gives them.
   */
  readonly acknowledged: number
}

export interface FailoverRow {
  readonly id: string
  readonly nodeId: string
  readonly incarnation: string
  readonly cause: string
  readonly term: number
  readonly detectedAt: string
  readonly doneAt: string | null
  readonly queries: number
}

/** One orphan taken over. */
export interface ClaimedQuery {
  readonly handle: string
  readonly sessionId: string
  readonly user: string
  readonly status: QueryStatus
  readonly version: number
  readonly epoch: number
  readonly toIncarnation: string
}

export type JoinAnswer =
  | { readonly joined: true }
  | {
      readonly joined: false
      readonly by: MemberRow | null
      /** Snapshots are written in this version, which the member does not read: no wait helps. */
      readonly snapshotFormat?: number
    }

export interface ClusterStore {
  /**
   * Inserts the member; refused while another living member has the same node id with a lease that has not run out (gives that
   * row). Joining twice as the same incarnation is joining once: the answer to the first may have been lost. Refused by nobody
   * (`by` null): this incarnation was fenced meanwhile, and the dead stay dead, also once their row is swept; or, with `snapshotFormat`,
   * it does not read what is written here.
   */
  join(member: NewMember): Promise<JoinAnswer>
  /** All rows but the dead ones, with the lease: one statement or two. */
  members(): Promise<{
    readonly members: readonly MemberRow[]
    readonly lease: LeaseRow | null
    /** The newest version in which snapshots are written. */
    readonly snapshotFormat: number
    readonly now: string
  }>
  /**
   * Lets snapshots be written in the newest version that all members but the dead read. Gives it; null when it is no newer than what is
   * written now, or the term is over. It never falls: from then on nobody joins who does not read it.
   */
  raiseSnapshotFormat(term: number): Promise<number | null>
  memberOf(incarnation: string): Promise<MemberRow | null>
  setState(incarnation: string, state: 'alive' | 'draining'): Promise<boolean>
  allowEarlyTakeover(incarnation: string): Promise<void>
  /** Leaves for good: `dead`, without a takeover; only when it owns no unfinished query (else false). */
  leave(incarnation: string): Promise<boolean>

  /** Takes the lease when it is free, has run out, or is held by exactly `deadHolder` under that term. Gives the new term, or null. */
  acquireLease(
    holder: { incarnation: string; node: string; leaseMs: number },
    deadHolder: { incarnation: string; term: number } | null,
  ): Promise<number | null>
  resignLease(incarnation: string, term: number): Promise<void>

  /**
   * Fences a member under the leader's term: `dead`, its database connections killed, its failover row written.
   * With `onlyIfExpiredByMs`, only when its lease ran out at least that long ago. Null: not the leader, or not so.
   */
  fence(term: number, incarnation: string, cause: string, onlyIfExpiredByMs: number | null): Promise<FailoverRow | null>
  failoverDone(id: string, queries: number): Promise<void>
  failovers(limit: number): Promise<readonly FailoverRow[]>
  /** Incarnations that own unfinished queries and are no living member: the standing query for orphans. */
  orphanOwners(): Promise<readonly { readonly incarnation: string; readonly count: number }[]>
  /**
   * Claims up to `limit` unfinished queries of a dead owner for `target` under the term: epoch + 1, version + 1, transition CLAIMED
   * (row columns, snapshot's `context.version` and `context.owner`, the `query_transition` row, and what `target` acknowledges of
   * the slots that they hold, in one transaction).
   * Locked rows are skipped; `remaining` is false only when none is left. With `launchedOnly` none of those that wait in a queue.
   */
  claim(
    term: number,
    deadIncarnation: string,
    target: { incarnation: string; node: string },
    limit: number,
    launchedOnly?: boolean,
  ): Promise<{ readonly claimed: readonly ClaimedQuery[]; readonly remaining: boolean } | null>
  /**
   * Moves up to `limit` QUEUED queries of a living member to another one, under the term and their epoch; event HANDED_OVER.
   * With `lane` only those of that lane, the last to be served first: a query moved to where its lane has no slot would starve.
   * None of `exceptUsers`: what may not run anyhow is not worth a move.
   */
  rebalance(
    term: number,
    fromIncarnation: string,
    target: { incarnation: string; node: string },
    limit: number,
    lane?: SlotLane,
    exceptUsers?: readonly string[],
  ): Promise<readonly ClaimedQuery[] | null>

  budgets(): Promise<readonly BudgetRow[]>
  /** Queries that hold a slot, by owner: after a takeover or a hand-over it may hold more than its budget. */
  slotsHeld(): Promise<readonly SlotsHeld[]>
  /** Replaces the `granted` column under the term; rows of dead members without queries are removed. */
  grantBudgets(term: number, grants: readonly Omit<BudgetRow, 'acknowledged'>[]): Promise<boolean>
  /**
   * The member's own: lowers what it acknowledges, or raises it, but in the same statement to no more than what `granted` is
   * then: the leader may be lowering it at this moment, and counts on seeing either the old acknowledgement or a smaller one.
   * False: it was not `instead` any more (running queries were given to the member meanwhile), and stays as it is.
   */
  acknowledgeBudget(
    incarnation: string,
    engine: string,
    lane: SlotLane,
    acknowledged: number,
    instead: number,
  ): Promise<boolean>
  /** Recounts the limit counters from the rows, under the term. */
  recountLimits(term: number): Promise<boolean>
  /** Deletes dead members that own nothing, and failovers beyond the newest 1,000; under the term. */
  sweepMembers(term: number): Promise<void>
}

/** The few statements of the heartbeat worker; a connection pool (or file handle) of its own. */
export interface LeaseStore {
  /**
   * Extends the member's lease by the database's clock, publishes its load, and, with a `term`, extends the leader's lease too.
   * `member` false: this incarnation is dead (or gone). `leader` false: the lease is another's.
   */
  renew(beat: { incarnation: string; leaseMs: number; running: number; queued: number; term: number | null }): Promise<{
    readonly member: boolean
    readonly leader: boolean
    readonly databaseNow: number
    readonly serverIdentity: string
  }>
  close(): Promise<void>
}

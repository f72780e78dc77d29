/**
 * What is durable, and every guarded write. Two dialects implement it (MySQL/MariaDB through `mysql2`, SQLite through
 * `node:sqlite`, both below MikroORM), and one conformance suite holds them to it. Nobody outside `store/` knows SQL.
 *
 * Rules of every implementation:
 * - A guarded write carries its predicate (epoch, version, term, status) in the statement itself.
 * - A batch method answers item by item, in order. It repeats by itself after deadlocks, lock time-outs and lost
 *   connections, for up to `retryMs`; since every item carries an id of its own, what had committed before the connection
 *   broke is recognised and answered as committed, never done twice.
 * - When the database cannot be reached or written, methods reject with `LensError('STORE_UNAVAILABLE')`; nothing else
 *   of the driver's errors comes through.
 * - Dates are ISO 8601 texts with milliseconds in UTC, by the database's clock.
 */
import type {
  Column,
  EngineHandle,
  Lane,
  MemberState,
  Mode,
  OnRecovery,
  Operation,
  Outcome,
  Priority,
  QueryEvent,
  QueryEventType,
  QueryStatus,
  SessionEvent,
  SessionStatus,
  SlotLane,
  StoredSnapshot,
  WireValue,
} from '../domain/index.ts'

// ---------------------------------------------------------------- queries

/** The columns of a query that never change. */
export interface QuerySpecificationRow {
  readonly handle: string
  readonly sessionId: string
  readonly user: string
  readonly name: string | null
  readonly sql: string
  readonly operation: Operation
  readonly mode: Mode
  readonly priority: Priority
  readonly onRecovery: OnRecovery
  /** The session's database and properties at submission, merged with the query's own: the query outlives its session. */
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly parameters: readonly WireValue[]
  /** Lane and engine as asked for; what was chosen stands in the snapshot and in `lane`, `engine`. */
  readonly requestedLane: Lane
  readonly requestedEngine: string | null
  readonly idempotencyKey: string | null
  readonly deadlineAt: string | null
  readonly submittedAt: string
}

/** A row of `current_query` or `finished_query`. */
export interface QueryRow extends QuerySpecificationRow {
  /** In which table it was found. */
  readonly finished: boolean
  readonly status: QueryStatus
  readonly outcome: Outcome | null
  readonly version: number
  readonly epoch: number
  readonly ownerIncarnation: string
  readonly ownerNode: string
  readonly lane: Lane
  readonly engine: string | null
  readonly attempt: number
  readonly cancelRequested: boolean
  /** `async` from the moment that a synchronous request timed out; overrides the specification's `mode`. */
  readonly mode: Mode
  /** As stored, unchecked: `checkSnapshot` before use. */
  readonly snapshot: unknown
  /** Pages of the current attempt that are durable (readers may see them once the query is SUCCESSFUL). */
  readonly storedPages: number
  readonly storedRows: number
  readonly storedBytes: number
  readonly finishedAt: string | null
  readonly resultExpiresAt: string | null
}

/** Just enough to know whether memory may answer. */
export interface QueryVersion {
  readonly handle: string
  readonly sessionId: string
  readonly user: string
  readonly status: QueryStatus
  readonly version: number
  readonly epoch: number
  readonly finished: boolean
}

/** One durable step. `id` is new for each and recognises a commit whose answer was lost. */
export interface TransitionRecord {
  readonly id: string
  readonly handle: string
  /** The version it makes. */
  readonly version: number
  readonly epoch: number
  readonly machineVersion: number
  readonly node: string
  readonly event: QueryEvent
  readonly from: QueryStatus
  readonly to: QueryStatus
}

export interface NewQuery {
  readonly specification: QuerySpecificationRow
  /** The transition NEW → QUEUED, version 1, epoch 1. */
  readonly transition: TransitionRecord
  readonly snapshot: StoredSnapshot
  readonly ownerIncarnation: string
  readonly ownerNode: string
  /** SHA-256 (hex) of the canonical request; compared when the key was used before. Null without a key. */
  readonly requestHash: string | null
}

export type SubmitAnswer =
  | { readonly kind: 'accepted' }
  /** The key was used before. `sameRequest` tells whether with the same content. */
  | { readonly kind: 'duplicate'; readonly handle: string; readonly sameRequest: boolean }
  /** The session is not OPEN, or not of this user. */
  | { readonly kind: 'session-invalid' }
  /** The user or the lane has too many queued queries. */
  | { readonly kind: 'queue-full'; readonly scope: string; readonly limit: number }
  /** The member that submits is dead. */
  | { readonly kind: 'fenced' }

/** Cluster-wide bounds that the store enforces in the transaction of the write; 0 = unlimited. */
export interface QueryLimits {
  readonly queuedPerUser: number
  readonly runningPerUser: number
  /** Queued queries per lane (`auto` counts towards `light`). */
  readonly queuedPerLane: number
}

/** The transitions of one actor that travel together: consecutive versions under one epoch. */
export interface StepGroup {
  readonly handle: string
  /** Whose it is; saves the store from asking when a limit is to be counted. */
  readonly user?: string
  /** Version and epoch that the row must have. */
  readonly fromVersion: number
  readonly epoch: number
  readonly transitions: readonly TransitionRecord[]
  /** After the last of them. */
  readonly snapshot: StoredSnapshot
  readonly status: QueryStatus
  readonly outcome: Outcome | null
  /** True when one of them goes to LAUNCHED: then the write carries `AND NOT cancel_requested`. */
  readonly launches: boolean
  /** Moves the row to `finished_query`. */
  readonly finishes: boolean
  /** The last page of a small result, written in the same transaction. */
  readonly page?: NewPage
  /** A hand-over: the new owner; the row's epoch becomes `epoch + 1`, and with it that of the last transition. */
  readonly newOwner?: { readonly incarnation: string; readonly node: string }
}

export type StepAnswer =
  | { readonly kind: 'committed' }
  /** The row is ours, but a cancel was requested first: nothing was written, `cancelRequested` is true. */
  | { readonly kind: 'cancel-requested' }
  /** The user runs as many as the limit allows: nothing was written; try again when one ends. */
  | { readonly kind: 'limit' }
  /** Ours, but at another version: rehydrate. */
  | { readonly kind: 'stale' }
  /** Owned elsewhere, or gone: detach, no retry. */
  | { readonly kind: 'fenced' }

export interface StoredTransition extends TransitionRecord {
  /** ISO 8601. */
  readonly at: string
}

export interface QueryFilter {
  /** Null: everybody's (admins). */
  readonly user: string | null
  readonly statuses?: readonly QueryStatus[]
  readonly engine?: string
  /** Substring of the name. */
  readonly name?: string
  /** ISO 8601, inclusive, on `submittedAt`. */
  readonly from?: string
  /** ISO 8601, exclusive. */
  readonly to?: string
  readonly sessionId?: string
}

export interface OwnedQuery {
  readonly handle: string
  readonly epoch: number
  readonly version: number
  readonly status: QueryStatus
  readonly cancelRequested: boolean
  readonly ownerIncarnation: string
}

export interface QueryStore {
  /** Makes submissions durable: guarded by their member, their sessions, their keys and the queue limits. */
  submit(batch: readonly NewQuery[], limits: QueryLimits): Promise<readonly SubmitAnswer[]>
  /** Commits steps of owned queries. */
  commit(batch: readonly StepGroup[], limits: QueryLimits): Promise<readonly StepAnswer[]>
  /** Current, then finished. Missing handles are left out. */
  versions(handles: readonly string[]): Promise<readonly QueryVersion[]>
  /** Full rows. Current, then finished, or in one statement. Missing handles are left out; order is free. */
  read(handles: readonly string[]): Promise<readonly QueryRow[]>
  /** Versions of all unfinished queries of these sessions (and, with `finishedAfter`, those finished since). */
  versionsOfSessions(sessionIds: readonly string[], finishedAfter?: string): Promise<readonly QueryVersion[]>
  /** Transitions above `after`, in order of version. */
  transitions(handle: string, after: number): Promise<readonly StoredTransition[]>
  /** Newest first by (submittedAt, handle); `cursor` is the last row of the page before. */
  list(
    filter: QueryFilter,
    limit: number,
    cursor: { submittedAt: string; handle: string } | null,
  ): Promise<readonly QueryRow[]>
  /** The one write of non-owners. False: it is finished (or was never there). */
  requestCancel(handle: string): Promise<boolean>
  /** Same for all unfinished ones of a session; gives the handles that were marked. */
  requestCancelOfSession(sessionId: string): Promise<readonly string[]>
  /** A synchronous query becomes asynchronous, before its request is answered with it. */
  makeAsync(handle: string): Promise<boolean>
  /** The unfinished queries that an incarnation owns, in order of handle; pages by `afterHandle`. */
  ownedBy(incarnation: string, limit: number, afterHandle?: string): Promise<readonly OwnedQuery[]>
  /** Which of these rows have `cancel_requested`. */
  cancelsRequested(incarnation: string): Promise<readonly string[]>
  /** Drops the result of a finished query: SUCCESSFUL | FAILED | CANCELED → CLOSED under `version`; its pages are deleted. */
  dropResult(transition: TransitionRecord, snapshot: StoredSnapshot, outcome: Outcome): Promise<boolean>
  /** Counts by user, status and lane of all unfinished queries: for budgets, metrics and the recount. */
  countUnfinished(): Promise<
    readonly { user: string; status: QueryStatus; lane: Lane; ownerIncarnation: string; count: number }[]
  >
  /**
   * The leader's retention sweep, term-guarded: deletes queries that finished more than `retentionMs` ago, with their transitions, failed
   * attempts and idempotency keys (not before `pages.expire` has deleted their pages), and the transitions of sessions that
   * ended as long ago. At most `limit`, and never more than one short transaction; gives how many queries. Repeat until 0.
   */
  forget(term: number, retentionMs: number, limit: number): Promise<number>
}

// ---------------------------------------------------------------- result pages

export interface NewPage {
  readonly handle: string
  readonly attempt: number
  /** 0, 1, 2 … */
  readonly page: number
  readonly firstRow: number
  readonly rowCount: number
  /** Size of the rows as JSON text. */
  readonly bytes: number
  /** As `results/` encoded it; null when it lies in the results directory. */
  readonly data: Uint8Array | null
}

export interface StoredPage extends NewPage {}

export interface PageStore {
  /** Appends under the epoch: moves `stored_pages` from `page.page` to `page.page + 1` in the same transaction. False: fenced. */
  append(page: NewPage, epoch: number): Promise<boolean>
  /** Forgets the pages of earlier attempts and sets `stored_pages` to 0, under the epoch; before an attempt's first page. */
  reset(handle: string, epoch: number, attempt: number): Promise<boolean>
  /** Pages of one attempt from the one that holds `row` on, at most `limit`. */
  from(handle: string, attempt: number, row: number, limit: number): Promise<readonly StoredPage[]>
  /** Deletes pages of finished queries whose `result_expires_at` has passed; at most `limit` queries. Gives how many. Term-guarded. */
  expire(term: number, limit: number): Promise<readonly { handle: string; attempt: number }[]>
}

// ---------------------------------------------------------------- sessions

export interface SessionRow {
  readonly id: string
  readonly user: string
  /** SHA-256 (hex) of the token's secret part. */
  readonly secretHash: string
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly status: SessionStatus
  readonly version: number
  readonly createdAt: string
  readonly lastUsedAt: string
  readonly idleMs: number
}

/** What every request compares. */
export interface SessionCheck {
  readonly id: string
  readonly user: string
  readonly secretHash: string
  readonly status: SessionStatus
  readonly version: number
  /** Since the stored last use, by the database's clock. */
  readonly unusedMs: number
  readonly idleMs: number
  /**
   * Unused for longer than `idleMs` and the slack with which the last use is written, by the database's clock, and without an
   * unfinished query: counts as absent, whatever `status` says. The sweep deletes under the same condition.
   */
  readonly expired: boolean
}

export interface NewSession {
  readonly id: string
  readonly user: string
  readonly secretHash: string
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly idleMs: number
  readonly node: string
  readonly idempotencyKey: string | null
  readonly requestHash: string | null
}

export type OpenAnswer =
  | { readonly kind: 'opened'; readonly session: SessionRow }
  | { readonly kind: 'duplicate'; readonly session: SessionRow | null; readonly sameRequest: boolean }
  | { readonly kind: 'limit'; readonly limit: number }

export interface SessionStore {
  /** Rows first: this is the first thing that opening a session does. `sessionsPerUser` 0 = unlimited. */
  open(session: NewSession, sessionsPerUser: number): Promise<OpenAnswer>
  /** Batched validation. Missing ids are left out. */
  check(ids: readonly string[]): Promise<readonly SessionCheck[]>
  read(id: string): Promise<SessionRow | null>
  /** Newest first. `user` null: everybody's. Only OPEN ones. */
  list(
    user: string | null,
    limit: number,
    cursor: { createdAt: string; id: string } | null,
  ): Promise<readonly SessionRow[]>
  /** Compare-and-set on `version`, while OPEN: writes the new state and its `session_transition`. False: changed or gone meanwhile. */
  move(
    id: string,
    fromVersion: number,
    event: SessionEvent,
    next: { database: string | null; properties: Readonly<Record<string, string>>; status: SessionStatus },
    node: string,
  ): Promise<boolean>
  /** Deletes the row of a CLOSING session that has no unfinished query. True when it is gone. */
  removeClosed(id: string, node: string): Promise<boolean>
  /** Sets `last_used_at` to now for those whose stored value is older than their threshold. */
  touch(ids: readonly string[]): Promise<void>
  /**
   * The leader's sweep, term-guarded, at most `limit`: deletes OPEN sessions idle past `idleMs + slack` (slack = min(60 s, idleMs / 10))
   * without unfinished queries, in one conditional delete; and CLOSING ones whose queries have all ended. Gives the ids.
   */
  sweep(
    term: number,
    limit: number,
  ): Promise<{ readonly expired: readonly string[]; readonly closed: readonly string[] }>
  /** Open sessions, by state: for metrics and `machines`. */
  count(user: string | null): Promise<Readonly<Record<string, number>>>
  /** The session's transitions, in order; kept for `queries.retentionMs` after its end. */
  transitions(
    id: string,
  ): Promise<readonly { version: number; event: SessionEvent; from: string; to: string; node: string; at: string }[]>
}

// ---------------------------------------------------------------- prepared queries

export interface PreparedRow {
  readonly handle: string
  readonly user: string
  readonly sessionId: string
  readonly name: string | null
  readonly sql: string
  readonly engine: string
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly parameterCount: number
  readonly columns: readonly Column[]
  readonly createdAt: string
}

export interface PreparedStore {
  insert(row: Omit<PreparedRow, 'createdAt'>): Promise<PreparedRow>
  read(handle: string): Promise<PreparedRow | null>
  list(
    user: string | null,
    limit: number,
    cursor: { createdAt: string; handle: string } | null,
  ): Promise<readonly PreparedRow[]>
  remove(handle: string, user: string): Promise<boolean>
}

// ---------------------------------------------------------------- cluster

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

/** A slot budget: what one member may run of one engine and lane. */
export interface BudgetRow {
  readonly incarnation: string
  readonly engine: string
  readonly lane: SlotLane
  /** Written by the leader: what it may run from now on. */
  readonly granted: number
  /** Written by the member: what it may still be running. Counts as used until the member has lowered it. */
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

export interface ClusterStore {
  /**
   * Inserts the member; refused while another living member has the same node id with a lease that has not run out (gives that
   * row). Joining twice as the same incarnation is joining once: the answer to the first may have been lost.
   */
  join(member: NewMember): Promise<{ readonly joined: true } | { readonly joined: false; readonly by: MemberRow }>
  /** All rows but the dead ones, with the lease: one statement or two. */
  members(): Promise<{ readonly members: readonly MemberRow[]; readonly lease: LeaseRow | null; readonly now: string }>
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
   * (row columns, snapshot's `context.version` and `context.owner`, and the `query_transition` row, in one transaction).
   * Locked rows are skipped; `remaining` tells whether any is left.
   */
  claim(
    term: number,
    deadIncarnation: string,
    target: { incarnation: string; node: string },
    limit: number,
  ): Promise<{ readonly claimed: readonly ClaimedQuery[]; readonly remaining: boolean } | null>
  /**
   * Moves up to `limit` QUEUED queries of a living member to another one, under the term and their epoch; event HANDED_OVER.
   * With `lane` only those of that lane, the last to be served first: a query moved to where its lane has no slot would starve.
   */
  rebalance(
    term: number,
    fromIncarnation: string,
    target: { incarnation: string; node: string },
    limit: number,
    lane?: SlotLane,
  ): Promise<readonly ClaimedQuery[] | null>

  budgets(): Promise<readonly BudgetRow[]>
  /** Replaces the `granted` column under the term; rows of dead members without queries are removed. */
  grantBudgets(term: number, grants: readonly Omit<BudgetRow, 'acknowledged'>[]): Promise<boolean>
  /**
   * The member's own: lowers what it acknowledges, or raises it, but in the same statement to no more than what `granted` is
   * then: the leader may be lowering it at this moment, and counts on seeing either the old acknowledgement or a smaller one.
   */
  acknowledgeBudget(incarnation: string, engine: string, lane: SlotLane, acknowledged: number): Promise<void>
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

// ---------------------------------------------------------------- the whole

export interface Store {
  readonly dialect: 'mysql' | 'sqlite'
  readonly queries: QueryStore
  readonly pages: PageStore
  readonly sessions: SessionStore
  readonly prepared: PreparedStore
  readonly cluster: ClusterStore
  /** Connects, creates or migrates the schema (one node does it, the others wait), checks that writes report found rows. */
  open(): Promise<void>
  close(): Promise<void>
  /** From now on pool connections register under this incarnation; those of an earlier one are closed. */
  actAs(incarnation: string): Promise<void>
  /** A statement that reaches the writer; rejects when it does not answer within `timeoutMs`. Gives the database's clock in ms since 1970. */
  ping(timeoutMs: number): Promise<number>
  /** Statements since start: for metrics and the "idle node" target. */
  readonly statementCount: number
}

export interface StoreOptions {
  /** `sqlite:<file>` or `mysql://user:password@host:port/database`. */
  readonly url: string
  readonly connectionsMax: number
  /** How long a method repeats after retryable errors before it gives up with STORE_UNAVAILABLE. */
  readonly retryMs: number
}

export type { EngineHandle, QueryEventType }

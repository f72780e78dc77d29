/** Queries and their result pages, as the store keeps them. The rules of `contract.ts` hold for every method. */
import type {
  EngineHandle,
  Lane,
  Mode,
  OnRecovery,
  Operation,
  Outcome,
  Priority,
  QueryEvent,
  QueryStatus,
  StoredSnapshot,
  WireValue,
} from '../domain/index.ts'

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
  /** W3C Trace Context of the request that submitted it: the trace goes on with every owner. */
  readonly traceparent?: string | null
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

/** A run that is to be ended at its engine, of an attempt that goes on nowhere. */
export interface OwedEnd {
  readonly attempt: number
  readonly engine: string
  readonly engineHandle: EngineHandle
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
  /** Runs that these steps give up while their engines have not confirmed the end; kept until somebody has their word. */
  readonly owedEnds?: readonly OwedEnd[]
  /** A hand-over: the new owner; the row's epoch becomes `epoch + 1`, and with it that of the last transition. */
  readonly newOwner?: { readonly incarnation: string; readonly node: string }
}

export type StepAnswer =
  | { readonly kind: 'committed' }
  /** The row is ours, but a cancel was requested first: nothing was written, `cancelRequested` is true. */
  | { readonly kind: 'cancel-requested' }
  /** The user runs as many as the limit allows: nothing was written; try again when one ends. */
  | { readonly kind: 'limit' }
  /** Ours, but at another version, or not taken by a `newOwner` that is dead: rehydrate. */
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
  /** All transitions of these queries, in one statement: each query's in order of version. Those without any are left out. */
  transitionsOf(handles: readonly string[]): Promise<ReadonlyMap<string, readonly StoredTransition[]>>
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
  /** Its owner cannot read it: it is nobody's, until the leader finds one who can. Changes nothing when it is owned otherwise by now. */
  release(handle: string, incarnation: string, epoch: number): Promise<void>
  /** Which of these rows have `cancel_requested`. */
  cancelsRequested(incarnation: string): Promise<readonly string[]>
  /** Drops the result of a finished query: SUCCESSFUL | FAILED | CANCELED → CLOSED under `version`; its pages are deleted. */
  dropResult(transition: TransitionRecord, snapshot: StoredSnapshot, outcome: Outcome): Promise<boolean>
  /** Counts by user, status and lane of all unfinished queries: for budgets, metrics and the recount. */
  countUnfinished(): Promise<
    readonly { user: string; status: QueryStatus; lane: Lane; ownerIncarnation: string; count: number }[]
  >
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
  /**
   * Appends under the epoch: moves `stored_pages` from `page.page` to `page.page + 1` in the same transaction. False: fenced.
   * `mayHaveCommitted`: the same call was made before and its outcome is not known, so the page may be there.
   */
  append(page: NewPage, epoch: number, mayHaveCommitted?: boolean): Promise<boolean>
  /** Forgets the pages of earlier attempts and sets `stored_pages` to 0, under the epoch; before an attempt's first page. */
  reset(handle: string, epoch: number, attempt: number): Promise<boolean>
  /** Pages of one attempt from the one that holds `row` on, at most `limit`. */
  from(handle: string, attempt: number, row: number, limit: number): Promise<readonly StoredPage[]>
  /** Deletes pages of finished queries whose `pages_expire_at` has passed; at most `limit` queries. Gives which. Term-guarded. */
  expire(term: number, limit: number): Promise<readonly { handle: string; attempt: number }[]>
}

// ---------------------------------------------------------------- what is owed to engines

export interface CleanupRow extends OwedEnd {
  readonly handle: string
  /** ISO 8601. */
  readonly createdAt: string
}

/** Written with the steps that leave a run behind (`StepGroup.owedEnds`). */
export interface CleanupStore {
  /** In order of handle and attempt, behind `after`. */
  list(limit: number, after: Pick<CleanupRow, 'handle' | 'attempt'> | null): Promise<readonly CleanupRow[]>
  /** The engine has confirmed the end, or nobody can ask any more. Safe twice. */
  done(handle: string, attempt: number): Promise<void>
}

/**
 * What clients see of a session and of a query: the shapes of the wire contract, free of any import but the
 * vocabulary, so that the client library and the browser can use them too.
 */
import type {
  DeliveryState,
  Lane,
  LogLevel,
  MemberState,
  Mode,
  Operation,
  Outcome,
  Priority,
  QueryStatus,
  SessionStatus,
} from './vocabulary.ts'

/** A result column; `type` is the engine's own name of the type. */
export interface Column {
  readonly name: string
  readonly type: string
}

/** A value on the wire: follows the column's type, never the value itself. */
export type WireValue = null | boolean | number | string | WireValue[] | { [key: string]: WireValue }

export interface FailedAttempt {
  readonly attempt: number
  readonly node: string
  readonly engine: string | null
  readonly code: string
  readonly message: string
  /** ISO 8601. */
  readonly at: string
}

export interface QueryError {
  readonly code: string
  readonly message: string
}

export interface ResultSummary {
  readonly columns: readonly Column[]
  readonly rowCount: number
  /** Size of the stored rows as JSON text, in bytes. */
  readonly bytes: number
  /** ISO 8601; from then on the rows answer 410. */
  readonly expiresAt: string | null
}

export interface Estimate {
  /** The engine's estimate of work, without unit; compared with `lanes.heavyFromCost`. */
  readonly cost: number
  readonly rows: number | null
  readonly lane: Lane
}

export interface Progress {
  /** 0 to 1, or null where the engine gives none. */
  readonly fraction: number | null
  readonly message: string
}

export interface QueryView {
  readonly handle: string
  readonly sessionId: string
  readonly user: string
  readonly name: string | null
  readonly sql: string
  readonly operation: Operation
  readonly mode: Mode
  readonly lane: Lane
  readonly priority: Priority
  readonly engine: string | null
  readonly status: QueryStatus
  readonly outcome: Outcome | null
  readonly version: number
  readonly progress: Progress
  readonly queuePosition: number | null
  readonly owner: { readonly node: string; readonly epoch: number }
  readonly attempt: number
  readonly failedAttempts: readonly FailedAttempt[]
  readonly error: QueryError | null
  readonly result: ResultSummary | null
  readonly estimate: Estimate | null
  readonly plan: string | null
  readonly submittedAt: string
  readonly launchedAt: string | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
}

export interface TransitionView {
  readonly version: number
  readonly event: string
  readonly from: QueryStatus
  readonly to: QueryStatus
  readonly node: string
  readonly epoch: number
  readonly at: string
}

export interface SessionView {
  readonly id: string
  readonly user: string
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly status: SessionStatus
  readonly createdAt: string
  readonly expiresAt: string
}

export interface PreparedQueryView {
  readonly handle: string
  readonly user: string
  readonly name: string | null
  readonly sql: string
  readonly engine: string
  /** Number of `?` or `$n` parameters that an execution has to give. */
  readonly parameterCount: number
  readonly columns: readonly Column[]
  readonly createdAt: string
}

export interface NodeView {
  readonly node: string
  readonly incarnation: string
  readonly address: string
  readonly state: MemberState
  readonly version: string
  readonly startedAt: string
  readonly leaseExpiresAt: string
  readonly running: number
  readonly queued: number
}

export interface ClusterView {
  /** The database's clock when this was said: `leaseExpiresAt` is by it, and a reader's own clock may be wrong. */
  readonly now: string
  readonly leader: { readonly node: string; readonly term: number; readonly expiresAt: string } | null
  readonly nodes: readonly NodeView[]
}

/** One change of ownership as it happened; `handles` only those that the reader may see, `count` all. */
export interface OwnershipChangeView {
  readonly kind: 'takeover' | 'hand-over'
  readonly from: string
  readonly to: string
  readonly count: number
  readonly handles: readonly string[]
  readonly at: string
}

export interface FailoverView {
  readonly node: string
  readonly incarnation: string
  /** Why the member was fenced: `connection-lost`, `lease-expired`, `superseded`. */
  readonly cause: string
  readonly detectedAt: string
  readonly doneAt: string | null
  readonly queries: number
}

export interface EngineView {
  readonly name: string
  readonly driver: string
  readonly group: string | null
  readonly healthy: boolean
  readonly running: number
  readonly queued: number
}

export interface TableView {
  readonly name: string
  readonly columns: readonly Column[]
}

/** How many are in each state: the topic `machines`. */
export interface MachineCounts {
  readonly sessions: Readonly<Record<string, number>>
  readonly queries: Readonly<Record<string, number>>
}

/** What a node writes to its log. */
export interface LogLevelView {
  readonly node: string
  /** Null, like `configured`: the node did not answer. */
  readonly level: LogLevel | null
  /** What its configuration says, and a restart brings back. */
  readonly configured: LogLevel | null
  /** When it returns to the configured one by itself, by its own clock; null: it does not. */
  readonly revertsAt: string | null
}

/** Another level, or, with null, the configured one. */
export interface LogLevelChange {
  readonly level: LogLevel | null
  /** After so many milliseconds the configured one returns; null: it stays until the process ends. */
  readonly forMs: number | null
}

/** A webhook of the configuration, and what is owed to it. */
export interface WebhookView {
  readonly name: string
  /** Scheme, host and port; null where the node that is asked does not have it in its configuration. */
  readonly url: string | null
  readonly outcomes: readonly Outcome[]
  /** Null: everybody's queries. */
  readonly users: readonly string[] | null
  readonly pending: number
  readonly dead: number
  /** ISO 8601. */
  readonly oldestPendingAt: string | null
}

/** What is owed to a webhook for the end of one query. */
export interface DeliveryView {
  readonly handle: string
  readonly webhook: string
  readonly state: DeliveryState
  readonly attempts: number
  /** ISO 8601: the end of the query, or the last time that somebody asked for another delivery. */
  readonly createdAt: string
  /** ISO 8601: the next attempt; null when none will be made. */
  readonly dueAt: string | null
  /** Why the last attempt failed. */
  readonly lastError: string | null
}

export interface DeliveryPage {
  readonly deliveries: readonly DeliveryView[]
  readonly nextCursor: string | null
}

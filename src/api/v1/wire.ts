/**
 * The shapes of the wire contract as plain types: what the client library, the command line and the console know of the
 * server. Types only, so that nothing of the server is loaded with them and they cost a browser nothing.
 */
import type {
  ClusterView,
  Column,
  DeliveryPage,
  DeliveryState,
  DeliveryView,
  EngineView,
  Estimate,
  FailoverView,
  Lane,
  LogLevel,
  LogLevelView,
  MachineCounts,
  MachineGraph,
  MachineMoment,
  Mode,
  NodeView,
  OnRecovery,
  Operation,
  OwnershipChangeView,
  PreparedQueryView,
  Priority,
  Progress,
  QueryError,
  QueryStatus,
  QueryView,
  SessionView,
  TableView,
  TransitionView,
  WebhookView,
  WireValue,
} from '../../domain/index.ts'

export type {
  ClusterView,
  Column,
  DeliveryPage,
  DeliveryState,
  DeliveryView,
  EngineView,
  Estimate,
  FailoverView,
  Lane,
  LogLevel,
  LogLevelView,
  MachineCounts,
  MachineGraph,
  MachineMoment,
  Mode,
  NodeView,
  OnRecovery,
  Operation,
  OwnershipChangeView,
  PreparedQueryView,
  Priority,
  Progress,
  QueryError,
  QueryStatus,
  QueryView,
  SessionView,
  TableView,
  TransitionView,
  WebhookView,
  WireValue,
}

/** `GET /api/v1/auth`: how sessions are opened here, and whose session asks; both null without one. */
export interface Authentication {
  readonly method: 'none' | 'basic' | 'jwt'
  readonly user: string | null
  readonly admin: boolean | null
}

/** `POST /api/v1/sessions`. */
export interface OpenSessionBody {
  readonly user?: string
  readonly database?: string | null
  readonly properties?: Readonly<Record<string, string>>
}

/** The answer to it; `token` is shown this once. */
export interface OpenedSession extends SessionView {
  readonly token: string
}

/** `PATCH /api/v1/sessions/{id}`; a property of null is removed. */
export interface ChangeSessionBody {
  readonly database?: string | null
  readonly properties?: Readonly<Record<string, string | null>>
}

/** What a submission and the execution of a prepared query have in common. */
export interface ExecutionBody {
  readonly operation?: Operation
  readonly mode?: Mode
  readonly timeoutMs?: number
  readonly cancelOnTimeout?: boolean
  readonly name?: string | null
  readonly lane?: Lane
  readonly priority?: Priority
  readonly deadlineMs?: number | null
  readonly onRecovery?: OnRecovery
  readonly properties?: Readonly<Record<string, string>>
  readonly parameters?: readonly WireValue[]
}

/** `POST /api/v1/queries`. */
export interface SubmitBody extends ExecutionBody {
  readonly sql: string
  readonly engine?: string | null
}

/** A synchronous submission that has ended. */
export interface EndedQuery {
  readonly query: QueryView
  readonly columns: readonly Column[] | null
  readonly rows: readonly (readonly WireValue[])[] | null
  readonly nextOffset: number | null
}

/** `GET /api/v1/queries/{handle}/results` as JSON. */
export interface ResultPage {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly WireValue[])[]
  readonly offset: number
  readonly nextOffset: number | null
}

export interface SessionList {
  readonly sessions: readonly SessionView[]
  readonly nextCursor: string | null
}

export interface QueryList {
  readonly queries: readonly QueryView[]
  readonly nextCursor: string | null
}

export interface PreparedQueryList {
  readonly preparedQueries: readonly PreparedQueryView[]
  readonly nextCursor: string | null
}

/** `GET /api/v1/queries`: times are ISO 8601 on `submittedAt`, `from` inclusive, `to` exclusive. */
export interface QueryFilter {
  readonly status?: QueryStatus | readonly QueryStatus[]
  /** Admins may name anyone, or `*` for all. */
  readonly user?: string
  readonly engine?: string
  readonly name?: string
  readonly from?: string
  readonly to?: string
  readonly limit?: number
  readonly cursor?: string
}

/** `GET /api/v1/webhooks/deliveries`. */
export interface DeliveryFilter {
  readonly webhook?: string
  readonly state?: DeliveryState
  readonly handle?: string
  readonly limit?: number
  readonly cursor?: string
}

/** `application/problem+json`. */
export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly retryable: boolean
  readonly node?: string
  readonly requestId?: string
  /** The accepted query that the answer is about. */
  readonly handle?: string
}

/** Members and leader, and in a stream what has changed hands since the frame before. */
export interface ClusterFrameBody extends ClusterView {
  readonly changes?: readonly OwnershipChangeView[]
}

/** What a stream's client sends. */
export type StreamRequest =
  | { readonly type: 'authenticate'; readonly token: string }
  | ({ readonly type: 'subscribe'; readonly id: string } & StreamTopic)
  | { readonly type: 'unsubscribe'; readonly id: string }
  | { readonly type: 'ping' }

export type StreamTopic =
  | { readonly topic: 'query'; readonly handle: string; readonly after?: number }
  | { readonly topic: 'session'; readonly after?: Readonly<Record<string, number>> }
  | { readonly topic: 'cluster' }
  | { readonly topic: 'machines' }

/** What a stream's server sends, one by one or several in an array. */
export type StreamFrame =
  | { readonly type: 'ready'; readonly node: string }
  | { readonly type: 'subscribed'; readonly id: string }
  | { readonly type: 'pong' }
  | { readonly type: 'query'; readonly id: string; readonly query: QueryView }
  | { readonly type: 'progress'; readonly id: string; readonly handle: string; readonly progress: Progress }
  | { readonly type: 'cluster'; readonly id: string; readonly cluster: ClusterFrameBody }
  | { readonly type: 'machines'; readonly id: string; readonly machines: MachineCounts }
  | { readonly type: 'draining'; readonly reconnectTo: readonly string[] }
  | {
      readonly type: 'error'
      readonly id?: string
      readonly code: string
      readonly message: string
      readonly retryable: boolean
    }

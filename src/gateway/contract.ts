/**
 * The application service that all front doors call. None of them knows the store, the actors or the cluster; what they
 * get are views, and `LensError`s of the catalogue.
 */
import type {
  ClusterView,
  Column,
  DeliveryPage,
  DeliveryState,
  DeliveryView,
  EngineView,
  FailoverView,
  Lane,
  LogLevelChange,
  LogLevelView,
  MachineCounts,
  MachineMoment,
  Mode,
  OnRecovery,
  Operation,
  OwnershipChangeView,
  PreparedQueryView,
  Priority,
  Progress,
  QueryStatus,
  QueryView,
  SessionView,
  TableView,
  TransitionView,
  WebhookView,
  WireValue,
} from '../domain/index.ts'

/** Where a call comes from: for the audit log. */
export interface Origin {
  readonly address: string
  readonly requestId: string
  /** W3C Trace Context of the call. */
  readonly traceparent?: string
}

/** Who calls: a validated session. */
export interface Principal {
  readonly sessionId: string
  readonly user: string
  readonly admin: boolean
  readonly origin?: Origin
}

export interface OpenSessionRequest {
  /** The user that the authentication method found, and whether it says that this is an admin. */
  readonly user: string
  readonly admin?: boolean
  readonly origin?: Origin
  readonly database?: string | null
  /** Refused with NOT_FOUND if the default engine says at once that there is no such database. */
  readonly databaseChecked?: boolean
  readonly properties?: Readonly<Record<string, string>>
  /** `uuid`: the token's secret is a UUID, for protocols that carry nothing else. */
  readonly secretForm?: 'uuid'
}

export interface SubmitRequest {
  readonly sql: string
  readonly operation?: Operation
  readonly mode?: Mode
  readonly timeoutMs?: number
  readonly cancelOnTimeout?: boolean
  /** Refused with SQL_INVALID, instead of accepted, if the default engine says at once that it would not take it. */
  readonly checked?: boolean
  /** Of an asynchronous one: the answer waits so long for the end. The query goes on when the node that waits goes. */
  readonly waitMs?: number
  readonly name?: string | null
  readonly engine?: string | null
  readonly lane?: Lane
  readonly priority?: Priority
  readonly deadlineMs?: number | null
  readonly onRecovery?: OnRecovery
  readonly properties?: Readonly<Record<string, string>>
  readonly parameters?: readonly WireValue[]
}

/** What a submission came to. `sync-ended` carries the first page of rows when SUCCESSFUL with rows. */
export type SubmitOutcome =
  | { readonly kind: 'accepted'; readonly query: QueryView }
  | {
      readonly kind: 'ended'
      readonly query: QueryView
      readonly columns: readonly Column[] | null
      readonly rows: readonly (readonly WireValue[])[] | null
      readonly nextOffset: number | null
    }

export interface ListQueriesRequest {
  readonly statuses?: readonly QueryStatus[]
  /** Absent: the caller's own; admins may name anyone or `*`. */
  readonly user?: string
  readonly engine?: string
  readonly name?: string
  readonly from?: string
  readonly to?: string
  readonly limit: number
  readonly cursor?: string
}

export interface RowsPage {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly WireValue[])[]
  readonly offset: number
  readonly nextOffset: number | null
}

export type ResultFormat = 'ndjson' | 'csv' | 'arrow'

export interface Download {
  readonly columns: readonly Column[]
  readonly rowCount: number
  /** Chunks of the body; throws when it cannot be completed. */
  readonly body: AsyncIterable<Uint8Array>
}

/** What a subscription receives. `query` frames come in order of version, none left out. */
export type SubscriptionFrame =
  | { readonly type: 'query'; readonly query: QueryView }
  | { readonly type: 'progress'; readonly handle: string; readonly progress: Progress }
  | { readonly type: 'cluster'; readonly cluster: ClusterView & { readonly changes: readonly OwnershipChangeView[] } }
  | { readonly type: 'machines'; readonly machines: MachineCounts }

export type Topic =
  | { readonly topic: 'query'; readonly handle: string; readonly after?: number }
  | { readonly topic: 'session'; readonly after?: Readonly<Record<string, number>> }
  | { readonly topic: 'cluster' }
  | { readonly topic: 'machines' }

export interface SubscriptionListener {
  /**
   * One frame. `text` is the JSON of `frame.query` (or null), serialised once for all subscribers of that version.
   */
  frame(frame: SubscriptionFrame, text: string | null): void
  /** The subscription has ended by itself: its session was closed or expired, or the query cannot be found. */
  ended(error: Error): void
}

export interface Subscription {
  /** Resolves when the first state was delivered to `frame`. */
  readonly ready: Promise<void>
  close(): void
}

/** One actor of this node at one of its versions; no secret is in it. */
export interface InspectedMoment extends MachineMoment {
  readonly machine: 'query' | 'session'
  /** Of the session, where it is one. */
  readonly handle: string
  /** `stopped`: it lives here no more, and may go on elsewhere. */
  readonly life: 'active' | 'done' | 'stopped'
  /** The database's clock, milliseconds since 1970. */
  readonly atMs: number
}

/** What was sent to an actor, as its machine defines it. */
export interface InspectedEvent {
  readonly type: string
  readonly [name: string]: unknown
}

export interface InspectionListener {
  /** An actor lives on this node: found there by `present`, submitted, taken over or handed over to it. */
  actor(moment: InspectedMoment): void
  /** A committed step of an actor that was told of, in order; `event` is what caused it, without secrets. */
  step(moment: InspectedMoment, event: InspectedEvent): void
  /** An actor that was told of lives here no more, and no step of its own says so: another node has claimed it. */
  stopped(moment: InspectedMoment): void
  /** The inspection has ended by itself: its session was closed or expired, or the node stops. */
  ended(error: Error): void
}

export interface Inspection {
  /**
   * Tells of up to `actorsMax` actors that lived here when the inspection began and were not told of since. False when there
   * are no more: so that a reader of ten thousand gets them as fast as it reads.
   */
  present(actorsMax: number): boolean
  close(): void
}

export interface ListDeliveriesRequest {
  readonly webhook?: string
  readonly state?: DeliveryState
  readonly handle?: string
  readonly limit: number
  readonly cursor?: string
}

/** For admins alone; all others get FORBIDDEN. */
export interface WebhookGateway {
  list(principal: Principal): Promise<readonly WebhookView[]>
  /** Newest query first. */
  deliveries(principal: Principal, request: ListDeliveriesRequest): Promise<DeliveryPage>
  /** Pending again and due at once, whatever became of it. Rejects with NOT_FOUND when nothing was ever owed. */
  again(principal: Principal, webhook: string, handle: string): Promise<DeliveryView>
}

export interface Gateway {
  /** False while draining: readiness, `Connection: close`, long polls answered early. */
  readonly accepting: boolean
  /** Starting, draining, or cut off from the database for longer than its lease: the reason; null when ready. */
  notReady(): string | null
  /** Listens for the beginning of a drain. */
  onDraining(listener: (reconnectTo: readonly string[]) => void): () => void
  /** Base URLs of the other living nodes. */
  otherNodes(): readonly string[]
  /** Told when these may be others than before; returns how to listen no more. */
  onOtherNodes(listener: () => void): () => void

  openSession(
    request: OpenSessionRequest,
    idempotencyKey: string | null,
  ): Promise<{ session: SessionView; token: string }>
  /** Validates a token against the database (batched). Rejects with SESSION_INVALID, RATE_LIMITED or STORE_UNAVAILABLE. */
  authenticate(token: string, origin?: Origin): Promise<Principal>
  listSessions(
    principal: Principal,
    limit: number,
    cursor?: string,
  ): Promise<{ sessions: readonly SessionView[]; nextCursor: string | null }>
  session(principal: Principal, id: string): Promise<SessionView>
  changeSession(
    principal: Principal,
    id: string,
    change: { database?: string | null; properties?: Readonly<Record<string, string | null>> },
  ): Promise<SessionView>
  closeSession(principal: Principal, id: string, cancelQueries: boolean): Promise<void>

  submit(
    principal: Principal,
    request: SubmitRequest,
    idempotencyKey: string | null,
    signal: AbortSignal,
  ): Promise<SubmitOutcome>
  query(principal: Principal, handle: string): Promise<QueryView>
  /** With which properties these queries run: their sessions' at that time, and their own. Those that may not be seen are left out. */
  queryProperties(
    principal: Principal,
    handles: readonly string[],
  ): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>>
  /**
   * `authenticate` and `query` in one batch of look-ups: the hot path of polling. With `after` and `waitMs` waits until the
   * version is greater.
   */
  poll(
    token: string,
    handle: string,
    wait: { after: number; waitMs: number } | null,
    signal: AbortSignal,
  ): Promise<QueryView>
  listQueries(
    principal: Principal,
    request: ListQueriesRequest,
  ): Promise<{ queries: readonly QueryView[]; nextCursor: string | null }>
  transitions(principal: Principal, handle: string): Promise<readonly TransitionView[]>
  /** The machine of a query at one of its versions, or at its present one. */
  queryMachine(principal: Principal, handle: string, version: number | null): Promise<MachineMoment>
  /** The machine of an open session at one of its versions, or at its present one. */
  sessionMachine(principal: Principal, id: string, version: number | null): Promise<MachineMoment>
  cancel(principal: Principal, handle: string): Promise<{ query: QueryView; finished: boolean }>
  dropResult(principal: Principal, handle: string): Promise<void>
  rows(principal: Principal, handle: string, offset: number, limit: number): Promise<RowsPage>
  download(principal: Principal, handle: string, format: ResultFormat, offset: number): Promise<Download>

  prepare(
    principal: Principal,
    request: { sql: string; name?: string | null; engine?: string | null },
  ): Promise<PreparedQueryView>
  listPrepared(
    principal: Principal,
    limit: number,
    cursor?: string,
  ): Promise<{ preparedQueries: readonly PreparedQueryView[]; nextCursor: string | null }>
  prepared(principal: Principal, handle: string): Promise<PreparedQueryView>
  removePrepared(principal: Principal, handle: string): Promise<void>
  executePrepared(
    principal: Principal,
    handle: string,
    request: Omit<SubmitRequest, 'sql' | 'engine'>,
    idempotencyKey: string | null,
    signal: AbortSignal,
  ): Promise<SubmitOutcome>

  subscribe(principal: Principal, topic: Topic, listener: SubscriptionListener): Subscription
  /** Follows the actors of this node that the caller may see: admins all, others their own. */
  inspect(principal: Principal, listener: InspectionListener): Inspection

  cluster(principal: Principal): Promise<ClusterView>
  failovers(principal: Principal): Promise<readonly FailoverView[]>
  drain(principal: Principal, node: string): Promise<void>
  /**
   * What this node (null), another living one, or all (`*`) write to their logs, after the change, if there is one; for admins.
   * Those that did not answer within a second are shown without a level.
   */
  logLevels(principal: Principal, node: string | null, change: LogLevelChange | null): Promise<readonly LogLevelView[]>
  readonly webhooks: WebhookGateway
  engines(principal: Principal): Promise<readonly EngineView[]>
  tables(principal: Principal, engine: string): Promise<readonly TableView[]>
}

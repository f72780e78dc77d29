/**
 * The client of a Lens HA cluster. It survives the nodes that it talks to: calls are repeated on another node, and
 * subscriptions resume there.
 *
 *     await using client = new LensClient({ endpoints: ['http://127.0.0.1:9999'], user: 'ada' })
 *     for await (const [origin, count] of client.query('select origin, count(*) from flights group by 1')) …
 */
import type {
  Authentication,
  ChangeSessionBody,
  ClusterFrameBody,
  ClusterView,
  DeliveryFilter,
  DeliveryPage,
  DeliveryView,
  EngineView,
  Estimate,
  FailoverView,
  LogLevel,
  LogLevelView,
  MachineCounts,
  MachineGraph,
  MachineMoment,
  OpenedSession,
  PreparedQueryList,
  PreparedQueryView,
  QueryFilter,
  QueryList,
  QueryView,
  SessionList,
  SessionView,
  SubmitBody,
  TableView,
  WebhookView,
  WireValue,
} from '../api/v1/wire.ts'
import { clusterChangesOf } from './cluster-feed.ts'
import { Connection } from './connection.ts'
import { failureOf } from './errors.ts'
import { QueryHandle } from './handle.ts'
import { machineCountsOf } from './machines-feed.ts'
import type { LensClientOptions } from './options.ts'
import { PreparedQuery } from './prepared.ts'
import type { Rows } from './rows.ts'
import { type ExecuteOptions, rowsOf, submitted } from './submission.ts'

/** Everything of a submission but its text and how it is waited for. */
export interface SubmitOptions
  extends Omit<SubmitBody, 'sql' | 'mode' | 'operation' | 'timeoutMs' | 'cancelOnTimeout'> {
  /** Made by the client unless given. Give one to find the same query again after this process has died. */
  readonly idempotencyKey?: string
  /** Ends the waiting; `query` cancels the query too. */
  readonly signal?: AbortSignal
}

export interface RequestOptions {
  readonly body?: unknown
  /** A submission must carry one: it may be repeated. */
  readonly idempotencyKey?: string
  /** How long the server is asked to wait, in milliseconds; comes on top of the time-out of an attempt. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

/** How long one synchronous call for an estimate or a plan waits before it goes on by polling, in milliseconds. */
const syncMs = 5_000

export class LensClient implements AsyncDisposable {
  readonly #connection: Connection

  constructor(options: LensClientOptions) {
    if (options.token !== undefined && (options.database !== undefined || options.properties !== undefined)) {
      throw new TypeError('database and properties belong to a new session: change those of a token with changeSession')
    }
    this.#connection = new Connection(options)
  }

  /** All endpoints known now: those given and those learnt. */
  get endpoints(): readonly string[] {
    return this.#connection.endpoints.urls
  }

  /** The endpoint that is asked first. */
  get endpoint(): string {
    return this.#connection.endpoints.current
  }

  /** Opens the session, unless a token was given (then null). Every call does so by itself. */
  open(): Promise<OpenedSession | null> {
    return this.#connection.session()
  }

  /** Closes the session that the client opened, and all that is under way. Running queries run on unless told otherwise. */
  close(options: { readonly cancelQueries?: boolean } = {}): Promise<void> {
    return this.#connection.close(options)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The token of the session: another client can share it. */
  token(): Promise<string> {
    return this.#connection.token()
  }

  /**
   * How the server authenticates; and, once the client has a session, whose it is and whether that user is an admin. Opens no
   * session: what must be known before one can be opened is asked with this.
   */
  auth(): Promise<Authentication> {
    return this.#connection.authentication()
  }

  /** Submits at the first use of the result, waits, and gives the rows. */
  query(sql: string, options: SubmitOptions = {}): Rows {
    return rowsOf(this.#connection, () => this.submit(sql, options), options.signal)
  }

  /** Resolves once the query is durable: from then on it survives every node. */
  async submit(sql: string, options: SubmitOptions = {}): Promise<QueryHandle> {
    const { idempotencyKey, signal, ...body } = options
    return submitted(this.#connection, '/api/v1/queries', { ...body, sql, mode: 'async' }, idempotencyKey, signal)
  }

  /** A handle to a query that was submitted before, by this process or another. */
  handle(handle: string): QueryHandle {
    return new QueryHandle(this.#connection, handle)
  }

  /** What the engine expects the statement to cost. */
  async estimate(sql: string, options: SubmitOptions = {}): Promise<Estimate> {
    const query = await this.#judged(sql, 'estimate', options)
    if (!query.estimate) throw failureOf(query)
    return query.estimate
  }

  /** The engine's plan as text. */
  async explain(sql: string, options: SubmitOptions = {}): Promise<string> {
    const query = await this.#judged(sql, 'explain', options)
    if (query.plan === null) throw failureOf(query)
    return query.plan
  }

  async prepare(
    sql: string,
    options: { readonly name?: string; readonly engine?: string } = {},
  ): Promise<PreparedQuery> {
    const body = { ...options, sql }
    const view = await this.#connection.call<PreparedQueryView>({
      method: 'POST',
      path: '/api/v1/prepared-queries',
      body,
    })
    return new PreparedQuery(this.#connection, view.handle, view)
  }

  /** A prepared query by its handle. */
  prepared(handle: string): PreparedQuery {
    return new PreparedQuery(this.#connection, handle)
  }

  preparedQueries(page: { readonly limit?: number; readonly cursor?: string } = {}): Promise<PreparedQueryList> {
    return this.#connection.call({ method: 'GET', path: `/api/v1/prepared-queries${queryOf(page)}` })
  }

  /** Executes a prepared query. */
  execute(handle: string, parameters: readonly WireValue[] = [], options: ExecuteOptions = {}): Rows {
    return this.prepared(handle).query(parameters, options)
  }

  /** Any other call of the contract, repeated on other nodes like all calls: `request('GET', '/api/v1/machines')`. */
  async request<T>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    options: RequestOptions = {},
  ): Promise<T> {
    return this.#connection.call<T>({ method, path, ...options })
  }

  cluster(): Promise<ClusterView> {
    return this.#connection.cluster()
  }

  /** The cluster's state now, then at every change. Leaving the loop ends the subscription. */
  subscribeCluster(): AsyncIterableIterator<ClusterFrameBody> {
    const connection = this.#connection
    return clusterChangesOf(connection.stream, {
      read: signal => connection.cluster(signal),
      pause: signal => connection.settings.clock.sleep(1_000, signal),
      learn: addresses => connection.endpoints.learn(addresses),
    })
  }

  /** The statecharts of sessions and queries, from the server's machine definitions. */
  machines(): Promise<{ readonly session: MachineGraph; readonly query: MachineGraph }> {
    return this.#connection.call({ method: 'GET', path: '/api/v1/machines' })
  }

  /** Value and context of a query's machine at one of its versions; the present one unless told otherwise. */
  queryMachine(handle: string, version?: number): Promise<MachineMoment> {
    const path = `/api/v1/queries/${encodeURIComponent(handle)}/machine${queryOf({ version })}`
    return this.#connection.call({ method: 'GET', path })
  }

  /** Value and context of an open session's machine at `version`; absent: at present. */
  sessionMachine(id: string, version?: number): Promise<MachineMoment> {
    const path = `/api/v1/sessions/${encodeURIComponent(id)}/machine${queryOf({ version })}`
    return this.#connection.call({ method: 'GET', path })
  }

  /** How many sessions and unfinished queries are in each state (own; admins: all), now and whenever that changes. */
  subscribeMachines(): AsyncIterableIterator<MachineCounts> {
    return machineCountsOf(this.#connection.stream)
  }

  async failovers(): Promise<readonly FailoverView[]> {
    const path = '/api/v1/cluster/failovers'
    return (await this.#connection.call<{ failovers: readonly FailoverView[] }>({ method: 'GET', path })).failovers
  }

  /** Asks a node to leave without anyone noticing. Admins only. */
  async drain(node: string): Promise<void> {
    await this.#connection.call({ method: 'POST', path: `/api/v1/cluster/nodes/${encodeURIComponent(node)}/drain` })
  }

  /** What a node writes to its log, by its name, or all do (`*`); unless named, the one that answers. Admins only. */
  async logLevels(node?: string): Promise<readonly LogLevelView[]> {
    const path = `/api/v1/log-level${queryOf({ node })}`
    return (await this.#connection.call<{ nodes: readonly LogLevelView[] }>({ method: 'GET', path })).nodes
  }

  /** Another level, null for the configured one, until the node starts anew or `forMs` are over. Admins only. */
  async setLogLevel(
    level: LogLevel | null,
    { node, forMs }: { readonly node?: string; readonly forMs?: number } = {},
  ): Promise<readonly LogLevelView[]> {
    const path = `/api/v1/log-level${queryOf({ node })}`
    const body = { level, forMs }
    return (await this.#connection.call<{ nodes: readonly LogLevelView[] }>({ method: 'PUT', path, body })).nodes
  }

  /** The webhooks, and how much is owed to each. Admins only. */
  async webhooks(): Promise<readonly WebhookView[]> {
    const path = '/api/v1/webhooks'
    return (await this.#connection.call<{ webhooks: readonly WebhookView[] }>({ method: 'GET', path })).webhooks
  }

  /** What was owed to webhooks and what became of it, newest query first. Admins only. */
  deliveries(filter: DeliveryFilter = {}): Promise<DeliveryPage> {
    return this.#connection.call({ method: 'GET', path: `/api/v1/webhooks/deliveries${queryOf({ ...filter })}` })
  }

  /** Has a delivery tried again, whatever became of it. Admins only. */
  repeatDelivery(webhook: string, handle: string): Promise<DeliveryView> {
    const path = `/api/v1/webhooks/${encodeURIComponent(webhook)}/deliveries/${encodeURIComponent(handle)}`
    return this.#connection.call({ method: 'POST', path })
  }

  async engines(): Promise<readonly EngineView[]> {
    return (await this.#connection.call<{ engines: readonly EngineView[] }>({ method: 'GET', path: '/api/v1/engines' }))
      .engines
  }

  async tables(engine: string): Promise<readonly TableView[]> {
    const path = `/api/v1/engines/${encodeURIComponent(engine)}/tables`
    return (await this.#connection.call<{ tables: readonly TableView[] }>({ method: 'GET', path })).tables
  }

  sessions(page: { readonly limit?: number; readonly cursor?: string } = {}): Promise<SessionList> {
    return this.#connection.call({ method: 'GET', path: `/api/v1/sessions${queryOf(page)}` })
  }

  /** Closes a session by its id: one's own, for admins anybody's. Its queries run on unless told otherwise. */
  async closeSession(id: string, options: { readonly cancelQueries?: boolean } = {}): Promise<void> {
    const path = `/api/v1/sessions/${encodeURIComponent(id)}${options.cancelQueries ? '?cancelQueries=true' : ''}`
    await this.#connection.call({ method: 'DELETE', path })
  }

  /** Changes the client's own session; a property of null is removed. */
  async changeSession(change: ChangeSessionBody): Promise<SessionView> {
    // The public half of a token is the session's id.
    const [id = ''] = (await this.token()).split('.')
    const path = `/api/v1/sessions/${encodeURIComponent(id)}`
    return this.#connection.call({ method: 'PATCH', path, body: change })
  }

  /** One page of queries, newest first. */
  queries(filter: QueryFilter = {}): Promise<QueryList> {
    const { status, ...rest } = filter
    const statuses = Array.isArray(status) ? status.join(',') : (status as string | undefined)
    return this.#connection.call({ method: 'GET', path: `/api/v1/queries${queryOf({ status: statuses, ...rest })}` })
  }

  async #judged(sql: string, operation: 'estimate' | 'explain', options: SubmitOptions): Promise<QueryView> {
    const { idempotencyKey = this.#connection.settings.random.uuid(), signal, ...rest } = options
    const body: SubmitBody = { ...rest, sql, operation, mode: 'sync', timeoutMs: syncMs }
    const answer = await this.#connection.submit('/api/v1/queries', body, idempotencyKey, signal)
    const query = 'query' in answer ? answer.query : answer
    return new QueryHandle(this.#connection, query.handle, query).wait({ signal })
  }
}

function queryOf(fields: Readonly<Record<string, unknown>>): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '')
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString()
  return text === '' ? '' : `?${text}`
}

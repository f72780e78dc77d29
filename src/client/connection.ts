/** The calls of the contract, each one method: what client, handles and feeds share. Opens the session when first needed. */
import type {
  Authentication,
  ClusterView,
  EndedQuery,
  ExecutionBody,
  OpenedSession,
  QueryView,
  ResultPage,
  SubmitBody,
  TransitionView,
} from '../api/v1/wire.ts'
import type { Chunks } from './download.ts'
import { Endpoints } from './endpoints.ts'
import { LensClientError } from './errors.ts'
import { backoffMs, type LensClientOptions, type Settings, settle } from './options.ts'
import { Stream } from './stream.ts'
import { type Call, either, Transport } from './transport.ts'

/** How long the closing of a session may be repeated. */
const closeMs = 5_000

export class Connection {
  readonly settings: Settings
  readonly endpoints: Endpoints
  readonly transport: Transport
  readonly stream: Stream
  #session: Promise<OpenedSession | null> | null = null

  constructor(options: LensClientOptions) {
    this.settings = settle(options)
    this.endpoints = new Endpoints(options.endpoints, this.settings.clock, this.settings.learnEndpoints)
    this.transport = new Transport(this.endpoints, this.settings)
    this.stream = new Stream(this.endpoints, this.settings, () => this.token())
  }

  now(): number {
    return this.settings.clock.monotonic()
  }

  pause(attempt: number, signal?: AbortSignal): Promise<void> {
    return this.settings.clock.sleep(backoffMs(this.settings, attempt), either(this.transport.closed, signal))
  }

  /** The session of this client; null when it was given a token. A failed opening is tried anew by the next call. */
  session(): Promise<OpenedSession | null> {
    if (this.#session) return this.#session
    const opening = this.settings.token === undefined ? this.#open() : Promise.resolve(null)
    this.#session = opening
    opening.catch(() => {
      if (this.#session === opening) this.#session = null
    })
    if (this.settings.discover) opening.then(() => this.#discover()).catch(() => {})
    return opening
  }

  /** True when a session was opened, or is being opened, by this client. */
  get opened(): boolean {
    return this.#session !== null && this.settings.token === undefined
  }

  async token(): Promise<string> {
    const session = await this.session()
    return session?.token ?? (this.settings.token as string)
  }

  /** A call with the session's token. */
  async call<T>(call: Omit<Call, 'authorization'>): Promise<T> {
    return this.transport.json<T>({ ...call, authorization: `Bearer ${await this.token()}` })
  }

  /** Does not open a session: where none is needed yet, the server says only how it authenticates. */
  async authentication(): Promise<Authentication> {
    const call = { method: 'GET', path: '/api/v1/auth' } as const
    return this.opened || this.settings.token !== undefined ? this.call(call) : this.transport.json(call)
  }

  /** Submits; the same key gives the same query, so that a repetition on another node executes nothing twice. */
  submit(path: string, body: SubmitBody | ExecutionBody, idempotencyKey: string, signal?: AbortSignal) {
    const waitMs = body.mode === 'sync' ? (body.timeoutMs ?? 0) : 0
    return this.call<QueryView | EndedQuery>({ method: 'POST', path, body, idempotencyKey, waitMs, signal })
  }

  /** With `after`, waits for a greater version for as long as one long poll takes. */
  query(handle: string, after: number | null, signal?: AbortSignal): Promise<QueryView> {
    const path = `/api/v1/queries/${encodeURIComponent(handle)}`
    if (after === null) return this.call({ method: 'GET', path, signal })
    const { pollMs } = this.settings
    return this.call({ method: 'GET', path: `${path}?after=${after}&waitMs=${pollMs}`, waitMs: pollMs, signal })
  }

  async transitions(handle: string, signal?: AbortSignal): Promise<readonly TransitionView[]> {
    const path = `/api/v1/queries/${encodeURIComponent(handle)}/transitions`
    const { transitions } = await this.call<{ transitions: readonly TransitionView[] }>({ method: 'GET', path, signal })
    return transitions
  }

  cancel(handle: string): Promise<QueryView> {
    return this.call({ method: 'DELETE', path: `/api/v1/queries/${encodeURIComponent(handle)}` })
  }

  dropResult(handle: string): Promise<void> {
    return this.call({ method: 'DELETE', path: `/api/v1/queries/${encodeURIComponent(handle)}/results` })
  }

  page(handle: string, offset: number, signal?: AbortSignal): Promise<ResultPage> {
    const query = `offset=${offset}&limit=${this.settings.pageRows}`
    return this.call({ method: 'GET', path: `/api/v1/queries/${encodeURIComponent(handle)}/results?${query}`, signal })
  }

  async body(handle: string, accept: string, offset: number): Promise<Chunks> {
    const path = `/api/v1/queries/${encodeURIComponent(handle)}/results?offset=${offset}`
    const authorization = `Bearer ${await this.token()}`
    return this.transport.begin({ method: 'GET', path, accept, authorization })
  }

  cluster(signal?: AbortSignal): Promise<ClusterView> {
    return this.call({ method: 'GET', path: '/api/v1/cluster', signal })
  }

  /** Ends everything; the session too, when this client opened it and a node answers: otherwise it expires by itself. */
  async close(options: { readonly cancelQueries?: boolean } = {}): Promise<void> {
    this.stream.close()
    const session = this.opened ? await this.#session?.catch(() => null) : null
    this.#session = null
    try {
      if (session && !this.transport.closed.aborted) {
        const path = `/api/v1/sessions/${session.id}${options.cancelQueries ? '?cancelQueries=true' : ''}`
        await this.transport.json({
          method: 'DELETE',
          path,
          authorization: `Bearer ${session.token}`,
          deadlineMs: closeMs,
        })
      }
    } catch (error) {
      // Invalid: a node closed it whose answer was lost. Nobody reachable: there is nothing that the caller could do.
      const closed = error instanceof LensClientError && (error.code === 'SESSION_INVALID' || error.retryable)
      if (!closed) throw error
    } finally {
      this.transport.close()
    }
  }

  async #open(): Promise<OpenedSession> {
    const { user, database, properties, random } = this.settings
    const given = this.settings.authorization
    const authorization = typeof given === 'function' ? await given() : given
    return this.transport.json<OpenedSession>({
      method: 'POST',
      path: '/api/v1/sessions',
      body: { user, database, properties },
      authorization,
      idempotencyKey: random.uuid(),
    })
  }

  async #discover(): Promise<void> {
    const { nodes } = await this.cluster()
    this.endpoints.learn(nodes.filter(node => node.state === 'alive').map(node => node.address))
  }
}

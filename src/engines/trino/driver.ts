/**
 * Trino as an engine, by its client protocol over HTTP.
 *
 * The submission of a statement only gives it an address; it runs from the first time on that the address is asked. The address is durable
 * before that, and so is each one that follows, with the rows that came before it: whoever takes a query over goes on at the durable one, with
 * the very query of Trino. Nothing of a session is kept by Trino between statements: it comes and goes with headers (`session.ts`).
 */
import type { CancelTimer, Clock, Random } from '../../async/index.ts'
import type { EngineAnswer, EngineHandle, SlotLane, TableView } from '../../domain/index.ts'
import {
  type EngineCapabilities,
  type EngineDriver,
  EngineError,
  type EngineLogger,
  type EstimateAnswer,
  type PreparedAnswer,
  type Run,
  type StatementRequest,
} from '../contract.ts'
import { endOf } from './end.ts'
import { failureOf } from './failures.ts'
import { handleOf, type Position, positionOf } from './handle.ts'
import { TrinoHttp } from './http.ts'
import { type AskAll, estimate, explain, prepare } from './plan.ts'
import { encodings, type QueryResults, type TrinoRow } from './protocol.ts'
import { TrinoRun } from './run.ts'
import { SessionChanges, sessionHeaders } from './session.ts'
import { textOf } from './statement.ts'
import { readTables } from './tables.ts'

export interface TrinoConfiguration {
  readonly driver: 'trino'
  /** `http(s)://user:password@host:port/catalog/schema`; all but host and port may be left out. */
  readonly url: string
  /** A JSON web token, in place of a password. */
  readonly token?: string
  /** `encrypted` takes any certificate; `verified` unless set. */
  readonly tls?: 'off' | 'encrypted' | 'verified'
  readonly group?: string
  readonly slots: Readonly<Record<SlotLane, number>>
  /** Connections of one node; as many as there are slots, and some more, unless set. */
  readonly connectionsMax?: number
}

export interface TrinoDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: EngineLogger
}

/** Whether the server is there is looked at this often; while it is away, queries wait for the news. */
const lookMs = 5_000
const awayLookMs = 500
const lookPatienceMs = 1
const submitPatienceMs = 5_000
const askPatienceMs = 5_000
/** Rows of a plan or of a description. */
const askedRowsMax = 100_000
const spareConnections = 8
const unbegunMax = 1_000
/** Kinds of statements, by Trino's own analysis, that change nothing. */
const readOnly = new Set(['SELECT', 'DESCRIBE'])

interface Started {
  readonly http: TrinoHttp
  readonly cancelTimer: CancelTimer
}

export class TrinoDriver implements EngineDriver {
  readonly name: string
  readonly driver = 'trino'
  readonly group: string | null
  readonly slots: Readonly<Record<SlotLane, number>>
  readonly capabilities: EngineCapabilities = {
    reattach: true,
    cancel: true,
    progress: true,
    estimate: true,
    transactional: false,
    endsWithNode: false,
  }
  readonly #configuration: TrinoConfiguration
  readonly #dependencies: TrinoDependencies
  readonly #url: URL
  readonly #preset: { readonly catalog: string | null; readonly schema: string | null }
  readonly #runs = new Set<TrinoRun>()
  /** Queries that were cancelled here before anybody here had begun them; the newest. */
  readonly #unbegun = new Set<string>()
  #started: Started | undefined
  #isReached: boolean | undefined
  #isLooking = false
  /** By the monotonic clock. */
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(name: string, configuration: TrinoConfiguration, dependencies: TrinoDependencies) {
    this.name = name
    this.group = configuration.group ?? null
    this.slots = configuration.slots
    this.#configuration = configuration
    this.#dependencies = dependencies
    this.#url = new URL(configuration.url)
    const [, catalog = '', schema = ''] = this.#url.pathname.split('/').map(decodeURIComponent)
    this.#preset = { catalog: catalog || null, schema: schema || null }
  }

  /** A server that is away keeps no node from starting: the engine is not healthy until it is there. */
  async start(): Promise<void> {
    if (this.#started) return
    const { clock, random } = this.#dependencies
    const { connectionsMax = this.slots.light + this.slots.heavy + spareConnections, tls } = this.#configuration
    const http = new TrinoHttp({
      ...{ engine: this.name, url: new URL(this.#url.origin), headers: this.#authentication() },
      ...{ verify: tls !== 'encrypted', connectionsMax, clock, random },
    })
    this.#started = { http, cancelTimer: clock.every(awayLookMs, () => void this.#look(http, lookMs)) }
    await this.#look(http, 0)
  }

  /** What runs goes on at the server, for whoever takes it over. */
  async stop(): Promise<void> {
    const started = this.#started
    if (!started) return
    this.#started = undefined
    this.#isReached = undefined
    started.cancelTimer()
    await Promise.all([...this.#runs].map(run => run.detach()))
    await started.http.close()
  }

  healthy(): boolean {
    return this.#started !== undefined && this.#isReached === true && this.#started.http.reached
  }

  estimate(request: StatementRequest): Promise<EstimateAnswer> {
    return estimate(this.#askAll, request)
  }

  explain(request: StatementRequest): Promise<string> {
    return explain(this.#askAll, request)
  }

  prepare(request: StatementRequest): Promise<PreparedAnswer> {
    return prepare(this.#askAll, request)
  }

  async submit(request: StatementRequest, onIdentity: (engineHandle: EngineHandle) => Promise<void>): Promise<Run> {
    const { http } = this.#serving()
    const position = await this.#post(textOf(request), request, {})
    try {
      await onIdentity(handleOf(position))
    } catch (error) {
      // It has not begun, and never will; the server is only spared the waiting.
      void http.ask({ method: 'DELETE', url: position.nextUri, patienceMs: 1 }).catch(() => {})
      throw error
    }
    return this.#run(request, position, 0, null)
  }

  /** Its rows come from behind those that are stored: `Run.storedRows`. */
  async attach(request: StatementRequest, engineHandle: EngineHandle | null, storedRows = 0): Promise<Run | null> {
    const position = engineHandle === null ? null : positionOf(engineHandle)
    if (position === null) return null
    // Where nothing was taken yet, what is stored is of an attempt before.
    const behind = position.step === 0 ? 0 : storedRows
    if (behind < position.rows) return null
    const { http } = this.#serving()
    const { status, headers, json } = await http.askJson<QueryResults>({
      ...{ method: 'GET', url: position.nextUri, headers: this.#headers(request), patienceMs: askPatienceMs },
    })
    if (json === null) {
      if (status === 404 || status === 410) return null
      throw new EngineError('unavailable', `The engine ${this.name} answered HTTP ${status}.`)
    }
    const run = this.#run(request, position, behind, json)
    run.note(headers)
    return run
  }

  /** Asked when it could not be reattached: it is ended, and what its record says is believed. */
  async inquire(request: StatementRequest, engineHandle: EngineHandle | null): Promise<EngineAnswer> {
    // Without an address nothing can have begun.
    if (engineHandle === null) return 'ended'
    const position = positionOf(engineHandle)
    if (position === null) return 'unknown'
    const { http } = this.#serving()
    const headers = this.#headers(request)
    await http.ask({ method: 'DELETE', url: position.nextUri, headers, patienceMs: askPatienceMs })
    const record = await endOf(position.queryId, http, this.#dependencies.clock, headers)
    // The server has a record of whatever has begun, unless it was started anew since: then our own word is needed.
    if (record === null) return this.#unbegun.has(position.queryId) ? 'ended' : 'unknown'
    if (record.state === 'FINISHED') return record.updateType ? 'committed' : 'committed-with-rows'
    // A write that was ended while it committed may be there all the same.
    return readOnly.has(record.queryType ?? '') && !record.updateType ? 'ended' : 'unknown'
  }

  tables(): Promise<readonly TableView[]> {
    return readTables(this.#askAll, this.#preset)
  }

  #serving(): Started {
    if (this.#started) return this.#started
    throw new EngineError('unavailable', `The engine ${this.name} is stopped.`)
  }

  #authentication(): Record<string, string> {
    const { token } = this.#configuration
    if (token !== undefined) return { authorization: `Bearer ${token}` }
    const { username, password } = this.#url
    if (password === '') return {}
    const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    return { authorization: `Basic ${Buffer.from(user).toString('base64')}` }
  }

  #headers(
    request: Pick<StatementRequest, 'database' | 'properties' | 'handle' | 'traceparent'>,
  ): Record<string, string> {
    return {
      'x-trino-user': decodeURIComponent(this.#url.username) || 'lens',
      'x-trino-source': 'lens-ha',
      'x-trino-trace-token': request.handle,
      ...(request.traceparent ? { traceparent: request.traceparent } : {}),
      'x-trino-client-capabilities': 'PARAMETRIC_DATETIME,PATH',
      'x-trino-query-data-encoding': encodings,
      ...sessionHeaders(request, this.#preset),
    }
  }

  async #post(text: string, request: StatementRequest, more: Readonly<Record<string, string>>): Promise<Position> {
    const { http } = this.#serving()
    const own = this.#headers(request)
    const both = [own['x-trino-prepared-statement'], more['x-trino-prepared-statement']].filter(Boolean).join(',')
    const { status, json } = await http.askJson<QueryResults>({
      ...{ method: 'POST', url: http.url('/v1/statement'), body: text, patienceMs: submitPatienceMs },
      headers: {
        ...own,
        ...more,
        ...(both === '' ? {} : { 'x-trino-prepared-statement': both }),
        'content-type': 'text/plain; charset=utf-8',
      },
    })
    if (json === null) {
      if (status === 401 || status === 403)
        throw new EngineError('unavailable', `The engine ${this.name} does not let us in: HTTP ${status}.`)
      throw new EngineError(
        status >= 500 ? 'unavailable' : 'sql-invalid',
        `The engine ${this.name} answered HTTP ${status}.`,
      )
    }
    if (json.error) throw failureOf(json.error)
    if (json.nextUri === undefined)
      throw new EngineError('failed', `The engine ${this.name} gave no address for the statement.`)
    return { queryId: json.id, nextUri: json.nextUri, step: 0, rows: 0 }
  }

  #run(request: StatementRequest, position: Position, storedRows: number, first: QueryResults | null): TrinoRun {
    const run = new TrinoRun({
      ...{ engine: this.name, http: this.#serving().http, clock: this.#dependencies.clock },
      ...{ headers: this.#headers(request), changes: new SessionChanges(request, this.#preset) },
      ...{ position, storedRows, first, ended: (ended: TrinoRun) => this.#runs.delete(ended) },
      unbegun: (queryId: string) => {
        this.#unbegun.add(queryId)
        const [oldest] = this.#unbegun
        if (oldest !== undefined && this.#unbegun.size > unbegunMax) this.#unbegun.delete(oldest)
      },
    })
    this.#runs.add(run)
    return run
  }

  /** A statement of ours, whose rows are few. */
  readonly #askAll: AskAll = async (sql, request, more = {}) => {
    const { http } = this.#serving()
    const headers = this.#headers(request)
    delete headers['x-trino-query-data-encoding']
    const rows: TrinoRow[] = []
    let nextUri: string | undefined = (await this.#post(sql, request, more)).nextUri
    while (nextUri !== undefined) {
      const { status, json }: { status: number; json: QueryResults | null } = await http.askJson<QueryResults>({
        ...{ method: 'GET', url: nextUri, headers, patienceMs: askPatienceMs },
      })
      if (json === null) throw new EngineError('unavailable', `The engine ${this.name} answered HTTP ${status}.`)
      if (json.error) throw failureOf(json.error)
      if (Array.isArray(json.data)) rows.push(...json.data)
      if (rows.length > askedRowsMax) {
        void http.ask({ method: 'DELETE', url: nextUri, headers, patienceMs: 1 }).catch(() => {})
        break
      }
      nextUri = json.nextUri
    }
    return rows
  }

  /** Whether it is there, unless that was seen less than `periodMs` ago; said when that has changed. */
  async #look(http: TrinoHttp, periodMs: number): Promise<void> {
    const { clock, logger } = this.#dependencies
    if (this.#isLooking || (this.healthy() && clock.monotonic() < this.#lookedAt + periodMs)) return
    this.#isLooking = true
    this.#lookedAt = clock.monotonic()
    let failure: unknown = null
    try {
      const { status, json } = await http.askJson<{ starting?: boolean }>({
        ...{ method: 'GET', url: http.url('/v1/info'), patienceMs: lookPatienceMs },
      })
      if (json === null || json.starting === true)
        failure = new Error(json === null ? `HTTP ${status}` : 'it is starting')
    } catch (error) {
      failure = error
    }
    this.#isLooking = false
    const isReached = failure === null
    if (!this.#started || isReached === this.#isReached) return
    this.#isReached = isReached
    if (isReached) logger.info({ engine: this.name }, 'the engine is reached')
    else logger.warn({ engine: this.name, err: failure }, 'the engine cannot be reached')
  }
}

/** From a request to a durable query, and, for a synchronous one, to its end. */
import type { QueryHost } from '../actors/index.ts'
import type { Random } from '../async/index.ts'
import { isFinished, LensError, type QueryView } from '../domain/index.ts'
import type { Engines } from '../engines/index.ts'
import type { QuerySpecificationRow, SessionRow, Store } from '../store/index.ts'
import type { Principal, SubmitOutcome, SubmitRequest } from './contract.ts'
import { sessionInvalid } from './lookups.ts'
import type { ResultDesk } from './result-desk.ts'
import { checkProperties, hashOf } from './session-desk.ts'
import type { GatewaySettings } from './settings.ts'
import type { StatementChecks } from './statement-checks.ts'
import { type Views, viewOfSnapshot } from './views.ts'
import type { Waits } from './waits.ts'

export interface SubmissionDeskOptions {
  readonly checks: StatementChecks
  readonly store: Store
  readonly host: QueryHost
  readonly engines: Engines
  readonly views: Views
  readonly waits: Waits
  readonly results: ResultDesk
  readonly settings: GatewaySettings
  readonly random: Random
  readonly databaseNow: () => number
  readonly cancel: (principal: Principal, handle: string) => Promise<unknown>
}

/** How long a synchronous request waits unless it says otherwise. */
export const syncTimeoutDefaultMs = 30_000

export class SubmissionDesk {
  readonly #options: SubmissionDeskOptions

  constructor(options: SubmissionDeskOptions) {
    this.#options = options
  }

  async submit(
    principal: Principal,
    session: SessionRow,
    request: SubmitRequest,
    key: string | null,
    signal: AbortSignal,
  ): Promise<SubmitOutcome> {
    const { host, views, waits } = this.#options
    // Nobody could wait here for its end, and without a key nobody could come back for it: it is not even begun.
    if (request.mode === 'sync' && key === null && waits.isDraining)
      throw new LensError('NODE_STOPPING', 'The node is stopping; the query was not accepted.', { retryAfterMs: 0 })
    const refusal = request.checked ? await this.#options.checks.refusal(session, request) : null
    if (refusal !== null) throw new LensError('SQL_INVALID', refusal)
    const specification = this.#specify(principal, session, request, key)
    const requestHash = key === null ? null : hashOf({ ...request, timeoutMs: undefined, cancelOnTimeout: undefined })
    const { answer, snapshot } = await host.submit(specification, requestHash)
    let query: QueryView
    switch (answer.kind) {
      case 'accepted':
        query = viewOfSnapshot(specification, snapshot)
        break
      case 'duplicate': {
        if (!answer.sameRequest)
          throw new LensError('CONFLICT', 'The Idempotency-Key was used before with other content.')
        const earlier = await views.read(answer.handle)
        if (!earlier) throw new LensError('CONFLICT', 'The query of this Idempotency-Key is no longer kept.')
        query = earlier
        break
      }
      case 'session-invalid':
        throw sessionInvalid()
      case 'queue-full':
        throw new LensError(
          'QUEUE_FULL',
          `${answer.scope} has ${answer.limit} queued queries in the cluster, as many as allowed.`,
          { retryAfterMs: 1_000 },
        )
      case 'fenced':
        throw new LensError('NODE_STOPPING', 'The node has left the cluster and is joining again.', {
          retryable: true,
          retryAfterMs: 500,
        })
    }
    if (specification.mode === 'async' && request.waitMs === undefined) return { kind: 'accepted', query }
    return this.#waitForEnd(principal, query, request, key, signal)
  }

  #specify(
    principal: Principal,
    session: SessionRow,
    request: SubmitRequest,
    key: string | null,
  ): QuerySpecificationRow {
    const { settings, engines, random, databaseNow } = this.#options
    const {
      sql,
      operation = 'execute',
      mode = 'async',
      name = null,
      engine = null,
      lane = 'auto',
      priority = 'normal',
    } = request
    if (Buffer.byteLength(sql) > settings.sqlBytesMax)
      throw new LensError('TOO_LARGE', `sql: may have ${settings.sqlBytesMax} bytes.`)
    if (sql.trim() === '') throw new LensError('REQUEST_INVALID', 'sql: expected a statement.')
    if (!engines.choose(engine))
      throw new LensError(
        'REQUEST_INVALID',
        `engine: expected one of ${engines.drivers.map(driver => driver.name).join(', ')}, or a group.`,
      )
    const properties = { ...session.properties, ...request.properties }
    checkProperties(properties, settings.propertiesBytesMax)
    const now = databaseNow()
    return {
      handle: random.uuidOfTime(now),
      sessionId: principal.sessionId,
      user: principal.user,
      name,
      sql,
      operation,
      mode,
      priority,
      onRecovery: request.onRecovery ?? 'auto',
      database: session.database,
      properties,
      parameters: request.parameters ?? [],
      requestedLane: lane,
      requestedEngine: engine,
      idempotencyKey: key,
      deadlineAt: request.deadlineMs == null ? null : new Date(now + request.deadlineMs).toISOString(),
      submittedAt: new Date(now).toISOString(),
      traceparent: principal.origin?.traceparent ?? null,
    }
  }

  async #waitForEnd(
    principal: Principal,
    submitted: QueryView,
    request: SubmitRequest,
    key: string | null,
    signal: AbortSignal,
  ): Promise<SubmitOutcome> {
    const { waits, store, host, views, results } = this.#options
    const { handle } = submitted
    const ended = await waits.until(
      principal,
      handle,
      view => isFinished(view.status),
      request.waitMs ?? request.timeoutMs ?? syncTimeoutDefaultMs,
      signal,
    )
    const goesOn = request.waitMs !== undefined
    if (ended.kind === 'draining' && goesOn) return this.#accepted(handle)
    if (ended.kind === 'draining') {
      const live = host.find(handle)
      const unlaunched = live?.status === 'QUEUED'
      // An explanation or an estimate changes nothing, however far it has come.
      const asks = (request.operation ?? 'execute') !== 'execute'
      // Before the answer says that a repetition is safe: what nobody can come back for is not launched any more.
      if (key === null) live?.send({ type: 'STOP_REQUESTED', reason: 'abandoned' })
      throw new LensError('NODE_STOPPING', 'The node is stopping; the query was accepted.', {
        handle,
        retryable: key !== null || asks || unlaunched || live?.context.safeToRepeat === true,
        retryAfterMs: 0,
      })
    }
    if (ended.kind === 'met') {
      const query = ended.view
      // What a synchronous client did wrong is told as what it is; what the engine failed at is the query's.
      if (query.error?.code === 'SQL_INVALID') throw new LensError('SQL_INVALID', query.error.message, { handle })
      if (query.status !== 'SUCCESSFUL' || query.result === null)
        return { kind: 'ended', query, columns: null, rows: null, nextOffset: null }
      const page = await results.rows(principal, handle, 0, this.#options.settings.pageRowsMax)
      return { kind: 'ended', query, columns: page.columns, rows: page.rows, nextOffset: page.nextOffset }
    }
    if (request.cancelOnTimeout) await this.#options.cancel(principal, handle)
    else if (!goesOn && (await store.queries.makeAsync(handle))) {
      const live = host.find(handle)
      if (live) live.specification = { ...live.specification, mode: 'async' }
      views.forget(handle)
    }
    return this.#accepted(handle)
  }

  async #accepted(handle: string): Promise<SubmitOutcome> {
    const query = await this.#options.views.read(handle)
    if (!query) throw new LensError('NOT_FOUND', 'The query is no longer kept.')
    return { kind: 'accepted', query }
  }
}

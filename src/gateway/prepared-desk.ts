/** Prepared queries: checked once by the engine, then rows that any node executes. */
import type { Random } from '../async/index.ts'
import { LensError, type PreparedQueryView } from '../domain/index.ts'
import { EngineError, type Engines } from '../engines/index.ts'
import type { PreparedRow, SessionRow, Store } from '../store/index.ts'
import type { Principal, SubmitOutcome, SubmitRequest } from './contract.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { GatewaySettings } from './settings.ts'
import type { SubmissionDesk } from './submission.ts'

export interface PreparedDeskOptions {
  readonly store: Store
  readonly engines: Engines
  readonly settings: GatewaySettings
  readonly random: Random
  readonly databaseNow: () => number
  readonly submissions: SubmissionDesk
}

export class PreparedDesk {
  readonly #options: PreparedDeskOptions

  constructor(options: PreparedDeskOptions) {
    this.#options = options
  }

  async prepare(
    principal: Principal,
    session: SessionRow,
    request: { sql: string; name?: string | null; engine?: string | null },
  ): Promise<PreparedQueryView> {
    const { store, engines, settings, random, databaseNow } = this.#options
    const { sql, name = null, engine = null } = request
    if (Buffer.byteLength(sql) > settings.sqlBytesMax)
      throw new LensError('TOO_LARGE', `sql: may have ${settings.sqlBytesMax} bytes.`)
    const driver = engines.choose(engine)
    if (!driver)
      throw new LensError(
        'REQUEST_INVALID',
        `engine: expected one of ${engines.drivers.map(known => known.name).join(', ')}, or a group.`,
      )
    const { database, properties } = session
    const handle = random.uuidOfTime(databaseNow())
    try {
      const { parameterCount, columns } = await driver.prepare({
        handle,
        attempt: 0,
        sql,
        parameters: [],
        database,
        properties,
        isolated: false,
      })
      return view(
        await store.prepared.insert({
          ...{ handle, user: principal.user, sessionId: principal.sessionId, name, sql, engine: driver.name },
          ...{ database, properties, parameterCount, columns },
        }),
      )
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      const away = error.failure === 'unavailable' || error.failure === 'process-died'
      throw new LensError(away ? 'ENGINE_UNAVAILABLE' : 'SQL_INVALID', error.message)
    }
  }

  async list(principal: Principal, limit: number, cursor?: string) {
    const rows = await this.#options.store.prepared.list(
      principal.user,
      limit + 1,
      decodeCursor(cursor, 'createdAt', 'handle'),
    )
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    const nextCursor =
      rows.length > limit && last ? encodeCursor({ createdAt: last.createdAt, handle: last.handle }) : null
    return { preparedQueries: page.map(view), nextCursor }
  }

  async view(principal: Principal, handle: string): Promise<PreparedQueryView> {
    return view(await this.#read(principal, handle))
  }

  async remove(principal: Principal, handle: string): Promise<void> {
    const row = await this.#read(principal, handle)
    await this.#options.store.prepared.remove(handle, row.user)
  }

  /** Executes with the database and properties of the preparation, below those of the session and the request. */
  async execute(
    principal: Principal,
    session: SessionRow,
    handle: string,
    request: Omit<SubmitRequest, 'sql' | 'engine'>,
    idempotencyKey: string | null,
    signal: AbortSignal,
  ): Promise<SubmitOutcome> {
    const row = await this.#read(principal, handle)
    const given = request.parameters?.length ?? 0
    if (given !== row.parameterCount)
      throw new LensError('REQUEST_INVALID', `parameters: expected ${row.parameterCount} values, got ${given}.`)
    const asPrepared = {
      ...session,
      database: session.database ?? row.database,
      properties: { ...row.properties, ...session.properties },
    }
    const submission = { ...request, name: request.name ?? row.name, sql: row.sql, engine: row.engine }
    return this.#options.submissions.submit(principal, asPrepared, submission, idempotencyKey, signal)
  }

  async #read(principal: Principal, handle: string): Promise<PreparedRow> {
    const row = await this.#options.store.prepared.read(handle)
    if (!row || (row.user !== principal.user && !principal.admin))
      throw new LensError('NOT_FOUND', 'There is no such prepared query.')
    return row
  }
}

function view({ handle, user, name, sql, engine, parameterCount, columns, createdAt }: PreparedRow): PreparedQueryView {
  return { handle, user, name, sql, engine, parameterCount, columns, createdAt }
}

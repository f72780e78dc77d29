/**
 * The pool below `mysql.ts`: connections of `mysql2`, and the driver between them and Kysely.
 *
 *     new ── set up, registered ──▶ free ⇄ used ── silent, broken, or of an older incarnation ──▶ dropped
 */
import type { Socket } from 'node:net'
import { CompiledQuery, type DatabaseConnection, type Driver, MysqlDialect, type QueryResult } from 'kysely'
import { createPool, format, type Pool, type PoolConnection, type ResultSetHeader } from 'mysql2'
import { type Credentials, databasePlace, databaseTls, type TlsMode } from '../tls/index.ts'
import type { Later, StatementAnswer } from './database.ts'

/** How connections are secured: what they use is asked for again when it was replaced. */
export interface StoreTls {
  readonly mode: TlsMode
  readonly credentials: () => Credentials
}

export interface MySqlOptions {
  readonly url: string
  readonly tls?: StoreTls
  readonly connectionsMax: number
  /** A connection that does not answer for this long is dropped. */
  readonly silenceMs: number
  readonly connectMs: number
}

/** What a statement answers: rows, or how many it found. */
export type Answer = readonly object[] | ResultSetHeader

/**
 * What every connection is told before anything else. Who waits for a whole table, by default for a day or a year, lets nobody pass
 * who comes later: one transaction that somebody forgot, and a change of the schema behind it, would stop the cluster.
 */
const sessionSettings =
  "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, time_zone = '+00:00', " +
  "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
const sessionIsolation = 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'

const begin = 'START TRANSACTION'

interface PutOffStatement {
  readonly sql: string
  readonly later: Later | undefined
}

function answerOf(answer: Answer): StatementAnswer {
  return 'affectedRows' in answer ? { rows: [], count: answer.affectedRows } : { rows: answer, count: 0 }
}

export class PooledConnection implements DatabaseConnection {
  readonly raw: PoolConnection
  readonly generation: number
  dropped = false
  #pending = 0
  #putOff: PutOffStatement[] = []

  constructor(raw: PoolConnection, generation: number) {
    this.raw = raw
    this.generation = generation
  }

  /**
   * Sends the statement, and before it, in the same round trip, what was put off. The first that fails ends the trip: the others
   * are not run.
   */
  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const putOff = this.#putOff
    this.#putOff = []
    const together = [...putOff.map(one => one.sql), sql].join(';\n')
    const answers = await this.#send(together, parameters)
    const all = (putOff.length === 0 ? [answers] : answers) as Answer[]
    putOff.forEach(({ later }, index) => {
      later?.answered(answerOf(all[index] as Answer))
    })
    const answer = all.at(-1) as Answer
    if ('affectedRows' in answer) return { rows: [], numAffectedRows: BigInt(answer.affectedRows) }
    return { rows: answer as Row[] }
  }

  /** A complete statement whose answer nobody waits for alone. */
  putOff(sql: string, later?: Later): void {
    this.#putOff.push({ sql, later })
  }

  isPutOff(sql: string): boolean {
    return this.#putOff.some(one => one.sql === sql)
  }

  isOnlyPutOff(sql: string): boolean {
    return this.#putOff.length === 1 && this.#putOff[0]?.sql === sql
  }

  forget(): void {
    this.#putOff = []
  }

  #send(sql: string, parameters: readonly unknown[]): Promise<Answer | Answer[]> {
    return new Promise((resolve, reject) => {
      this.#pending++
      this.raw.query(sql, parameters as unknown[], (error, answer) => {
        this.#pending--
        if (error) reject(error)
        else resolve(answer as Answer | Answer[])
      })
    })
  }

  get waitsForAnswer(): boolean {
    return this.#pending > 0
  }

  // biome-ignore lint/correctness/useYield: nothing here reads by streams, and the interface wants the method
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error('rows are not streamed')
  }

  /**
   * Breaks the socket, so that whoever waits for an answer is told; `destroy()` would leave them waiting.
   * mysql2 takes the connection out of its pool when it sees the error.
   */
  drop(): void {
    if (this.dropped) return
    this.dropped = true
    const { stream } = this.raw as unknown as { stream: Socket }
    stream.destroy()
  }
}

export class PoolDriver implements Driver {
  readonly #options: MySqlOptions
  readonly #register: (connection: PooledConnection, incarnation: string) => Promise<void>
  readonly #connections = new Map<PoolConnection, PooledConnection>()
  #pool: Pool | undefined
  /** Those that the pool was told last. */
  #credentials: Credentials | undefined
  #incarnation: string | null = null
  #generation = 0
  /** While the schema is made, statements may take as long as they need. */
  patient = false

  constructor(options: MySqlOptions, register: (connection: PooledConnection, incarnation: string) => Promise<void>) {
    this.#options = options
    this.#register = register
  }

  async init(): Promise<void> {
    const { url, connectionsMax, connectMs, tls } = this.#options
    this.#credentials = tls?.credentials()
    this.#pool = createPool({
      uri: url,
      ...this.#secured(this.#credentials),
      connectionLimit: connectionsMax,
      // The pool looks once a second and closes what is free beyond `maxIdle`, however short the time: with a low one a busy
      // node would make most of its connections anew every second. Only those that nobody needed for a minute are to go.
      maxIdle: connectionsMax - 1,
      idleTimeout: 60_000,
      // Every connection keeps room for so many, half a megabyte by default, and none is ever prepared.
      maxPreparedStatements: 1,
      connectTimeout: connectMs,
      supportBigNumbers: true,
      dateStrings: true,
      charset: 'utf8mb4',
      timezone: 'Z',
      // MikroORM has put the values into the text: searching that, which is long, for more places costs and finds none.
      queryFormat: (sql, values) => (values.length === 0 ? sql : format(sql, values, false, 'Z')),
      // A transaction's statements travel together. No text of a client is ever run here, only written as a value.
      multipleStatements: true,
      enableKeepAlive: true,
      keepAliveInitialDelay: 10_000,
    })
  }

  #secured(credentials: Credentials | undefined) {
    const { url, tls } = this.#options
    const { host, port } = databasePlace(url)
    return tls ? databaseTls(tls.mode, host, port, credentials) : {}
  }

  /** Connections that are made from now on use the certificates of now; those that exist go on. */
  #renewTls(pool: Pool): void {
    const credentials = this.#options.tls?.credentials()
    if (credentials === this.#credentials) return
    this.#credentials = credentials
    // The pool gives this to each connection that it makes, and has no other way to be told.
    const { config } = pool as unknown as { config: { connectionConfig: object } }
    Object.assign(config.connectionConfig, this.#secured(credentials))
  }

  /** From now on connections are registered under this incarnation; all that exist are broken off. */
  actAs(incarnation: string): void {
    this.#incarnation = incarnation
    this.#generation++
    for (const connection of this.#connections.values()) connection.drop()
  }

  async acquireConnection(): Promise<PooledConnection> {
    const raw = await this.#rawConnection()
    const known = this.#connections.get(raw)
    if (known && known.generation === this.#generation && !known.dropped) return known
    if (known) {
      known.drop()
      throw Object.assign(new Error('the connection is of an earlier incarnation'), { fatal: true })
    }
    const connection = new PooledConnection(raw, this.#generation)
    this.#connections.set(raw, connection)
    raw.once('end', () => this.#connections.delete(raw))
    raw.once('error', () => this.#connections.delete(raw))
    const { stream } = raw as unknown as { stream: Socket }
    // Not as an argument of `setTimeout`, where it would be told once: an idle connection is silent too.
    stream.on('timeout', () => {
      if (connection.waitsForAnswer && !this.patient) connection.drop()
    })
    stream.setTimeout(this.#options.silenceMs)
    try {
      await connection.executeQuery(CompiledQuery.raw(sessionIsolation))
      await connection.executeQuery(CompiledQuery.raw(sessionSettings))
      if (this.#incarnation !== null) await this.#register(connection, this.#incarnation)
    } catch (error) {
      connection.drop()
      throw error
    }
    return connection
  }

  #rawConnection(): Promise<PoolConnection> {
    return new Promise((resolve, reject) => {
      if (!this.#pool) return reject(Object.assign(new Error('not connected'), { fatal: true }))
      this.#renewTls(this.#pool)
      this.#pool.getConnection((error, connection) => {
        if (error) return reject(error)
        if (this.#pool) return resolve(connection)
        // The pool was closed while this one was on its way: nobody else would close it.
        connection.destroy()
        reject(Object.assign(new Error('not connected'), { fatal: true }))
      })
    })
  }

  /**
   * BEGIN goes with the first statement, and what is put off after it with the next one or with COMMIT: each trip is a write to a
   * socket that wakes the server, and a turn of the loop until the answer is read. Together they were a fifth of what a query cost
   * a node, and held its locks meanwhile.
   */
  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    ;(connection as PooledConnection).putOff(begin)
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    const pooled = connection as PooledConnection
    // Nothing was asked.
    if (pooled.isOnlyPutOff(begin)) pooled.forget()
    else await pooled.executeQuery(CompiledQuery.raw('COMMIT'))
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    const pooled = connection as PooledConnection
    const notBegun = pooled.isPutOff(begin)
    pooled.forget()
    if (notBegun) return
    try {
      await pooled.executeQuery(CompiledQuery.raw('ROLLBACK'))
    } catch {
      // What cannot be rolled back is broken off: the server rolls back by itself.
      pooled.drop()
    }
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    const pooled = connection as PooledConnection
    if (pooled.generation !== this.#generation) pooled.drop()
    if (!pooled.dropped) pooled.raw.release()
  }

  async destroy(): Promise<void> {
    const pool = this.#pool
    this.#pool = undefined
    for (const connection of this.#connections.values()) connection.drop()
    if (pool) await new Promise<void>(resolve => pool.end(() => resolve()))
  }
}

export class PooledMySqlDialect extends MysqlDialect {
  readonly driver: PoolDriver

  constructor(driver: PoolDriver) {
    super({ pool: async () => Promise.reject(new Error('the pool belongs to the driver')) })
    this.driver = driver
  }

  override createDriver(): Driver {
    return this.driver
  }
}

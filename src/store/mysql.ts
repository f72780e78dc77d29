/**
 * The way to MySQL and MariaDB: a pool of `mysql2` below MikroORM, with a driver of our own between it and Kysely.
 *
 * The stock driver would not do. A connection must be set up and registered before its first statement, and dropped when
 * that fails; one whose BEGIN or ROLLBACK fails must leave the pool (the stock driver keeps it checked out for ever); one that
 * stays silent must not be waited for without end; and after a fencing all that the old incarnation opened must go.
 *
 *     new ── set up, registered ──▶ free ⇄ used ── silent, broken, or of an older incarnation ──▶ dropped
 */

import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { MikroORM, type MikroORM as Orm } from '@mikro-orm/core'
import { Migrator } from '@mikro-orm/migrations'
import { MySqlDriver, type SqlEntityManager } from '@mikro-orm/mysql'
import { CompiledQuery, type DatabaseConnection, type Driver, MysqlDialect, type QueryResult } from 'kysely'
import { createPool, format, type Pool, type PoolConnection, type ResultSetHeader } from 'mysql2'
import { endConnections, holdingLock, registration } from './connections.ts'
import type { Connector, Statements } from './database.ts'
import { mysqlDialect } from './dialect.ts'
import { entities } from './entities.ts'
import { migrationsList } from './migrations/index.ts'
import { type Tables, tablesOf } from './names.ts'

export interface MySqlOptions {
  readonly url: string
  readonly connectionsMax: number
  /** A connection that does not answer for this long is dropped. */
  readonly silenceMs: number
  readonly connectMs: number
}

/** What every connection is told before anything else. */
const sessionSettings =
  "SET SESSION innodb_lock_wait_timeout = 1, time_zone = '+00:00', " +
  "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
const sessionIsolation = 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'

class PooledConnection implements DatabaseConnection {
  readonly raw: PoolConnection
  readonly generation: number
  dropped = false
  #pending = 0

  constructor(raw: PoolConnection, generation: number) {
    this.raw = raw
    this.generation = generation
  }

  executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    return new Promise((resolve, reject) => {
      this.#pending++
      this.raw.query(sql, parameters as unknown[], (error, result) => {
        this.#pending--
        if (error) return reject(error)
        if (Array.isArray(result)) return resolve({ rows: result as Row[] })
        const { affectedRows } = result as ResultSetHeader
        resolve({ rows: [], numAffectedRows: BigInt(affectedRows) })
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

class PoolDriver implements Driver {
  readonly #options: MySqlOptions
  readonly #register: (connection: PooledConnection, incarnation: string) => Promise<void>
  readonly #connections = new Map<PoolConnection, PooledConnection>()
  #pool: Pool | undefined
  #incarnation: string | null = null
  #generation = 0
  /** While the schema is made, statements may take as long as they need. */
  patient = false

  constructor(options: MySqlOptions, register: (connection: PooledConnection, incarnation: string) => Promise<void>) {
    this.#options = options
    this.#register = register
  }

  async init(): Promise<void> {
    const { url, connectionsMax, connectMs } = this.#options
    this.#pool = createPool({
      uri: url,
      connectionLimit: connectionsMax,
      maxIdle: Math.min(2, connectionsMax),
      idleTimeout: 60_000,
      connectTimeout: connectMs,
      supportBigNumbers: true,
      dateStrings: true,
      charset: 'utf8mb4',
      timezone: 'Z',
      // MikroORM has put the values into the text: searching that, which is long, for more places costs and finds none.
      queryFormat: (sql, values) => (values.length === 0 ? sql : format(sql, values, false, 'Z')),
      enableKeepAlive: true,
      keepAliveInitialDelay: 10_000,
    })
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
      this.#pool.getConnection((error, connection) => {
        if (error) return reject(error)
        if (this.#pool) return resolve(connection)
        // The pool was closed while this one was on its way: nobody else would close it.
        connection.destroy()
        reject(Object.assign(new Error('not connected'), { fatal: true }))
      })
    })
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await connection.executeQuery(CompiledQuery.raw('START TRANSACTION'))
    } catch (error) {
      // Kysely forgets a connection whose transaction did not begin.
      ;(connection as PooledConnection).drop()
      throw error
    }
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('COMMIT'))
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await connection.executeQuery(CompiledQuery.raw('ROLLBACK'))
    } catch {
      // What cannot be rolled back is broken off: the server rolls back by itself.
      ;(connection as PooledConnection).drop()
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

class PooledMySqlDialect extends MysqlDialect {
  readonly driver: PoolDriver

  constructor(driver: PoolDriver) {
    super({ pool: async () => Promise.reject(new Error('the pool belongs to the driver')) })
    this.driver = driver
  }

  override createDriver(): Driver {
    return this.driver
  }
}

/** The database's name in the URL, which MikroORM asks the server about before it migrates. */
function databaseName(url: string): string {
  return decodeURIComponent(new URL(url).pathname).replace(/^\//, '')
}

export class MySqlConnector implements Connector {
  readonly dialect = mysqlDialect
  readonly tables: Tables
  readonly statements: Statements
  readonly orm: Orm
  readonly #url: string
  readonly #driver: PoolDriver
  #statementCount = 0

  constructor(options: MySqlOptions) {
    this.#url = options.url
    this.#driver = new PoolDriver(options, (connection, incarnation) => this.#register(connection, incarnation))
    this.orm = new MikroORM({
      driver: MySqlDriver,
      driverOptions: new PooledMySqlDialect(this.#driver),
      dbName: databaseName(options.url),
      clientUrl: options.url,
      entities,
      extensions: [Migrator],
      migrations: { migrationsList, snapshot: false, transactional: true, allOrNothing: false, silent: true },
      ensureDatabase: false,
      logger: () => {},
    })
    this.tables = tablesOf(this.orm)
    this.statements = this.#statementsIn(undefined)
  }

  get statementCount(): number {
    return this.#statementCount
  }

  get #connection() {
    return (this.orm.em as unknown as SqlEntityManager).getConnection()
  }

  #statementsIn(context: unknown): Statements {
    return {
      rows: async <Row extends object>(sql: string, values: readonly unknown[] = []) => {
        this.#statementCount++
        return (await this.#connection.execute(sql, values as unknown[], 'all', context as never)) as unknown as Row[]
      },
      run: async (sql: string, values: readonly unknown[] = []) => {
        this.#statementCount++
        const { affectedRows } = await this.#connection.execute<{ affectedRows: number }>(
          sql,
          values as unknown[],
          'run',
          context as never,
        )
        return affectedRows
      },
    }
  }

  transaction<T>(work: (transaction: Statements) => Promise<T>): Promise<T> {
    return this.#connection.transactional(context => work(this.#statementsIn(context)))
  }

  async connect(): Promise<void> {
    await this.orm.connect()
    await this.statements.rows('SELECT 1 AS one')
  }

  /** One node migrates under the server's named lock, on one connection; the others wait for it. */
  async migrate(): Promise<void> {
    await holdingLock(this, `lens:${databaseName(this.#url)}`.slice(0, 64), Number.POSITIVE_INFINITY, async () => {
      this.#driver.patient = true
      try {
        await this.orm.migrator.up()
      } finally {
        this.#driver.patient = false
      }
    })
  }

  alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    const digest = createHash('sha256').update(JSON.stringify([databaseName(this.#url), name]))
    return holdingLock(this, `lens:${digest.digest('hex').slice(0, 48)}`, 1, work)
  }

  async close(): Promise<void> {
    await this.orm.close(true)
    await this.#driver.destroy()
  }

  async actAs(incarnation: string): Promise<void> {
    this.#driver.actAs(incarnation)
  }

  async #register(connection: PooledConnection, incarnation: string): Promise<void> {
    const { sql, values } = registration(this, incarnation)
    await connection.executeQuery(CompiledQuery.raw(sql, values))
  }

  killConnectionsOf(incarnation: string): Promise<void> {
    return endConnections(this, databaseName(this.#url), incarnation)
  }
}

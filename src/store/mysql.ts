/**
 * The way to MySQL and MariaDB: a pool of `mysql2` below MikroORM, with a driver of our own between it and Kysely.
 *
 * The stock driver would not do. A connection must be set up and registered before its first statement, and dropped when
 * that fails; one whose BEGIN or ROLLBACK fails must leave the pool (the stock driver keeps it checked out for ever); one that
 * stays silent must not be waited for without end; and after a fencing all that the old incarnation opened must go.
 * See `mysql-pool.ts`. Statements come through MikroORM's connection with their values written in (`mysql-text.ts`).
 */

import { createHash } from 'node:crypto'
import { MikroORM, type MikroORM as Orm } from '@mikro-orm/core'
import { Migrator } from '@mikro-orm/migrations'
import { MySqlDriver, type SqlEntityManager } from '@mikro-orm/mysql'
import { CompiledQuery } from 'kysely'
import { LensError } from '../domain/index.ts'
import { endConnections, holdingLock, registration } from './connections.ts'
import { type Connector, Later, type SqlValue, type Statements, type Transaction } from './database.ts'
import { mysqlDialect } from './dialect.ts'
import { entities } from './entities.ts'
import { migrationsList } from './migrations/index.ts'
import { type MySqlOptions, PoolDriver, type PooledConnection, PooledMySqlDialect } from './mysql-pool.ts'
import { withValues } from './mysql-text.ts'
import { type Tables, tablesOf } from './names.ts'
import { isLockWaitTimeout } from './retry.ts'

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
      rows: async <Row extends object>(sql: string, values: readonly SqlValue[] = []) => {
        this.#statementCount++
        return (await this.#connection.execute(
          withValues(sql, values),
          [],
          'all',
          context as never,
        )) as unknown as Row[]
      },
      run: async (sql, values = []) => {
        this.#statementCount++
        const text = withValues(sql, values)
        const answer = await this.#connection.execute<{ affectedRows: number }>(text, [], 'run', context as never)
        return answer.affectedRows
      },
    }
  }

  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#connection.transactional(async context => {
      const pooled = (await context.getExecutor().provideConnection(async used => used)) as PooledConnection
      return work({
        ...this.#statementsIn(context),
        later: <Row extends object>(sql: string, values: readonly SqlValue[] = []) => {
          this.#statementCount++
          const later = new Later<Row>()
          pooled.putOff(withValues(sql, values), later)
          return later
        },
      })
    })
  }

  async connect(): Promise<void> {
    await this.orm.connect()
    await this.statements.rows('SELECT 1 AS one')
  }

  /**
   * One node migrates under the server's named lock, on one connection; the others wait for it. Where a transaction of somebody else
   * holds a table that is to be changed, it gives up: whoever needs that table gets through until it is called again.
   */
  async migrate(): Promise<void> {
    await holdingLock(this, `lens:${databaseName(this.#url)}`.slice(0, 64), Number.POSITIVE_INFINITY, async () => {
      this.#driver.patient = true
      try {
        await this.orm.migrator.up()
      } catch (error) {
        if (!isLockWaitTimeout(error)) throw error
        throw new LensError(
          'STORE_UNAVAILABLE',
          'The schema cannot be changed while a transaction holds a table of it.',
          {
            retryAfterMs: 1000,
            cause: error,
          },
        )
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

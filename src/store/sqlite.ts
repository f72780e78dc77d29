/**
 * The way to an SQLite file through `node:sqlite`, for one process or several of one machine.
 *
 * The stock driver would not do: it begins transactions deferred (so that a writer can find its snapshot outdated half-way),
 * and it does not let go of its connection when BEGIN fails. Here a transaction takes the write lock at its beginning or
 * fails at once with SQLITE_BUSY; whoever calls repeats after an asynchronous pause, so a lock that another process
 * holds never blocks this one's loop.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { MikroORM, type MikroORM as Orm } from '@mikro-orm/core'
import { Migrator } from '@mikro-orm/migrations'
import { NodeSqliteDialect, type SqlEntityManager, SqliteDriver } from '@mikro-orm/sql'
import { CompiledQuery, type DatabaseConnection, type DialectAdapter, type Driver, type QueryResult } from 'kysely'
import {
  type Connector,
  Later,
  type SqlValue,
  type StatementAnswer,
  type Statements,
  type Transaction,
} from './database.ts'
import { type SqlDialect, sqliteDialect } from './dialect.ts'
import { entities } from './entities.ts'
import { migrationsList } from './migrations/index.ts'
import { type Tables, tablesOf } from './names.ts'

/** Prepared statements that are kept. */
const statementsMax = 200

/** A file that other processes use too: WAL, every commit on disk, and no waiting inside SQLite. */
export function openSharedFile(file: string): DatabaseSync {
  if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true })
  const database = new DatabaseSync(file, { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

class FileDriver implements SqliteWay, DatabaseConnection {
  readonly #file: string
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync | undefined
  #busy = false
  readonly #waiting: (() => void)[] = []
  /** While the schema is made: all that is executed belongs to the one transaction that is open. */
  #migrating = false

  constructor(file: string) {
    this.#file = file
  }

  async init(): Promise<void> {
    this.#database ??= openSharedFile(this.#file)
  }

  /** One transaction or statement at a time: they share the one connection. */
  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#migrating) return this
    if (this.#busy) await new Promise<void>(resolve => this.#waiting.push(resolve))
    this.#busy = true
    return this
  }

  async releaseConnection(): Promise<void> {
    if (this.#migrating) return
    const next = this.#waiting.shift()
    if (next) next()
    else this.#busy = false
  }

  /**
   * Runs `work` in one transaction, with everything that it executes: MikroORM's migrator begins by asking outside any.
   * SQLite's schema is transactional, and its write lock makes the other processes wait.
   */
  async migrating(work: () => Promise<unknown>): Promise<void> {
    await this.acquireConnection()
    try {
      this.#prepared('BEGIN IMMEDIATE').run()
      this.#migrating = true
      await work()
      this.#prepared('COMMIT').run()
    } finally {
      this.#migrating = false
      if (this.#database?.isTransaction) this.#prepared('ROLLBACK').run()
      await this.releaseConnection()
    }
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const statement = this.#prepared(sql)
    if (statement.columns().length > 0)
      return { rows: statement.all(...(parameters as SQLInputValue[])) as unknown as Row[] }
    const { changes } = statement.run(...(parameters as SQLInputValue[]))
    return { rows: [], numAffectedRows: BigInt(changes) }
  }

  // biome-ignore lint/correctness/useYield: nothing here reads by streams, and the interface wants the method
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error('rows are not streamed')
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement) this.#statements.delete(sql)
    else {
      if (!this.#database) throw Object.assign(new Error('the store is closed'), { fatal: true })
      statement = this.#database.prepare(sql)
      const [oldest] = this.#statements.keys()
      if (oldest !== undefined && this.#statements.size >= statementsMax) this.#statements.delete(oldest)
    }
    this.#statements.set(sql, statement)
    return statement
  }

  async beginTransaction(): Promise<void> {
    if (this.#migrating) return
    try {
      this.#prepared('BEGIN IMMEDIATE').run()
    } catch (error) {
      // Kysely forgets a connection whose transaction did not begin.
      await this.releaseConnection()
      throw error
    }
  }

  async commitTransaction(): Promise<void> {
    if (!this.#migrating) this.#prepared('COMMIT').run()
  }

  async rollbackTransaction(): Promise<void> {
    if (!this.#migrating && this.#database?.isTransaction) this.#prepared('ROLLBACK').run()
  }

  async savepoint(_connection: DatabaseConnection, name: string): Promise<void> {
    this.#prepared(`SAVEPOINT ${name}`).run()
  }

  async rollbackToSavepoint(_connection: DatabaseConnection, name: string): Promise<void> {
    this.#prepared(`ROLLBACK TO ${name}`).run()
  }

  async releaseSavepoint(_connection: DatabaseConnection, name: string): Promise<void> {
    this.#prepared(`RELEASE ${name}`).run()
  }

  async destroy(): Promise<void> {
    this.#statements.clear()
    this.#database?.close()
    this.#database = undefined
  }
}

/** A way to an SQLite below MikroORM, which queues by itself. */
export interface SqliteWay extends Driver {
  /** Runs `work`, which makes the schema, in one transaction. */
  migrating(work: () => Promise<unknown>): Promise<void>
}

class SharedFileDialect extends NodeSqliteDialect {
  readonly driver: SqliteWay

  constructor(file: string, driver: SqliteWay) {
    super(file)
    this.driver = driver
  }

  override createDriver(): Driver {
    return this.driver
  }

  /** The driver queues by itself; Kysely's own queue would not be released when BEGIN fails. */
  override createAdapter(): DialectAdapter {
    const adapter = super.createAdapter()
    Object.defineProperty(adapter, 'supportsMultipleConnections', { value: true })
    return adapter
  }
}

export class SqliteConnector implements Connector {
  readonly dialect: SqlDialect
  readonly tables: Tables
  readonly statements: Statements
  readonly orm: Orm
  readonly #driver: SqliteWay
  #statementCount = 0

  /** `way` and `dialect`: for a database that is no file, or has more than SQLite's own words. */
  constructor(file: string, way: SqliteWay = new FileDriver(file), dialect: SqlDialect = sqliteDialect) {
    this.dialect = dialect
    this.#driver = way
    this.orm = new MikroORM({
      driver: SqliteDriver,
      driverOptions: new SharedFileDialect(file, way),
      dbName: file,
      entities,
      extensions: [Migrator],
      migrations: { migrationsList, snapshot: false, transactional: true, allOrNothing: true, silent: true },
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

  /**
   * Below `execute`, which writes the values into the text: here they are bound, so that a statement is compiled once
   * and no character of a client's SQL (NUL ends a text for SQLite's parser) can disturb it.
   */
  async #ask(
    context: Pick<DatabaseConnection, 'executeQuery'> | undefined,
    sql: string,
    values: readonly SqlValue[] = [],
  ): Promise<StatementAnswer> {
    this.#statementCount++
    const query = CompiledQuery.raw(sql, [...values])
    const { rows, numAffectedRows } = await (context ?? this.#connection.getClient()).executeQuery(query)
    return { rows: rows as object[], count: Number(numAffectedRows ?? 0n) }
  }

  #statementsIn(context: Pick<DatabaseConnection, 'executeQuery'> | undefined): Statements {
    return {
      rows: async <Row extends object>(sql: string, values?: readonly SqlValue[]) =>
        (await this.#ask(context, sql, values)).rows as Row[],
      run: async (sql, values) => (await this.#ask(context, sql, values)).count,
    }
  }

  /** What may wait does so here too, so that it fails where it does with a server. */
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#connection.transactional(async context => {
      const { rows, run } = this.#statementsIn(context as never)
      const waiting: { sql: string; values: readonly SqlValue[] | undefined; later: Later }[] = []
      const runWaiting = async () => {
        for (const { sql, values, later } of waiting.splice(0))
          later.answered(await this.#ask(context as never, sql, values))
      }
      const result = await work({
        later: <Row extends object>(sql: string, values?: readonly SqlValue[]) => {
          const later = new Later<Row>()
          waiting.push({ sql, values, later })
          return later
        },
        rows: async <Row extends object>(sql: string, values?: readonly SqlValue[]) => {
          await runWaiting()
          return rows<Row>(sql, values)
        },
        run: async (sql, values) => {
          await runWaiting()
          return run(sql, values)
        },
      })
      await runWaiting()
      return result
    })
  }

  async connect(): Promise<void> {
    await this.orm.connect()
    await this.statements.rows('SELECT 1 AS one')
  }

  async migrate(): Promise<void> {
    const [row] = await this.statements.rows<{ count: number }>(
      "SELECT COUNT(*) AS count FROM sqlite_master WHERE name = 'mikro_orm_migrations'",
    )
    if (row?.count) {
      const done = await this.statements.rows<{ name: string }>('SELECT name FROM mikro_orm_migrations')
      if (migrationsList.every(({ name }) => done.some(one => one.name === name))) return
    }
    await this.#driver.migrating(() => this.orm.migrator.up())
  }

  async close(): Promise<void> {
    await this.orm.close(true)
  }

  async actAs(_incarnation: string): Promise<void> {}

  /** Every transaction that writes is alone already. */
  alone<T>(_name: string, work: () => Promise<T>): Promise<T> {
    return work()
  }

  /** A process holds SQLite's write lock only while it runs: nothing can be taken from a frozen one. */
  async killConnectionsOf(_incarnation: string): Promise<void> {}
}

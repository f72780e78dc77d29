/**
 * The server: MySQL's transactions on one SQLite in memory.
 *
 * Any number of transactions are open, each with locks on the rows that it wrote or read for locking, as InnoDB at READ COMMITTED:
 * who wants a row that another has locked waits, for a second at the most (1205), and not in a circle (1213). SQLite has
 * one open transaction; so only one of ours is *in* it, and the others are kept as the changes that they made:
 *
 *     begun ──(first write)──▶ in SQLite ⇄ aside (its rows kept, rolled back) ──▶ committed, or undone
 *
 * Everybody else sees what is committed. No two transactions can have changed one row, so rows that were kept always fit again.
 *
 * Where this is not InnoDB: what finds its rows by another index than the primary key does not wait for rows that only an
 * uncommitted transaction would make it find; an INSERT that fails because its key is there, and a statement that waited for a row
 * and then did not match it, keep no lock of that row; and when a lock becomes free, who waits for several rows is served as a whole.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { CancelTimer } from '../../src/async/index.ts'
import type { LeaseStore } from '../../src/store/contract.ts'
import { renewed } from '../../src/store/lease.ts'
import { fromSqlite, serverError } from './database-errors.ts'
import { type LockHolder, type LockMode, type RowLock, RowLocks } from './database-locks.ts'
import { NamedLocks } from './database-names.ts'
import {
  type AnalysedStatement,
  AnalysedStatements,
  type KeyRow,
  leadsTo,
  simulatedDialect,
} from './database-statements.ts'
import type { Scheduler } from './scheduler.ts'

export type Beat = Parameters<LeaseStore['renew']>[0]

export type ServerRequest =
  | { readonly type: 'statement'; readonly sql: string; readonly values: readonly SQLInputValue[] }
  | { readonly type: 'begin' | 'commit' | 'rollback' }
  | { readonly type: 'beat'; readonly beat: Beat }

export interface ServerAnswer {
  readonly rows: readonly object[]
  readonly affected: number
}

export type Reply = (error: unknown, answer: ServerAnswer | null) => void

const done: ServerAnswer = { rows: [], affected: 0 }
/** `innodb_lock_wait_timeout`, as the store sets it. */
const lockWaitMs = 1000

class Transaction implements LockHolder {
  readonly connection: ServerConnection
  readonly locks: RowLock[] = []
  /** Keys of the rows that it wrote, by table. */
  readonly written = new Map<string, Set<string>>()
  /** Those rows, while it is aside. */
  kept: KeptRow[] = []

  constructor(connection: ServerConnection) {
    this.connection = connection
  }

  get wrote(): boolean {
    return this.written.size > 0
  }
}

/** A row as an uncommitted transaction has left it; null: deleted. */
interface KeptRow {
  readonly table: string
  readonly key: string
  readonly values: readonly SQLInputValue[] | null
}

/** A request that waits for locks of rows. */
interface Waiting {
  readonly connection: ServerConnection
  readonly blockers: () => readonly Transaction[]
  readonly again: () => void
  readonly cancel: CancelTimer
}

export class ServerConnection {
  readonly id: number
  /** Of the processes at its other end. */
  readonly names: readonly string[]
  transaction: Transaction | null = null
  ended = false
  waiting: Waiting | null = null
  /** Told when the server ends it. */
  onEnd: () => void = () => undefined

  constructor(id: number, names: readonly string[]) {
    this.id = id
    this.names = names
  }
}

export class DatabaseServer {
  /** Changes at a fail-over. */
  identity = 'server-1'
  /** How far its clock is from the true one. */
  clockOffsetMs = 0
  commits = 0
  statements = 0
  /** Waits that ended in errors 1205 and 1213 by themselves. */
  lockTimeouts = 0
  deadlocks = 0
  readonly #scheduler: Scheduler
  readonly #sqlite: DatabaseSync
  readonly #analysed: AnalysedStatements
  readonly #locks = new RowLocks<Transaction>()
  readonly #connections = new Map<number, ServerConnection>()
  readonly #waiting = new Set<Waiting>()
  readonly #names: NamedLocks<ServerConnection>
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #rollback: StatementSync
  readonly #beatStatements = new Map<string, StatementSync>()
  /** The transaction that is in SQLite's. */
  #inside: Transaction | null = null
  /** Who runs a statement at this moment. */
  #current: ServerConnection | null = null
  #ids = 0

  constructor(scheduler: Scheduler, sqlite: DatabaseSync) {
    this.#scheduler = scheduler
    this.#sqlite = sqlite
    const deterministic = { deterministic: true }
    sqlite.function('lens_now', deterministic, () => Math.floor(this.nowMs))
    sqlite.function('CONNECTION_ID', () => this.#current?.id ?? 0)
    sqlite.function('lens_free', (table, key) => {
      const holder = this.#current?.transaction ?? null
      return this.#locks.conflicts(String(table), String(key), 'exclusive', holder).length === 0 ? 1 : 0
    })
    this.#names = new NamedLocks(scheduler, lockWaitMs)
    this.#analysed = new AnalysedStatements(sqlite)
    this.#begin = sqlite.prepare('BEGIN')
    this.#commit = sqlite.prepare('COMMIT')
    this.#rollback = sqlite.prepare('ROLLBACK')
  }

  /** Milliseconds since 1970. */
  get nowMs(): number {
    return this.#scheduler.wallMs + this.clockOffsetMs
  }

  connect(names: readonly string[]): ServerConnection {
    const connection = new ServerConnection(++this.#ids, names)
    this.#connections.set(connection.id, connection)
    return connection
  }

  get connections(): Iterable<ServerConnection> {
    return this.#connections.values()
  }

  /** Undoes what is open, lets go of its locks and names; safe twice. */
  end(connection: ServerConnection): void {
    if (connection.ended) return
    connection.ended = true
    this.#connections.delete(connection.id)
    this.#stopWaiting(connection)
    this.undo(connection)
    this.#names.ended(connection)
    connection.onEnd()
  }

  /** Rolls back its transaction, as after a deadlock. */
  undo(connection: ServerConnection): void {
    const { transaction } = connection
    if (!transaction) return
    connection.transaction = null
    if (this.#inside === transaction) {
      this.#rollback.run()
      this.#inside = null
    }
    this.#finished(transaction)
  }

  /** Whether its transaction has changed anything. */
  hasWritten(connection: ServerConnection): boolean {
    return connection.transaction?.wrote ?? false
  }

  kindOf(request: ServerRequest): 'read' | 'locking-read' | 'write' | 'begin' | 'commit' | 'rollback' | 'beat' {
    if (request.type !== 'statement') return request.type
    return isOfServer(request.sql) ? 'read' : this.#analysed.of(request.sql).kind
  }

  /** Runs a request that has arrived; `reply` is called at once, or when its locks are free, or never if the connection ends. */
  execute(connection: ServerConnection, request: ServerRequest, reply: Reply): void {
    if (connection.ended) return
    this.statements++
    if (request.type === 'statement' && isOfServer(request.sql)) this.#ownStatement(connection, request, reply)
    else this.#executeLocking(connection, request, reply)
  }

  #executeLocking(connection: ServerConnection, request: ServerRequest, reply: Reply): void {
    let timer: CancelTimer | null = null
    let over = false
    const finish: Reply = (error, answer) => {
      over = true
      timer?.()
      reply(error, answer)
    }
    const attempt = () => {
      if (over) return
      const blockers = this.#tried(connection, request, finish)
      if (blockers === null) return
      timer ??= this.#scheduler.schedule(
        lockWaitMs,
        'lock wait',
        () => {
          this.#stopWaiting(connection)
          this.lockTimeouts++
          finish(serverError(1205), null)
        },
        true,
      )
      connection.waiting = { connection, blockers: () => blockers, again: attempt, cancel: timer }
      this.#waiting.add(connection.waiting)
    }
    attempt()
  }

  /** Null: it is answered; else who must end first. */
  #tried(connection: ServerConnection, request: ServerRequest, finish: Reply): readonly Transaction[] | null {
    this.#current = connection
    try {
      const outcome = this.#attempt(connection, request)
      if (!Array.isArray(outcome)) finish(null, outcome)
      else if (!this.#wouldCircle(connection, outcome)) return outcome
      else {
        this.deadlocks++
        this.undo(connection)
        finish(serverError(1213), null)
      }
    } catch (error) {
      finish(fromSqlite(error), null)
    } finally {
      this.#current = null
    }
    return null
  }

  /** Rows of the committed state, for whoever looks from outside. */
  committed(sql: string, values: readonly SQLInputValue[]): object[] {
    const statement = this.#analysed.of(sql)
    this.#outside(statement)
    return statement.plain.all(...values)
  }

  /** An answer, or who must end first. */
  #attempt(connection: ServerConnection, request: ServerRequest): ServerAnswer | Transaction[] {
    switch (request.type) {
      case 'begin':
        if (connection.transaction) this.#commitOf(connection)
        connection.transaction = new Transaction(connection)
        return done
      case 'commit':
        this.#commitOf(connection)
        return done
      case 'rollback':
        this.undo(connection)
        return done
      case 'beat':
        return this.#beat(request.beat)
      default: {
        const statement = this.#analysed.of(request.sql)
        if (statement.awaited.some(table => this.#locks.any(table))) {
          const touched = leadsTo(request.sql, request.values)
          const blockers = statement.awaited.flatMap(table =>
            this.#locks.conflictsAmong(table, touched, statement.awaits, connection.transaction),
          )
          if (blockers.length > 0) return [...new Set(blockers)]
        }
        if (statement.kind === 'write') return this.#write(connection.transaction, statement, request.values)
        return this.#read(connection.transaction, statement, request.values)
      }
    }
  }

  #read(
    transaction: Transaction | null,
    statement: AnalysedStatement,
    values: readonly SQLInputValue[],
  ): ServerAnswer | Transaction[] {
    if (transaction && statement.tables.some(table => transaction.written.has(table))) this.#enter(transaction)
    else this.#outside(statement)
    if (statement.keys) {
      const keys = statement.keys.all(...values) as unknown as KeyRow[]
      const blockers = this.#blockers(keys, '', statement.locks, transaction)
      if (blockers.length > 0) return blockers
      if (transaction)
        for (const { table_, key_ } of keys) this.#locks.take(table_ as string, key_, statement.locks, transaction)
    }
    return { rows: statement.plain.all(...values), affected: 0 }
  }

  #write(
    transaction: Transaction | null,
    statement: AnalysedStatement,
    values: readonly SQLInputValue[],
  ): ServerAnswer | Transaction[] {
    const { table } = statement
    const contended = this.#locks.any(table)
    if (!transaction) {
      this.#aside()
      if (!contended) {
        const { changes } = statement.plain.run(...values)
        if (changes > 0) this.commits++
        return { rows: [], affected: Number(changes) }
      }
    } else this.#enter(transaction)
    if (!contended) {
      const keys = (statement.keys as StatementSync).all(...values) as unknown as KeyRow[]
      return this.#written(transaction as Transaction, table, keys)
    }
    this.#sqlite.exec('SAVEPOINT attempt')
    let keys: KeyRow[]
    let blockers: Transaction[]
    try {
      keys = (statement.keys as StatementSync).all(...values) as unknown as KeyRow[]
      blockers = this.#blockers(keys, table, 'exclusive', transaction)
    } catch (error) {
      this.#sqlite.exec('ROLLBACK TO attempt; RELEASE attempt')
      throw error
    }
    if (blockers.length > 0) {
      this.#sqlite.exec('ROLLBACK TO attempt; RELEASE attempt')
      return blockers
    }
    this.#sqlite.exec('RELEASE attempt')
    if (transaction) return this.#written(transaction, table, keys)
    if (keys.length > 0) this.commits++
    return { rows: [], affected: keys.length }
  }

  #written(transaction: Transaction, table: string, keys: readonly KeyRow[]): ServerAnswer {
    if (keys.length > 0) {
      let written = transaction.written.get(table)
      if (!written) {
        written = new Set()
        transaction.written.set(table, written)
      }
      for (const { key_ } of keys) {
        written.add(key_)
        this.#locks.take(table, key_, 'exclusive', transaction)
      }
    }
    return { rows: [], affected: keys.length }
  }

  /** One statement of MySQL that changes one row or two. */
  #beat(beat: Beat): ServerAnswer | Transaction[] {
    const blockers = [
      ...this.#locks.conflicts('heartbeat', beat.incarnation, 'exclusive', null),
      ...this.#locks.conflicts('member', beat.incarnation, 'shared', null),
      ...(beat.term === null ? [] : this.#locks.conflicts('lease', '1', 'exclusive', null)),
    ]
    if (blockers.length > 0) return blockers
    this.#aside()
    const prepared = (sql: string) => {
      let statement = this.#beatStatements.get(sql)
      if (!statement) {
        statement = this.#sqlite.prepare(sql)
        this.#beatStatements.set(sql, statement)
      }
      return statement
    }
    this.#begin.run()
    try {
      const renewal = renewed(prepared, beat, simulatedDialect.now)
      this.#commit.run()
      if (renewal.member) this.commits++
      return { rows: [{ ...renewal, serverIdentity: this.identity }], affected: 0 }
    } catch (error) {
      this.#rollback.run()
      throw error
    }
  }

  #commitOf(connection: ServerConnection): void {
    const { transaction } = connection
    if (!transaction) return
    if (transaction.wrote) {
      this.#enter(transaction)
      this.#commit.run()
      this.#inside = null
      this.commits++
    } else if (this.#inside === transaction) {
      this.#rollback.run()
      this.#inside = null
    }
    connection.transaction = null
    this.#finished(transaction)
  }

  #blockers(keys: readonly KeyRow[], table: string, mode: LockMode, holder: Transaction | null): Transaction[] {
    const blockers: Transaction[] = []
    for (const { table_, key_ } of keys)
      for (const one of this.#locks.conflicts(table_ ?? table, key_, mode, holder))
        if (!blockers.includes(one)) blockers.push(one)
    return blockers
  }

  /** Lets the transaction be the one in SQLite. */
  #enter(transaction: Transaction): void {
    if (this.#inside === transaction) return
    this.#aside()
    this.#begin.run()
    this.#inside = transaction
    for (const { table, key, values } of transaction.kept.splice(0)) {
      const rows = this.#analysed.rowsOf(table)
      if (values === null) rows.remove(key)
      else rows.put(values)
    }
  }

  /** Lets none be in SQLite. */
  #aside(): void {
    const transaction = this.#inside
    if (!transaction) return
    this.#inside = null
    for (const [table, keys] of transaction.written) {
      const rows = this.#analysed.rowsOf(table)
      for (const key of keys) transaction.kept.push({ table, key, values: rows.get(key) })
    }
    this.#rollback.run()
  }

  /** Lets a read from outside see only what is committed. */
  #outside({ tables }: AnalysedStatement): void {
    if (this.#inside && tables.some(table => this.#inside?.written.has(table))) this.#aside()
  }

  #finished(transaction: Transaction): void {
    transaction.kept = []
    this.#locks.release(transaction)
    for (const waiting of this.#waiting)
      if (waiting.blockers().includes(transaction)) {
        this.#waiting.delete(waiting)
        waiting.connection.waiting = null
        this.#scheduler.schedule(
          0,
          'lock free',
          () => (waiting.connection.ended ? waiting.cancel() : waiting.again()),
          true,
        )
      }
  }

  #stopWaiting(connection: ServerConnection): void {
    if (!connection.waiting) return
    connection.waiting.cancel()
    this.#waiting.delete(connection.waiting)
    connection.waiting = null
  }

  /** Whether one of those that it would wait for waits, in the end, for it. */
  #wouldCircle(connection: ServerConnection, blockers: readonly Transaction[]): boolean {
    const seen = new Set<Transaction>()
    const leadsBack = (transaction: Transaction): boolean => {
      if (transaction.connection === connection) return true
      if (seen.has(transaction)) return false
      seen.add(transaction)
      return transaction.connection.waiting?.blockers().some(leadsBack) ?? false
    }
    return blockers.some(leadsBack)
  }

  // ------------------------------------------------------------ what is asked of a server, not of its tables

  #ownStatement(
    connection: ServerConnection,
    { sql, values }: { readonly sql: string; readonly values: readonly SQLInputValue[] },
    reply: Reply,
  ): void {
    const answer = (row: object) => reply(null, { rows: [row], affected: 0 })
    if (sql.startsWith('SELECT GET_LOCK')) this.#names.take(connection, String(values[0]), got => answer({ got }))
    else if (sql.startsWith('SELECT RELEASE_LOCK'))
      answer({ released: this.#names.release(connection, String(values[0])) ? 1 : 0 })
    else if (sql.startsWith('KILL')) {
      const victim = this.#connections.get(Number(sql.slice(5)))
      if (victim) this.end(victim)
      reply(victim ? null : serverError(1094), victim ? done : null)
    } else reply(null, { rows: [...this.#connections.keys()].map(Id => ({ Id, db: databaseName })), affected: 0 })
  }
}

/** What the connections are connected to, as `SHOW PROCESSLIST` says it. */
export const databaseName = 'lens'

function isOfServer(sql: string): boolean {
  return /^(?:SELECT (?:GET|RELEASE)_LOCK|KILL |SHOW PROCESSLIST)/.test(sql)
}

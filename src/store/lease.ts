/**
 * The heartbeat's few statements, for a worker thread: a connection of its own, and nothing of the ORM, whose loading
 * alone would take longer than a lease. (So table and column names are spelled out here; the conformance suite runs this
 * against the schema that the migrations make.)
 *
 * An attempt that is not answered in time is given up and its connection dropped; whether it had an effect is seen by
 * the next.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type Connection, createConnection, type ResultSetHeader } from 'mysql2'
import { systemClock } from '../async/index.ts'
import { type CredentialFiles, databasePlace, databaseTls, HeldCredentials, type TlsMode } from '../tls/index.ts'
import type { LeaseStore } from './contract.ts'

/** Can be sent to a thread. */
export interface LeaseStoreOptions {
  /** As for `openStore`. The schema must be there. */
  readonly url: string
  /** Files, not what is in them: they are read by whoever connects. */
  readonly tls?: CredentialFiles & { readonly mode: TlsMode }
  /** How long an attempt may take, in milliseconds. */
  readonly attemptMs: number
}

type Beat = Parameters<LeaseStore['renew']>[0]
type Renewal = Awaited<ReturnType<LeaseStore['renew']>>

/** Makes the store; it connects with its first attempt. `renew` rejects with the driver's error, or when it took too long. */
export function openLeaseStore(options: LeaseStoreOptions): LeaseStore {
  const { url, tls, attemptMs } = options
  return url.startsWith('sqlite:')
    ? new SqliteLeaseStore(url.slice('sqlite:'.length), attemptMs)
    : new MySqlLeaseStore(url, attemptMs, tls)
}

const tooLate = (attemptMs: number) => new Error(`the database did not answer within ${attemptMs} ms`)

/** Resolves or rejects with `work`, or rejects after `attemptMs`, when `giveUp` was called. */
async function within<T>(attemptMs: number, work: Promise<T>, giveUp: () => void): Promise<T> {
  const late = Promise.withResolvers<never>()
  const cancel = systemClock.after(attemptMs, () => {
    giveUp()
    late.reject(tooLate(attemptMs))
  })
  work.catch(() => undefined)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    cancel()
  }
}

const mysqlNow = 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)'
/**
 * One statement, whatever is renewed. What it gives `LAST_INSERT_ID` comes back with its answer, so that the database's
 * clock need not be asked for: most of what an idle node sends are beats.
 */
const mysqlMember =
  'UPDATE heartbeat AS h JOIN member AS m ON m.incarnation = h.incarnation ' +
  `SET h.lease_expires_at = LAST_INSERT_ID(${mysqlNow} + ?), h.running = ?, h.queued = ? ` +
  "WHERE h.incarnation = ? AND m.state <> 'dead'"
/**
 * Finds one row for the member, and a second one for the leader. A follower must not even look at the lease's row: a leader
 * frozen in a transaction holds its lock, and those who are to take its place would lose their own leases waiting for it.
 */
const mysqlLeader =
  'UPDATE heartbeat AS h JOIN member AS m ON m.incarnation = h.incarnation ' +
  'LEFT JOIN lease AS l ON l.id = 1 AND l.holder_incarnation = h.incarnation AND l.term = ? ' +
  `SET h.lease_expires_at = LAST_INSERT_ID(${mysqlNow} + ?), h.running = ?, h.queued = ?, l.expires_at = ${mysqlNow} + ? ` +
  "WHERE h.incarnation = ? AND m.state <> 'dead'"

class MySqlLeaseStore implements LeaseStore {
  readonly #url: string
  readonly #attemptMs: number
  readonly #tls: LeaseStoreOptions['tls']
  #held: HeldCredentials | undefined
  #connection: Connection | undefined
  /** Of the server that this connection leads to. */
  #serverIdentity = ''

  constructor(url: string, attemptMs: number, tls: LeaseStoreOptions['tls']) {
    this.#url = url
    this.#attemptMs = attemptMs
    this.#tls = tls
  }

  renew(beat: Beat): Promise<Renewal> {
    return within(this.#attemptMs, this.#renew(beat), () => this.#drop())
  }

  async #renew({ incarnation, leaseMs, running, queued, term }: Beat): Promise<Renewal> {
    try {
      const connection = this.#connection ?? (await this.#connect())
      const { affectedRows, insertId } = (await (term === null
        ? query(connection, mysqlMember, [leaseMs, running, queued, incarnation])
        : query(connection, mysqlLeader, [term, leaseMs, running, queued, leaseMs, incarnation]))) as ResultSetHeader
      const member = affectedRows > 0
      return {
        member,
        leader: term !== null && affectedRows > 1,
        databaseNow: member ? insertId - leaseMs : await this.#databaseNow(connection),
        serverIdentity: this.#serverIdentity,
      }
    } catch (error) {
      this.#drop()
      throw error
    }
  }

  async #connect(): Promise<Connection> {
    const connection = createConnection({
      uri: this.#url,
      ...this.#secured(),
      connectTimeout: this.#attemptMs,
      supportBigNumbers: true,
      timezone: 'Z',
      // Room for half a megabyte of them would be kept, and none is ever prepared.
      maxPreparedStatements: 1,
    })
    // Told to whoever waits for an answer; without a listener it would end the thread.
    connection.on('error', () => {
      if (this.#connection === connection) this.#connection = undefined
    })
    this.#connection = connection
    await query(connection, 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
    await query(connection, "SET SESSION innodb_lock_wait_timeout = 1, time_zone = '+00:00'")
    this.#serverIdentity = await identityOf(connection)
    return connection
  }

  /** Connections are few, and a thread may wait for a file: so they are read for each, and need no watch here. */
  #secured() {
    const { mode, ...files } = this.#tls ?? { mode: 'off' }
    if (mode === 'off') return {}
    this.#held ??= new HeldCredentials(files)
    try {
      this.#held.renew()
    } catch {
      // Half of a change: those before it still serve. The node tells of it, which looks at the same files.
    }
    const { host, port } = databasePlace(this.#url)
    return databaseTls(mode, host, port, this.#held.current)
  }

  async #databaseNow(connection: Connection): Promise<number> {
    const [row] = (await query(connection, `SELECT ${mysqlNow} AS databaseNow`)) as { databaseNow: number }[]
    return Number(row?.databaseNow)
  }

  #drop(): void {
    this.#connection?.destroy()
    this.#connection = undefined
  }

  async close(): Promise<void> {
    this.#drop()
  }
}

/** MySQL has `server_uuid`, MariaDB `server_uid`; a fail-over behind one address changes either. */
async function identityOf(connection: Connection): Promise<string> {
  const variables = (await query(
    connection,
    "SHOW VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid')",
  )) as {
    Value: string
  }[]
  const [{ place }] = (await query(connection, "SELECT CONCAT(@@hostname, ':', @@port) AS place")) as [
    { place: string },
  ]
  return variables[0]?.Value || place
}

function query(connection: Connection, sql: string, values: readonly (string | number)[] = []): Promise<unknown> {
  return new Promise((resolve, reject) => {
    connection.query(sql, [...values], (error, result) => (error ? reject(error) : resolve(result)))
  })
}

const sqliteNow = "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)"
const sqliteBusy = 5
const busyPauseMs = 5

/** What a beat does in an SQLite, inside a transaction. `now` is the database's clock as an SQL expression. */
export function renewed(
  prepared: (sql: string) => Pick<StatementSync, 'run' | 'get'>,
  { incarnation, leaseMs, running, queued, term }: Beat,
  now: string,
): Omit<Renewal, 'serverIdentity'> {
  const member = prepared(
    `UPDATE heartbeat SET lease_expires_at = ${now} + ?, running = ?, queued = ? ` +
      "WHERE incarnation = ? AND EXISTS (SELECT 1 FROM member AS m WHERE m.incarnation = heartbeat.incarnation AND m.state <> 'dead')",
  ).run(leaseMs, running, queued, incarnation)
  const leads =
    Number(member.changes) > 0 && term !== null
      ? prepared(`UPDATE lease SET expires_at = ${now} + ? WHERE id = 1 AND holder_incarnation = ? AND term = ?`).run(
          leaseMs,
          incarnation,
          term,
        )
      : { changes: 0 }
  return {
    member: Number(member.changes) > 0,
    leader: Number(leads.changes) > 0,
    databaseNow: Number(prepared(`SELECT ${now} AS databaseNow`).get()?.databaseNow),
  }
}

class SqliteLeaseStore implements LeaseStore {
  readonly #file: string
  readonly #attemptMs: number
  #database: DatabaseSync | undefined

  constructor(file: string, attemptMs: number) {
    this.#file = file
    this.#attemptMs = attemptMs
  }

  /** SQLite's locks are awaited by trying again, never inside SQLite: the thread must hear its orders meanwhile. */
  async renew(beat: Beat): Promise<Renewal> {
    const deadline = systemClock.monotonic() + this.#attemptMs
    for (;;)
      try {
        return this.#renew(beat)
      } catch (error) {
        const { errcode } = error as { errcode?: number }
        if (errcode === undefined || (errcode & 0xff) !== sqliteBusy) throw error
        if (systemClock.monotonic() + busyPauseMs > deadline) throw tooLate(this.#attemptMs)
        await systemClock.sleep(busyPauseMs)
      }
  }

  #renew(beat: Beat): Renewal {
    if (!this.#database) {
      this.#database = new DatabaseSync(this.#file, { timeout: 0 })
      this.#database.exec('PRAGMA synchronous = FULL')
    }
    const database = this.#database
    database.exec('BEGIN IMMEDIATE')
    try {
      const renewal = renewed(sql => database.prepare(sql), beat, sqliteNow)
      database.exec('COMMIT')
      return { ...renewal, serverIdentity: this.#file }
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }

  async close(): Promise<void> {
    this.#database?.close()
    this.#database = undefined
  }
}

/**
 * The connections of one engine: some for statements, and a few for questions (estimates, cancels, what became of an orphan), so
 * that these are answered while all statements run. A connection never reconnects by itself: what was lost with it is lost.
 *
 *     idle ──lease──▶ leased ──release──▶ resetting ──▶ idle
 *                        └─────────destroy─────────▶ gone
 */
import type { Connection, ConnectionOptions as LibraryOptions } from 'mysql2'
import { type Clock, type Deferred, deferred } from '../../async/index.ts'
import { databasePlace, databaseTls, type TlsMode } from '../../tls/index.ts'
import { EngineError } from '../contract.ts'
import { engineError, isAway, isServerError, takesNoWrites, unavailable } from './failures.ts'

export interface ConnectionOptions {
  readonly engine: string
  readonly url: string
  readonly tls: TlsMode
  readonly statementsMax: number
  readonly connectMs: number
  readonly clock: Clock
}

/** What a connection is to the server. */
export interface Backend {
  readonly connection: number
  /** Of the server that gave the number, as it tells itself apart from others. */
  readonly server: string
  readonly isMariaDb: boolean
}

export type Row = Readonly<Record<string, unknown>>

const questionsMax = 4
/** Whatever is asked here is short, and waits for locks no longer than that: a server that is silent for so long is frozen or cut off. */
const answerMs = 15_000
const idleMs = 60_000
/** A statement may be as slow as whoever takes its rows. */
const slowSeconds = 86_400

/**
 * What the readers of values and of statements rely on: points in time in UTC, backslashes that escape. Questions wait for no lock
 * for long: they are asked again.
 */
const settings = [
  "SESSION time_zone = '+00:00'",
  "SESSION sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')",
  `SESSION net_write_timeout = ${slowSeconds}`,
  `SESSION wait_timeout = ${slowSeconds}`,
]
const questionSettings = [...settings, 'SESSION innodb_lock_wait_timeout = 5', 'SESSION lock_wait_timeout = 1']

const backendSql = `SELECT CONNECTION_ID() AS connection, VERSION() AS version`
const serverSql =
  "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid', 'server_id', 'hostname', 'port', 'datadir')"

/** A connection that belongs to one statement at a time. */
export class Lease {
  readonly client: Connection
  readonly backend: Backend
  /** It has lain idle since it was connected. */
  readonly isUsed: boolean
  readonly #pool: Pool
  #released = false

  constructor(client: Connection, backend: Backend, isUsed: boolean, pool: Pool) {
    this.client = client
    this.backend = backend
    this.isUsed = isUsed
    this.#pool = pool
  }

  /** One statement of our own, as text. */
  async query(sql: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return queried(this.client, sql, values)
  }

  /** Gives it back; what is not `clean` only once nothing of its statement is left in it. Never rejects. */
  async release(clean = false): Promise<void> {
    if (this.#released) return
    this.#released = true
    await this.#pool.giveBack(this.client, this.backend, clean)
  }

  /** Ends it. The server rolls back what was open, once it notices. */
  destroy(): void {
    if (this.#released) return
    this.#released = true
    this.#pool.drop(this.client)
  }
}

export class Connections {
  readonly #engine: string
  readonly #clock: Clock
  readonly #statements: Pool
  readonly #questions: Pool
  #reachable = false

  private constructor(engine: string, clock: Clock, statements: Pool, questions: Pool) {
    this.#engine = engine
    this.#clock = clock
    this.#statements = statements
    this.#questions = questions
  }

  /** Loads the library, which a node without such an engine does without. Connects to nothing yet. */
  static async open(options: ConnectionOptions): Promise<Connections> {
    const { createConnection } = await import('mysql2')
    const library = libraryOptions(options)
    const connect = () => createConnection(library)
    const { engine, clock, statementsMax } = options
    return new Connections(
      engine,
      clock,
      new Pool(connect, statementsMax, settings, clock),
      new Pool(connect, questionsMax, questionSettings, clock),
    )
  }

  /** As many as there may be at once. */
  get max(): number {
    return this.#statements.max + questionsMax
  }

  /** What the last attempt to reach the server said. */
  get reachable(): boolean {
    return this.#reachable
  }

  close(): void {
    this.#reachable = false
    this.#statements.close()
    this.#questions.close()
  }

  /**
   * A connection for a statement, on which `open` has done what comes before the statement runs. Rejects with what `open` said, or
   * `unavailable`; then nothing of it is left.
   */
  lease<T>(open: (lease: Lease) => Promise<T>): Promise<readonly [Lease, T]> {
    return this.#use(this.#statements, async lease => [lease, await open(lease)])
  }

  /** Runs `ask` on a connection for questions; `clean` says that it leaves nothing in it. Rejects with `EngineError`. */
  async ask<T>(ask: (lease: Lease) => Promise<T>, clean = false): Promise<T> {
    try {
      return await this.#use(this.#questions, async lease => {
        const answer = await ask(lease)
        void lease.release(clean)
        return answer
      })
    } catch (error) {
      throw takesNoWrites(error, this.#engine) ?? engineError(error, this.#engine, 'prepare')
    }
  }

  /** One statement of our own, as text. */
  query(sql: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.ask(lease => lease.query(sql, values), true)
  }

  /** A connection that broke while it lay idle is no reason to fail: nothing came of the work on it, so another one is taken. */
  async #use<T>(pool: Pool, work: (lease: Lease) => Promise<T>): Promise<T> {
    for (;;) {
      const lease = await this.#take(pool)
      try {
        return await inTime(work(lease), this.#clock, () => unavailable(this.#engine))
      } catch (error) {
        if (!isAway(error)) {
          void lease.release()
          throw error
        }
        lease.destroy()
        if (lease.isUsed && !(error instanceof EngineError) && !isServerError(error)) continue
        this.#reachable = false
        throw error
      }
    }
  }

  async #take(pool: Pool): Promise<Lease> {
    try {
      const lease = await pool.take()
      this.#reachable = true
      return lease
    } catch (error) {
      this.#reachable = false
      throw unavailable(this.#engine, error)
    }
  }
}

interface Idle {
  readonly client: Connection
  readonly backend: Backend
  readonly stopWaiting: () => void
}

/** A bounded number of connections, given in turn. */
class Pool {
  readonly #connect: () => Connection
  readonly max: number
  readonly #settings: string
  readonly #clock: Clock
  readonly #idle: Idle[] = []
  readonly #waiting: Deferred<void>[] = []
  readonly #open = new Set<Connection>()
  #taken = 0
  #closed = false

  constructor(connect: () => Connection, max: number, settings: readonly string[], clock: Clock) {
    this.#connect = connect
    this.max = max
    this.#settings = `SET ${settings.join(', ')}`
    this.#clock = clock
  }

  /** Rejects with the error of the way to the server. */
  async take(): Promise<Lease> {
    while (this.#taken >= this.max && !this.#closed) {
      const turn = deferred()
      this.#waiting.push(turn)
      await turn.promise
    }
    if (this.#closed) throw new Error('The connections are closed.')
    this.#taken++
    const idle = this.#idle.pop()
    if (idle) {
      idle.stopWaiting()
      return new Lease(idle.client, idle.backend, true, this)
    }
    let client: Connection | undefined
    try {
      client = this.#connect()
      this.#open.add(client)
      // Told to whoever waits for the statement under way; without a listener it would end the process.
      client.on('error', () => {})
      const introduced = introduce(client, this.#settings)
      const backend = await inTime(introduced, this.#clock, () => new Error('The server says nothing.'))
      return new Lease(client, backend, false, this)
    } catch (error) {
      this.drop(client)
      throw error
    }
  }

  async giveBack(client: Connection, backend: Backend, clean: boolean): Promise<void> {
    try {
      // Variables, temporary tables, locks, prepared statements, whatever transaction is open; and the database.
      if (!clean) {
        await reset(client)
        await queried(client, this.#settings)
      }
      if (this.#closed) return this.drop(client)
      const forget = () => {
        const index = this.#idle.findIndex(idle => idle.client === client)
        if (index < 0) return
        this.#idle.splice(index, 1)
        this.#open.delete(client)
        client.destroy()
      }
      const cancel = this.#clock.after(idleMs, forget)
      client.once('end', forget)
      const stopWaiting = () => {
        cancel()
        client.off('end', forget)
      }
      this.#idle.push({ client, backend, stopWaiting })
      this.#next()
    } catch {
      this.drop(client)
    }
  }

  drop(client: Connection | undefined): void {
    if (client) {
      this.#open.delete(client)
      client.destroy()
    }
    this.#next()
  }

  close(): void {
    this.#closed = true
    for (const { stopWaiting } of this.#idle) stopWaiting()
    for (const client of this.#open) client.destroy()
    this.#open.clear()
    for (const turn of this.#waiting.splice(0)) turn.resolve()
  }

  #next(): void {
    this.#taken--
    this.#waiting.shift()?.resolve()
  }
}

async function introduce(client: Connection, settings: string): Promise<Backend> {
  await queried(client, settings)
  const [own] = await queried(client, backendSql)
  const variables = await queried(client, serverSql)
  const said = new Map(variables.map(row => [row.Variable_name, String(row.Value)]))
  const server = said.get('server_uuid') ?? said.get('server_uid') ?? [...said.values()].join(' ')
  return { connection: Number(own?.connection), server, isMariaDb: /mariadb/i.test(String(own?.version)) }
}

/** Rejects with `late` when nothing has come of it in time; what comes of it later is nobody's. */
async function inTime<T>(work: Promise<T>, clock: Clock, late: () => Error): Promise<T> {
  const silence = deferred<never>()
  const cancel = clock.after(answerMs, () => silence.reject(late()))
  work.catch(() => {})
  try {
    return await Promise.race([work, silence.promise])
  } finally {
    cancel()
  }
}

/** COM_CHANGE_USER to whom it was before: the one reset that also takes the connection back to its own database. */
function reset(client: Connection): Promise<void> {
  return new Promise((resolve, reject) =>
    client.changeUser({}, (error: Error | null) => (error ? reject(error) : resolve())),
  )
}

function queried(client: Connection, sql: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    // One that is ended here tells its callbacks nothing.
    const lost = () => reject(new Error('The connection was closed.'))
    client.once('end', lost)
    client.query({ sql, values: [...values] }, (error, rows) => {
      client.off('end', lost)
      if (error) reject(error)
      else resolve(Array.isArray(rows) ? (rows as Row[]) : [])
    })
  })
}

function libraryOptions({ url, tls, connectMs }: ConnectionOptions): LibraryOptions {
  const { username, password, pathname } = new URL(url)
  const to = databasePlace(url)
  return {
    ...to,
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    connectTimeout: connectMs,
    charset: 'utf8mb4',
    timezone: 'Z',
    dateStrings: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    jsonStrings: true,
    enableKeepAlive: true,
    multipleStatements: false,
    // A file of this node is nobody's to read.
    flags: ['-LOCAL_FILES'],
    ...databaseTls(tls, to.host, to.port),
  } as LibraryOptions
}

/**
 * The connections of one engine: a pool for statements, and a small one for questions (estimates, cancels, what became of
 * an orphan), so that these are answered while all statements run. A connection never reconnects by itself: what was lost with it is lost.
 *
 *     idle ──lease──▶ leased ──release──▶ resetting (DISCARD ALL) ──▶ idle
 *                        └────────────destroy────────────▶ gone
 *
 * The settings on which the readers of values rely are given at the connection's start, so that DISCARD ALL comes back to them.
 */
import type { Client, ClientConfig, Pool, PoolClient } from 'pg'
import type { Clock } from '../../async/index.ts'
import type { EngineLogger } from '../contract.ts'
import { engineError, isAway, isServerError, unavailable } from './failures.ts'
import { MessageBound } from './message-bound.ts'

export interface ConnectionOptions {
  readonly engine: string
  readonly url: string
  readonly statementsMax: number
  readonly connectMs: number
  /** What is not answered for this long, of all that a server answers at once, never will be: it, or the way to it, is frozen. */
  readonly answerMs: number
  readonly clock: Clock
  readonly logger: EngineLogger
}

/** A connection's backend, as the server tells it apart from all others that it has and had. */
export interface Backend {
  readonly pid: number
  /** When it was started, seconds since 1970, as the server's own text. */
  readonly started: string
  /** The cluster's identifier, null where the server tells nobody. */
  readonly system: string | null
}

/** The name of a connection that runs nothing of ours. */
export const idleName = 'lens-ha'

const questionsMax = 4
const idleMs = 60_000
const settings = ['DateStyle=ISO', 'IntervalStyle=iso_8601', 'bytea_output=hex', 'extra_float_digits=1', 'TimeZone=UTC']

const backendSql = `
  SELECT pg_catalog.pg_backend_pid() AS pid,
         (SELECT EXTRACT(epoch FROM a.backend_start)::text
          FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a) AS started,
         CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')
              THEN (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) END AS system`

/** A connection that belongs to one statement at a time. */
export class Lease {
  readonly client: Client
  readonly backend: Backend
  /** It has lain idle since it was connected. */
  readonly isUsed: boolean
  readonly #pooled: PoolClient
  #released = false

  constructor(pooled: PoolClient, backend: Backend, isUsed: boolean) {
    this.client = pooled
    this.#pooled = pooled
    this.backend = backend
    this.isUsed = isUsed
  }

  get isReleased(): boolean {
    return this.#released
  }

  /** Gives it back; what is not `clean` only once nothing of its statement is left in it. Never rejects. */
  async release(clean = false): Promise<void> {
    if (this.#released) return
    this.#released = true
    try {
      // Settings, temporary tables, locks, cursors, listeners, prepared statements.
      if (!clean) await this.#pooled.query('DISCARD ALL')
      this.#pooled.release()
    } catch {
      this.#pooled.release(true)
    }
  }

  /** Gives it back after what was begun on it is rolled back. Never rejects. */
  async rollBack(): Promise<void> {
    if (this.#released) return
    try {
      await this.#pooled.query('ROLLBACK')
      void this.release()
    } catch {
      this.destroy()
    }
  }

  /** Ends it. The server rolls back what was open, once it notices. */
  destroy(): void {
    if (this.#released) return
    this.#released = true
    this.#pooled.release(true)
  }
}

export class Connections {
  readonly #options: ConnectionOptions
  readonly #backends = new WeakMap<PoolClient, Backend>()
  readonly #statements: Pool
  readonly #questions: Pool
  #reachable = false

  private constructor(options: ConnectionOptions, statements: Pool, questions: Pool) {
    this.#options = options
    this.#statements = statements
    this.#questions = questions
  }

  /** Loads the library, which a node without such an engine does without. Connects to nothing yet. */
  static async open(options: ConnectionOptions): Promise<Connections> {
    const { default: pg } = await import('pg')
    const configuration = configOf(options)
    // The time-out is for reaching the server: given to the pool, it would also bound how long one waits for a free connection.
    class TimedClient extends pg.Client {
      constructor() {
        super({ ...configuration, connectionTimeoutMillis: options.connectMs })
      }
    }
    const pool = (max: number) => {
      const made = new pg.Pool({ Client: TimedClient, max, idleTimeoutMillis: idleMs, allowExitOnIdle: true })
      // An idle connection that the server ends; the pool has let go of it.
      made.on('error', error =>
        options.logger.warn({ engine: options.engine, err: error }, 'an idle connection to the engine was lost'),
      )
      return made
    }
    return new Connections(options, pool(options.statementsMax), pool(questionsMax))
  }

  /** As many as there may be at once. */
  get max(): number {
    return this.#options.statementsMax + questionsMax
  }

  /** What the last attempt to reach the server said. */
  get reachable(): boolean {
    return this.#reachable
  }

  async close(): Promise<void> {
    this.#reachable = false
    await Promise.all([this.#statements.end(), this.#questions.end()])
  }

  /**
   * A connection for a statement, on which `open` has done what comes before the statement runs. Rejects with what `open` said, or
   * `unavailable`.
   */
  async lease<T>(open: (lease: Lease) => Promise<T>): Promise<readonly [Lease, T]> {
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
      throw engineError(error, this.#options.engine, 'prepare')
    }
  }

  /** A connection that broke while it lay idle is no reason to fail: nothing came of the work on it, so another one is taken. */
  async #use<T>(pool: Pool, work: (lease: Lease) => Promise<T>): Promise<T> {
    for (;;) {
      const lease = await this.#lease(pool)
      const { clock, answerMs } = this.#options
      const answered = clock.after(answerMs, () => lease.destroy())
      try {
        return await work(lease)
      } catch (error) {
        if (!isAway(error)) {
          await lease.rollBack()
          throw error
        }
        const brokeByItself = !lease.isReleased
        lease.destroy()
        if (lease.isUsed && brokeByItself && !isServerError(error)) continue
        this.#reachable = false
        throw error
      } finally {
        answered()
      }
    }
  }

  /** One statement of our own. */
  async query<Row extends object>(sql: string, parameters: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.ask(async ({ client }) => (await client.query<Row>(sql, [...parameters])).rows, true)
  }

  async #lease(pool: Pool): Promise<Lease> {
    let client: PoolClient | undefined
    try {
      client = await pool.connect()
      const known = this.#backends.get(client)
      const backend = known ?? (await this.#introduce(client))
      this.#reachable = true
      return new Lease(client, backend, known !== undefined)
    } catch (error) {
      client?.release(true)
      this.#reachable = false
      throw unavailable(this.#options.engine, error)
    }
  }

  async #introduce(client: PoolClient): Promise<Backend> {
    // Told to whoever waits for the statement under way; without a listener it would end the process.
    client.on('error', () => {})
    const { stream } = client.connection
    const bound = new MessageBound()
    // Before the library, which is ready for its first message now.
    stream.prependListener('data', (chunk: Buffer) => {
      try {
        bound.take(chunk)
      } catch (error) {
        stream.destroy(error as Error)
      }
    })
    const { clock, connectMs } = this.#options
    const answered = clock.after(connectMs, () => client.connection.stream.destroy())
    try {
      const { rows } = await client.query<Backend>(backendSql)
      const backend = rows[0] as Backend
      this.#backends.set(client, backend)
      return backend
    } finally {
      answered()
    }
  }
}

function configOf({ url }: ConnectionOptions): ClientConfig {
  const parsed = new URL(url)
  // What the URL says of settings stays; ours come after it and win.
  const given = parsed.searchParams.get('options')
  parsed.searchParams.set('options', [given, ...settings.map(setting => `-c ${setting}`)].filter(Boolean).join(' '))
  parsed.searchParams.delete('application_name')
  return {
    connectionString: parsed.href,
    application_name: idleName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  }
}

/**
 * A process's pool of connections to a simulated server, below MikroORM and Kysely, as `src/store/mysql.ts` has one to a real:
 * connections register under the incarnation that they work for, and those of an earlier one are dropped.
 */
import type { SQLInputValue } from 'node:sqlite'
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely'
import type { SqliteWay } from '../../src/store/sqlite.ts'
import { connectionLost } from './database-errors.ts'
import type { ServerRequest } from './database-server.ts'
import type { DatabaseWire, WireConnection } from './database-wire.ts'
import type { SimulatedProcess } from './process.ts'

export interface PoolOptions {
  readonly wire: DatabaseWire
  readonly process: SimulatedProcess
  readonly connectionsMax: number
  readonly connectMs: number
  readonly silenceMs: number
  /** The statement by which a connection registers. */
  readonly registration: (incarnation: string) => { sql: string; values: readonly SQLInputValue[] }
}

class PooledConnection implements DatabaseConnection {
  readonly wire: WireConnection
  readonly generation: number

  constructor(wire: WireConnection, generation: number) {
    this.wire = wire
    this.generation = generation
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const { rows, affected } = await this.wire.send({ type: 'statement', sql, values: parameters as SQLInputValue[] })
    return rows.length > 0 ? { rows: rows as Row[] } : { rows: [], numAffectedRows: BigInt(affected) }
  }

  // biome-ignore lint/correctness/useYield: nothing here reads by streams, and the interface wants the method
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error('rows are not streamed')
  }
}

interface Waiter {
  readonly resolve: (connection: DatabaseConnection) => void
  readonly reject: (error: unknown) => void
}

export class SimulatedPool implements Driver, SqliteWay {
  readonly #options: PoolOptions
  readonly #living = new Set<PooledConnection>()
  readonly #free: PooledConnection[] = []
  readonly #waiting: Waiter[] = []
  #connecting = 0
  #incarnation: string | null = null
  #generation = 0
  #ended = false

  constructor(options: PoolOptions) {
    this.#options = options
  }

  async init(): Promise<void> {
    this.#ended = false
  }

  actAs(incarnation: string): void {
    this.#incarnation = incarnation
    this.#generation++
    this.#dropAll()
  }

  acquireConnection(): Promise<DatabaseConnection> {
    if (this.#ended) return Promise.reject(Object.assign(new Error('not connected'), { fatal: true }))
    const free = this.#free.pop()
    if (free) return Promise.resolve(free)
    if (this.#living.size + this.#connecting < this.#options.connectionsMax) return this.#connect()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    const pooled = connection as PooledConnection
    if (pooled.generation !== this.#generation) pooled.wire.drop()
    if (pooled.wire.closed) return
    const next = this.#waiting.shift()
    if (next) next.resolve(pooled)
    else this.#free.push(pooled)
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    const pooled = connection as PooledConnection
    try {
      await pooled.wire.send({ type: 'begin' })
    } catch (error) {
      // Kysely forgets a connection whose transaction did not begin.
      pooled.wire.drop()
      throw error
    }
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await (connection as PooledConnection).wire.send({ type: 'commit' } satisfies ServerRequest)
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    const pooled = connection as PooledConnection
    try {
      await pooled.wire.send({ type: 'rollback' })
    } catch {
      // What cannot be rolled back is broken off: the server rolls back by itself.
      pooled.wire.drop()
    }
  }

  /** The schema of a simulated database is there before anybody opens it. */
  async migrating(): Promise<void> {
    throw new Error('a simulated database has its schema already')
  }

  async destroy(): Promise<void> {
    this.#ended = true
    this.#dropAll()
    for (const waiter of this.#waiting.splice(0)) waiter.reject(connectionLost())
  }

  #dropAll(): void {
    for (const connection of [...this.#living]) connection.wire.drop()
  }

  async #connect(): Promise<DatabaseConnection> {
    const { wire: wires, process, connectMs, silenceMs, registration } = this.#options
    const generation = this.#generation
    const incarnation = this.#incarnation
    this.#connecting++
    try {
      const wire = await wires.connect(process, [process.name], connectMs, silenceMs)
      const pooled = new PooledConnection(wire, generation)
      this.#living.add(pooled)
      wire.onClosed = () => this.#lost(pooled)
      try {
        if (this.#ended || generation !== this.#generation) throw connectionLost()
        if (incarnation !== null) await wire.send({ type: 'statement', ...registration(incarnation) })
        if (generation !== this.#generation) throw connectionLost()
      } catch (error) {
        wire.drop()
        throw error
      }
      return pooled
    } finally {
      this.#connecting--
      this.#fill()
    }
  }

  #lost(connection: PooledConnection): void {
    this.#living.delete(connection)
    const index = this.#free.indexOf(connection)
    if (index >= 0) this.#free.splice(index, 1)
    this.#fill()
  }

  /** Whoever waits for a connection gets a new one in place of one that is gone. */
  #fill(): void {
    if (this.#waiting.length === 0 || this.#ended) return
    if (this.#living.size + this.#connecting >= this.#options.connectionsMax) return
    const next = this.#waiting.shift() as Waiter
    this.#connect().then(next.resolve, next.reject)
  }
}

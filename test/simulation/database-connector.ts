/** The store's way to a simulated server: its statements on SQLite's words, its connections and locks as MySQL's. */
import type { SQLInputValue } from 'node:sqlite'
import { endConnections, holdingLock, registration } from '../../src/store/connections.ts'
import { SqliteConnector } from '../../src/store/sqlite.ts'
import { SimulatedPool } from './database-pool.ts'
import { databaseName } from './database-server.ts'
import { simulatedDialect } from './database-statements.ts'
import type { DatabaseWire } from './database-wire.ts'
import type { SimulatedProcess } from './process.ts'

export interface ConnectorOptions {
  readonly wire: DatabaseWire
  readonly process: SimulatedProcess
  readonly connectionsMax: number
  readonly connectMs: number
  readonly silenceMs: number
}

export class SimulatedConnector extends SqliteConnector {
  readonly #pool: SimulatedPool

  constructor(options: ConnectorOptions) {
    const pool = new SimulatedPool({
      ...options,
      registration: incarnation => registration(this, incarnation) as { sql: string; values: readonly SQLInputValue[] },
    })
    super(':memory:', pool, simulatedDialect)
    this.#pool = pool
  }

  override async actAs(incarnation: string): Promise<void> {
    this.#pool.actAs(incarnation)
  }

  override alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    return holdingLock(this, `lens:${name}`, 1, work)
  }

  override killConnectionsOf(incarnation: string): Promise<void> {
    return endConnections(this, databaseName, incarnation)
  }

  override async close(): Promise<void> {
    await super.close()
    await this.#pool.destroy()
  }
}

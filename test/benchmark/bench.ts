/**
 * What every measure is given: how long to measure, a database server that commits as in production, clusters of real nodes,
 * and somebody to tell its rows to.
 */
import { createConnection } from 'mysql2/promise'
import { MySqlServer } from '../support/mysql.ts'
import { TestCluster } from '../support/nodes.ts'
import type { Row } from './report.ts'

/** One file of `measures/`; `measures/index.ts` names it. Tells its rows as it goes. */
export type Measure = (bench: Bench) => Promise<void>

export interface Extent {
  /** One round of a rate, in milliseconds. */
  readonly roundMs: number
  /** Rounds of floor and measure in turns. */
  readonly rounds: number
  /** Trials of each fault. */
  readonly failovers: number
  /** Everything as small as still gives a number: shows that the measure works, not what it measures. */
  readonly brief: boolean
}

/** As in production: flushed at every commit, the binary log synced. */
const durable = [
  '--innodb-flush-log-at-trx-commit=1',
  '--log-bin=binlog',
  '--sync-binlog=1',
  '--server-id=1',
  '--innodb-buffer-pool-size=512M',
]

/** The limits of a cluster that is measured for what it can do, not for what it allows. */
export const unlimited = {
  LENS_LIMITS_QUEUED_PER_USER: '0',
  LENS_LIMITS_SESSIONS_PER_USER: '0',
  LENS_LANES_QUEUED_MAX: '0',
}

export class Bench implements Extent {
  readonly roundMs: number
  readonly rounds: number
  readonly failovers: number
  readonly brief: boolean
  readonly rows: Row[] = []
  readonly serverUrl: string
  readonly #server: MySqlServer | null
  readonly #databases: string[] = []
  readonly #told: (row: Row) => void

  private constructor(extent: Extent, serverUrl: string, server: MySqlServer | null, told: (row: Row) => void) {
    this.roundMs = extent.roundMs
    this.rounds = extent.rounds
    this.failovers = extent.failovers
    this.brief = extent.brief
    this.serverUrl = serverUrl
    this.#server = server
    this.#told = told
  }

  /** On the server of this URL, or on a private one. `told` hears of each row at once. */
  static async open(extent: Extent, url: string | undefined, told: (row: Row) => void): Promise<Bench> {
    const server = url === undefined ? await MySqlServer.start(durable) : null
    return new Bench(extent, url ?? (server as MySqlServer).url, server, told)
  }

  tell(...rows: readonly Row[]): void {
    for (const row of rows) {
      this.rows.push(row)
      this.#told(row)
    }
  }

  /** The URL of a new database, gone with the bench. */
  async database(name: string): Promise<string> {
    const unique = `lens_bench_${name}_${process.pid}_${this.#databases.length}`
    const connection = await createConnection({ uri: this.serverUrl })
    await connection.query(`CREATE DATABASE ${unique}`)
    await connection.end()
    this.#databases.push(unique)
    const url = new URL(this.serverUrl)
    url.pathname = `/${unique}`
    return url.href
  }

  /** A cluster of this many real nodes on a database of its own, for the time of `work`. */
  async withCluster(
    nodes: number,
    env: Readonly<Record<string, string>>,
    work: (cluster: TestCluster, storeUrl: string) => Promise<void>,
  ): Promise<void> {
    const url = await this.database('cluster')
    const cluster = new TestCluster(url, { LENS_LOG_LEVEL: 'warn', ...env })
    try {
      await cluster.startAll(nodes)
      await work(cluster, url)
    } finally {
      await cluster.stop()
    }
  }

  async close(): Promise<void> {
    if (this.#server) return this.#server.destroy()
    const connection = await createConnection({ uri: this.serverUrl })
    for (const name of this.#databases) await connection.query(`DROP DATABASE IF EXISTS ${name}`)
    await connection.end()
  }
}

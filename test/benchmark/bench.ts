/**
 * What every measure is given: how long to measure, a database server that commits as in production, clusters of real nodes,
 * and somebody to tell its rows to.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { MySqlServer } from '../support/mysql.ts'
import { TestCluster } from '../support/nodes.ts'
import { type CpuProfile, profilable, profileHere, profileNodes, summaryOf, writeProfile } from './profile.ts'
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
  /** Whether the job queues take part that whole queries are measured beside. */
  readonly peers: boolean
  /** Where CPU profiles are written; null: none are taken. They cost the measured node some of its speed. */
  readonly profiles: string | null
}

/** As in production: flushed at every commit, the binary log synced. */
export const durable = [
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
  readonly peers: boolean
  readonly profiles: string | null
  readonly rows: Row[] = []
  /** What each profile says, as text. */
  readonly summaries: string[] = []
  readonly failures: Error[] = []
  readonly serverUrl: string
  readonly #server: MySqlServer | null
  readonly #databases: string[] = []
  readonly #told: (row: Row) => void
  #measure = ''
  #profiled = 0

  private constructor(extent: Extent, serverUrl: string, server: MySqlServer | null, told: (row: Row) => void) {
    this.roundMs = extent.roundMs
    this.rounds = extent.rounds
    this.failovers = extent.failovers
    this.brief = extent.brief
    this.peers = extent.peers
    this.profiles = extent.profiles
    this.serverUrl = serverUrl
    this.#server = server
    this.#told = told
  }

  /** On the server of this URL, or on a private one. `told` hears of each row at once. */
  static async open(extent: Extent, url: string | undefined, told: (row: Row) => void): Promise<Bench> {
    const server = url === undefined ? await MySqlServer.start(durable) : null
    return new Bench(extent, url ?? (server as MySqlServer).url, server, told)
  }

  /** Runs one measure. One that fails is a row too: what the others measured is worth keeping. */
  async run(name: string, measure: Measure): Promise<void> {
    this.#measure = name
    try {
      await measure(this)
    } catch (error) {
      this.failures.push(error as Error)
      const measured = `failed: ${String(error).split('\n')[0]?.replaceAll('|', '/')}`
      this.tell({ name, target: '', measured, floor: '', ratio: null, met: false, figures: [] })
    }
  }

  /** Of the private database server; null for one that was given. */
  get databasePid(): number | null {
    return this.#server?.pid ?? null
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

  /** `work`, which runs the measured code in this very process; profiled where profiles are taken. */
  async here<T>(work: () => Promise<T>): Promise<T> {
    if (this.profiles === null) return work()
    const { result, profile } = await profileHere(work)
    await this.#keep('here', profile)
    return result
  }

  async #keep(node: string, profile: CpuProfile): Promise<void> {
    await mkdir(this.profiles as string, { recursive: true })
    const name = `${this.#measure}-${node}-${++this.#profiled}`
    await writeProfile(join(this.profiles as string, `${name}.cpuprofile`), profile)
    this.summaries.push(summaryOf(name, profile))
  }

  /** A cluster of this many real nodes on a database of its own, for the time of `work`. */
  async withCluster(
    nodes: number,
    env: Readonly<Record<string, string>>,
    work: (cluster: TestCluster, storeUrl: string) => Promise<void>,
  ): Promise<void> {
    const url = await this.database('cluster')
    const cluster = new TestCluster(url, { LENS_LOG_LEVEL: 'warn', ...(this.profiles ? profilable : {}), ...env })
    try {
      const started = await cluster.startAll(nodes)
      if (this.profiles === null) await work(cluster, url)
      else
        for (const [name, profile] of await profileNodes(started, () => work(cluster, url)))
          await this.#keep(name, profile)
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

/** The store as a whole: a connector for the URL's dialect, and the same repositories over either. */
import type { MikroORM } from '@mikro-orm/core'
import type { Clock, Random } from '../async/index.ts'
import { LensError, type snapshotDowngrades } from '../domain/index.ts'
import { Cleanups } from './cleanups.ts'
import { clusterStore } from './cluster.ts'
import type {
  CleanupStore,
  ClusterStore,
  PageStore,
  PreparedStore,
  QueryStore,
  RateStore,
  RetentionStore,
  SessionStore,
  Store,
  StoreOptions,
  WebhookStore,
} from './contract.ts'
import { type Connector, Database, type StoreLogger } from './database.ts'
import { MySqlConnector } from './mysql.ts'
import type { StoreTls } from './mysql-pool.ts'
import { Pages } from './pages.ts'
import { Prepared } from './prepared.ts'
import { Queries } from './queries.ts'
import { Rates } from './rates.ts'
import { Retention } from './retention.ts'
import { Sessions } from './sessions.ts'
import { SqliteConnector } from './sqlite.ts'
import { Webhooks } from './webhooks.ts'

export interface OpenStoreOptions extends StoreOptions {
  /** Of MySQL; in the clear unless given. */
  readonly tls?: StoreTls
  readonly clock: Clock
  readonly random: Random
  readonly logger?: StoreLogger
  /** Those of the domain, unless given. */
  readonly downgrades?: typeof snapshotDowngrades
}

/** Beyond `retryMs`, so that a slow answer is waited for and a missing one is not. */
const silenceSlackMs = 1000
const connectMs = 3000

/** Makes a store; nothing is connected before `open()`. Throws on a URL that names no known database. */
export function openStore(options: OpenStoreOptions): Store {
  return new SqlStore(connectorOf(options), options)
}

/** A way to a database, with the ORM that the store's own way is built on. */
export type OrmConnector = Connector & { readonly orm: MikroORM }

/** The same store on a way that is made elsewhere. */
export function openStoreOn(
  connector: OrmConnector,
  options: Omit<OpenStoreOptions, 'url' | 'tls' | 'connectionsMax'>,
): Store {
  return new SqlStore(connector, options)
}

function connectorOf({ url, tls, connectionsMax, retryMs }: OpenStoreOptions): OrmConnector {
  const file = sqliteFile(url)
  if (file !== null) return new SqliteConnector(file)
  if (!url.startsWith('mysql://'))
    throw new LensError('REQUEST_INVALID', 'The store URL begins with neither sqlite: nor mysql://.')
  return new MySqlConnector({
    url,
    tls,
    // One connection may hold the schema's lock while another migrates.
    connectionsMax: Math.max(2, connectionsMax),
    silenceMs: retryMs + silenceSlackMs,
    connectMs: Math.min(connectMs, retryMs + silenceSlackMs),
  })
}

/** The file of `sqlite:<file>`; null when the URL is not of that kind. */
export function sqliteFile(url: string): string | null {
  return url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : null
}

class SqlStore implements Store {
  readonly queries: QueryStore
  readonly pages: PageStore
  readonly cleanups: CleanupStore
  readonly sessions: SessionStore
  readonly prepared: PreparedStore
  readonly cluster: ClusterStore
  readonly rates: RateStore
  readonly retention: RetentionStore
  readonly webhooks: WebhookStore
  readonly #database: Database
  readonly #connector: OrmConnector
  #open = false

  constructor(
    connector: OrmConnector,
    {
      retryMs,
      clock,
      random,
      logger,
      downgrades,
      onCall,
      webhooks = [],
    }: Omit<OpenStoreOptions, 'url' | 'tls' | 'connectionsMax'>,
  ) {
    this.#connector = connector
    this.#database = new Database({ connector: this.#connector, clock, random, retryMs, logger, downgrades, onCall })
    this.queries = new Queries(this.#database, webhooks)
    this.pages = new Pages(this.#database)
    this.cleanups = new Cleanups(this.#database)
    this.sessions = new Sessions(this.#database)
    this.prepared = new Prepared(this.#database, this.#connector.orm)
    this.cluster = clusterStore(this.#database)
    this.rates = new Rates(this.#database)
    this.retention = new Retention(this.#database)
    this.webhooks = new Webhooks(this.#database)
  }

  get dialect(): 'mysql' | 'sqlite' {
    return this.#connector.dialect.name
  }

  get statementCount(): number {
    return this.#connector.statementCount
  }

  get pending(): number {
    return this.#database.pending
  }

  async open(): Promise<void> {
    // From here on there is something to close, even if this fails.
    this.#open = true
    await this.#database.repeat(() => this.#connector.connect())
    await this.#database.repeat(() => this.#connector.migrate())
    await this.#assertFoundRows()
  }

  /** A compare-and-set would read "nothing changed" as "ownership lost" (and a lease as lost at its every second renewal). */
  async #assertFoundRows(): Promise<void> {
    const l = this.#database.tables.lease
    const count = await this.#database.run(`UPDATE ${l} SET ${l.id} = 1 WHERE ${l.id} = 1`)
    if (count !== 1) throw new LensError('INTERNAL', `The database reports ${count} rows for an update that finds one.`)
  }

  async close(): Promise<void> {
    this.#database.end()
    if (!this.#open) return
    this.#open = false
    await this.#connector.close()
  }

  async actAs(incarnation: string): Promise<void> {
    await this.#connector.actAs(incarnation)
  }

  async ping(timeoutMs: number): Promise<number> {
    const { clock, dialect } = this.#database
    const { promise, reject } = Promise.withResolvers<never>()
    const cancel = clock.after(timeoutMs, () =>
      reject(new LensError('STORE_UNAVAILABLE', `The database did not answer within ${timeoutMs} ms.`)),
    )
    try {
      const answer = this.#database.rows<{ now_: number }>(`SELECT ${dialect.now} AS now_`)
      answer.catch(() => {})
      const [row] = await Promise.race([answer, promise])
      return Number(row?.now_)
    } finally {
      cancel()
    }
  }
}

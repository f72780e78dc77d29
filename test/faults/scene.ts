/**
 * What faults are made to: three real nodes over one private, durable database, each behind a proxy of its own and, where
 * namespaces can be made, in a network of its own. Asks the database itself, past every proxy, what became of the queries.
 */
import type { Teardown } from '../support/folders.ts'
import { ask } from '../support/invariants.ts'
import { createOrdinaryDatabase, MySqlServer } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { freePort } from '../support/ports.ts'
import { startProxy, type Proxy as Wire } from '../support/proxy.ts'
import { Network } from './network.ts'

/** A crash of the database or of its machine loses nothing that was answered. */
const durable = ['--innodb-flush-log-at-trx-commit=1', '--log-bin=binlog', '--sync-binlog=1', '--server-id=1']

/** Low enough that what the clients do reaches every one of them. */
export const limits = {
  lightSlots: 6,
  heavySlots: 3,
  runningPerUser: 4,
  queuedPerUser: 9,
  queuedPerLane: 14,
  sessionsPerUser: 8,
}

/** Times as in production, but the drain: a rolling restart has its turn many times in a run. */
const environment: Readonly<Record<string, string>> = {
  LENS_LANES_LIGHT_SLOTS: `${limits.lightSlots}`,
  LENS_LANES_HEAVY_SLOTS: `${limits.heavySlots}`,
  LENS_LANES_QUEUED_MAX: `${limits.queuedPerLane}`,
  LENS_LIMITS_QUEUED_PER_USER: `${limits.queuedPerUser}`,
  LENS_LIMITS_RUNNING_PER_USER: `${limits.runningPerUser}`,
  LENS_LIMITS_SESSIONS_PER_USER: `${limits.sessionsPerUser}`,
  LENS_ENGINES_DUCKDB_THREADS: '1',
  LENS_DRAIN_GRACE_MS: '1500',
}

const databaseNow = 'ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000)'
/** One and the same, however often it is opened and its answer lost: sessions are limited. */
const probeSession = { body: { user: 'prober' }, headers: { 'idempotency-key': 'prober' } }

/** A query at the instant of a fault. */
export interface Owned {
  readonly handle: string
  readonly version: number
  readonly status: string
  readonly incarnation: string
  readonly node: string
}

export interface LivingMember {
  readonly node: string
  readonly incarnation: string
}

/** A process that ended without having been asked to. */
export interface UnexpectedEnd {
  readonly node: string
  readonly exit: string
  readonly lastWords: string
}

export class Scene {
  readonly database: MySqlServer
  /** Straight to the database, as one who may do everything. */
  readonly storeUrl: string
  readonly network: Network | null
  readonly names: readonly string[]
  readonly cluster: TestCluster
  readonly unexpected: UnexpectedEnd[] = []
  readonly #proxies: ReadonlyMap<string, Wire>
  readonly #urls: ReadonlyMap<string, string>
  readonly #ports: ReadonlyMap<string, number>
  readonly #inspectPorts: ReadonlyMap<string, number>
  readonly #nodes = new Map<string, NodeProcess>()
  readonly #endings = new WeakSet<NodeProcess>()
  #token: string | null = null
  #touches = 0

  private constructor(
    database: MySqlServer,
    storeUrl: string,
    network: Network | null,
    cluster: TestCluster,
    places: readonly { name: string; port: number; inspectPort: number; proxy: Wire; url: string }[],
  ) {
    this.database = database
    this.storeUrl = storeUrl
    this.network = network
    this.cluster = cluster
    this.names = places.map(({ name }) => name)
    this.#proxies = new Map(places.map(({ name, proxy }) => [name, proxy]))
    this.#urls = new Map(places.map(({ name, url }) => [name, url]))
    this.#ports = new Map(places.map(({ name, port }) => [name, port]))
    this.#inspectPorts = new Map(places.map(({ name, inspectPort }) => [name, inspectPort]))
  }

  /** Resolves when all nodes serve and see each other. `more`: what the nodes are set to besides, told where they reach the host. */
  static async start(
    t: Teardown,
    nodes = 3,
    more: (host: string) => Promise<Readonly<Record<string, string>>> = async () => ({}),
  ): Promise<Scene> {
    const names = Array.from({ length: nodes }, (_, index) => `n${index + 1}`)
    const database = await MySqlServer.start(durable)
    t.teardown(() => database.destroy())
    const ordinary = await createOrdinaryDatabase({ teardown: () => {} }, database.url)
    const storeUrl = new URL(database.url)
    storeUrl.pathname = new URL(ordinary).pathname
    const network = await Network.create(t, names)
    const cluster = new TestCluster(ordinary, { ...environment, ...(await more(network?.host ?? '127.0.0.1')) })
    t.teardown(() => cluster.stop())
    const places = []
    for (const name of names) {
      const proxy = await startProxy(t, database.port, { host: network?.host })
      const url = new URL(ordinary)
      url.hostname = network?.host ?? '127.0.0.1'
      url.port = `${proxy.port}`
      places.push({ name, port: await freePort(), inspectPort: await freePort(), proxy, url: url.href })
    }
    const scene = new Scene(database, storeUrl.href, network, cluster, places)
    for (const name of names) await scene.begin(name)
    await scene.settled()
    return scene
  }

  /** The process that bears this name now, running or not. */
  node(name: string): NodeProcess {
    const node = this.#nodes.get(name)
    if (!node) throw new Error(`${name} was never started`)
    return node
  }

  proxy(name: string): Wire {
    return this.#proxies.get(name) as Wire
  }

  get urls(): string[] {
    return this.names.map(name => this.node(name).url)
  }

  /** Starts a process under this name, at the address that the name always has; who cares waits until it is ready. */
  async begin(name: string): Promise<NodeProcess> {
    const node = await this.cluster.start({
      name,
      port: this.#ports.get(name) as number,
      host: this.network?.addressOf(name),
      within: this.network?.within(name),
      env: {
        LENS_STORE_URL: this.#urls.get(name) as string,
        // Where the inspector listens if a signal ever starts it: nothing is inspected until a fault does.
        NODE_OPTIONS: `--disable-warning=ExperimentalWarning --inspect-port=${this.inspectorOf(name)}`,
      },
    })
    this.#nodes.set(name, node)
    return node
  }

  /** `host:port` */
  inspectorOf(name: string): string {
    return `${this.network?.addressOf(name) ?? '127.0.0.1'}:${this.#inspectPorts.get(name)}`
  }

  /** Says that this process is about to end by our doing. */
  expectEnd(node: NodeProcess): void {
    this.#endings.add(node)
  }

  ask(sql: string, values: readonly (string | number)[] = []): Promise<Record<string, any>[]> {
    return ask(this.storeUrl, sql, values)
  }

  /** The unfinished queries of these nodes, at this instant. */
  async ownedBy(names: readonly string[]): Promise<Owned[]> {
    if (names.length === 0) return []
    const rows = await this.ask(
      `SELECT handle, version, status, owner_incarnation AS incarnation, owner_node AS node FROM current_query WHERE owner_node IN (${names.map(() => '?').join(', ')})`,
      names,
    )
    return rows.map(row => ({ ...row, version: Number(row.version) })) as Owned[]
  }

  /** Those of them that are unfinished, with where they are now. */
  async stillCurrent(of: readonly Owned[]): Promise<Owned[]> {
    const now = await this.ownedBy(this.names)
    const handles = new Set(of.map(({ handle }) => handle))
    return now.filter(({ handle }) => handles.has(handle))
  }

  async livingMembers(): Promise<LivingMember[]> {
    const rows = await this.ask(
      `SELECT node_id AS node, incarnation FROM member JOIN heartbeat USING (incarnation) WHERE state = 'alive' AND lease_expires_at > ${databaseNow}`,
    )
    return rows as LivingMember[]
  }

  async databaseNow(): Promise<number> {
    const [row] = await this.ask(`SELECT ${databaseNow} AS now`)
    return Number(row?.now)
  }

  /** What each engine of a node runs, as the node says. */
  async enginesAt(name: string): Promise<{ engine: string; running: number }[]> {
    const node = this.node(name)
    const { body: session } = await node.call('POST', '/api/v1/sessions', probeSession)
    const { body } = await node.call('GET', '/api/v1/engines', { token: session.token })
    return body.engines.map(({ name: engine, running }: any) => ({ engine, running }))
  }

  async leader(): Promise<string | null> {
    const [row] = await this.ask(`SELECT holder_node FROM lease WHERE expires_at > ${databaseNow}`)
    return row ? String(row.holder_node) : null
  }

  /** Whether a call that writes to the database succeeds on this node. */
  async serves(name: string, withinMs = 1000): Promise<boolean> {
    const node = this.node(name)
    try {
      if (this.#token === null) {
        const opened = await node.call('POST', '/api/v1/sessions', { ...probeSession, signal: limit(withinMs) })
        if (opened.status >= 300) return false
        this.#token = opened.body.token
      }
      const [id] = (this.#token as string).split('.')
      const touched = await node.call('PATCH', `/api/v1/sessions/${id}`, {
        token: this.#token as string,
        body: { properties: { touch: `${this.#touches++}` } },
        signal: limit(withinMs),
      })
      if (touched.status === 401) this.#token = null
      return touched.status === 200
    } catch {
      return false
    }
  }

  /** Whether every node is ready, serves and is a living member, and one of them leads. */
  async isSettled(): Promise<boolean> {
    await this.#noteEnds()
    const ready = await Promise.all(
      this.names.map(async name => {
        const node = this.node(name)
        return node.running && (await fetch(`${node.url}/readyz`, { signal: limit(1000) })).ok && this.serves(name)
      }),
    )
    if (!ready.every(Boolean)) return false
    const members = await this.livingMembers()
    const leader = await this.leader()
    const only = (name: string) => members.filter(({ node }) => node === name).length === 1
    return this.names.every(only) && members.some(({ node }) => node === leader)
  }

  async settled(withinMs = 60_000): Promise<void> {
    const giveUpAt = performance.now() + withinMs
    for (let last = 'nothing'; ; ) {
      try {
        if (await this.isSettled()) return
        last = 'not yet'
      } catch (error) {
        last = String(error)
      }
      if (performance.now() > giveUpAt)
        throw new Error(`the nodes do not settle within ${withinMs} ms: ${last}; ${await this.#whereTheyAre()}`)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  /** A process that nobody ended is a finding; it is started again so that the run goes on. */
  async #noteEnds(): Promise<void> {
    for (const name of this.names) {
      const node = this.node(name)
      if (node.running) continue
      if (!this.#endings.has(node))
        this.unexpected.push({
          node: name,
          exit: JSON.stringify(node.exit),
          lastWords: JSON.stringify(node.log.slice(-10)),
        })
      await this.begin(name)
    }
  }

  async #whereTheyAre(): Promise<string> {
    const members = await this.livingMembers().catch(String)
    const logs = this.names.map(
      name => `${name} ${this.node(name).running} ${JSON.stringify(this.node(name).log.slice(-6))}`,
    )
    return `${JSON.stringify(members)} ${logs.join('\n')}`
  }
}

function limit(ms: number): AbortSignal {
  return AbortSignal.timeout(ms)
}

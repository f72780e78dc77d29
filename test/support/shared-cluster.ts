/** One cluster over one private MySQL for all tests of a file, which run one after the other. */
import type { TestFn } from 'ava'
import { createDatabase, MySqlServer } from './mysql.ts'
import { type NodeProcess, TestCluster } from './nodes.ts'

export interface SharedClusterOptions {
  readonly nodes: number
  /** For all nodes; may need what only a folder for the file's tests can give. */
  readonly env?: Readonly<Record<string, string>>
  /** For single nodes, by name (`n1` …). */
  readonly envOf?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

export class SharedCluster {
  readonly #options: SharedClusterOptions
  readonly #over: (() => unknown)[] = []
  #cluster: TestCluster | undefined

  constructor(options: SharedClusterOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const given = process.env.LENS_TEST_MYSQL_URL
    const server = given ? null : await MySqlServer.start()
    if (server) this.#over.push(() => server.destroy())
    const teardown = { teardown: (task: () => unknown) => this.#over.push(task) }
    const url = await createDatabase(teardown, given ?? (server as MySqlServer).url)
    const cluster = new TestCluster(url, this.#options.env)
    this.#cluster = cluster
    this.#over.push(() => cluster.stop())
    for (let index = 1; index <= this.#options.nodes; index++) await this.#begin(`n${index}`)
    await this.#settled()
  }

  async stop(): Promise<void> {
    for (const task of this.#over.reverse()) await task()
  }

  get storeUrl(): string {
    return this.cluster.storeUrl
  }

  get cluster(): TestCluster {
    if (!this.#cluster) throw new Error('the cluster was not started')
    return this.#cluster
  }

  /** The living node of this name. */
  node(name: string): NodeProcess {
    const node = this.cluster.running.find(running => running.name === name)
    if (!node) throw new Error(`${name} does not run`)
    return node
  }

  get nodes(): NodeProcess[] {
    return this.cluster.running
  }

  /** Starts again what a test killed, and waits until all see each other. */
  async restore(): Promise<void> {
    for (let index = 1; index <= this.#options.nodes; index++)
      if (!this.nodes.some(({ name }) => name === `n${index}`)) await this.#begin(`n${index}`)
    await this.#settled()
  }

  async #begin(name: string): Promise<void> {
    const env = this.#options.envOf?.[name]
    await this.cluster.start({ name, ...(env ? { env } : {}) })
  }

  async #settled(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.ready()))
    await this.cluster.settled(this.#options.nodes)
  }
}

/** Call once at the top of a file whose tests are all `test.serial`. */
export function sharedCluster(test: TestFn, options: SharedClusterOptions): SharedCluster {
  const shared = new SharedCluster(options)
  test.before('start the cluster', () => shared.start())
  test.after.always('stop the cluster', () => shared.stop())
  return shared
}

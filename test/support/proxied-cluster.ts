/** Three nodes over one MySQL, each through a proxy of its own, so that a test can come between a node and its database. */
import type { ExecutionContext } from 'ava'
import type { MySqlDatabases } from './mysql.ts'
import { MySqlProxy } from './mysql-proxy.ts'
import { type NodeProcess, TestCluster } from './nodes.ts'

export interface ProxiedCluster {
  /** Straight to the database. */
  readonly url: string
  readonly cluster: TestCluster
  readonly nodes: readonly [NodeProcess, NodeProcess, NodeProcess]
  proxyOf(node: NodeProcess): MySqlProxy
}

/** Resolves when all see each other and one leads; gone with the test. */
export async function startProxiedCluster(t: ExecutionContext, mysql: MySqlDatabases): Promise<ProxiedCluster> {
  const url = await mysql.create(t)
  // With a limit, so that its counters are kept and can be compared.
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  const proxies = new Map<NodeProcess, MySqlProxy>()
  for (const name of ['n1', 'n2', 'n3']) {
    const proxy = await MySqlProxy.start(t, url)
    proxies.set(await cluster.start({ name, env: { LENS_STORE_URL: proxy.url } }), proxy)
  }
  const nodes = [...proxies.keys()] as [NodeProcess, NodeProcess, NodeProcess]
  await Promise.all(nodes.map(node => node.ready()))
  await cluster.settled(nodes.length)
  return { url, cluster, nodes, proxyOf: node => proxies.get(node) as MySqlProxy }
}

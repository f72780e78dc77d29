/**
 * Three nodes that can be cut off: each in a network of its own (where namespaces can be made) and behind a proxy of its own to
 * the database. Without namespaces they live on the loopback, where only the database can be taken from them.
 */
import { Network } from '../faults/network.ts'
import type { Teardown } from '../support/folders.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { startProxy, type Proxy as Wire } from '../support/proxy.ts'
import { type Bench, unlimited } from './bench.ts'

export interface Separated {
  readonly cluster: TestCluster
  /** Past every proxy. */
  readonly storeUrl: string
  /** Null: only root can make one. */
  readonly network: Network | null
  readonly wires: ReadonlyMap<NodeProcess, Wire>
}

export async function startSeparated(stage: Teardown, bench: Bench): Promise<Separated> {
  const names = ['n1', 'n2', 'n3']
  const storeUrl = await bench.database('separated')
  const network = await Network.create(stage, names)
  const cluster = new TestCluster(storeUrl, { LENS_LOG_LEVEL: 'info', ...unlimited, LENS_LANES_LIGHT_SLOTS: '96' })
  stage.teardown(() => cluster.stop())
  const wires = new Map<NodeProcess, Wire>()
  for (const name of names) {
    const wire = await startProxy(stage, Number(new URL(storeUrl).port || 3306), { host: network?.host })
    const url = new URL(storeUrl)
    url.hostname = network?.host ?? '127.0.0.1'
    url.port = `${wire.port}`
    const node = await cluster.start({
      name,
      host: network?.addressOf(name),
      within: network?.within(name),
      env: { LENS_STORE_URL: url.href },
    })
    wires.set(node, wire)
  }
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(names.length)
  return { cluster, storeUrl, network, wires }
}

/** Clusters and statements that the client's tests share. */
import type { ExecutionContext } from 'ava'
import { LensClient, type LensClientOptions, type QueryView } from '../../src/client/index.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'

/** Runs for a few seconds, and gives one row. */
export const slowSql = sleepingFor(3_000)
/** Runs far longer than any test waits: only for what is cancelled. */
export const endlessSql = endless

export async function clusterOf(
  t: ExecutionContext,
  count: number,
): Promise<{ cluster: TestCluster; nodes: NodeProcess[] }> {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(count)
  return { cluster, nodes }
}

export function clientOf(t: ExecutionContext, nodes: readonly NodeProcess[], options: Partial<LensClientOptions> = {}) {
  const client = new LensClient({ endpoints: nodes.map(node => node.url), user: 'ada', ...options })
  t.teardown(() => client.close().catch(() => {}))
  return client
}

/** The node that the client talks to. */
export function nodeOf(client: LensClient, nodes: readonly NodeProcess[]): NodeProcess {
  const node = nodes.find(({ url }) => url === client.endpoint)
  if (!node) throw new Error(`${client.endpoint} is none of the nodes`)
  return node
}

/** Collects all changes; `during` is told each one as it comes. */
export async function collected(
  changes: AsyncIterable<QueryView>,
  during: (query: QueryView) => void | Promise<void> = () => {},
): Promise<QueryView[]> {
  const all: QueryView[] = []
  for await (const query of changes) {
    all.push(query)
    await during(query)
  }
  return all
}

/** Every version exactly once and in order, each as the transitions have it, up to the end. */
export async function assertGapFree(
  t: ExecutionContext,
  client: LensClient,
  changes: readonly QueryView[],
): Promise<void> {
  const [first] = changes
  if (!first) return t.fail('no change at all')
  t.deepEqual(
    changes.map(query => query.version),
    changes.map((_, index) => index + 1),
  )
  const transitions = await client.handle(first.handle).transitions()
  t.deepEqual(
    changes.map(query => [query.version, query.status, query.owner.epoch]),
    transitions.map(transition => [transition.version, transition.to, transition.epoch]),
  )
}

export async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

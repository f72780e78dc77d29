/**
 * What queries cost the node that they run on in memory. Each holds a slot and a living actor; DuckDB's process has at most 1,024
 * threads, so that of twenty thousand a thousand run there and the rest are LAUNCHED and wait for it.
 */

import { eventually } from '../../support/conditions.ts'
import { ask } from '../../support/invariants.ts'
import type { NodeProcess } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'
import { type Bench, unlimited } from '../bench.ts'
import { HttpClient } from '../http-client.ts'
import { memoryMiB, watchedPeak } from '../memory.ts'
import { boundRow } from '../report.ts'
import { sizeOf } from '../sizes.ts'

/** About a minute; `LENS_BENCH_RUNNING` queries. */
export function measureRunning(bench: Bench): Promise<void> {
  const count = sizeOf(bench, 'RUNNING', 20_000, 2_000)
  return bench.withCluster(1, { ...unlimited, LENS_LANES_LIGHT_SLOTS: `${count}` }, async (cluster, storeUrl) => {
    const node = cluster.nodes[0] as NodeProcess
    const client = new HttpClient(node.port, 32, (await node.session('running')).token)
    // What the first requests of any kind cost is not theirs.
    await submitAll(client, 200, 'select 42 as answer')
    await statuses(storeUrl, counts => Object.keys(counts).length === 0)
    const before = memoryMiB(node.pid, 'VmRSS')
    const peak = watchedPeak(node.pid)
    await submitAll(client, count, endless)
    const counts = await statuses(storeUrl, found => (found.LAUNCHED ?? 0) + (found.RUNNING ?? 0) >= count)
    client.close()
    bench.tell({
      ...boundRow(
        `${count.toLocaleString('en')} running queries on one node: memory more, at its highest`,
        peak(),
        300,
        ' MB',
      ),
      floor: `${before.toFixed(0)} MB before, ${(memoryMiB(node.pid, 'VmRSS') - before).toFixed(0)} MB more now; ${Object.entries(
        counts,
      )
        .map(([status, n]) => `${n} ${status}`)
        .join(', ')}`,
    })
  })
}

async function submitAll(client: HttpClient, count: number, sql: string): Promise<void> {
  let left = count
  const worker = async () => {
    while (left-- > 0) {
      const { status } = await client.call('POST', '/api/v1/queries', { sql, lane: 'light' })
      if (status !== 202) throw new Error(`refused: ${status}`)
    }
  }
  await Promise.all(Array.from({ length: 32 }, worker))
}

async function statuses(storeUrl: string, satisfied: (counts: Record<string, number>) => boolean) {
  return eventually(
    async () => {
      const rows = await ask(storeUrl, 'SELECT status, COUNT(*) AS n FROM current_query GROUP BY status')
      return Object.fromEntries(rows.map(({ status, n }) => [String(status), Number(n)]))
    },
    satisfied,
    { what: 'the queries', withinMs: 120_000, periodMs: 200 },
  )
}

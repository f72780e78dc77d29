/** What two more nodes give: whole queries per second of one node and of three, each node held to half a core with its engine. */
import { Stage } from '../../faults/stage.ts'
import { type NodeProcess, TestCluster } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { shareOfCore } from '../half-core.ts'
import { HttpClient } from '../http-client.ts'
import { closedLoop } from '../load.ts'
import { inTurns, rateRow } from '../report.ts'

const workersOfNode = 16
const atLeast = 2.4
const name = 'whole queries/s, 1 → 3 nodes, each held to half a core'

/** Twice `--seconds` a round, `--rounds` rounds; three cores are enough, with the database and the clients. */
export async function measureScaling(bench: Bench): Promise<void> {
  const stage = new Stage()
  try {
    const one = await startHeld(stage, bench, 1)
    const three = await startHeld(stage, bench, 3)
    if (!one || !three) {
      const measured = 'not measured: control groups of the processor need root'
      bench.tell({ name, target: `≥ ${atLeast} × one node`, measured, floor: '', ratio: null, met: false, figures: [] })
      return
    }
    const forMs = 2 * bench.roundMs
    await three.rate(forMs)
    const rounds = await inTurns(
      bench.rounds,
      () => one.rate(forMs),
      () => three.rate(forMs),
    )
    const row = rateRow(name, rounds, 'one node', atLeast)
    bench.tell({ ...row, floor: `${row.floor}; held by ${one.means}` })
  } finally {
    await stage.end()
  }
}

async function startHeld(stage: Stage, bench: Bench, count: number) {
  const names = Array.from({ length: count }, (_, index) => `n${index + 1}`)
  const shares = names.map(node => shareOfCore(stage, `${count}-${node}`, 0.5))
  const [first] = shares
  if (!first || shares.includes(null)) return null
  const cluster = new TestCluster(await bench.database('held'), {
    LENS_LOG_LEVEL: 'warn',
    ...unlimited,
    LENS_ENGINES_DUCKDB_THREADS: '1',
    LENS_LANES_LIGHT_SLOTS: `${workersOfNode * count * 2}`,
  })
  stage.teardown(() => cluster.stop())
  for (const [index, node] of names.entries())
    await cluster.start({ name: node, ...(shares[index] ? { within: shares[index].within } : {}) })
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(count)
  const clients = await Promise.all(
    cluster.nodes.map(
      async (node: NodeProcess) => new HttpClient(node.port, workersOfNode, (await node.session('held')).token),
    ),
  )
  stage.teardown(() => {
    for (const client of clients) client.close()
  })
  return {
    means: first.means,
    rate: (forMs: number) =>
      closedLoop(workersOfNode * count, forMs, async worker => {
        const { status, text } = await (clients[worker % count] as HttpClient).call('POST', '/api/v1/queries', {
          ...{ sql: 'select 42 as answer', lane: 'light', mode: 'sync' },
        })
        if (status !== 200 || !text.includes('SUCCESSFUL')) throw new Error(`${status} ${text}`)
      }),
  }
}

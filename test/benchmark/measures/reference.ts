/**
 * The reference set-up as a whole: three nodes behind HAProxy, a thousand running and a thousand queued queries, a thousand
 * subscribers, two hundred submissions a second, default lease. What a request takes in it, and what its subscribers see of a kill.
 */
import { Stage } from '../../faults/stage.ts'
import { eventually, type NodeProcess } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'
import type { Bench } from '../bench.ts'
import { Deployment } from '../deployment.ts'
import { openLoop } from '../load.ts'
import type { Patron } from '../patron.ts'
import { boundRow, latencyRow, spreadOf } from '../report.ts'
import { sizeOf } from '../sizes.ts'

const submissionsPerSecond = 200
const looksPerSecond = 200

/** How long its load is on a cluster before one of its nodes is killed, in milliseconds. */
const warmUpMs = 5_000

/** From the kill to the new status, in milliseconds. */
interface KillTimes {
  /** At subscribers whose node lives. */
  readonly stayed: number[]
  /** At those of the victim. */
  readonly moved: number[]
}

/** About four minutes; `LENS_BENCH_PATRONS`, `LENS_BENCH_QUEUED`, `LENS_BENCH_REFERENCE_KILLS`. */
export async function measureReference(bench: Bench): Promise<void> {
  const size = {
    patrons: sizeOf(bench, 'PATRONS', 1_000, 30),
    queued: sizeOf(bench, 'QUEUED', 1_000, 20),
    sqlOf: () => endless,
  }
  const set = `${size.patrons} running queries and subscribers`
  const before: string[] = []
  const faults: string[] = []
  const times: KillTimes = { stayed: [], moved: [] }
  // A kill leaves its queries on the others, and the next victim would own half of all, or none: each trial has a set-up of its own.
  for (let trial = 0; trial < sizeOf(bench, 'REFERENCE_KILLS', 6, 1); trial++) {
    const stage = new Stage()
    try {
      const deployment = await Deployment.start(stage, bench, ['haproxy'], size)
      if (trial === 0) await latencies(bench, deployment, set)
      else await openLoop(submissionsPerSecond, bench.brief ? 500 : warmUpMs, () => deployment.submit())
      before.push(...deployment.client.failures)
      await kill(deployment, times)
      faults.push(...(await deployment.end(true)))
    } finally {
      await stage.end()
    }
  }
  for (const why of [before, faults].flatMap(all => all.slice(0, 5))) process.stderr.write(`  reference: ${why}\n`)
  const { stayed, moved } = times
  // In a short run the victim may have subscribers only there, or none.
  if (stayed.length > 0)
    bench.tell(
      latencyRow('reference set-up: kill -9 of a node, at subscribers of the others', spreadOf(stayed), 200, 700, set),
    )
  if (moved.length > 0)
    bench.tell({
      ...latencyRow('reference set-up: kill -9 of a node, at its own subscribers', spreadOf(moved), 500, 1_500, set),
      target: 'p50 ≤ 500 ms, p99 ≤ 1500 ms (subscriber’s node killed)',
    })
  bench.tell(
    boundRow('reference set-up: failed requests before the kills', before.length, 0, ''),
    boundRow('reference set-up: lost or repeated queries, missed or repeated versions', faults.length, 0, ''),
  )
}

async function latencies(bench: Bench, deployment: Deployment, set: string): Promise<void> {
  const forMs = bench.brief ? 2_000 : 20_000
  let turn = 0
  const [submits, looks] = await Promise.all([
    openLoop(submissionsPerSecond, forMs, () => deployment.submit()),
    // Never a list: those are measured by themselves.
    openLoop(looksPerSecond, forMs, () => deployment.look(1 + 10 * turn++)),
  ])
  const submit = `reference set-up, through HAProxy: submit at ${submissionsPerSecond}/s`
  const look = `reference set-up, through HAProxy: status at ${looksPerSecond}/s`
  bench.tell(latencyRow(submit, spreadOf(submits), 4, 15, set), latencyRow(look, spreadOf(looks), 1.5, 6, set))
}

/** Under the same submissions; a patron's time ends when it has the version in which another node has its query QUEUED again. */
async function kill(deployment: Deployment, { stayed, moved }: KillTimes): Promise<void> {
  const { cluster, patrons } = deployment
  const leader = await cluster.leader()
  const victim = cluster.running.find(node => node !== leader) as NodeProcess
  let over = false
  const load = (async () => {
    while (!over) await openLoop(submissionsPerSecond, 500, () => deployment.submit())
  })()
  const [killedAt, ...times] = await Promise.all([
    killed(victim),
    ...patrons.filter(({ latest }) => latest?.view.owner.node === victim.name).map(patron => timeOf(patron, victim)),
  ])
  for (const { at, kept } of times) (kept ? stayed : moved).push(at - killedAt)
  over = true
  await load
  await (await cluster.start({ name: victim.name, port: victim.port })).ready()
  await cluster.settled(3)
  await eventually('every query runs again', () => patrons.every(({ latest }) => latest?.view.status === 'RUNNING'))
}

async function killed(victim: NodeProcess): Promise<number> {
  const at = performance.now()
  victim.signal('SIGKILL')
  await victim.exited
  return at
}

function timeOf(patron: Patron, victim: NodeProcess): Promise<{ at: number; kept: boolean }> {
  const connections = patron.connections
  return new Promise(resolve => {
    patron.heard = ({ owner, status }, at, connection) => {
      if (owner.node === victim.name || !['QUEUED', 'LAUNCHED', 'RUNNING'].includes(status)) return
      if (status === 'RUNNING' && owner.epoch === 1) return
      if (status === 'RUNNING' && connection === connections) return
      patron.heard = null
      resolve({ at, kept: connection === connections })
    }
  })
}

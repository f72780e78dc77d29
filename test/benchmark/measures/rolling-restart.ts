/**
 * A deployment: every node in turn is asked to leave and started again, behind HAProxy and behind nginx, under 500 requests/s, with a
 * thousand subscribers of a thousand running queries. What fails, what is lost or repeated, and how long anybody waits. And the same with
 * the build before this one: all are upgraded, one is rolled back and upgraded again, and so on.
 */
import { Stage } from '../../faults/stage.ts'
import { ask } from '../../support/invariants.ts'
import { type NodeProcess, presentEntry } from '../../support/nodes.ts'
import type { ProxyKind } from '../../support/proxies.ts'
import { previousRelease } from '../../support/releases/releases.ts'
import { restart } from '../../support/restarts.ts'
import { sleepingFor } from '../../support/sleeping.ts'
import type { Bench } from '../bench.ts'
import { Deployment } from '../deployment.ts'
import { boundRow, latencyRow, type Row, spreadOf } from '../report.ts'
import { sizeOf } from '../sizes.ts'

const perSecond = 500

/**
 * `LENS_BENCH_REQUESTS` requests behind each proxy: 50,000, so 100,000 in all, about two minutes each and the ends of the queries;
 * `LENS_BENCH_PATRONS` subscribers, each with its running query.
 */
export const measureRollingRestart = (bench: Bench) => behindEach(bench, 'rolling restart', false)

/** As `measureRollingRestart`, from the build before this one. */
export const measureRollingUpgrade = (bench: Bench) => behindEach(bench, 'rolling upgrade', true)

async function behindEach(bench: Bench, what: string, upgrades: boolean): Promise<void> {
  for (const kind of ['haproxy', 'nginx'] as const) {
    const stage = new Stage()
    try {
      const entries = [presentEntry]
      if (upgrades) entries.unshift((await previousRelease(stage)).entry)
      await behind(bench, stage, kind, `${what} behind ${kind}`, entries)
    } finally {
      await stage.end()
    }
  }
}

/** `entries`: what runs at first, and what is brought in. */
async function behind(
  bench: Bench,
  stage: Stage,
  kind: ProxyKind,
  name: string,
  entries: readonly string[],
): Promise<void> {
  const requests = sizeOf(bench, 'REQUESTS', 50_000, 2_000)
  const patrons = sizeOf(bench, 'PATRONS', 1_000, 30)
  // Some end within the drain's grace, some are stopped and run again elsewhere.
  const seconds = bench.brief ? 2 : 20
  const deployment = await Deployment.start(stage, bench, [kind], {
    entry: entries[0],
    patrons,
    queued: sizeOf(bench, 'QUEUED', 1_000, 20),
    sqlOf: patron => sleepingFor(seconds * (1_000 + 10 * (patron % 100))),
  })
  const { client, cluster } = deployment
  const before = client.answered + client.failures.length
  const load = deployment.requests(perSecond, requests)
  let over = false
  void load.then(() => {
    over = true
  })
  let restarts = 0
  const replace = async (node: NodeProcess, entry: string) => {
    cluster.entry = entry
    await restart(cluster, node)
    await cluster.settled(3)
    restarts++
  }
  const [first, last] = [entries[0], entries.at(-1)] as [string, string]
  do {
    for (const node of cluster.running.slice(0, 3)) await replace(node, last)
    if (first !== last) await replace(cluster.running[0] as NodeProcess, first)
  } while (!over)
  await load
  const asked = client.answered + client.failures.length - before
  const failed = [...client.failures]
  const back = deployment.patrons.flatMap(({ backMs }) => backMs)
  const faults = await deployment.end()
  const pauses = await pausesOf(cluster.storeUrl)
  const died = await ask(cluster.storeUrl, 'SELECT node_id, cause FROM failover')
  const errors = failed.length > 0 ? deployment.proxies.flatMap(proxy => proxy.errors()) : []
  for (const why of [failed, faults, errors].flatMap(all => all.slice(0, 5)))
    process.stderr.write(`  ${kind}: ${why}\n`)
  const ended = deployment.patrons.reduce((sum, patron) => sum + patron.ended, 0)
  const versions = deployment.patrons.reduce((sum, patron) => sum + patron.versions, 0)
  bench.tell(
    {
      ...boundRow(`${name}: failed requests`, failed.length, 0, ''),
      floor: `${asked.toLocaleString('en')} requests at ${perSecond}/s, ${restarts} restarts, ${patrons} running queries`,
    },
    {
      ...boundRow(`${name}: lost or repeated queries, missed or repeated versions`, faults.length, 0, ''),
      floor: `${ended.toLocaleString('en')} queries of ${patrons} subscribers, ${versions.toLocaleString('en')} versions`,
    },
    {
      ...boundRow(`${name}: nodes declared dead`, died.length, 0, ''),
      floor: died.map(({ node_id, cause }) => `${node_id}: ${cause}`).join(', '),
    },
    ...p99Rows(
      `${name}: hand-over of a queued query until its new owner launches it`,
      pauses.queued,
      250,
      `${pauses.reruns} were stopped and run again`,
    ),
    ...p99Rows(`${name}: a subscriber is back`, back, 1_000, ''),
  )
}

/** No row where nothing happened: a short run may end before anything was handed over. */
function p99Rows(name: string, times: readonly number[], p99Ms: number, floor: string): Row[] {
  if (times.length === 0) return []
  return [{ ...latencyRow(name, spreadOf(times), p99Ms, p99Ms, floor), target: `p99 ≤ ${p99Ms} ms` }]
}

/** In the lane that has free slots, by the database's clock: from the step that gives a query away until the one by which its new owner launches it. */
async function pausesOf(storeUrl: string): Promise<{ queued: number[]; reruns: number }> {
  const rows = await ask(
    storeUrl,
    `SELECT next.at - given.at AS ms FROM query_transition given JOIN query_transition next ON next.handle = given.handle AND next.version = given.version + 1
     JOIN (SELECT handle, lane FROM finished_query UNION ALL SELECT handle, lane FROM current_query) both_tables ON both_tables.handle = given.handle
     WHERE given.event LIKE '%"HANDED_OVER"%' AND next.to_status = 'LAUNCHED' AND lane = 'light'`,
  )
  const [reruns] = await ask(storeUrl, 'SELECT COUNT(*) AS n FROM failed_attempt')
  return { queued: rows.map(({ ms }) => Number(ms)), reruns: Number(reruns?.n) }
}

/**
 * A node is killed that owns ten thousand queued queries: until the last of them is a survivor's, at subscribers there, and what
 * that costs the survivors in memory.
 */

import { ask } from '../../support/invariants.ts'
import { eventually, type NodeProcess, type TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'
import { type Bench, unlimited } from '../bench.ts'
import { HttpClient } from '../http-client.ts'
import { watchedPeak } from '../memory.ts'
import { boundRow, latencyRow, spreadOf } from '../report.ts'
import { sizeOf } from '../sizes.ts'
import { StreamWatch } from '../stream-watch.ts'

/** Of one subscriber: few enough that all their changes at once fit into what one reader may have unsent. */
const perSubscriber = 200

/** About 40 s a trial; `LENS_BENCH_ORPHANS` queries, `LENS_BENCH_ORPHAN_TRIALS` trials. */
export function measureManyOrphans(bench: Bench): Promise<void> {
  const count = sizeOf(bench, 'ORPHANS', 10_000, 400)
  const trials = sizeOf(bench, 'ORPHAN_TRIALS', 5, 1)
  // One slot, which is taken: nothing of the queue moves before its owner dies.
  return bench.withCluster(3, { ...unlimited, LENS_LANES_HEAVY_SLOTS: '1' }, async (cluster, storeUrl) => {
    const whole: number[] = []
    const each: number[] = []
    const more: number[] = []
    const claims: number[] = []
    for (let trial = 0; trial < trials; trial++) {
      const { times, moreMiB, claimMs } = await oneTrial(cluster, storeUrl, count)
      each.push(...times)
      whole.push(Math.max(...times))
      more.push(...moreMiB)
      claims.push(claimMs)
    }
    const queries = count.toLocaleString('en')
    bench.tell(
      {
        ...latencyRow(
          `failover: ${queries} queries on the dead node, until all are elsewhere`,
          spreadOf(whole),
          2_000,
          5_000,
        ),
        floor: `each by itself: p50 ${spreadOf(each).p50.toFixed(0)} ms; all claimed in the database after ${spreadOf(claims).p50.toFixed(0)} ms`,
      },
      boundRow(
        `failover: ${queries} queries on the dead node, memory of a survivor more`,
        Math.max(...more),
        150,
        ' MB',
      ),
    )
  })
}

async function oneTrial(cluster: TestCluster, storeUrl: string, count: number) {
  const leader = await cluster.leader()
  const [victim, ...others] = cluster.running.filter(node => node !== leader) as [NodeProcess, ...NodeProcess[]]
  const blocking = await leader.session('blocking')
  await leader.submit(blocking.token, { sql: endless, lane: 'heavy' })
  const sessions = await Promise.all(
    Array.from({ length: Math.ceil(count / perSubscriber) }, () => leader.session('many')),
  )
  const watches = await Promise.all(
    sessions.map(({ token }) => new StreamWatch(leader.url, token).subscribe({ topic: 'session' })),
  )
  for (const { token } of sessions) {
    const client = new HttpClient(victim.port, 32, token)
    const submit = () => client.call('POST', '/api/v1/queries', { sql: 'select 42 as answer', lane: 'heavy' })
    const answers = await Promise.all(Array.from({ length: perSubscriber }, submit))
    client.close()
    if (answers.some(({ status }) => status !== 202)) throw new Error('a submission was refused')
  }
  // The few that the leader moved meanwhile are nobody's orphans.
  const rows = await ask(storeUrl, 'SELECT handle FROM current_query WHERE owner_node = ?', [victim.name])
  const owned = new Set(rows.map(({ handle }) => String(handle)))
  if (owned.size < count * 0.9) throw new Error(`it owns only ${owned.size}`)
  const peaks = [leader, ...others].map(({ pid }) => watchedPeak(pid))
  const from = performance.now()
  victim.signal('SIGKILL')
  const elsewhere = (watch: StreamWatch) =>
    [...watch.seen.values()]
      .filter(([first]) => owned.has(first?.handle ?? ''))
      .map(versions => versions.find(({ node }) => node !== victim.name))
  for (const watch of watches)
    await watch.until('all of them elsewhere', () => {
      return watch.seen.size >= perSubscriber && elsewhere(watch).every(seen => seen !== undefined)
    })
  const times = watches.flatMap(elsewhere).map(seen => (seen?.at ?? Number.NaN) - from)
  const moreMiB = peaks.map(peak => peak())
  const [failover] = await ask(
    storeUrl,
    'SELECT done_at - detected_at AS ms FROM failover WHERE node_id = ? ORDER BY detected_at DESC LIMIT 1',
    [victim.name],
  )
  for (const watch of watches) watch.close()
  await victim.exited
  await (await cluster.start({ name: victim.name, port: victim.port })).ready()
  for (const { id, token } of [...sessions, blocking])
    await leader.call('DELETE', `/api/v1/sessions/${id}?cancelQueries=true`, { token })
  await eventually('nothing is left', async () => {
    const [left] = await ask(storeUrl, 'SELECT COUNT(*) AS n FROM current_query')
    return Number(left?.n) === 0
  })
  await cluster.settled(3)
  return { times, moreMiB, claimMs: Number(failover?.ms) }
}

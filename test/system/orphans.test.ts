/**
 * Ten thousand orphans at once: recovered by two survivors in bounded memory, and one among them that cannot be restored fails
 * alone. No event tells of them; the leader's standing query finds them.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { joined, storeOn } from '../conformance/store-fixtures.ts'
import { openSession, submitQueries } from '../support/cluster/queries.ts'
import { eventually } from '../support/conditions.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { TestCluster } from '../support/nodes.ts'

const mysql = mysqlDatabases(test)

const orphans = 10_000
/** Until each has a new owner, and then until all have run: garbage of five thousand queries counts too, as the kernel sees it. */
const moreMemoryMaxMiB = { taken: 150, ended: 200 }

/** Of the status of a process, in MiB: VmRSS now, VmHWM the highest since the last `forgetPeak`. */
function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1]) / 1024
}

const forgetPeak = (pid: number) => writeFileSync(`/proc/${pid}/clear_refs`, '5')

test('10,000 orphans are recovered by two nodes in at most 150 MB more each; the one with a broken snapshot fails alone (kyuubi PR 5313, kyuubi#7244)', async t => {
  const url = await mysql.create(t)
  const store = await storeOn(t, url)
  // A member that dies without a trace: no failover, no lease that runs out, no connection that closes.
  const ghost = await joined(store, 'ghost')
  const sessionId = await openSession(store)
  const cluster = new TestCluster(url, {
    LENS_LIMITS_RUNNING_PER_USER: '100000',
    LENS_LIMITS_QUEUED_PER_USER: '20000',
  })
  t.teardown(() => cluster.stop())
  const nodes = await Promise.all(['n1', 'n2'].map(name => cluster.start({ name })))
  await Promise.all(nodes.map(node => node.ready()))
  await cluster.settled(3)

  const handles = await submitQueries(store, sessionId, ghost, orphans, {
    sql: 'select 6::int * 7 answer',
    lane: 'auto',
    engine: null,
  })
  const broken = handles[4321] as string
  await ask(
    url,
    `UPDATE current_query SET snapshot = JSON_SET(snapshot, '$.context.attempt', 'many') WHERE handle = ?`,
    [broken],
  )
  // Counted as the nodes count, so that the counters can be compared at the end.
  await ask(
    url,
    "INSERT INTO usage_counter (scope, value) VALUES ('queued:user:ada', ?) ON DUPLICATE KEY UPDATE value = value + ?",
    [orphans, orphans],
  )
  await ask(
    url,
    "INSERT INTO usage_counter (scope, value) VALUES ('queued:lane:light', ?) ON DUPLICATE KEY UPDATE value = value + ?",
    [orphans, orphans],
  )
  const before = nodes.map(({ pid }) => memoryOf(pid, 'VmRSS'))
  for (const { pid } of nodes) forgetPeak(pid)
  const bounded = (by: keyof typeof moreMemoryMaxMiB) =>
    nodes.forEach(({ name, pid }, index) => {
      const more = memoryOf(pid, 'VmHWM') - (before[index] as number)
      t.log(`${by}: ${name} took ${Math.round(more)} MiB more than ${Math.round(before[index] as number)} MiB`)
      t.true(more <= moreMemoryMaxMiB[by], `${by}: ${name} took ${more} MiB more`)
    })
  await ask(url, "UPDATE member SET state = 'dead' WHERE incarnation = ?", [ghost.incarnation])

  await eventually(
    () => ask(url, 'SELECT COUNT(*) AS n FROM current_query WHERE owner_incarnation = ?', [ghost.incarnation]),
    ([row]) => Number(row?.n) === 0,
    { what: 'a new owner for each orphan', withinMs: 100_000, periodMs: 50 },
  )
  bounded('taken')
  await eventually(
    async () => {
      const [row] = await ask(url, 'SELECT COUNT(*) AS unfinished FROM current_query')
      return Number(row?.unfinished)
    },
    unfinished => unfinished === 0,
    { what: 'the end of all orphans', withinMs: 200_000, periodMs: 200 },
  )
  bounded('ended')

  const outcomes = await ask(url, 'SELECT outcome, COUNT(*) AS n FROM finished_query GROUP BY outcome ORDER BY outcome')
  t.deepEqual(
    outcomes.map(({ outcome, n }) => [outcome, Number(n)]),
    [
      ['FAILED', 1],
      ['SUCCESSFUL', orphans - 1],
    ],
  )
  const owners = await ask(url, 'SELECT owner_node, COUNT(*) AS n FROM finished_query GROUP BY owner_node')
  t.deepEqual(owners.map(({ owner_node }) => owner_node).sort(), ['n1', 'n2'], 'both had their share')

  const { token } = (await nodes[0]?.session('admin')) ?? { token: '' }
  for (const node of nodes) {
    const query = await node.query(token, broken)
    t.is(query.status, 'FAILED')
    t.is(query.error.code, 'RECOVERY_FAILED')
    t.regex(query.error.message, /attempt/, 'it says what is wrong')
    t.deepEqual(await node.rows(token, handles[7] as string), [[42]])
    t.true(node.running)
  }
  t.deepEqual(await brokenInvariants(url, handles, [broken]), [])
})

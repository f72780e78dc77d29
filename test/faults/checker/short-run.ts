/**
 * A short run of a real cluster, recorded from outside through the public API: two users and an administrator on three nodes,
 * one of which is killed and one of which is frozen past its lease. What the checker must accept, and what is then falsified.
 */
import { setTimeout } from 'node:timers/promises'
import { directRows, longStatement, shortStatements } from '../../support/flights.ts'
import type { Teardown } from '../../support/folders.ts'
import { ask } from '../../support/invariants.ts'
import { createDatabase, privateMySqlServer } from '../../support/mysql.ts'
import { eventually, TestCluster } from '../../support/nodes.ts'
import { engineSamples } from '../engine-samples.ts'
import { finalRows } from '../final-rows.ts'
import { expectedRows, type FaultRecord, type HistoryRecord, monotonicMs, type RunRecord } from '../history.ts'
import { type RecordedSubscription, Recording, RecordingClient } from './recorder.ts'

const leaseMs = 1_000
const limits = { sessionsPerUser: 5, queuedPerUser: 40, queuedPerLane: 60, runningPerUser: 3 }
const slots = { duckdb: { light: 4, heavy: 2 } }

/** All records of the run. */
export async function shortRun(t: Teardown): Promise<HistoryRecord[]> {
  const given = process.env.LENS_TEST_MYSQL_URL
  const storeUrl = await createDatabase(t, given ?? (await privateMySqlServer(t)).url)
  const cluster = new TestCluster(storeUrl, {
    LENS_LEASE_MS: `${leaseMs}`,
    LENS_HEARTBEAT_MS: '250',
    LENS_LIMITS_SESSIONS_PER_USER: `${limits.sessionsPerUser}`,
    LENS_LIMITS_QUEUED_PER_USER: `${limits.queuedPerUser}`,
    LENS_LIMITS_RUNNING_PER_USER: `${limits.runningPerUser}`,
    LENS_LANES_QUEUED_MAX: `${limits.queuedPerLane}`,
    LENS_LANES_LIGHT_SLOTS: `${slots.duckdb.light}`,
    LENS_LANES_HEAVY_SLOTS: `${slots.duckdb.heavy}`,
    LENS_ENGINES_DUCKDB_THREADS: '1',
  })
  t.teardown(() => cluster.stop())
  const [n1, n2, n3] = await cluster.startAll(3)
  if (!n1 || !n2 || !n3) throw new Error('three nodes were asked for')
  const nodes = [n1, n2, n3]
  const recording = new Recording()
  const { records } = recording
  records.push(await runRecord(storeUrl))
  for (const sql of shortStatements) records.push(expectedRows(sql, await directRows(sql)))

  const alice = new RecordingClient(recording, 'a1', 'alice')
  const bob = new RecordingClient(recording, 'b1', 'bob')
  const admin = new RecordingClient(recording, 'x1', 'admin')
  await alice.open(n1, 'alice opens')
  await bob.open(n2)
  await admin.open(n3)
  for (const [revision, node] of nodes.entries()) {
    await alice.changeSession(node, revision + 1)
    for (const other of nodes) await alice.readSession(other)
  }
  const subscriptions: RecordedSubscription[] = [alice.subscribe(n1, 'session', {}), bob.subscribe(n2, 'session', {})]

  // Work of all kinds on all nodes, more than the limits let run at once.
  const handles = new Map<string, RecordingClient>()
  const keep = (client: RecordingClient, handle: string | null) => handle && handles.set(handle, client)
  const factors = [200, 200, 200, 200]
  for (const [index, factor] of factors.entries())
    keep(
      alice,
      await alice.submit(nodes[(index + 1) % 3] ?? n1, { sql: longStatement(factor), statement: `long ${factor}` }),
    )
  const [running = '', , , queued = ''] = handles.keys()
  for (const [index, sql] of [...shortStatements, ...shortStatements].entries())
    for (const client of [alice, bob])
      keep(client, await client.submit(nodes[index % 3] ?? n1, { sql, statement: sql, key: `${client.user} ${index}` }))
  for (const [index, sql] of shortStatements.entries())
    keep(bob, await bob.submit(nodes[(index + 1) % 3] ?? n1, { sql, statement: sql, key: `bob ${index}` }))
  keep(bob, await bob.submit(n1, { sql: shortStatements[3] ?? '', statement: shortStatements[3] ?? '', mode: 'sync' }))
  await alice.cancel(n2, queued)
  for (const node of nodes) await alice.poll(node, queued)

  // What is another's.
  for (const node of nodes) {
    await bob.poll(node, running)
    await bob.rows(node, running, 0, 10)
    await bob.readSession(node, alice.session)
    await admin.poll(node, running)
  }
  await bob.cancel(n3, running)
  await bob.drop(n1, running)
  subscriptions.push(bob.subscribe(n1, { handle: running }, {}))

  // One dies, one is a zombie for a while; who is left answers for them.
  const followed = alice.subscribe(n3, { handle: running }, { [running]: 0 })
  await eventually('the follower sees the query', () => followed.last.get(running))
  const killed = await during('kill', 'n3', 'ends', async () => n3.kill())
  records.push(killed)
  await followed.broken
  subscriptions.push(alice.subscribe(n1, { handle: running }, Object.fromEntries(followed.last)))
  await alice.poll(n1, running)
  records.push(
    await during('freeze', 'n2', 'silences', async () => {
      n2.signal('SIGSTOP')
      await eventually('n2 is declared dead', async () => {
        const fences = await ask(storeUrl, "SELECT 1 FROM failover WHERE node_id = 'n2'")
        return fences.length > 0
      })
      for (const handle of handles.keys()) await admin.poll(n1, handle)
      n2.signal('SIGCONT')
    }),
  )
  for (const handle of handles.keys()) await admin.poll(n2, handle)

  const living = [n1, n2]
  for (const [handle, client] of handles)
    await eventually(`${handle} ends`, async () => {
      for (const node of living) {
        const seen = await client.poll(node, handle)
        if (seen && seen.outcome === null) await client.poll(node, handle, seen.version, 500)
        if (!seen || seen.outcome === null) return false
      }
      return true
    })
  for (const [handle, client] of handles)
    for (const [index, limit] of [7, 300, 10_000].entries())
      for (let offset: number | null = 0, pages = 0; offset !== null && pages < 4; pages++)
        offset = await client.rows(living[(index + pages) % 2] ?? n1, handle, offset, limit)
  const [dropped = ''] = [...handles].flatMap(([handle, client]) => (client === bob ? [handle] : []))
  await bob.drop(n1, dropped)
  for (const node of living) {
    await bob.poll(node, dropped)
    await bob.rows(node, dropped, 0, 10)
  }
  for (const node of living) {
    for (const client of [alice, bob]) await client.list(node)
    await admin.list(node, '*')
  }

  // As many sessions as there may be, and one more; then closed here, refused there.
  const more = Array.from(
    { length: limits.sessionsPerUser },
    (_, index) => new RecordingClient(recording, `m${index}`, 'bob'),
  )
  for (const [index, client] of more.entries()) await client.open(living[index % 2] ?? n1)
  const [first] = more
  await first?.close(n1)
  for (const node of living) await first?.readSession(node)

  await eventually('n2 has joined again', async () => {
    const members = await ask(storeUrl, "SELECT 1 FROM member WHERE state = 'alive'")
    return members.length === living.length
  })
  // Longer than a frame may be under way: what is not seen by now is missing.
  await setTimeout(2_500)
  records.push({ record: 'end', atMs: monotonicMs(), running: living.map(({ name }) => name) })
  for (const node of living) {
    const { token } = await node.session('admin')
    const { body } = await node.call('GET', '/api/v1/engines', { token })
    const told = body.engines.map(({ name, running }: any) => ({ engine: name, running }))
    records.push(...(await engineSamples(node, told)))
  }
  for (const subscription of subscriptions) subscription.outlive()
  for await (const row of finalRows(storeUrl)) records.push(row)
  return records
}

async function runRecord(storeUrl: string): Promise<RunRecord> {
  const [row] = await ask(storeUrl, 'SELECT ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000) AS now')
  const clock = { monotonicMs: monotonicMs(), databaseMs: Number(row?.now) }
  return {
    ...{ record: 'run', seed: 'none', commit: 'none', clock, nodes: ['n1', 'n2', 'n3'], admins: ['admin'] },
    ...{ leaseMs, limits, slots },
  }
}

async function during(
  kind: string,
  node: string,
  effect: FaultRecord['effect'],
  fault: () => Promise<void>,
): Promise<FaultRecord> {
  const beginMs = monotonicMs()
  await fault()
  const healMs = effect === 'ends' ? null : monotonicMs()
  return { record: 'fault', id: kind, kind, node, beginMs, healMs, effect, recoveryMs: null }
}

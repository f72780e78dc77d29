/** All nodes die at once; whoever starts first, under the name and at the address of one of them, recovers everything. */
import test from 'ava'
import { directRows, longStatement, shortStatements } from '../support/flights.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { isAlive } from '../support/processes.ts'
import { childrenOf, startAgain } from '../support/restarts.ts'

const databases = mysqlDatabases(test)

test.serial('three nodes are killed at once, and one that starts again finishes what all had begun', async t => {
  const cluster = new TestCluster(await databases.create(t), {
    LENS_LANES_HEAVY_SLOTS: '3',
    LENS_LIMITS_RUNNING_PER_USER: '1000',
  })
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(3)
  const [n1, n2, n3] = nodes as [NodeProcess, NodeProcess, NodeProcess]
  const session = await n1.session('ada', { properties: { team: 'blue' } })
  const { token } = session
  const long = longStatement(30)

  const before = await n1.submit(token, { sql: shortStatements[3] as string })
  const finished = await n2.ended(token, before.handle)
  // Three fill the slots of the heavy lane, the others wait for them.
  const handles: string[] = []
  for (const node of [...nodes, ...nodes, ...nodes]) handles.push((await node.submit(token, { sql: long })).handle)
  const key = { 'idempotency-key': 'waited-for-at-a-node-that-dies' }
  const waiting = [
    n3.call('POST', '/api/v1/queries', { token, headers: key, body: { sql: long, mode: 'sync', name: 'keyed' } }),
    n3.call('POST', '/api/v1/queries', { token, body: { sql: long, mode: 'sync', name: 'lonely' } }),
  ].map(answer => answer.then(() => 'answered').catch(() => 'broken'))
  const named = async (node: NodeProcess, name: string) =>
    (await node.call('GET', `/api/v1/queries?name=${name}`, { token })).body.queries
  await eventually('the synchronous ones are there', async () =>
    (await Promise.all(['keyed', 'lonely'].map(name => named(n1, name)))).every(({ length }) => length === 1),
  )
  await eventually('some run and some wait', async () => {
    const statuses = new Set(await Promise.all(handles.map(async handle => (await n1.query(token, handle)).status)))
    return statuses.has('RUNNING') && statuses.has('QUEUED')
  })

  const engines = nodes.flatMap(node => childrenOf(node.pid))
  t.true(engines.length >= 3)
  for (const node of nodes) node.signal('SIGKILL')
  await Promise.all(nodes.map(node => node.exited))
  t.deepEqual(await Promise.all(waiting), ['broken', 'broken'])
  await eventually('no engine outlives its node', () => engines.every(pid => !isAlive(pid)))
  const killed = await ask(cluster.storeUrl, "SELECT incarnation FROM member WHERE state <> 'dead'")
  t.is(killed.length, 3)

  const again = await startAgain(cluster, n2)
  t.is(again.url, n2.url)
  // The session works without being opened again, as it was.
  const { body: seen } = await again.call('GET', `/api/v1/sessions/${session.id}`, { token })
  t.deepEqual(seen.properties, { team: 'blue' })
  const expected = await directRows(long)
  const [keyed] = await named(again, 'keyed')
  for (const handle of [...handles, keyed.handle]) {
    const ended = await again.ended(token, handle, 120_000)
    t.is(ended.outcome, 'SUCCESSFUL', JSON.stringify(ended.error))
    t.deepEqual(await again.rows(token, handle), expected)
  }
  const repeated = await again.call('POST', '/api/v1/queries', {
    token,
    headers: key,
    body: { sql: long, mode: 'sync', name: 'keyed' },
  })
  t.is(repeated.status, 200)
  t.is(repeated.body.query.handle, keyed.handle)
  t.deepEqual(repeated.body.rows, expected)
  const [unkeyed] = await named(again, 'lonely')
  const lost = await again.ended(token, unkeyed.handle)
  t.is(lost.outcome, 'FAILED')
  t.is(lost.error.code, 'NODE_LOST')

  t.deepEqual(await again.query(token, before.handle), finished)
  t.deepEqual(await again.rows(token, before.handle), await directRows(shortStatements[3] as string))
  const all = [before.handle, ...handles, keyed.handle, unkeyed.handle]
  t.deepEqual(await brokenInvariants(cluster.storeUrl, all), [])
  // Of these: on a machine with too much to do a member may have lost its lease, and have come back, before all were killed.
  const incarnations = killed.map(({ incarnation }) => incarnation).sort()
  let unexpected: unknown[] = []
  const deaths = await eventually('all three deaths are over', async () => {
    const { body } = await again.call('GET', '/api/v1/cluster/failovers', { token })
    unexpected = body.failovers.filter((one: any) => !incarnations.includes(one.incarnation))
    const ofThem = body.failovers.filter((one: any) => incarnations.includes(one.incarnation))
    return ofThem.length >= 3 && ofThem.every(({ doneAt }: any) => doneAt !== null) ? ofThem : null
  })
  if (unexpected.length > 0) t.log('lost their leases before:', unexpected)
  t.deepEqual(deaths.map(({ incarnation }: any) => incarnation).sort(), incarnations)
})

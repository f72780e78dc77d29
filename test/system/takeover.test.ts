/**
 * The heart of it: nodes are killed under running queries, a follower and then the leader, and nobody who asked anything of
 * the cluster has to ask again.
 */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { directRows, longStatement, shortStatements } from '../support/flights.ts'
import { Follower } from '../support/follower.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { StreamClient } from '../support/wire.ts'

const mysql = mysqlDatabases(test)

interface Submitted {
  readonly handle: string
  readonly sql: string
  readonly token: string
}

/** More rows than fit into one page. */
const manyRows =
  'select date::varchar flown, delay::int d, distance::int m, origin o, destination from flights where distance > 2700 order by all limit 30000'

test('a follower is killed, then the leader: every query ends under its handle, every session and subscription goes on', async t => {
  const url = await mysql.create(t)
  // With a limit, so that its counters are kept and can be compared.
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(3)
  const leader = await cluster.leader()
  const [follower, survivor] = nodes.filter(node => node !== leader) as [NodeProcess, NodeProcess]

  const sessions = new Map<NodeProcess, { id: string; token: string }>()
  for (const node of nodes)
    sessions.set(node, await node.session(`user-${node.name}`, { properties: { opened: node.name } }))
  const tokenOf = (node: NodeProcess) => (sessions.get(node) as { token: string }).token

  // One subscriber per session on the node that stays; one per node that is killed.
  const watchers = await Promise.all(
    nodes.map(async node => {
      const watcher = await new StreamClient(survivor.url, { token: tokenOf(node) }).opened()
      t.teardown(() => watcher.terminate())
      watcher.send({ type: 'subscribe', id: 'all', topic: 'session' })
      await watcher.frame('subscribed', frame => frame.type === 'subscribed')
      return { node, watcher }
    }),
  )
  const followers = new Map(
    [follower, leader].map(node => {
      const moving = new Follower(node.url, tokenOf(node), () => cluster.running.map(other => other.url))
      t.teardown(() => moving.close())
      return [node, moving]
    }),
  )

  const submitted: Submitted[] = []
  const submit = async (node: NodeProcess, sql: string) => {
    const { handle } = await node.submit(tokenOf(node), { sql })
    submitted.push({ handle, sql, token: tokenOf(node) })
    followers.get(node)?.follow(handle)
  }
  const submitAll = async () => {
    for (const node of cluster.running)
      for (const sql of [longStatement(60), longStatement(40), manyRows, ...shortStatements]) await submit(node, sql)
  }
  const unfinished = () =>
    ask(url, 'SELECT owner_node, status, lane, COUNT(*) AS n FROM current_query GROUP BY 1, 2, 3')

  for (const victim of [follower, leader]) {
    await submitAll()
    await eventually(
      unfinished,
      rows => rows.some(({ owner_node, status }) => owner_node === victim.name && status === 'RUNNING'),
      { what: `a query running on ${victim.name}` },
    )
    await victim.kill()
    t.like(await victim.exited, { signal: 'SIGKILL' })
    // Sessions of the dead go on at once, on every survivor.
    for (const node of cluster.running)
      for (const [origin, { id, token }] of sessions) {
        const { status, body } = await node.call('GET', `/api/v1/sessions/${id}`, { token })
        t.is(status, 200, `${node.name} serves the session of ${origin.name}`)
        t.deepEqual(body.properties, { opened: origin.name })
        const query = await node.submit(token, { sql: 'select 42::int answer' })
        submitted.push({ handle: query.handle, sql: 'select 42::int answer', token })
      }
  }

  for (const { handle, sql, token } of submitted) {
    const query = await survivor.ended(token, handle)
    t.is(query.status, 'SUCCESSFUL', JSON.stringify(query))
    t.deepEqual(await survivor.rows(token, handle), (await directRows(sql)) as unknown[][], sql)
  }
  const claims = await ask(
    url,
    `SELECT DISTINCT f.node_id FROM failover AS f JOIN query_transition AS t ON t.event LIKE '%"CLAIMED"%'`,
  )
  t.deepEqual(claims.map(({ node_id }) => node_id).sort(), [follower.name, leader.name].sort())

  for (const { node, watcher } of watchers) {
    const mine = submitted.filter(({ token }) => token === tokenOf(node))
    await eventually(() =>
      mine.every(({ handle }) => watcher.frames.some(frame => frame.query?.handle === handle && frame.query.outcome)),
    )
    for (const { handle } of mine) {
      const versions = watcher.frames
        .filter(frame => frame.type === 'query' && frame.query.handle === handle)
        .map(frame => frame.query.version)
      t.deepEqual(
        versions,
        versions.map((_, index) => index + 1),
        `${handle}, subscribed on ${survivor.name}`,
      )
      const [row] = await ask(url, 'SELECT version FROM finished_query WHERE handle = ?', [handle])
      t.is(versions.length, Number(row?.version), 'the last version was seen too')
    }
  }
  for (const [node, moving] of followers) {
    await eventually(() => moving.complete, Boolean, { what: `the subscriber of ${node.name} has seen all ends` })
    t.deepEqual(moving.faults(), [], `the subscriber of ${node.name}`)
    t.true(moving.moves > 0)
  }
  t.deepEqual(
    await brokenInvariants(
      url,
      submitted.map(({ handle }) => handle),
    ),
    [],
  )
})

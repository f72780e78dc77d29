/**
 * The connection breaks after the database has committed and before the node knows; and hints that never arrive. Nothing is
 * stranded, nothing is done twice.
 */
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../support/conditions.ts'
import { directRows, longStatement } from '../support/flights.ts'
import { Front } from '../support/front.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { commitOf, type Matches, type Request } from '../support/mysql-proxy.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { freePort } from '../support/ports.ts'
import { startProxiedCluster } from '../support/proxied-cluster.ts'
import { StreamClient } from '../support/wire.ts'

const mysql = mysqlDatabases(test)

const step = /UPDATE `?current_query/i
const transition = /INSERT INTO `?query_transition/i
const submission = commitOf(/INSERT INTO `?current_query/i)
const manyRows =
  'select date::varchar flown, delay::int d, distance::int m, origin, destination from flights where distance > 1800 order by all limit 60000'

/** The answer that was thrown away said that it was done. */
const wasCommitted = (request: Request) => request.answer?.kind === 'ok'

test.serial('the answers to the commits of submissions, steps, pages and ends are lost: each is done once', async t => {
  const { url, nodes, proxyOf } = await startProxiedCluster(t, mysql)
  const [node, other] = nodes
  const proxy = proxyOf(node)
  const { token } = await node.session('alice')
  const handles: string[] = []
  const watcher = await new StreamClient(other.url, { token }).opened()
  t.teardown(() => watcher.terminate())
  watcher.send({ type: 'subscribe', id: 'all', topic: 'session' })
  await watcher.frame('subscribed', frame => frame.type === 'subscribed')

  const moments: readonly (readonly [what: string, sql: string, at: Matches, key?: string])[] = [
    ['a submission', 'select 2001::int n', submission],
    ['a submission with a key', 'select 2002::int n', submission, 'only-once'],
    ['a launch', 'select 2003::int n', commitOf(step, transition, /LAUNCHED/)],
    ['a page', manyRows, commitOf(step, /INSERT INTO `?result_page/i)],
    ['an end', 'select 2004::int n', commitOf(step, /INSERT INTO `?finished_query/i)],
  ]
  for (const [what, sql, at, key] of moments) {
    const lost = proxy.loseAnswerTo(at)
    const headers: Record<string, string> = key ? { 'idempotency-key': key } : {}
    const { handle } = await node.submit(token, { sql }, headers)
    handles.push(handle)
    t.true(wasCommitted(await lost), what)
    const query = await other.ended(token, handle)
    t.is(query.status, 'SUCCESSFUL', what)
    t.is(query.attempt, 1, `${what}: it ran once`)
    t.deepEqual(await other.rows(token, handle), (await directRows(sql)) as unknown[][], what)
    t.deepEqual(
      (await ask(url, 'SELECT handle FROM finished_query WHERE sql_text = ?', [sql])).map(row => row.handle),
      [handle],
      `${what}: there is one of it`,
    )
    if (key) t.is((await other.submit(token, { sql }, headers)).handle, handle, 'the key still names it')
    await watcher.frame('the end', frame => frame.query?.handle === handle && frame.query.outcome !== null)
    const versions = watcher.frames.filter(frame => frame.query?.handle === handle).map(frame => frame.query.version)
    t.deepEqual(
      versions,
      versions.map((_, index) => index + 1),
      `${what}: every version once`,
    )
  }
  t.deepEqual(await ask(url, 'SELECT * FROM failover'), [], 'nobody was taken for dead')
  t.deepEqual(await brokenInvariants(url, handles), [])
})

test.serial('the answers to what a session does, and to a cancel, are lost: each is done once', async t => {
  const { url, nodes, proxyOf } = await startProxiedCluster(t, mysql)
  const [node, other] = nodes
  const proxy = proxyOf(node)

  const opening = proxy.loseAnswerTo(commitOf(/INSERT INTO `?session`? /i))
  const { id, token } = await node.session('bob')
  t.true(wasCommitted(await opening))
  t.is((await ask(url, "SELECT id FROM session WHERE user = 'bob'")).length, 1, 'one session was opened')
  t.is((await other.call('GET', `/api/v1/sessions/${id}`, { token })).status, 200)

  const change = proxy.loseAnswerTo(commitOf(/UPDATE `?session`? /i))
  const patched = await node.call('PATCH', `/api/v1/sessions/${id}`, { token, body: { properties: { a: '1' } } })
  t.true(wasCommitted(await change))
  t.is(patched.status, 200)
  const [row] = await ask(url, 'SELECT version, properties FROM session WHERE id = ?', [id])
  t.like(row, { version: 2, properties: '{"a":"1"}' }, 'changed once')

  const sql = longStatement(400)
  const { handle } = await node.submit(token, { sql })
  await eventually(
    () => node.query(token, handle),
    query => query.status === 'RUNNING',
    { what: 'it runs' },
  )
  const cancel = proxy.loseAnswerTo(({ sql: text }) => /UPDATE `?current_query.*cancel_requested/i.test(text))
  t.is((await node.call('DELETE', `/api/v1/queries/${handle}`, { token })).status, 202)
  t.true(wasCommitted(await cancel))
  t.is((await other.ended(token, handle)).status, 'CANCELED')

  const closing = proxy.loseAnswerTo(commitOf(/UPDATE `?session`? /i))
  t.is((await node.call('DELETE', `/api/v1/sessions/${id}`, { token })).status, 204)
  t.true(wasCommitted(await closing))
  for (const any of nodes) t.is((await any.call('GET', `/api/v1/sessions/${id}`, { token })).status, 401)
  await eventually(
    () => ask(url, 'SELECT id FROM session WHERE id = ?', [id]),
    rows => rows.length === 0,
  )
  t.deepEqual(await brokenInvariants(url, [handle]), [])
})

test.serial('the answers to the commits of a fencing, a claim and an election are lost: each is done once', async t => {
  const { url, cluster, proxyOf } = await startProxiedCluster(t, mysql)
  const leader = await cluster.leader()
  const [dead, survivor] = cluster.running.filter(node => node !== leader) as [NodeProcess, NodeProcess]
  const { token } = await survivor.session('alice')
  const sql = longStatement(60)
  const handles: string[] = []
  const submitOn = async (node: NodeProcess) => {
    for (let count = 0; count < 3; count++) handles.push((await node.submit(token, { sql })).handle)
    await eventually(
      () => ask(url, "SELECT handle FROM current_query WHERE status = 'RUNNING' AND owner_node = ?", [node.name]),
      rows => rows.length > 0,
      { what: `something runs on ${node.name}` },
    )
  }
  await submitOn(dead)
  const fencing = proxyOf(leader).loseAnswerTo(commitOf(/INSERT INTO `?failover/i))
  const claim = proxyOf(leader).loseAnswerTo(commitOf(step, transition, /CLAIMED/))
  await dead.kill()
  t.true(wasCommitted(await fencing), 'the fencing was committed')
  t.true(wasCommitted(await claim), 'the claim was committed')
  // Told at once: the new owners are at work although the leader never heard that they own anything.
  await submitOn(leader)
  // Whoever finishes a recovery knows only what it has claimed itself.
  const done = () => ask(url, 'SELECT queries FROM failover WHERE done_at IS NOT NULL')
  await eventually(done, ended => ended.length === 1, { what: 'the end of the first failover' })
  const election = proxyOf(survivor).loseAnswerTo(commitOf(/UPDATE `?lease/i))
  await leader.kill()
  t.true(wasCommitted(await election), 'the election was committed')

  const rows = (await directRows(sql)) as unknown[][]
  for (const handle of handles) {
    t.is((await survivor.ended(token, handle)).status, 'SUCCESSFUL')
    t.deepEqual(await survivor.rows(token, handle), rows)
  }
  const failovers = await eventually(
    () => ask(url, 'SELECT node_id, done_at, queries FROM failover ORDER BY detected_at'),
    all => all.length === 2 && all.every(({ done_at }) => done_at !== null),
    { what: 'the end of both failovers' },
  )
  t.deepEqual(
    failovers.map(({ node_id }) => node_id),
    [dead.name, leader.name],
    'each was fenced once',
  )
  const claimed = await ask(
    url,
    `SELECT handle, COUNT(*) AS n FROM query_transition WHERE event LIKE '%"CLAIMED"%' GROUP BY handle`,
  )
  const sum = (all: readonly Record<string, any>[], column: string) =>
    all.reduce((total, row) => total + Number(row[column]), 0)
  t.is(sum(failovers, 'queries'), sum(claimed, 'n'), 'what was claimed is counted once')
  const [lease] = await ask(url, 'SELECT holder_node, term FROM lease')
  t.is(lease?.holder_node, survivor.name)
  t.deepEqual(await brokenInvariants(url, handles), [])
})

/** Nodes that reach each other only through the database. */
async function startDeaf(t: ExecutionContext, cluster: TestCluster, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const port = await freePort()
    const front = await Front.start(t, port)
    front.blockBus()
    await cluster.start({ name, port, env: { LENS_ADVERTISE_URL: front.url } })
  }
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(names.length)
}

test.serial('no hint ever arrives: polling finds every version, who is dead, and what was claimed', async t => {
  const url = await mysql.create(t)
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  await startDeaf(t, cluster, ['n1', 'n2', 'n3'])
  const leader = await cluster.leader()
  const [dead, survivor] = cluster.running.filter(node => node !== leader) as [NodeProcess, NodeProcess]
  t.false(
    cluster.nodes.some(node => node.log.some(({ msg }) => msg === 'connected to a peer')),
    'nobody speaks to anybody',
  )
  const { token } = await survivor.session('alice')
  const watcher = await new StreamClient(survivor.url, { token }).opened()
  t.teardown(() => watcher.terminate())
  watcher.send({ type: 'subscribe', id: 'all', topic: 'session' })
  await watcher.frame('subscribed', frame => frame.type === 'subscribed')
  const sql = longStatement(240)
  const handles: string[] = []
  // In the heavy lane, slots for them might be found elsewhere before their owner reads, unhinted, what it was granted.
  for (const node of [dead, dead, leader, survivor])
    handles.push((await node.submit(token, { sql, lane: 'light' })).handle)
  await eventually(
    () => ask(url, "SELECT handle FROM current_query WHERE status = 'RUNNING' AND owner_node = ?", [dead.name]),
    rows => rows.length > 0,
    { what: `something runs on ${dead.name}` },
  )
  await dead.kill()
  // Nothing comes of the death but the end of its lease, nothing of the claim but the new owner's own look.
  const rows = (await directRows(sql)) as unknown[][]
  for (const handle of handles) {
    await watcher.frame(`the end of ${handle}`, frame => frame.query?.handle === handle && frame.query.outcome !== null)
    t.is((await leader.ended(token, handle)).status, 'SUCCESSFUL')
    t.deepEqual(await leader.rows(token, handle), rows)
    const versions = watcher.frames.filter(frame => frame.query?.handle === handle).map(frame => frame.query.version)
    t.deepEqual(
      versions,
      versions.map((_, index) => index + 1),
      `${handle}: every version once`,
    )
  }
  const [failover] = await ask(url, 'SELECT node_id, cause FROM failover')
  t.deepEqual({ ...failover }, { node_id: dead.name, cause: 'lease-expired' })
  t.deepEqual(await brokenInvariants(url, handles), [])
})

test.serial(
  'a query begins and ends while no hint arrives and nobody looks: subscribers see all of it, once',
  async t => {
    const url = await mysql.create(t)
    // Time enough between two looks for a short query.
    const cluster = new TestCluster(url, { LENS_SESSIONS_REVALIDATE_MS: '3000' })
    t.teardown(() => cluster.stop())
    await startDeaf(t, cluster, ['n1', 'n2'])
    const [here, there] = cluster.nodes as [NodeProcess, NodeProcess]
    const { token } = await here.session('alice')
    const subscribed = async (id: string, after?: Record<string, number>) => {
      const watcher = await new StreamClient(here.url, { token }).opened()
      t.teardown(() => watcher.terminate())
      watcher.send({ type: 'subscribe', id, topic: 'session', ...(after ? { after } : {}) })
      await watcher.frame('subscribed', frame => frame.type === 'subscribed')
      return watcher
    }
    const versionsOf = (watcher: StreamClient, handle: string) =>
      watcher.frames.filter(frame => frame.query?.handle === handle).map(frame => frame.query.version)
    const runShort = async () => {
      const { handle } = await there.submit(token, { sql: 'select 1::int one' })
      return there.ended(token, handle)
    }

    const before = await runShort()
    const watcher = await subscribed('first')
    const during = [await runShort(), await runShort(), await runShort()]
    const dropped = await runShort()
    t.is((await there.call('DELETE', `/api/v1/queries/${dropped.handle}/results`, { token })).status, 204)
    for (const { handle, version } of [...during, dropped]) {
      const all = Array.from({ length: handle === dropped.handle ? version + 1 : version }, (_, index) => index + 1)
      await watcher.frame(
        `the last version of ${handle}`,
        frame => frame.query?.handle === handle && frame.query.version === all.length,
      )
      t.deepEqual(versionsOf(watcher, handle), all)
    }
    // What another subscriber names it gets above that; what had ended before it came, it does not get.
    const [named] = during
    const late = await subscribed('late', { [named.handle]: 1 })
    const last = await runShort()
    for (const one of [watcher, late])
      await one.frame('the end of the last', frame => frame.query?.handle === last.handle && frame.query.outcome)
    t.deepEqual(versionsOf(watcher, before.handle), [])
    t.deepEqual([...new Set(late.frames.flatMap(({ query }) => query?.handle ?? []))], [named.handle, last.handle])
    t.is(versionsOf(late, named.handle)[0], 2)
    t.deepEqual(await brokenInvariants(url, [last.handle]), [])
  },
)

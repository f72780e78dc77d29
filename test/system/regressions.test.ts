/**
 * Failures that mature projects had, by their names: what was reported there is done here to real nodes over a real MySQL. Others
 * of them are shown where the same is tested anyway: river#1077 in `cluster/stall`, kyuubi PR 5313 and kyuubi#7244 in `orphans`,
 * trino-gateway#943 in `drain`.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { eventually as eventuallyTrue } from '../support/conditions.ts'
import { engineProcessesOf, processorTicksOf } from '../support/engine-processes.ts'
import { burningStatement, directRows, longStatement } from '../support/flights.ts'
import type { Teardown } from '../support/folders.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { createOrdinaryDatabase, executeAt, MySqlServer } from '../support/mysql.ts'
import { commitOf, MySqlProxy } from '../support/mysql-proxy.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'

let server: MySqlServer
test.before(async () => {
  server = await MySqlServer.start()
})
test.after.always(() => server?.destroy())

interface Scene {
  /** Straight to the database. */
  readonly url: string
  readonly cluster: TestCluster
  readonly proxies: ReadonlyMap<string, MySqlProxy>
}

/** Nodes that see each other, each with a proxy of its own before the database; with an account that a read-only server refuses. */
async function startScene(t: ExecutionContext, count: number): Promise<Scene> {
  const url = await createOrdinaryDatabase(t, server.url)
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000', LENS_STORE_RETRY_MS: '500' })
  t.teardown(() => cluster.stop())
  const proxies = new Map<string, MySqlProxy>()
  for (let index = 1; index <= count; index++) {
    const name = `n${index}`
    const proxy = await MySqlProxy.start(t, url)
    proxies.set(name, proxy)
    await cluster.start({ name, env: { LENS_STORE_URL: proxy.url } })
  }
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(count)
  return { url, cluster, proxies }
}

const proxyOf = ({ proxies }: Scene, node: NodeProcess) => proxies.get(node.name) as MySqlProxy
const elections = commitOf(/UPDATE `?lease/i)

/** Every gain of leadership, as the nodes' logs tell. */
const gainsOf = ({ cluster }: Scene) =>
  cluster.nodes.flatMap(({ name, log }) =>
    log.filter(({ msg }) => msg === 'leads').map(({ term }) => ({ name, term: Number(term) })),
  )

const leads = async (node: NodeProcess) => /^lens_leader(\{[^}]*\})? 1$/m.test(await node.metrics())

const lease = async ({ url }: Scene) => (await ask(url, 'SELECT holder_node, term FROM lease'))[0]

/** Ends a query of this owner's that runs, on whichever node it comes to its end. */
async function endsWell(
  t: ExecutionContext,
  { url }: Scene,
  node: NodeProcess,
  token: string,
  handles: string[],
  sql: string,
) {
  for (const handle of handles) {
    t.is((await node.ended(token, handle)).status, 'SUCCESSFUL')
    t.deepEqual(await node.rows(token, handle), (await directRows(sql)) as unknown[][])
  }
  t.deepEqual(await brokenInvariants(url, handles), [])
}

const runsOn = ({ url }: Scene, node: NodeProcess) =>
  eventually(`something runs on ${node.name}`, async () => {
    const sql = "SELECT handle FROM current_query WHERE status = 'RUNNING' AND owner_node = ?"
    return (await ask(url, sql, [node.name])).length > 0
  })

test.serial('oban#1488: an election that was rolled back makes no second leader', async t => {
  const scene = await startScene(t, 3)
  const { cluster, url } = scene
  const dead = await cluster.leader()
  const others = cluster.running.filter(node => node !== dead) as [NodeProcess, NodeProcess]
  const holds = others.map(node => ({ node, hold: proxyOf(scene, node).holdNext(elections) }))
  await dead.kill()
  // The first has changed the row and waits for its commit; then its transaction is rolled back, and the other one elected.
  const first = await Promise.race(holds.map(async ({ node, hold }) => hold.first.then(() => node)))
  for (const { hold } of holds) hold.first.catch(() => {})
  for (const { node, hold } of holds) if (node !== first) hold.release()
  const sql =
    'SELECT c.connection_id AS id FROM member_connection c JOIN member m ON m.incarnation = c.incarnation WHERE m.node_id = ?'
  const held = holds.find(({ node }) => node === first)?.hold
  for (const { id } of await ask(url, sql, [first.name])) await executeAt(server.url, `KILL ${id}`).catch(() => {})
  await held?.firstEnded
  held?.release()
  await eventually('one of the two leads', async () => (await Promise.all(others.map(leads))).some(Boolean))
  await eventually('both know the same leader', async () => {
    const { token } = await others[0].session('admin')
    const seen = await Promise.all(others.map(node => node.call('GET', '/api/v1/cluster', { token })))
    return seen.every(({ body }) => body.leader !== null && body.leader.node === seen[0]?.body.leader.node)
  })
  const gains = gainsOf(scene)
  t.is(
    new Set(gains.map(({ term }) => term)).size,
    gains.length,
    `nobody leads in a term of another: ${JSON.stringify(gains)}`,
  )
  const row = await lease(scene)
  for (const node of others) t.is(await leads(node), node.name === row?.holder_node, node.name)
  t.is(gains.filter(({ name }) => name === first.name || name === row?.holder_node).at(-1)?.term, Number(row?.term))
})

test.serial('oban#1250: a server that counts changed rows in place of found ones makes no node a leader', async t => {
  const url = await createOrdinaryDatabase(t, server.url)
  const cluster = new TestCluster(await countingChangedRows(t, url))
  t.teardown(() => cluster.stop())
  const nodes = [await cluster.start({ name: 'n1' }), await cluster.start({ name: 'n2' })]
  for (const node of nodes) {
    await eventually(`${node.name} ends`, () => node.exit)
    t.not(node.exit?.code, 0)
    t.regex(JSON.stringify(node.log), /rows for an update that finds one/)
    t.false(node.log.some(({ msg }) => msg === 'leads'))
  }
  t.deepEqual(await ask(url, "SELECT * FROM lease WHERE holder_incarnation <> ''"), [])
  t.deepEqual(await ask(url, 'SELECT * FROM member'), [])
})

/** A way to the database on which the client cannot ask for found rows, as with other drivers and proxies. Gives its URL. */
async function countingChangedRows(t: Teardown, storeUrl: string): Promise<string> {
  const target = new URL(storeUrl)
  const { port, hostname } = target
  const listener = createServer(client => {
    const upstream = connect(Number(port), hostname)
    client.once('data', (greeting: Buffer) => {
      // The client's answer to the server's greeting: header of four bytes, then its capabilities; the second is found rows.
      greeting[4] = (greeting[4] as number) & ~2
      upstream.write(greeting)
      client.pipe(upstream)
    })
    upstream.pipe(client)
    for (const socket of [client, upstream]) {
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => listener.close())
  target.port = String((listener.address() as AddressInfo).port)
  return target.href
}

test.serial(
  'river#1225: a leader whose database becomes read-only leads no more, and the work goes on when it is not',
  async t => {
    const scene = await startScene(t, 2)
    const { cluster } = scene
    const nodes = cluster.running
    const before = await lease(scene)
    await executeAt(server.url, 'SET GLOBAL read_only = 1')
    t.teardown(() => executeAt(server.url, 'SET GLOBAL read_only = 0'))
    await eventually('nobody leads', async () => (await Promise.all(nodes.map(leads))).every(leading => !leading))
    await executeAt(server.url, 'SET GLOBAL read_only = 0')
    const leader = await eventually('somebody leads again', async () => {
      for (const node of nodes) if (await leads(node)) return node
      return null
    })
    const row = await lease(scene)
    t.is(row?.holder_node, leader.name)
    t.true(Number(row?.term) > Number(before?.term), 'in a term of its own')
    const [other] = nodes.filter(node => node !== leader) as [NodeProcess]
    await Promise.all(nodes.map(node => node.ready()))
    const { token } = await leader.session('alice')
    const sql = longStatement(60)
    const { handle } = await other.submit(token, { sql })
    await runsOn(scene, other)
    await other.kill()
    await endsWell(t, scene, leader, token, [handle], sql)
  },
)

test.serial(
  'dbos#716: the database is lost in the middle of a recovery, and the recovery goes on when it is back',
  async t => {
    const scene = await startScene(t, 2)
    const { cluster } = scene
    const leader = await cluster.leader()
    const [dead] = cluster.running.filter(node => node !== leader) as [NodeProcess]
    const { token } = await leader.session('alice')
    const sql = longStatement(30)
    const handles: string[] = []
    for (let count = 0; count < 6; count++) handles.push((await dead.submit(token, { sql })).handle)
    await runsOn(scene, dead)
    const claim = proxyOf(scene, leader).holdNext(commitOf(/CLAIMED/))
    await dead.kill()
    await claim.first
    await server.kill()
    claim.release()
    await eventually('the node says that the database is away', async () => {
      const { status } = await leader.call('GET', `/api/v1/queries/${handles[0]}`, { token })
      return status === 503
    })
    await server.start()
    await leader.ready()
    await endsWell(t, scene, leader, token, handles, sql)
  },
)

test.serial('dbos#804: a node that starts again under its name takes nothing that was given to others', async t => {
  const scene = await startScene(t, 2)
  const { cluster, url, proxies } = scene
  const leader = await cluster.leader()
  const [dead] = cluster.running.filter(node => node !== leader) as [NodeProcess]
  const { token } = await leader.session('alice')
  const sql = longStatement(120)
  const handles: string[] = []
  for (let count = 0; count < 2; count++) handles.push((await dead.submit(token, { sql })).handle)
  await runsOn(scene, dead)
  await dead.kill()
  const again = await cluster.start({
    name: dead.name,
    port: dead.port,
    env: { LENS_STORE_URL: proxies.get(dead.name)?.url ?? url },
  })
  await again.ready()
  await cluster.settled(2)
  // Started again in the very next moment, it looks at the same rows under the same name while they run elsewhere.
  // (They may have ended by now.)
  await eventually('its queries run with who took them over', async () => {
    const started = `SELECT DISTINCT handle FROM query_transition WHERE event LIKE '%"STARTED"%' AND node = '${leader.name}'`
    return (await ask(url, started)).length === handles.length
  })
  await endsWell(t, scene, again, token, handles, sql)
  const claims = await ask(
    url,
    `SELECT handle, COUNT(*) AS n, SUM(node = '${again.name}') AS own FROM query_transition WHERE event LIKE '%"CLAIMED"%' GROUP BY handle`,
  )
  t.deepEqual(
    claims.map(({ n }) => Number(n)),
    handles.map(() => 1),
    'each was claimed once',
  )
  const launches = await ask(
    url,
    `SELECT handle, COUNT(*) AS n FROM query_transition WHERE event LIKE '%"LAUNCHED"%' GROUP BY handle`,
  )
  for (const { handle, n } of launches) t.true(Number(n) <= 2, `${handle} was launched ${n} times`)
})

test.serial('bull#1416: the original owner goes on after its work was taken, and ends what it ran', async t => {
  const scene = await startScene(t, 2)
  const { cluster, url } = scene
  const leader = await cluster.leader()
  const [zombie] = cluster.running.filter(node => node !== leader) as [NodeProcess]
  const { token } = await leader.session('alice')
  // Hours: it ends because it is ended.
  const sql = burningStatement(1_000_000)
  const { handle } = await zombie.submit(token, { sql })
  await runsOn(scene, zombie)
  zombie.signal('SIGSTOP')
  const running = "SELECT handle FROM current_query WHERE status = 'RUNNING' AND attempt = 2 AND owner_node = ?"
  await eventually('its successor runs it again', async () => (await ask(url, running, [leader.name])).length > 0)
  zombie.signal('SIGCONT')
  let seen: readonly string[] = []
  await eventuallyTrue(
    () => {
      const before = seen
      seen = engineProcessesOf(zombie.pid).map(pid => `${pid} ${processorTicksOf(pid)}`)
      return isDeepStrictEqual(seen, before)
    },
    Boolean,
    { what: () => `the engine of the one that woke works no more: ${seen}`, periodMs: 500 },
  )
  t.is((await ask(url, running, [leader.name])).length, 1, 'its successor runs it meanwhile')
  await zombie.ready()
  await zombie.call('DELETE', `/api/v1/queries/${handle}`, { token })
  t.is((await zombie.ended(token, handle)).status, 'CANCELED')
  const writers = await ask(
    url,
    'SELECT DISTINCT node FROM query_transition WHERE handle = ? AND epoch > 1 ORDER BY node',
    [handle],
  )
  t.deepEqual(writers, [{ node: leader.name }])
  t.deepEqual(await brokenInvariants(url, [handle]), [])
})

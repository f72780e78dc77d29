/**
 * A node is stopped in its tracks past its lease, also between its UPDATE and its COMMIT, with row locks in its hands. Others
 * go on in its place; when it wakes it tries to write what it had begun, and nothing of it is accepted.
 *
 * Each node reaches the database through a proxy of the test. While the node sleeps its heartbeats and its looks at the members are held
 * back, so that when it wakes it cannot learn what happened but by writing.
 */
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../support/conditions.ts'
import { directRows, longStatement } from '../support/flights.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { commitOf, type Hold, type Matches, MySqlProxy, statementLike } from '../support/mysql-proxy.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { StreamClient } from '../support/wire.ts'

const mysql = mysqlDatabases(test)

const manyRows =
  'select date::varchar flown, delay::int d, distance::int m, origin, destination from flights where distance > 1800 order by all limit 120000'

interface Scene {
  readonly t: ExecutionContext
  readonly url: string
  readonly cluster: TestCluster
  readonly nodes: readonly NodeProcess[]
  readonly proxies: ReadonlyMap<NodeProcess, MySqlProxy>
  readonly handles: string[]
}

async function startScene(t: ExecutionContext, count = 3): Promise<Scene> {
  const url = await mysql.create(t)
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  const proxies = new Map<NodeProcess, MySqlProxy>()
  for (let index = 1; index <= count; index++) {
    const proxy = await MySqlProxy.start(t, url)
    proxies.set(await cluster.start({ name: `n${index}`, env: { LENS_STORE_URL: proxy.url } }), proxy)
  }
  const nodes = [...proxies.keys()]
  await Promise.all(nodes.map(node => node.ready()))
  await cluster.settled(count)
  return { t, url, cluster, nodes, proxies, handles: [] }
}

const incarnationOf = async ({ url }: Scene, node: NodeProcess): Promise<string> => {
  const [row] = await ask(url, "SELECT incarnation FROM member WHERE node_id = ? AND state <> 'dead'", [node.name])
  return String(row?.incarnation)
}

/** How a node could learn that it was fenced without writing: its lease, and the rows of the members. */
const looks: Matches = statementLike(/heartbeat/)

interface Frozen {
  readonly node: NodeProcess
  readonly proxy: MySqlProxy
  readonly incarnation: string
  readonly blind: Hold
}

async function freeze(scene: Scene, node: NodeProcess): Promise<Frozen> {
  const proxy = scene.proxies.get(node) as MySqlProxy
  const incarnation = await incarnationOf(scene, node)
  node.signal('SIGSTOP')
  return { node, proxy, incarnation, blind: proxy.holdAll(looks) }
}

/** Resolves when the others have taken everything over while it sleeps. */
async function takenOver({ url, t }: Scene, { incarnation }: Frozen): Promise<void> {
  const [failover] = await eventually(
    () => ask(url, 'SELECT cause, done_at, queries FROM failover WHERE incarnation = ?', [incarnation]),
    rows => rows.length > 0 && rows[0]?.done_at !== null,
    { what: 'the end of the takeover' },
  )
  t.is(failover?.cause, 'lease-expired')
  const owned = await ask(url, 'SELECT handle FROM current_query WHERE owner_incarnation = ?', [incarnation])
  t.deepEqual(owned, [], 'not a row is left behind, locked or not')
}

/** Lets it see the truth, and waits until it serves again under another incarnation. */
async function rejoined(scene: Scene, { node, incarnation, blind }: Frozen): Promise<void> {
  const { t, cluster, url } = scene
  blind.release()
  await eventually(
    () => ask(url, "SELECT incarnation FROM member WHERE node_id = ? AND state = 'alive'", [node.name]),
    rows => rows.length === 1 && rows[0]?.incarnation !== incarnation,
    { what: `${node.name} joins again` },
  )
  await node.ready()
  await cluster.settled(cluster.running.length)
  const { token } = await node.session('after')
  const sql = 'select 7::int seven'
  const { handle } = await node.submit(token, { sql })
  scene.handles.push(handle)
  t.is((await node.ended(token, handle)).status, 'SUCCESSFUL', 'it serves again')
}

const step = /UPDATE `?current_query/i
const transition = /INSERT INTO `?query_transition/i

/**
 * The database said that no row was left for the zombie to write; or so much time has passed on a busy machine that it gave up
 * by itself before it asked.
 */
const refusalAfter = (node: NodeProcess, proxy: MySqlProxy, begin: number, handle: string) =>
  eventually(
    () =>
      proxy.requests
        .slice(begin)
        .some(
          ({ sql, answer }) =>
            step.test(sql) && sql.includes(handle) && answer?.kind === 'ok' && answer.affectedRows === 0,
        ) || node.log.some(({ msg }) => /^cut off from the database/.test(msg ?? '')),
    Boolean,
    { what: 'a write of the one that woke is refused' },
  )

/** What a node was about to commit when it was frozen. */
const moments: readonly { readonly what: string; readonly sql: string; readonly at: Matches }[] = [
  {
    what: 'a launch',
    sql: 'select count(*) n from flights where distance > 400',
    at: commitOf(step, transition, /LAUNCHED/),
  },
  { what: 'a page of rows', sql: manyRows, at: commitOf(step, /INSERT INTO `?result_page/i) },
  {
    what: 'the end of a query',
    sql: 'select origin, count(*) n from flights group by origin order by n desc, origin limit 11',
    at: commitOf(step, /INSERT INTO `?finished_query/i),
  },
]

test.serial(
  'frozen between UPDATE and COMMIT, of a launch, a page, an end: its locks are broken, its writes refused',
  async t => {
    const scene = await startScene(t)
    const { cluster, url, proxies } = scene
    for (const { what, sql, at } of moments) {
      const leader = await cluster.leader()
      const [victim, other] = cluster.running.filter(node => node !== leader) as [NodeProcess, NodeProcess]
      const { token } = await victim.session('alice')
      const watcher = await new StreamClient(other.url, { token }).opened()
      t.teardown(() => watcher.terminate())
      watcher.send({ type: 'subscribe', id: 'all', topic: 'session' })
      await watcher.frame('subscribed', frame => frame.type === 'subscribed')

      const proxy = proxies.get(victim) as MySqlProxy
      const held = proxy.holdNext(at)
      const { handle } = await victim.submit(token, { sql })
      scene.handles.push(handle)
      await held.first
      const frozen = await freeze(scene, victim)
      // Not by anything that it did: it sleeps, its COMMIT is in the test's hands.
      await held.firstEnded
      await takenOver(scene, frozen)
      const ofFirstEpoch = () =>
        ask(url, 'SELECT * FROM query_transition WHERE handle = ? AND epoch = 1 ORDER BY version', [handle])
      const before = await ofFirstEpoch()

      // It wakes while its successor is at work.
      const begin = proxy.requests.length
      victim.signal('SIGCONT')
      held.release()
      await refusalAfter(victim, proxy, begin, handle)
      await rejoined(scene, frozen)
      const query = await other.ended(token, handle)
      t.is(query.status, 'SUCCESSFUL', what)
      t.deepEqual(await ofFirstEpoch(), before, `${what}: nothing was added`)
      const rows = (await directRows(sql)) as unknown[][]
      t.deepEqual(await other.rows(token, handle), rows, what)
      t.deepEqual(await victim.rows(token, handle), rows, `${what}: read from the one that was frozen`)
      const versions = watcher.frames.filter(frame => frame.query?.handle === handle).map(frame => frame.query.version)
      t.deepEqual(
        versions,
        versions.map((_, index) => index + 1),
        `${what}: every version once`,
      )
      t.is(versions.length, query.version)
    }
    t.deepEqual(await brokenInvariants(url, scene.handles), [])
  },
)

test.serial(
  'frozen between INSERT and COMMIT of submissions: they are not there, and the keyed one is made once by its repetition',
  async t => {
    const scene = await startScene(t)
    const { cluster, url, proxies, handles } = scene
    const leader = await cluster.leader()
    const [victim, other] = cluster.running.filter(node => node !== leader) as [NodeProcess, NodeProcess]
    const { token } = await victim.session('alice')
    const proxy = proxies.get(victim) as MySqlProxy
    const plain = 'select 1001::int lost_with_its_node'
    const keyed = { sql: 'select 1002::int made_once' }
    const key = { 'idempotency-key': 'the-same-everywhere' }

    const held = proxy.holdAll(commitOf(/INSERT INTO `?current_query/i))
    const submissions = [
      victim.call('POST', '/api/v1/queries', { token, body: { sql: plain } }),
      victim.call('POST', '/api/v1/queries', { token, body: keyed, headers: key }),
    ]
    await held.first
    const frozen = await freeze(scene, victim)
    // The repetition meets a key that the frozen one inserted and never committed.
    const repeated = await eventually(
      () => other.call('POST', '/api/v1/queries', { token, body: keyed, headers: key }),
      answer => answer.status === 202,
      { what: 'the repetition is accepted' },
    )
    const { handle } = repeated.body
    handles.push(handle)
    await takenOver(scene, frozen)

    victim.signal('SIGCONT')
    held.release()
    for (const answer of await Promise.all(submissions)) {
      if (answer.status === 202) {
        t.is(answer.body.handle, handle, 'accepted can only be what the key names')
        continue
      }
      t.is(answer.status, 503)
      t.like(answer.body, { code: 'NODE_STOPPING', retryable: true })
    }
    await rejoined(scene, frozen)
    t.is((await other.ended(token, handle)).status, 'SUCCESSFUL')
    for (const table of ['current_query', 'finished_query']) {
      t.deepEqual(await ask(url, `SELECT handle FROM ${table} WHERE sql_text = ?`, [plain]), [], 'never there')
      t.deepEqual(
        (await ask(url, `SELECT handle FROM ${table} WHERE sql_text = ?`, [keyed.sql])).map(row => row.handle),
        table === 'finished_query' ? [handle] : [],
      )
    }
    t.deepEqual(await brokenInvariants(url, handles), [])
  },
)

test.serial('a leader is frozen in the middle of a claim: another one leads, and takes over from both', async t => {
  const scene = await startScene(t)
  const { cluster, url, proxies, handles } = scene
  const leader = await cluster.leader()
  const [dead, survivor] = cluster.running.filter(node => node !== leader) as [NodeProcess, NodeProcess]
  const { token } = await survivor.session('alice')
  const sql = longStatement(60)
  for (const node of [dead, dead, dead, leader, leader]) handles.push((await node.submit(token, { sql })).handle)
  await eventually(
    () => ask(url, "SELECT DISTINCT owner_node FROM current_query WHERE status = 'RUNNING'"),
    rows => [dead, leader].every(node => rows.some(({ owner_node }) => owner_node === node.name)),
    { what: 'queries run on both' },
  )
  const held = (proxies.get(leader) as MySqlProxy).holdNext(commitOf(step, transition, /CLAIMED/))
  await dead.kill()
  await held.first
  const frozen = await freeze(scene, leader)
  await held.firstEnded
  await takenOver(scene, frozen)
  const rows = (await directRows(sql)) as unknown[][]
  for (const handle of handles) {
    t.is((await survivor.ended(token, handle)).status, 'SUCCESSFUL')
    t.deepEqual(await survivor.rows(token, handle), rows)
  }
  const line = leader.log.length
  leader.signal('SIGCONT')
  held.release()
  await rejoined(scene, frozen)
  t.true(
    leader.log.slice(line).some(({ msg }) => msg === 'leads no more'),
    'the one that woke leads no more',
  )
  const [lease] = await ask(url, 'SELECT holder_node FROM lease')
  t.is(lease?.holder_node, survivor.name)
  t.deepEqual(await brokenInvariants(url, handles), [])
})

test.serial(
  'a node is frozen in the middle of joining: nobody waits for it, also when a leader must be found',
  async t => {
    const scene = await startScene(t)
    const { cluster, url, handles } = scene
    const proxy = await MySqlProxy.start(t, url)
    const held = proxy.holdNext(commitOf(/INSERT INTO `?member` /i))
    const joiner = await cluster.start({ name: 'n4', env: { LENS_STORE_URL: proxy.url } })
    await held.first
    joiner.signal('SIGSTOP')

    const members = () => ask(url, "SELECT incarnation FROM member WHERE state <> 'dead' ORDER BY incarnation")
    const before = await members()
    const [lease] = await ask(url, 'SELECT holder_node, term, expires_at FROM lease')
    await eventually(
      () => ask(url, 'SELECT term, expires_at FROM lease'),
      rows => Number(rows[0]?.expires_at) > Number(lease?.expires_at) && rows[0]?.term === lease?.term,
      { what: 'the leader renews its lease' },
    )
    t.deepEqual(await members(), before, 'nobody lost its lease')

    const dead = scene.nodes.find(({ name }) => name === lease?.holder_node) as NodeProcess
    const survivor = scene.nodes.find(node => node !== dead) as NodeProcess
    const { token } = await survivor.session('alice')
    handles.push((await dead.submit(token, { sql: longStatement(60) })).handle)
    await dead.kill()
    const query = await survivor.ended(token, handles[0] as string)
    t.is(query.status, 'SUCCESSFUL')
    t.not(query.owner.node, dead.name)

    joiner.signal('SIGCONT')
    held.release()
    await joiner.ready()
    const { handle } = await joiner.submit(token, { sql: 'select 8::int eight' })
    handles.push(handle)
    t.is((await survivor.ended(token, handle)).status, 'SUCCESSFUL')
    t.deepEqual(await brokenInvariants(url, handles), [])
  },
)

/**
 * Nodes leave and come back while clients work on them and on the others: no request fails. Real processes, one private
 * MySQL, and clients that repeat nothing (but for the client library, which must not fail at all).
 */
import test, { type ExecutionContext } from 'ava'
import { LensClient } from '../../src/client/index.ts'
import { directRows, longStatement, shortStatements } from '../support/flights.ts'
import { Follower } from '../support/follower.ts'
import { RawClient, type Statement, urlsOf, workOnce } from '../support/http-load.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { isAlive, startLens } from '../support/processes.ts'
import { childrenOf, restart } from '../support/restarts.ts'
import { Workers } from '../support/workers.ts'

const databases = mysqlDatabases(test)

async function startCluster(t: ExecutionContext, env: Record<string, string> = {}): Promise<TestCluster> {
  const cluster = new TestCluster(await databases.create(t), env)
  t.teardown(() => cluster.stop())
  return cluster
}

function statements(): Promise<Statement[]> {
  const texts = [...shortStatements, longStatement(2)]
  return Promise.all(texts.map(async sql => ({ sql, rows: await directRows(sql) })))
}

/** What the client library does in one round; throws what the library throws. */
async function libraryRound(client: LensClient, { sql, rows }: Statement): Promise<string> {
  const query = await client.submit(sql)
  const versions: number[] = []
  for await (const { version } of query.changes()) versions.push(version)
  if (versions.some((version, at) => version !== at + 1)) throw new Error(`versions ${versions.join(' ')}`)
  const seen: unknown[] = []
  for await (const row of query.rows()) seen.push(row)
  if (JSON.stringify(seen) !== JSON.stringify(rows)) throw new Error(`other rows: ${JSON.stringify(seen.slice(0, 3))}`)
  await client.queries({ limit: 3 })
  await client.estimate(sql)
  return query.handle
}

test.serial(
  'three nodes are restarted one after the other under load, and no request fails (trino-gateway#943)',
  async t => {
    const cluster = await startCluster(t)
    const nodes = await cluster.startAll(3)
    const known = urlsOf(nodes)
    const all = await statements()
    const statement = (index: number) => all[index % all.length] as Statement
    const sessions = await Promise.all(nodes.map(node => node.session('ada')))
    const tokenOf = (index: number) => sessions[index]?.token as string
    const followers = nodes.map((node, index) => new Follower(node.url, tokenOf(index)))
    const raw = nodes.flatMap((node, index) => [0, 1, 2].map(() => new RawClient(known, node.url, tokenOf(index))))
    const libraries = nodes.map(node => {
      const others = known.map(({ url }) => url).filter(url => url !== node.url)
      return new LensClient({ endpoints: [node.url, ...others], user: 'bob' })
    })
    t.teardown(async () => {
      for (const one of [...followers, ...raw]) one.close()
      await Promise.all(libraries.map(client => client.close().catch(() => {})))
    })

    const handles = new Set<string>()
    const workers = new Workers()
    for (const [index, client] of raw.entries())
      workers.add(`raw client ${index}`, round =>
        workOnce(client, statement(round + index), handle => {
          handles.add(handle)
          // In turns, so mostly not on the node where it was submitted.
          followers[handles.size % followers.length]?.follow(handle)
        }),
      )
    const libraryFailures: string[] = []
    for (const [index, client] of libraries.entries())
      workers.add(`library ${index}`, async round => {
        const chosen = statement(round + index)
        try {
          handles.add(await libraryRound(client, chosen))
        } catch (error) {
          libraryFailures.push(`${chosen.sql}: ${String(error)}`)
        }
      })

    await workers.allWorked()
    for (const [index, node] of nodes.entries()) {
      nodes[index] = await restart(cluster, node)
      await cluster.settled(3)
      await workers.allWorked()
    }
    await workers.end()

    t.deepEqual(
      raw.flatMap(client => client.failures),
      [],
    )
    t.deepEqual(libraryFailures, [])
    await eventually('the followers have seen the end of all', () =>
      followers.every(follower => follower.complete || follower.failures.length > 0),
    )
    t.deepEqual(
      followers.flatMap(follower => follower.faults()),
      [],
    )
    t.true(followers.every(({ moves }) => moves > 0))
    t.log(`${raw.reduce((sum, { answered }) => sum + answered, 0)} requests, ${handles.size} queries`)

    const [node] = cluster.running as [NodeProcess]
    const { token } = await node.session('admin')
    const list = await node.call('GET', '/api/v1/queries?user=*&limit=1000&status=FAILED,CANCELED', { token })
    t.deepEqual(list.body.queries, [])
    const { body } = await node.call('GET', '/api/v1/cluster/failovers', { token })
    t.deepEqual(body.failovers, [], 'a departure in order is nobody’s death')
  },
)

test.serial(
  'a connection that was idle when the drain began still gets its answer, and then the word to go',
  async t => {
    const cluster = await startCluster(t)
    const [leaving, staying] = (await cluster.startAll(2)) as [NodeProcess, NodeProcess]
    const { token } = await leaving.session('ada')
    // Holds the drain open: it can only be handed over once it is stopped at its engine.
    const long = await leaving.submit(token, { sql: longStatement(200) })
    await eventually('it runs', async () => (await leaving.query(token, long.handle)).status === 'RUNNING')
    const idle = new RawClient(urlsOf([leaving, staying]), leaving.url, token)
    const poll = new RawClient(urlsOf([leaving, staying]), leaving.url, token)
    t.teardown(() => {
      idle.close()
      poll.close()
    })
    t.is((await idle.send(`/api/v1/queries/${long.handle}`)).status, 200)
    const { version } = await leaving.query(token, long.handle)
    const polled = poll.send(`/api/v1/queries/${long.handle}?after=${version + 100}&waitMs=60000`)
    leaving.signal('SIGTERM')
    await eventually('readiness is false', async () => (await fetch(`${leaving.url}/readyz`)).status === 503)
    const early = await polled
    t.is(early.status, 200)
    t.is(early.headers.connection, 'close', 'a long poll is answered early')
    const answer = await idle.send(`/api/v1/queries/${long.handle}`)
    t.is(answer.status, 200)
    t.is(answer.headers.connection, 'close')
    const listed = async (node: NodeProcess) => {
      const { body } = await node.call('GET', '/api/v1/cluster', { token })
      return body.nodes.find((member: { node: string }) => member.node === leaving.name)?.state
    }
    t.is(
      await eventually('the other node lists it as leaving', async () => (await listed(staying)) === 'draining'),
      true,
    )
    t.is(await listed(leaving), 'draining')
    // It still accepts, and gives what it accepted to the one that stays.
    const given = await leaving.submit(token, { sql: 'select 1::int one' })
    const ended = await staying.ended(token, given.handle)
    t.is(ended.outcome, 'SUCCESSFUL')
    t.is(ended.owner.node, staying.name)
    await leaving.call('DELETE', `/api/v1/queries/${long.handle}`, { token })
    t.deepEqual(await leaving.exited, { code: 0, signal: null })
  },
)

test.serial('an admin drains a node, by the API and by the command line, from any node', async t => {
  const cluster = await startCluster(t, { LENS_DRAIN_GRACE_MS: '50', LENS_LIMITS_RUNNING_PER_USER: '1000' })
  const [n1, n2, n3] = (await cluster.startAll(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const { token } = await n1.session('ada')
  const admin = await n1.session('admin')
  const drain = (at: NodeProcess, node: string, by: string) =>
    at.call('POST', `/api/v1/cluster/nodes/${node}/drain`, { token: by })
  const refused = await drain(n1, 'n2', token)
  t.deepEqual([refused.status, refused.body.code], [403, 'FORBIDDEN'])
  const unknown = await drain(n1, 'n9', admin.token)
  t.deepEqual([unknown.status, unknown.body.code], [404, 'NOT_FOUND'])
  const long = longStatement(60)
  const handles: string[] = []
  for (const node of [n1, n2, n3]) handles.push((await node.submit(token, { sql: long })).handle)

  // Another node, then the one that is asked.
  t.is((await drain(n1, 'n2', admin.token)).status, 202)
  t.deepEqual(await eventually('n2 leaves', () => n2.exit), { code: 0, signal: null })
  const lens = startLens(t, ['drain', 'n3', '--server', n1.url, '--user', 'admin'])
  t.deepEqual(await lens.exited, { code: 0, signal: null }, lens.err)
  t.regex(lens.out, /n3 is draining/)
  t.deepEqual(await eventually('n3 leaves', () => n3.exit), { code: 0, signal: null })
  for (const handle of handles) {
    const ended = await n1.ended(token, handle, 120_000)
    t.is(ended.outcome, 'SUCCESSFUL', JSON.stringify(ended.error))
    t.deepEqual(await n1.rows(token, handle), await directRows(long))
  }
  const { body } = await n1.call('GET', '/api/v1/cluster', { token })
  t.deepEqual(
    body.nodes.map(({ node, state }: any) => [node, state]),
    [['n1', 'alive']],
  )
  t.deepEqual((await n1.call('GET', '/api/v1/cluster/failovers', { token })).body.failovers, [])
  t.deepEqual(await brokenInvariants(cluster.storeUrl, handles), [])
  t.is((await drain(n1, 'n1', admin.token)).status, 202)
  t.deepEqual(await eventually('n1 leaves', () => n1.exit), { code: 0, signal: null })
})

test.serial('the last node leaves nothing running, and what it leaves behind goes on with who starts next', async t => {
  const cluster = await startCluster(t, {
    LENS_DRAIN_GRACE_MS: '50',
    LENS_LANES_HEAVY_SLOTS: '1',
    LENS_LIMITS_RUNNING_PER_USER: '1000',
  })
  const [alone] = (await cluster.startAll(1)) as [NodeProcess]
  const { token } = await alone.session('ada')
  const long = longStatement(60)
  const handles: string[] = []
  for (let count = 0; count < 4; count++) handles.push((await alone.submit(token, { sql: long })).handle)
  await eventually('one runs', async () => (await alone.query(token, handles[0] as string)).status === 'RUNNING')
  const engines = childrenOf(alone.pid)
  t.true(engines.length > 0)
  t.deepEqual(await alone.terminate(), { code: 0, signal: null })
  await eventually('nothing runs', () => engines.every(pid => !isAlive(pid)))
  const next = await (await cluster.start({ name: 'next' })).ready()
  for (const handle of handles) {
    const ended = await next.ended(token, handle, 120_000)
    t.is(ended.outcome, 'SUCCESSFUL', JSON.stringify(ended.error))
    t.deepEqual(await next.rows(token, handle), await directRows(long))
  }
  t.deepEqual(await brokenInvariants(cluster.storeUrl, handles), [])
})

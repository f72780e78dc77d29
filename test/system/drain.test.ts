/**
 * Nodes leave and come back while clients work on them and on the others: no request fails. Real processes, one private
 * MySQL, and clients that repeat nothing (but for the client library, which must not fail at all).
 */
import test, { type ExecutionContext } from 'ava'
import { LensClient } from '../../src/client/index.ts'
import { directRows, longStatement, shortStatements } from '../support/flights.ts'
import { Follower } from '../support/follower.ts'
import { RawClient, type Statement, urlsOf, workOnce } from '../support/http-load.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { Workers } from '../support/workers.ts'

const databases = mysqlDatabases(test)

async function startCluster(t: ExecutionContext, env: Record<string, string> = {}): Promise<TestCluster> {
  const cluster = new TestCluster(await databases.create(t), env)
  t.teardown(() => cluster.stop())
  return cluster
}

/** Ends a node in order, and starts one of the same name at the same address. */
async function restart(cluster: TestCluster, node: NodeProcess): Promise<NodeProcess> {
  const { code, signal } = await node.terminate()
  if (code !== 0) throw new Error(`${node.name} ended with ${code ?? signal}: ${JSON.stringify(node.log.slice(-5))}`)
  const { name, port } = node
  return (await cluster.start({ name, port })).ready()
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

test.serial('three nodes are restarted one after the other under load, and no request fails', async t => {
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
})

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

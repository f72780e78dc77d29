/**
 * The database goes away under load, in every way that it can, and comes back: clients get 503 with Retry-After or wait, what
 * runs at the engine runs on, nothing is lost, and nobody is declared dead. Nodes that find none at their start wait for it.
 */
import { setTimeout } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import test from 'ava'
import { directRows, longStatement, shortStatements } from '../support/flights.ts'
import { type RawAnswer, RawClient, type Statement, urlsOf } from '../support/http-load.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { createOrdinaryDatabase, executeAt, type MySqlServer, privateMySqlServer } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { sleepingFor } from '../support/sleeping.ts'
import { Workers } from '../support/workers.ts'

/** Some seconds: what runs on while the database is away. */
const long = longStatement(200)

const failedBeatsOf = async (node: NodeProcess): Promise<number> =>
  Number(/lens_lease_renewals_total\{outcome="failed"\} (\d+)/.exec(await node.metrics())?.[1] ?? 0)

interface Fault {
  readonly what: string
  begin(server: MySqlServer): Promise<void> | void
  end(server: MySqlServer): Promise<void> | void
  /** As many heartbeats as fail in more than a lease: each waits for an answer, or only for the next attempt. */
  readonly failedBeats: number
}

const faults: readonly Fault[] = [
  { what: 'shut down', begin: server => server.stop(), end: server => server.start(), failedBeats: 15 },
  { what: 'killed', begin: server => server.kill(), end: server => server.start(), failedBeats: 15 },
  { what: 'frozen', begin: server => server.pause(), end: server => server.resume(), failedBeats: 4 },
  {
    what: 'made read-only',
    begin: server => executeAt(server.url, 'SET GLOBAL read_only = 1'),
    end: server => executeAt(server.url, 'SET GLOBAL read_only = 0'),
    failedBeats: 15,
  },
]

/** What a client may be answered while the database is away. */
function saysStoreAway({ status, headers, body }: RawAnswer): boolean {
  return status === 503 && body.code === 'STORE_UNAVAILABLE' && body.retryable && Number(headers['retry-after']) > 0
}

class PatientClient {
  readonly raw: RawClient
  /** How often it was told to come back. */
  sentBack = 0
  readonly #name: string
  #keys = 0

  constructor(name: string, raw: RawClient) {
    this.#name = name
    this.raw = raw
  }

  /** Repeats for as long as it is told to; null: it failed. */
  async #ask(target: string, call: Parameters<RawClient['ask']>[1] = {}): Promise<RawAnswer | null> {
    for (;;) {
      const answer = await this.raw.ask(target, call, saysStoreAway)
      if (answer?.status !== 503) return answer
      this.sentBack++
      await setTimeout(50)
    }
  }

  /** Submits under a key, waits for the end, reads the rows; gives the handle. */
  async round({ sql, rows }: Statement): Promise<string | null> {
    const fail = (what: string, seen: unknown) => {
      this.raw.failures.push(`${what}: ${JSON.stringify(seen)}`)
      return null
    }
    const key = `${this.#name}-${this.#keys++}`
    const accepted = await this.#ask('/api/v1/queries', {
      method: 'POST',
      body: { sql, name: key },
      headers: { 'idempotency-key': key },
    })
    if (accepted?.status !== 202) return fail('not accepted', accepted)
    const { handle } = accepted.body
    for (let query = accepted.body; query.outcome !== 'SUCCESSFUL'; ) {
      if (query.outcome !== null) return fail('ended', query)
      const polled = await this.#ask(`/api/v1/queries/${handle}?after=${query.version}&waitMs=1000`)
      if (polled?.status !== 200) return fail('not found', polled)
      query = polled.body
    }
    const page = await this.#ask(`/api/v1/queries/${handle}/results?limit=1000`)
    if (page?.status !== 200) return fail('no rows', page)
    if (!isDeepStrictEqual(page.body.rows, rows)) return fail('other rows', page.body.rows.slice(0, 3))
    return handle
  }
}

test.serial('the database is shut down, killed, frozen and made read-only under load', async t => {
  const server = await privateMySqlServer(t)
  const cluster = new TestCluster(await createOrdinaryDatabase(t, server.url), {
    LENS_STORE_RETRY_MS: '300',
    LENS_LIMITS_RUNNING_PER_USER: '1000',
  })
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(2)
  const [n1] = nodes as [NodeProcess]
  const { token } = await n1.session('ada')
  const members = async () => {
    const { body } = await n1.call('GET', '/api/v1/cluster', { token })
    return body.nodes.map(({ node, incarnation, state }: any) => ({ node, incarnation, state }))
  }
  const before = await members()
  const statements = await Promise.all(shortStatements.map(async sql => ({ sql, rows: await directRows(sql) })))
  const clients = [0, 1, 2, 3].map(index => {
    const { url } = nodes[index % nodes.length] as NodeProcess
    return new PatientClient(`client-${index}`, new RawClient(urlsOf(nodes), url, token))
  })
  const handles = new Set<string>()
  const workers = new Workers()
  for (const [index, client] of clients.entries())
    workers.add(`client ${index}`, async round => {
      const handle = await client.round(statements[(round + index) % statements.length] as Statement)
      if (handle) handles.add(handle)
    })
  t.teardown(() => {
    for (const { raw } of clients) raw.close()
  })

  for (const { what, begin, end, failedBeats } of faults) {
    await workers.allWorked()
    const runs = await n1.submit(token, { sql: long })
    await eventually('it runs', async () => (await n1.query(token, runs.handle)).status === 'RUNNING')
    const started = await n1.query(token, runs.handle)
    const beats = await Promise.all(nodes.map(failedBeatsOf))
    const sentBack = clients.map(client => client.sentBack)
    await begin(server)
    await eventually(`more than a lease has passed since it was ${what}`, async () => {
      const now = await Promise.all(nodes.map(failedBeatsOf))
      return now.every((count, index) => count >= (beats[index] as number) + failedBeats)
    })
    await eventually(`every client was told that it was ${what}`, () =>
      clients.every((client, index) => client.sentBack > (sentBack[index] as number) || client.raw.failures.length > 0),
    )
    // Nobody reaches it, so nobody leaves the proxies' lists: that would help nobody.
    for (const node of nodes) {
      t.is((await fetch(`${node.url}/readyz`)).status, 200, what)
      t.is((await fetch(`${node.url}/healthz`)).status, 200, what)
    }
    await end(server)
    await workers.allWorked()

    t.deepEqual(await members(), before, `${what}: the same members, of the same incarnations`)
    const { body } = await n1.call('GET', '/api/v1/cluster/failovers', { token })
    t.deepEqual(body.failovers, [], `${what}: nobody is dead`)
    const ended = await n1.ended(token, runs.handle, 120_000)
    t.is(ended.outcome, 'SUCCESSFUL', `${what}: ${JSON.stringify(ended.error)}`)
    t.is(ended.attempt, 1, `${what}: it ran on`)
    t.is(ended.launchedAt, started.launchedAt)
    t.deepEqual(ended.owner, started.owner)
    t.deepEqual(await n1.rows(token, runs.handle), await directRows(long))
    handles.add(runs.handle)
  }
  await workers.end()

  t.deepEqual(
    clients.flatMap(({ raw }) => raw.failures),
    [],
  )
  t.log(`${handles.size} queries, sent back ${clients.reduce((sum, client) => sum + client.sentBack, 0)} times`)
  t.deepEqual(await brokenInvariants(cluster.storeUrl, [...handles]), [])
  for (const node of nodes) t.notRegex(await node.metrics(), /lens_fenced_total [1-9]/)
  // A key that was sent again and again while nobody knew what became of it has one query.
  const { body } = await n1.call('GET', '/api/v1/queries?limit=1000', { token })
  t.deepEqual(
    body.queries.filter(({ handle }: any) => !handles.has(handle)),
    [],
  )
})

test.serial('a database that is away when a node starts is waited for, and the node says so', async t => {
  const server = await privateMySqlServer(t)
  const url = await createOrdinaryDatabase(t, server.url)
  await server.stop()
  const cluster = new TestCluster(url, { LENS_STORE_RETRY_MS: '300' })
  t.teardown(() => cluster.stop())
  const node = await cluster.start({ name: 'n1' })
  await eventually('the log says that it waits', () =>
    node.log.find(({ msg }) => msg === 'the store cannot be reached, waiting for it'),
  )
  const readiness = await node.call('GET', '/readyz')
  t.is(readiness.status, 503)
  t.regex(readiness.body.reason, /joining/)
  t.is((await node.call('GET', '/healthz')).status, 200)
  const refused = await node.call('POST', '/api/v1/sessions', { body: { user: 'ada' } })
  t.is(refused.status, 503)
  t.is(refused.body.code, 'STORE_UNAVAILABLE')
  t.true(Number(refused.headers.get('retry-after')) > 0)
  t.true(node.running)
  await server.start()
  await node.ready()
  const { token } = await node.session('ada')
  const { handle } = await node.submit(token, { sql: 'select 1::int one' })
  t.is((await node.ended(token, handle)).outcome, 'SUCCESSFUL')
  t.deepEqual(await node.rows(token, handle), [[1]])
})

test.serial('a node that is told to leave while the database is away leaves all the same', async t => {
  const server = await privateMySqlServer(t)
  const cluster = new TestCluster(await createOrdinaryDatabase(t, server.url), {
    LENS_STORE_RETRY_MS: '300',
    LENS_DRAIN_GRACE_MS: '0',
    LENS_LIMITS_RUNNING_PER_USER: '10',
    LENS_DRAIN_READINESS_MS: '0',
  })
  t.teardown(() => cluster.stop())
  const [node, heir] = (await cluster.startAll(2)) as [NodeProcess, NodeProcess]
  const { token } = await node.session('ada')
  const { handle } = await node.submit(token, { sql: sleepingFor(5_000), onRecovery: 'rerun' })
  await eventually('it runs', async () => (await node.query(token, handle)).status === 'RUNNING')
  await server.stop()
  node.signal('SIGTERM')
  t.deepEqual(await node.exited, { code: 0, signal: null })
  t.truthy(
    node.log.find(({ msg }) => msg === 'the database does not answer: what is left here is for others to take over'),
  )
  await server.start()
  t.is((await heir.ended(token, handle)).outcome, 'SUCCESSFUL')
  t.deepEqual(await brokenInvariants(cluster.storeUrl, [handle]), [])
})

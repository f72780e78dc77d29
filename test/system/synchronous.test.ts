/**
 * A client waits at a node for its query, and the node stops or dies. It is told at once, never left hanging; with a key the
 * query goes on, and the repetition elsewhere waits for that very one; without a key nobody can come back: it is ended.
 */
import test, { type ExecutionContext } from 'ava'
import { directRows, longStatement } from '../support/flights.ts'
import { Broken, type RawAnswer, RawClient, urlsOf } from '../support/http-load.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { isAlive } from '../support/processes.ts'
import { childrenOf, startAgain } from '../support/restarts.ts'

const databases = mysqlDatabases(test)
const sql = longStatement(150)

interface Scene {
  readonly cluster: TestCluster
  readonly leaving: NodeProcess
  readonly staying: NodeProcess
  readonly token: string
}

let made: Promise<Scene> | undefined
let scenes = 0

/** One cluster for all tests of this file: the node that a test lost is started again by the next. */
async function scene(t: ExecutionContext): Promise<Scene> {
  made ??= (async () => {
    // Two heavy ones run at once in the cluster, one on each node.
    const cluster = new TestCluster(await shared, { LENS_LANES_HEAVY_SLOTS: '2', LENS_LIMITS_RUNNING_PER_USER: '1000' })
    const [leaving, staying] = (await cluster.startAll(2)) as [NodeProcess, NodeProcess]
    const { token } = await staying.session('ada')
    return { cluster, leaving, staying, token }
  })()
  const { cluster, leaving, staying, token } = await made
  if (leaving.running) return made
  t.log(`${leaving.name} starts again`)
  made = (async () => {
    const again = await startAgain(cluster, leaving)
    await cluster.settled(2)
    return { cluster, leaving: again, staying, token }
  })()
  return made
}

let shared: Promise<string>
const afterAll: (() => unknown)[] = []
test.before(() => {
  shared = databases.create({ teardown: task => void afterAll.push(task) })
})
test.after.always('stop the cluster', async () => {
  const { cluster } = (await made?.catch(() => undefined)) ?? {}
  await cluster?.stop()
  for (const task of afterAll.reverse()) await task()
})

interface Waiting {
  readonly name: string
  readonly answer: Promise<RawAnswer | Broken>
  readonly body: Readonly<Record<string, unknown>>
}

/** A synchronous submission that waits at the node that is to leave; resolves when its query has got to `status`. */
async function waitingAt({ leaving, staying, token }: Scene, t: ExecutionContext, key: string | null, status: string) {
  const name = `sync-${++scenes}`
  const client = new RawClient(urlsOf([leaving]), leaving.url, token)
  t.teardown(() => client.close())
  const body = { sql, mode: 'sync', timeoutMs: 200_000, name }
  const headers: Record<string, string> = key === null ? {} : { 'idempotency-key': key }
  const answer = client.send('/api/v1/queries', { method: 'POST', body, headers }).catch(error => error as Broken)
  const query = await eventually(`${name} is ${status}`, async () => {
    const list = await staying.call('GET', `/api/v1/queries?name=${name}`, { token })
    return list.body.queries.find((one: any) => one.status === status)
  })
  const waiting: Waiting = { name, answer, body }
  return { ...waiting, handle: query.handle as string }
}

async function assertOneResult(t: ExecutionContext, s: Scene, waiting: Waiting, handle: string, key: string) {
  const { staying, token, cluster } = s
  const again = await staying.call('POST', '/api/v1/queries', {
    token,
    body: waiting.body,
    headers: { 'idempotency-key': key },
  })
  t.is(again.status, 200, JSON.stringify(again.body))
  t.is(again.body.query.handle, handle)
  t.is(again.body.query.outcome, 'SUCCESSFUL')
  t.deepEqual(again.body.rows, await directRows(sql))
  const { body } = await staying.call('GET', `/api/v1/queries?name=${waiting.name}`, { token })
  t.is(body.queries.length, 1, 'one query, one result')
  t.deepEqual(await brokenInvariants(cluster.storeUrl, [handle]), [])
}

async function assertEnded(t: ExecutionContext, { staying, token, cluster }: Scene, handle: string) {
  const ended = await staying.ended(token, handle)
  t.is(ended.outcome, 'FAILED')
  t.is(ended.error.code, 'NODE_LOST')
  const { body } = await staying.call('GET', '/api/v1/engines', { token })
  t.true(
    body.engines.every(({ running }: any) => running === 0),
    JSON.stringify(body.engines),
  )
  t.deepEqual(await brokenInvariants(cluster.storeUrl, [handle]), [])
  return ended
}

function assertStopping(
  t: ExecutionContext,
  answer: RawAnswer | Broken,
  handle: string,
  leaving: NodeProcess,
): boolean {
  if (answer instanceof Broken) {
    t.fail(`the connection broke: ${answer.code}`)
    return false
  }
  const { status, headers, body } = answer
  t.is(status, 503)
  t.is(body.code, 'NODE_STOPPING')
  t.is(body.handle, handle)
  t.is(body.node, leaving.name)
  t.is(headers.connection, 'close')
  t.is(headers['content-type'], 'application/problem+json')
  t.is(headers['retry-after'] !== undefined, body.retryable)
  return body.retryable
}

test.serial('stopped, with a key: 503 NODE_STOPPING, and the repetition waits for the same query', async t => {
  const s = await scene(t)
  const waiting = await waitingAt(s, t, 'stopped', 'RUNNING')
  s.leaving.signal('SIGTERM')
  const retryable = assertStopping(t, await waiting.answer, waiting.handle, s.leaving)
  t.true(retryable)
  await assertOneResult(t, s, waiting, waiting.handle, 'stopped')
  t.deepEqual(await s.leaving.exited, { code: 0, signal: null })
})

test.serial('stopped, without a key: 503 NODE_STOPPING, FAILED with NODE_LOST, and nothing runs', async t => {
  const s = await scene(t)
  const running = await waitingAt(s, t, null, 'RUNNING')
  s.leaving.signal('SIGTERM')
  // Safe to repeat, since the engine is read-only.
  t.true(assertStopping(t, await running.answer, running.handle, s.leaving))
  t.is((await assertEnded(t, s, running.handle)).attempt, 1)
  t.deepEqual(await s.leaving.exited, { code: 0, signal: null })
})

test.serial('stopped, without a key and still queued: it is never launched', async t => {
  const s = await scene(t)
  const { staying, leaving, token } = s
  // These take all slots that there are, and more.
  const fillers: string[] = []
  for (const node of [staying, leaving, staying, leaving]) {
    const { handle } = await node.submit(token, { sql: longStatement(400) })
    fillers.push(handle)
  }
  const queued = await waitingAt(s, t, null, 'QUEUED')
  leaving.signal('SIGTERM')
  t.true(assertStopping(t, await queued.answer, queued.handle, leaving))
  const ended = await staying.ended(token, queued.handle)
  t.is(ended.error.code, 'NODE_LOST')
  t.is(ended.attempt, 0)
  for (const handle of fillers) await staying.call('DELETE', `/api/v1/queries/${handle}`, { token })
  for (const handle of fillers) t.is((await staying.ended(token, handle)).outcome, 'CANCELED')
  t.deepEqual(await leaving.exited, { code: 0, signal: null })
})

test.serial(
  'a synchronous query that comes while the node drains is not begun without a key, and kept with one',
  async t => {
    const s = await scene(t)
    const { staying, leaving, token, cluster } = s
    // Keeps the node draining until it is cancelled.
    const { handle: filler } = await leaving.submit(token, { sql: longStatement(600) })
    await eventually('it runs', async () => (await leaving.query(token, filler)).status === 'RUNNING')
    const { owner } = await leaving.query(token, filler)
    t.is(owner.node, leaving.name)
    leaving.signal('SIGTERM')
    await eventually('it drains', async () => (await fetch(`${leaving.url}/readyz`)).status === 503)
    const late = { sql: 'select 1::int one', mode: 'sync', name: 'late' }
    const refused = await leaving.call('POST', '/api/v1/queries', { token, body: late })
    t.is(refused.status, 503)
    t.is(refused.body.code, 'NODE_STOPPING')
    t.true(refused.body.retryable)
    t.is(refused.body.handle, undefined)
    t.deepEqual((await staying.call('GET', '/api/v1/queries?name=late', { token })).body.queries, [])
    const keyed = { token, body: { ...late, name: 'late-keyed' }, headers: { 'idempotency-key': 'late' } }
    const accepted = await leaving.call('POST', '/api/v1/queries', keyed)
    t.is(accepted.status, 503)
    t.is(accepted.body.code, 'NODE_STOPPING')
    t.true(accepted.body.retryable)
    const again = await staying.call('POST', '/api/v1/queries', keyed)
    t.is(again.status, 200)
    t.is(again.body.query.handle, accepted.body.handle)
    t.deepEqual(again.body.rows, [[1]])
    await leaving.call('DELETE', `/api/v1/queries/${filler}`, { token })
    t.deepEqual(await leaving.exited, { code: 0, signal: null })
    t.deepEqual(await brokenInvariants(cluster.storeUrl, [filler, accepted.body.handle]), [])
  },
)

test.serial('killed, with a key: the connection breaks, and the repetition waits for the same query', async t => {
  const s = await scene(t)
  const waiting = await waitingAt(s, t, 'killed', 'RUNNING')
  await s.leaving.kill()
  t.true((await waiting.answer) instanceof Broken)
  await assertOneResult(t, s, waiting, waiting.handle, 'killed')
})

test.serial('killed, without a key: the connection breaks, FAILED with NODE_LOST, and nothing runs', async t => {
  const s = await scene(t)
  const waiting = await waitingAt(s, t, null, 'RUNNING')
  const { owner } = await s.staying.query(s.token, waiting.handle)
  t.is(owner.node, s.leaving.name)
  const engines = childrenOf(s.leaving.pid)
  t.true(engines.length > 0)
  await s.leaving.kill()
  t.true((await waiting.answer) instanceof Broken)
  t.is((await assertEnded(t, s, waiting.handle)).attempt, 1)
  await eventually('its engine has ended too', () => engines.every(pid => !isAlive(pid)))
})

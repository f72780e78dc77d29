/**
 * A Trino behind whole nodes: whatever becomes of the owner of a query, and at whichever line, it is the same query of Trino that goes
 * on elsewhere, and its rows are there once and in order.
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { homeOf } from '../engines/trino-support.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { commitOf, type Matches, MySqlProxy, statementLike } from '../support/mysql-proxy.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { startTrino, type TrinoServer } from '../support/trino/index.ts'

const mysql = mysqlDatabases(test)
const over: (() => unknown)[] = []
const later = { teardown: (task: () => unknown) => over.push(task) }
let trino: TrinoServer
let storeUrl: string
let cluster: TestCluster
let victims = 0

/** Ten pages. Each test has a statement of its own, by which the server's queries are told apart. */
const count = 10_000
let statements = 0
const statementOf = () => `SELECT range AS n, ${++statements} AS statement FROM range(${count})`

test.before(async () => {
  // Long answers would hold the server's part of a test up.
  trino = await startTrino(later, { waitMs: 200 })
  await trino.sql('CREATE TABLE written (a BIGINT)')
  storeUrl = await mysql.create(later)
  // With a limit, so that its counters are kept and can be compared.
  cluster = new TestCluster(storeUrl, { LENS_LIMITS_RUNNING_PER_USER: '1000', LENS_DRAIN_GRACE_MS: '100' })
  over.push(() => cluster.stop())
  const file = path.join(cluster.folder, 'lens.yaml')
  writeFileSync(file, JSON.stringify({ engines: { duckdb: null, trino: { driver: 'trino', url: homeOf(trino) } } }))
  environment.LENS_CONFIG = file
  for (const name of ['n1', 'n2']) await cluster.start({ name, env: environment })
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(2)
})

test.afterEach.always(() => trino.clear())

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

const environment: Record<string, string> = { LENS_ENGINES_DUCKDB_THREADS: '' }
const survivor = () => cluster.running[0] as NodeProcess

/** A node that does not stay, and whose way to the store can be held. */
async function victim(t: ExecutionContext) {
  const store = await MySqlProxy.start(t, storeUrl)
  const node = await cluster.start({
    name: `victim-${++victims}`,
    env: { ...environment, LENS_STORE_URL: store.url },
  })
  t.teardown(() => node.kill())
  await node.ready()
  await cluster.settled(3)
  const { token } = await node.session('reader')
  return { node, store, token, submit: async (sql: string) => (await node.submit(token, { sql })).handle as string }
}

/** The query of Trino is one, and was begun once; all rows are there in order. */
async function isWhole(t: ExecutionContext, token: string, handle: string, sql: string): Promise<void> {
  const query = await survivor().ended(token, handle)
  t.like(query, { status: 'SUCCESSFUL', attempt: 1, result: { rowCount: count } }, JSON.stringify(query.error))
  t.deepEqual(
    (await survivor().rows(token, handle)).map(([n]) => n),
    Array.from({ length: count }, (_, n) => `${n}`),
  )
  t.deepEqual(
    (await trino.queries()).filter(known => known.sql === sql).map(({ began, cancelled }) => ({ began, cancelled })),
    [{ began: 1, cancelled: false }],
  )
  t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
}

/** Of the query of Trino with just this text. */
async function idOf(sql: string): Promise<string> {
  return (await trino.queries()).find(known => known.sql === sql)?.id ?? ''
}

for (const token of [0, 1, 5])
  test.serial(`killed while it waits for page ${token}`, async t => {
    const { node, token: session, submit } = await victim(t)
    const sql = statementOf()
    await trino.fault({ what: 'hold', match: { kind: 'executing', token, sql } })
    const handle = await submit(sql)
    await trino.asked({ kind: 'executing', token, sql })
    await node.kill()
    await trino.release()
    await isWhole(t, session, handle, sql)
  })

test.serial('killed before it has asked for anything', async t => {
  const { node, token, submit } = await victim(t)
  const sql = statementOf()
  await trino.fault({ what: 'hold', match: { kind: 'queued', sql } })
  const handle = await submit(sql)
  await trino.asked({ kind: 'queued', sql })
  await node.kill()
  await trino.release()
  await isWhole(t, token, handle, sql)
})

const step = /UPDATE `?current_query/i
const transition = /INSERT INTO `?query_transition/i
for (const [what, at] of [
  ['its identity not durable', commitOf(step, transition, /IDENTIFIED/)],
  ['its start not durable', commitOf(step, transition, /STARTED/)],
  ['a page not durable', statementLike(/INSERT INTO `?result_page/i)],
  ['a page durable, and the address of the next one not', commitOf(step, transition, /ADVANCED/)],
] as const satisfies readonly (readonly [string, Matches])[])
  test.serial(`killed with ${what}`, async t => {
    const { node, store, token, submit } = await victim(t)
    const sql = statementOf()
    const held = store.holdNext(at)
    const handle = await submit(sql)
    await held.first
    await node.kill()
    // Without its address it is submitted anew: the first one never begins.
    const isNameless = what === 'its identity not durable'
    if (isNameless) {
      const query = await survivor().ended(token, handle)
      t.is(query.status, 'SUCCESSFUL', JSON.stringify(query.error))
      t.is((await survivor().rows(token, handle)).length, count)
      t.deepEqual(
        (await trino.queries()).filter(known => known.sql === sql).map(({ began }) => began),
        [0, 1],
      )
    } else await isWhole(t, token, handle, sql)
    held.release()
    t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
  })

test.serial('frozen in the middle of its pages: it writes nothing when it wakes', async t => {
  const { node, token, submit } = await victim(t)
  const sql = statementOf()
  await trino.fault({ what: 'hold', match: { kind: 'executing', token: 4, sql } })
  const handle = await submit(sql)
  await trino.asked({ kind: 'executing', token: 4, sql })
  node.signal('SIGSTOP')
  await trino.release()
  await isWhole(t, token, handle, sql)
  node.signal('SIGCONT')
  await eventually('it has joined again', async () => {
    const { body } = await survivor().call('GET', '/api/v1/cluster', { token })
    return body.nodes.some(
      (member: { node: string; state: string }) => member.node === node.name && member.state === 'alive',
    )
  })
  await isWhole(t, token, handle, sql)
})

test.serial('drained in the middle of its pages: the next owner goes on', async t => {
  const { node, token, submit } = await victim(t)
  const sql = statementOf()
  await trino.fault({ what: 'hold', match: { kind: 'executing', token: 4, sql } })
  const handle = await submit(sql)
  await trino.asked({ kind: 'executing', token: 4, sql })
  t.deepEqual(await node.terminate(), { code: 0, signal: null })
  await trino.release()
  await isWhole(t, token, handle, sql)
})

test.serial('the owner of a write is killed: it was written once, and the query says so', async t => {
  const { node, token, submit } = await victim(t)
  const sql = `INSERT INTO written SELECT range FROM range(${count}) WHERE ${++statements} > 0`
  await trino.fault({ what: 'hold-answer', match: { kind: 'executing', sql } })
  const handle = await submit(sql)
  await trino.asked({ kind: 'executing', sql })
  await node.kill()
  await trino.release()
  const query = await survivor().ended(token, handle)
  t.like(query, { status: 'SUCCESSFUL', attempt: 1 }, JSON.stringify(query.error))
  t.deepEqual(await trino.sql('SELECT count(*) FROM written'), [[`${count}`]])
  t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
})

test.serial('Trino itself is started anew: what ran is told as lost, and what comes is served', async t => {
  const { token } = await survivor().session('reader')
  const sql = statementOf()
  await trino.fault({ what: 'hold', match: { kind: 'executing', token: 4, sql } })
  const { handle } = await survivor().submit(token, { sql })
  await trino.asked({ kind: 'executing', token: 4, sql })
  await trino.restart()
  await trino.release()
  t.like(await survivor().ended(token, handle), { status: 'FAILED', error: { code: 'EXECUTION_UNKNOWN' } })
  const again = (await survivor().submit(token, { sql })).handle
  t.is((await survivor().ended(token, again)).status, 'SUCCESSFUL')
})

test.serial('cancelled by another node: Trino has ended it', async t => {
  const [n1, n2] = cluster.running as [NodeProcess, NodeProcess]
  const { token } = await n1.session('reader')
  const sql = `SELECT count(*) AS n FROM range(100000000) a, range(100000000) b WHERE (a.range * b.range) % 1000003 = ${++statements}`
  const { handle } = await n1.submit(token, { sql })
  // Its estimate has the same text in it, and is asked for before.
  await eventually('it runs', async () => (await n2.query(token, handle)).status === 'RUNNING')
  await trino.asked({ kind: 'executing', sql, queryId: await idOf(sql) })
  await n2.call('DELETE', `/api/v1/queries/${handle}`, { token })
  const ended = await n2.ended(token, handle)
  t.is(ended.status, 'CANCELED', JSON.stringify(ended.error))
  t.deepEqual(
    (await trino.queries()).filter(known => known.sql === sql).map(({ cancelled }) => cancelled),
    [true],
  )
})

test.serial('cancelled before it began: it never does', async t => {
  const { token } = await survivor().session('reader')
  const sql = `INSERT INTO written SELECT ${++statements}`
  await trino.fault({ what: 'hold', match: { kind: 'post', sql } })
  const { handle } = await survivor().submit(token, { sql, lane: 'light' })
  await trino.asked({ kind: 'post', sql })
  await survivor().call('DELETE', `/api/v1/queries/${handle}`, { token })
  await trino.release()
  const ended = await survivor().ended(token, handle)
  t.is(ended.status, 'CANCELED', JSON.stringify(ended.error))
  t.deepEqual(
    (await trino.queries()).filter(known => known.sql === sql).map(({ began }) => began),
    [0],
  )
})

test.serial(
  'what a statement sets in its session is there for the next one, on every node, after a death too',
  async t => {
    const { node, token } = await victim(t)
    const other = survivor()
    const run = async (at: NodeProcess, sql: string) => at.ended(token, (await at.submit(token, { sql })).handle)
    t.is((await run(node, "SET SESSION query_max_run_time = '7m'")).status, 'SUCCESSFUL')
    t.is((await run(node, 'PREPARE mine FROM SELECT ? + 1 AS a')).status, 'SUCCESSFUL')
    await trino.sql('CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.here AS SELECT 5 AS five')
    t.is((await run(other, 'USE memory.elsewhere')).status, 'SUCCESSFUL')
    await node.kill()
    const executed = await run(other, 'EXECUTE mine USING 41')
    t.is(executed.status, 'SUCCESSFUL', JSON.stringify(executed.error))
    t.deepEqual(await other.rows(token, executed.handle), [[42]])
    const found = await run(other, 'SELECT five FROM here')
    t.is(found.status, 'SUCCESSFUL', JSON.stringify(found.error))
    const { headers } = await trino.asked({ kind: 'post', sql: 'SELECT five FROM here' })
    t.is(headers['x-trino-session'], 'query_max_run_time=7m')
  },
)

/** Owners of Trino's queries are killed, frozen and drained: it is the same query of Trino, and every row is there once and in order. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { ask, brokenInvariants } from '../../support/invariants.ts'
import { mysqlDatabases } from '../../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../../support/nodes.ts'
import { realTrino } from './server.ts'

const server = realTrino()
const mysql = mysqlDatabases(test)
const over: (() => unknown)[] = []
const environment: Record<string, string> = { LENS_ENGINES_DUCKDB_THREADS: '' }
let cluster: TestCluster
let storeUrl: string
let victims = 0
let statements = 0

/** Some hundred pages of Trino's. */
const count = 3_000_000

test.before(async () => {
  storeUrl = await mysql.create({ teardown: task => over.push(task) })
  cluster = new TestCluster(storeUrl, { LENS_LIMITS_RUNNING_PER_USER: '1000', LENS_DRAIN_GRACE_MS: '100' })
  over.push(() => cluster.stop())
  const file = path.join(cluster.folder, 'lens.yaml')
  const trino = { driver: 'trino', url: `${server.url}/memory/default` }
  writeFileSync(file, JSON.stringify({ engines: { duckdb: null, trino } }))
  environment.LENS_CONFIG = file
  for (const name of ['n1', 'n2']) await cluster.start({ name, env: environment })
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(2)
})

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

const survivor = () => cluster.running[0] as NodeProcess
const statementOf = () =>
  `SELECT sequential_number AS n, ${++statements} AS statement FROM TABLE(sequence(start => 0, stop => ${count - 1})) ORDER BY 1`

async function victim(t: ExecutionContext) {
  const node = await cluster.start({ name: `victim-${++victims}`, env: environment })
  t.teardown(() => node.kill())
  await node.ready()
  await cluster.settled(3)
  return { node, token: (await node.session('reader')).token }
}

const pagesOf = async (handle: string) =>
  Number((await ask(storeUrl, 'SELECT count(*) AS n FROM result_page WHERE handle = ?', [handle]))[0]?.n)

async function isWhole(t: ExecutionContext, token: string, handle: string, sql: string): Promise<void> {
  const query = await survivor().ended(token, handle, 120_000)
  t.like(query, { status: 'SUCCESSFUL', attempt: 1, result: { rowCount: count } }, JSON.stringify(query.error))
  t.true(query.owner.epoch > 1 || query.epoch > 1, 'nobody took it over')
  let next = 0
  for (const [n] of await survivor().rows(token, handle))
    if (n !== `${next++}`) return t.fail(`row ${next - 1} is ${n}`)
  t.is(next, count)
  t.is((await server.queries(sql)).length, 1)
  t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
}

for (const pages of [0, 1, 4])
  test.serial(`killed with ${pages} pages stored`, async t => {
    const { node, token } = await victim(t)
    const sql = statementOf()
    const { handle } = await node.submit(token, { sql, lane: 'light' })
    await eventually('it runs', async () => (await survivor().query(token, handle)).status === 'RUNNING')
    await eventually(`${pages} pages`, async () => (await pagesOf(handle)) >= pages)
    await node.kill()
    t.is((await survivor().query(token, handle)).outcome, null, 'it had ended before')
    await isWhole(t, token, handle, sql)
  })

test.serial('frozen in the middle of its pages', async t => {
  const { node, token } = await victim(t)
  const sql = statementOf()
  const { handle } = await node.submit(token, { sql, lane: 'light' })
  await eventually('2 pages', async () => (await pagesOf(handle)) >= 2)
  node.signal('SIGSTOP')
  await isWhole(t, token, handle, sql)
  node.signal('SIGCONT')
})

test.serial('drained in the middle of its pages', async t => {
  const { node, token } = await victim(t)
  const sql = statementOf()
  const { handle } = await node.submit(token, { sql, lane: 'light' })
  await eventually('2 pages', async () => (await pagesOf(handle)) >= 2)
  t.deepEqual(await node.terminate(), { code: 0, signal: null })
  await isWhole(t, token, handle, sql)
})

test.serial('the owner of a running write is killed: it is written once', async t => {
  const { node, token } = await victim(t)
  await server.sql('CREATE TABLE IF NOT EXISTS written (a bigint)')
  await server.sql('TRUNCATE TABLE written')
  // Long enough to be met while it runs.
  const sql = `INSERT INTO written SELECT count(*) FROM tpch.sf1.lineitem a JOIN tpch.sf1.lineitem b ON a.orderkey = b.orderkey GROUP BY a.linenumber + ${++statements}`
  const { handle } = await node.submit(token, { sql, lane: 'light' })
  await eventually('Trino runs it', async () =>
    (await server.queries(sql)).some(({ state }) => state === 'RUNNING' || state === 'FINISHING'),
  )
  await node.kill()
  t.is((await survivor().query(token, handle)).outcome, null, 'it had ended before')
  const query = await survivor().ended(token, handle, 120_000)
  t.like(query, { status: 'SUCCESSFUL', attempt: 1 }, JSON.stringify(query.error))
  t.deepEqual(await server.sql('SELECT count(*) FROM written'), [[7]])
  t.is((await server.queries(sql)).length, 1)
  t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
})

test.serial('cancelled at another node: Trino has ended it', async t => {
  const [n1, n2] = cluster.running as [NodeProcess, NodeProcess]
  const { token } = await n1.session('reader')
  const sql = `SELECT count(*) FROM tpch.sf100.lineitem a, tpch.sf100.lineitem b WHERE a.orderkey * b.orderkey = ${++statements}`
  const { handle } = await n1.submit(token, { sql, lane: 'light' })
  await eventually('Trino runs it', async () => (await server.queries(sql)).some(({ state }) => state === 'RUNNING'))
  await n2.call('DELETE', `/api/v1/queries/${handle}`, { token })
  const query = await n2.ended(token, handle)
  t.is(query.status, 'CANCELED', JSON.stringify(query.error))
  t.deepEqual(
    (await server.queries(sql)).map(({ state }) => state),
    ['FAILED'],
  )
})

/** A MySQL database behind whole nodes: what a client of the API sees of it, and what becomes of statements when nodes or the database go. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { sqlAt } from '../engines/mysql-support.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { createDatabase, MySqlServer, mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'

const mysql = mysqlDatabases(test)
const over: (() => unknown)[] = []
let server: MySqlServer
let url: string
let sales: string
let cluster: TestCluster

test.before(async () => {
  server = await MySqlServer.start()
  over.push(() => server.destroy())
  url = await createDatabase({ teardown: () => {} }, server.url)
  sales = new URL(await createDatabase({ teardown: () => {} }, server.url)).pathname.slice(1)
  await sqlAt(
    url,
    `CREATE TABLE ${sales}.orders (id bigint PRIMARY KEY, amount decimal(10, 2), at timestamp(3) NULL, note text);
     INSERT INTO ${sales}.orders VALUES (1, 12.50, FROM_UNIXTIME(1704067200.5), 'first'), (2, NULL, NULL, NULL);
     CREATE TABLE items (a integer)`,
  )
  const storeUrl = await mysql.create({ teardown: task => over.push(task) })
  // With a limit, so that its counters are kept and can be compared.
  const env = { LENS_DRAIN_GRACE_MS: '100', LENS_LIMITS_RUNNING_PER_USER: '1000' }
  cluster = new TestCluster(storeUrl, env)
  over.push(() => cluster.stop())
  const file = path.join(cluster.folder, 'lens.yaml')
  writeFileSync(file, JSON.stringify({ engines: { duckdb: null, app: { driver: 'mysql', url } } }))
  for (const name of ['n1', 'n2', 'n3'])
    await cluster.start({ name, env: { LENS_CONFIG: file, LENS_ENGINES_DUCKDB_THREADS: '' } })
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(3)
})

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

const node = (index: number) => cluster.nodes[index] as NodeProcess
const items = async () => Number((await sqlAt(url, 'SELECT COUNT(*) AS n FROM items'))[0]?.n)
const running = async (text: string) =>
  (await sqlAt(url, "SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND <> 'Sleep' AND INFO = ?", [text]))
    .length
const isRunning = (at: NodeProcess, token: string, handle: string, sql: string) =>
  eventually(
    `${sql} runs`,
    async () => (await at.query(token, handle)).status === 'RUNNING' && (await running(sql)) > 0,
  )

test.serial('the API’s own words: sessions, parameters, estimates, plans, prepared queries, tables', async t => {
  const { token } = await node(0).session('ann', {
    database: sales,
    properties: { sort_buffer_size: '131072', 'other.engine': 'x' },
  })
  const ask = async (body: Record<string, unknown>) =>
    (await node(1).call('POST', '/api/v1/queries', { token, body: { mode: 'sync', ...body } })).body
  t.deepEqual((await ask({ sql: 'SELECT id, amount, at FROM orders WHERE id = ?', parameters: [1] })).rows, [
    ['1', '12.50', '2024-01-01T00:00:00.500Z'],
  ])
  t.deepEqual((await ask({ sql: 'SELECT @@sort_buffer_size' })).rows, [['131072']])
  const refused = await ask({ sql: 'SELECT\n  missing FROM orders' })
  t.deepEqual([refused.code, refused.status], ['SQL_INVALID', 400])
  t.regex(refused.detail, /Unknown column 'missing'/)
  const failed = await ask({ sql: 'SELECT 9223372036854775806 + id FROM orders' })
  t.is(failed.query.error.code, 'EXECUTION_FAILED')
  const explained = await ask({ sql: 'SELECT * FROM orders', operation: 'explain' })
  t.regex(explained.query.plan, /orders/)
  const estimated = await ask({ sql: 'SELECT * FROM orders', operation: 'estimate' })
  t.is(estimated.query.estimate.lane, 'light')
  const prepared = await node(0).call('POST', '/api/v1/prepared-queries', {
    token,
    body: { sql: `SELECT note FROM ${sales}.orders WHERE id = ?` },
  })
  t.like(prepared.body, { parameterCount: 1, columns: [{ name: 'note', type: 'VARCHAR' }] })
  const executed = await node(1).call('POST', `/api/v1/prepared-queries/${prepared.body.handle}/executions`, {
    token,
    body: { parameters: [1], mode: 'sync' },
  })
  t.deepEqual(executed.body.rows, [['first']])
  const engines = await node(0).call('GET', '/api/v1/engines', { token })
  t.like(engines.body.engines, [{ name: 'app', driver: 'mysql', healthy: true }])
  const tables = await node(0).call('GET', '/api/v1/engines/app/tables', { token })
  t.deepEqual(tables.body.tables.map(({ name }: { name: string }) => name).sort(), ['items', `${sales}.orders`].sort())
})

test.serial('a cancel on another node ends the statement, and what it wrote is not there', async t => {
  const { token } = await node(0).session('ann')
  for (const sql of ['SELECT SLEEP(601)', 'INSERT INTO items SELECT SLEEP(601)']) {
    const { handle } = await node(0).submit(token, { sql })
    await isRunning(node(1), token, handle, sql)
    await node(1).call('DELETE', `/api/v1/queries/${handle}`, { token })
    t.is((await node(2).ended(token, handle)).status, 'CANCELED')
    t.is(await running(sql), 0)
  }
  t.is(await items(), 0)
})

test.serial(
  'the database dies and comes back: what ran runs again, what was written is there once, what came meanwhile waits',
  async t => {
    const { token } = await node(0).session('ann')
    const handles: string[] = []
    for (const sql of ['SELECT SLEEP(2)', 'INSERT INTO items SELECT SLEEP(2)']) {
      const { handle } = await node(0).submit(token, { sql })
      handles.push(handle)
      await isRunning(node(1), token, handle, sql)
    }
    await server.kill()
    // In a lane that needs no estimate.
    const late = await node(0).submit(token, { sql: 'SELECT 7', lane: 'light' })
    const waiting = await eventually('it says what it waits for', async () => {
      const query = await node(0).query(token, late.handle)
      return query.progress.message === '' ? null : query
    })
    t.like(waiting, { status: 'QUEUED', progress: { message: 'The engine app cannot be reached. Waiting for it.' } })
    await server.start()
    const served = await node(1).ended(token, late.handle)
    t.like(served, { status: 'SUCCESSFUL', progress: { message: '' } })
    t.true(served.failedAttempts.length <= 1, JSON.stringify(served))
    for (const handle of handles) {
      const query = await node(1).ended(token, handle)
      t.is(query.status, 'SUCCESSFUL', JSON.stringify(query))
      t.deepEqual(
        [...new Set(query.failedAttempts.map((failed: { code: string }) => failed.code))],
        ['ENGINE_UNAVAILABLE'],
      )
    }
    t.is(await items(), 1)
    t.deepEqual(await brokenInvariants(cluster.storeUrl, handles), [])
  },
)

test.serial('a node that leaves ends what it runs, and others run it again: once', async t => {
  const { token } = await node(0).session('ann')
  const sql = 'INSERT INTO items SELECT SLEEP(3)'
  const { handle } = await node(2).submit(token, { sql })
  await isRunning(node(0), token, handle, sql)
  t.is((await node(2).terminate()).code, 0)
  const query = await node(0).ended(token, handle)
  t.is(query.status, 'SUCCESSFUL', JSON.stringify(query))
  t.not(query.owner.node, 'n3')
  t.is(await items(), 2)
  t.deepEqual(await brokenInvariants(cluster.storeUrl, [handle]), [])
})

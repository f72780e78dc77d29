/** A PostgreSQL database behind whole nodes: what a client of the API sees of it, and what becomes of statements when nodes or the database go. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { tableFromIPC } from 'apache-arrow'
import test from 'ava'
import { sqlAt } from '../engines/postgresql-support.ts'
import type { HoldingProxy } from '../support/holding-proxy.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { PostgresProxy } from '../support/postgres-proxy.ts'
import { PostgresServer } from '../support/postgresql.ts'

const mysql = mysqlDatabases(test)
const over: (() => unknown)[] = []
let server: PostgresServer
let url: string
let cluster: TestCluster
/** To the same database, as the engine `far`. */
let way: HoldingProxy

test.before(async () => {
  server = await PostgresServer.start()
  over.push(() => server.destroy())
  url = await server.create('app')
  await sqlAt(
    url,
    `CREATE SCHEMA sales;
     CREATE TABLE sales.orders (id bigint PRIMARY KEY, amount numeric(10, 2), at timestamptz, note text, tags text[]);
     INSERT INTO sales.orders VALUES (1, 12.50, '2024-01-01 00:00:00.5Z', 'first', '{a,b}'), (2, NULL, NULL, NULL, NULL), (3, 'NaN', 'infinity', '', '{}');
     CREATE TABLE items (a integer)`,
  )
  way = await PostgresProxy.start({ teardown: task => over.push(task) }, Number(new URL(url).port))
  const storeUrl = await mysql.create({ teardown: task => over.push(task) })
  // With a limit, so that its counters are kept and can be compared.
  const env = { LENS_DRAIN_GRACE_MS: '100', LENS_LIMITS_RUNNING_PER_USER: '1000' }
  cluster = new TestCluster(storeUrl, env)
  over.push(() => cluster.stop())
  const file = path.join(cluster.folder, 'lens.yaml')
  const engines = { app: { driver: 'postgresql', url }, far: { driver: 'postgresql', url: way.through(url) } }
  writeFileSync(file, JSON.stringify({ engines: { duckdb: null, ...engines } }))
  for (const name of ['n1', 'n2', 'n3'])
    await cluster.start({ name, env: { LENS_CONFIG: file, LENS_ENGINES_DUCKDB_THREADS: '' } })
  await Promise.all(cluster.nodes.map(node => node.ready()))
  await cluster.settled(3)
})

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

const [n1, n2, n3] = [0, 1, 2].map(index => () => cluster.nodes[index] as NodeProcess) as [
  () => NodeProcess,
  () => NodeProcess,
  () => NodeProcess,
]
const items = async () =>
  (await sqlAt(url, 'WITH gone AS (DELETE FROM items RETURNING 1) SELECT count(*)::integer AS n FROM gone'))[0]?.n
const backends = async (text: string) =>
  (await sqlAt(url, "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = $1", [text])).length
const isRunning = (node: NodeProcess, token: string, handle: string, sql: string) =>
  eventually(
    `${sql} runs`,
    async () => (await node.query(token, handle)).status === 'RUNNING' && (await backends(sql)) > 0,
  )

test.serial('the API’s own words: sessions, parameters, estimates, plans, prepared queries, tables', async t => {
  const { token } = await n1().session('ann', {
    database: 'sales',
    properties: { work_mem: '7MB', 'other.engine': 'x' },
  })
  const ask = async (body: Record<string, unknown>, node = n2()) =>
    (await node.call('POST', '/api/v1/queries', { token, body: { mode: 'sync', ...body } })).body
  t.deepEqual((await ask({ sql: 'SELECT id, amount FROM orders WHERE id = $1', parameters: [1] })).rows, [
    ['1', '12.50'],
  ])
  t.deepEqual((await ask({ sql: "SELECT current_setting('work_mem')" })).rows, [['7MB']])
  t.deepEqual((await ask({ sql: "SELECT current_setting('work_mem')", properties: { work_mem: '8MB' } })).rows, [
    ['8MB'],
  ])
  const refused = await ask({ sql: 'SELECT\n  missing FROM orders' })
  t.deepEqual([refused.code, refused.status], ['SQL_INVALID', 400])
  t.regex(refused.detail, /"missing" does not exist\n\nLINE 2/)
  const failed = await ask({ sql: 'SELECT 1 / (id - 1) FROM orders' })
  t.deepEqual(failed.query.error, { code: 'EXECUTION_FAILED', message: 'division by zero' })
  const explained = await ask({ sql: 'SELECT * FROM orders', operation: 'explain' })
  t.regex(explained.query.plan, /Seq Scan on orders/)
  const estimated = await ask({
    sql: 'SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 1000) b',
    operation: 'estimate',
  })
  t.is(estimated.query.estimate.lane, 'heavy')
  const prepared = await n1().call('POST', '/api/v1/prepared-queries', {
    token,
    body: { sql: 'SELECT note FROM sales.orders WHERE id = $1' },
  })
  t.like(prepared.body, { parameterCount: 1, columns: [{ name: 'note', type: 'VARCHAR' }] })
  const executed = await n2().call('POST', `/api/v1/prepared-queries/${prepared.body.handle}/executions`, {
    token,
    body: { parameters: [1], mode: 'sync' },
  })
  t.deepEqual(executed.body.rows, [['first']])
  const engines = await n1().call('GET', '/api/v1/engines', { token })
  t.like(engines.body.engines, [{ name: 'app', driver: 'postgresql', healthy: true }])
  const tables = await n1().call('GET', '/api/v1/engines/app/tables', { token })
  t.deepEqual(
    tables.body.tables.map(({ name }: { name: string }) => name),
    ['items', 'sales.orders'],
  )
})

test.serial('rows in every format', async t => {
  const { token } = await n1().session('ann', { database: 'sales' })
  const { handle } = await n1().submit(token, { sql: 'SELECT * FROM orders ORDER BY id' })
  await n2().ended(token, handle)
  t.deepEqual(await n3().rows(token, handle), [
    ['1', '12.50', '2024-01-01T00:00:00.500Z', 'first', ['a', 'b']],
    ['2', null, null, null, null],
    ['3', 'NaN', 'infinity', '', []],
  ])
  const as = (accept: string) =>
    fetch(`${n3().url}/api/v1/queries/${handle}/results`, { headers: { accept, authorization: `Bearer ${token}` } })
  t.is(
    await (await as('text/csv')).text(),
    'id,amount,at,note,tags\r\n1,12.50,2024-01-01T00:00:00.500Z,first,"[""a"",""b""]"\r\n2,,,,\r\n3,NaN,infinity,"","[]"\r\n',
  )
  const table = tableFromIPC(new Uint8Array(await (await as('application/vnd.apache.arrow.stream')).arrayBuffer()))
  t.deepEqual(
    table.toArray().map(row => [row.id, row.amount === null ? null : `${row.amount}`, row.note]),
    [
      [1n, '1250', 'first'],
      [2n, null, null],
      [3n, null, ''],
    ],
  )
})

test.serial('a cancel on another node ends the backend, and what it wrote is not there', async t => {
  const { token } = await n1().session('ann')
  for (const sql of ['SELECT count(*) FROM pg_sleep(601)', 'INSERT INTO items SELECT 1 FROM pg_sleep(601)']) {
    const { handle } = await n1().submit(token, { sql })
    await isRunning(n2(), token, handle, sql)
    await n2().call('DELETE', `/api/v1/queries/${handle}`, { token })
    t.is((await n3().ended(token, handle)).status, 'CANCELED')
    t.is(await backends(sql), 0)
  }
  t.is(await items(), 0)
})

test.serial('the database dies and comes back: what ran runs again, what was written is there once', async t => {
  const { token } = await n1().session('ann')
  const statements = [
    'SELECT count(*) FROM pg_sleep(2)',
    'INSERT INTO items SELECT generate_series(1, 100) FROM pg_sleep(2)',
  ]
  const handles: string[] = []
  for (const sql of statements) {
    const { handle } = await n1().submit(token, { sql })
    handles.push(handle)
    await isRunning(n2(), token, handle, sql)
  }
  await server.restart()
  for (const handle of handles) {
    const query = await n2().ended(token, handle)
    t.is(query.status, 'SUCCESSFUL', JSON.stringify(query))
    t.deepEqual(
      [...new Set(query.failedAttempts.map((failed: { code: string }) => failed.code))],
      ['ENGINE_UNAVAILABLE'],
    )
  }
  t.is(await items(), 100)
  t.deepEqual(await brokenInvariants(cluster.storeUrl, handles), [])
})

test.serial(
  'the way to the database breaks: what had begun is ended when it is there again, though its query ended before',
  async t => {
    const { token } = await n1().session('ann')
    const sql = 'SELECT count(*) FROM pg_sleep(602)'
    const { handle } = await n1().submit(token, { sql, engine: 'far' })
    await isRunning(n1(), token, handle, sql)
    // Described and begun: the server reads nothing more of its client meanwhile.
    const asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = $1"
    await eventually('it sleeps', async () => (await sqlAt(url, asleep, [sql])).length === 1)
    way.refuse(true)
    const waiting = await eventually('it says what it waits for', async () => {
      const query = await n1().query(token, handle)
      return query.progress.message.startsWith('The engine far') ? query : null
    })
    t.like(waiting, { status: 'QUEUED', progress: { message: 'The engine far cannot be reached. Waiting for it.' } })
    t.like(waiting.failedAttempts, [{ attempt: 1, engine: 'far', code: 'ENGINE_UNAVAILABLE' }])
    await n2().call('DELETE', `/api/v1/queries/${handle}`, { token })
    t.is((await n3().ended(token, handle)).status, 'CANCELED')
    // The database has not noticed.
    t.is(await backends(sql), 1)
    way.refuse(false)
    await eventually('the leader has it ended', async () => (await backends(sql)) === 0)
    t.deepEqual(await brokenInvariants(cluster.storeUrl, [handle]), [])
  },
)

test.serial('a node that leaves ends what it runs, and others run it again: once', async t => {
  const { token } = await n1().session('ann')
  const sql = 'INSERT INTO items SELECT generate_series(1, 100) FROM pg_sleep(3)'
  const { handle } = await n3().submit(token, { sql })
  await isRunning(n1(), token, handle, sql)
  t.is((await n3().terminate()).code, 0)
  const query = await n1().ended(token, handle)
  t.is(query.status, 'SUCCESSFUL', JSON.stringify(query))
  t.not(query.owner.node, 'n3')
  t.is(await items(), 100)
  t.deepEqual(await brokenInvariants(cluster.storeUrl, [handle]), [])
})

/** In which transaction a statement runs, and what that means for whoever repeats it: with a real server's refusals. */
import test from 'ava'
import type { EngineHandle, WireValue } from '../../src/domain/index.ts'
import type { StatementRequest } from '../../src/engines/index.ts'
import { type Mode, modeOf } from '../../src/engines/postgresql/modes.ts'
import { wordsOf } from '../../src/engines/postgresql/words.ts'
import { collect, failureOf, query, request, type submit } from '../conformance/engines.ts'
import { postgresDatabases } from '../support/postgresql.ts'
import { openPostgreSql, sqlAt } from './postgresql-support.ts'

const databases = postgresDatabases(test)
const modeOfText = (sql: string) => modeOf(wordsOf(sql), null, false)

test('the words of a statement are those outside quotes and comments', t => {
  const words = (sql: string) => [...wordsOf(sql).all].join(' ')
  t.is(words(`select 'insert' || e'it\\'s delete' || "update" -- merge`), 'SELECT')
  t.is(words('/* insert /* nested */ delete */ select $tag$ update $$ $tag$, $1, $$ x $$'), 'SELECT')
  t.is(words(`select U&'\\0061 insert', b'01', "a""insert"`), 'SELECT')
  t.is(words("select 'unfinished insert"), 'SELECT')
  t.is(words('select /* unfinished insert'), 'SELECT')
  t.is(words('select $tag$ unfinished insert'), 'SELECT')
  t.is(words('select a$insert$b'), 'SELECT A$INSERT$B')
  t.is(words('select x$1'), 'SELECT X$1')
  t.deepEqual([...wordsOf('SELECT f (1), "G"(2), s.h(3), (4), "i" /* c */ (5)').called], ['f', 'G', 'h', 'i'])
  for (const empty of ['', ' \n', '-- x', '/* x */ ; ;']) t.true(wordsOf(empty).isEmpty, empty)
  t.false(wordsOf('$1').isEmpty)
  // A long text takes no time that grows with its square, and no stack.
  const long = `SELECT '${"x''".repeat(500_000)}', e'${"\\'".repeat(500_000)}', "${'y'.repeat(500_000)}" ${'/*'.repeat(500_000)}`
  t.is(words(long), 'SELECT')
})

const chosen: readonly (readonly [string, Mode])[] = [
  ['SELECT 1', 'read-only'],
  ['  (SELECT 1)', 'read-only'],
  ['WITH a AS (SELECT 1) SELECT * FROM a', 'read-only'],
  ['VALUES (1)', 'read-only'],
  ['TABLE items', 'read-only'],
  ['SHOW timezone', 'read-only'],
  ['EXPLAIN INSERT INTO items VALUES (1)', 'read-only'],
  ['EXPLAIN ANALYZE SELECT 1', 'read-only'],
  ['EXPLAIN (ANALYZE) INSERT INTO items VALUES (1)', 'transaction'],
  ['WITH a AS (INSERT INTO items VALUES (1) RETURNING *) SELECT * FROM a', 'transaction'],
  ['SELECT * INTO other FROM items', 'transaction'],
  ['SELECT * FROM items FOR UPDATE', 'transaction'],
  ['SELECT * FROM items FOR KEY SHARE', 'transaction'],
  ["SELECT nextval('numbers')", 'transaction'],
  ['INSERT INTO items VALUES (1)', 'transaction'],
  ['CREATE TABLE other (a integer)', 'transaction'],
  ['REFRESH MATERIALIZED VIEW CONCURRENTLY totals', 'transaction'],
  ['CALL something()', 'transaction'],
  ['DO $$ BEGIN END $$', 'transaction'],
  ['VACUUM items', 'none'],
  ['CREATE DATABASE other', 'none'],
  ['CREATE INDEX CONCURRENTLY i ON items (a)', 'none'],
  ['REINDEX DATABASE app', 'none'],
  ['CLUSTER', 'none'],
  ["ALTER SYSTEM SET work_mem = '8MB'", 'none'],
]

for (const [sql, mode] of chosen) test(`${sql}: ${mode}`, t => t.is(modeOfText(sql), mode))

for (const sql of [
  'BEGIN',
  'start transaction',
  'COMMIT',
  'END',
  'ROLLBACK',
  'ABORT',
  'SAVEPOINT a',
  'RELEASE a',
  "PREPARE TRANSACTION 'a'",
  "COMMIT PREPARED 'a'",
  'COPY items FROM STDIN',
  'COPY items TO STDOUT',
])
  test(`${sql} is refused`, t => {
    t.throws(() => modeOfText(sql), { name: 'EngineError', message: /not allowed/ })
  })

/** Runs it to its end; gives its rows and the identity that was durable before. */
async function run(driver: Parameters<typeof submit>[0], sql: string, more: Partial<StatementRequest> = {}) {
  let identity: EngineHandle | undefined
  const asked = request(sql, more)
  const submitted = await driver.submit(asked, async engineHandle => {
    identity = engineHandle
  })
  const { rows } = await collect(submitted)
  return { rows, identity, asked, safeToRepeat: submitted.safeToRepeat }
}

test('a query runs read-only and may be repeated; what writes commits with its outcome and may not', async t => {
  const url = await databases.create()
  const { driver, sql } = await openPostgreSql(t, url)
  await run(driver, 'CREATE TABLE items (a integer)')
  const read = await run(driver, "SELECT current_setting('transaction_read_only')")
  t.deepEqual([read.rows, read.safeToRepeat, read.identity?.mode], [[['on']], true, 'read-only'])
  t.is(await driver.inquire(read.asked, read.identity as EngineHandle), 'ended')

  const write = await run(driver, 'INSERT INTO items VALUES (1)')
  t.deepEqual([write.safeToRepeat, write.identity?.mode], [false, 'transaction'])
  t.is(await driver.inquire(write.asked, write.identity as EngineHandle), 'committed')

  const returning = await run(driver, 'INSERT INTO items VALUES (2) RETURNING a')
  t.deepEqual(returning.rows, [[2]])
  t.is(await driver.inquire(returning.asked, returning.identity as EngineHandle), 'committed-with-rows')

  const tidy = await run(driver, 'VACUUM items')
  t.deepEqual([tidy.safeToRepeat, tidy.identity?.mode], [false, 'none'])
  t.is(await driver.inquire(tidy.asked, tidy.identity as EngineHandle), 'unknown')

  t.is(await driver.inquire(write.asked, null), 'ended')
  t.is(await driver.inquire(write.asked, { of: 'another driver' }), 'unknown')
  t.deepEqual(await sql('SELECT count(*)::integer AS n FROM items'), [{ n: 2 }])
})

test('what failed, or was refused, had no effect and leaves no outcome', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  await run(driver, 'CREATE TABLE items (a integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)')
  let identity: EngineHandle | undefined
  const take = async (engineHandle: EngineHandle) => {
    identity = engineHandle
  }
  // It fails only when it commits, after all its rows were taken.
  const late = request('INSERT INTO items VALUES (1), (1) RETURNING a')
  const error = await failureOf(async () => collect(await driver.submit(late, take)))
  t.is(error.failure, 'failed')
  t.regex(error.message, /duplicate key/)
  t.is(await driver.inquire(late, identity as EngineHandle), 'ended')

  const early = request('INSERT INTO items SELECT 1 / (n - 5) FROM generate_series(1, 9) n')
  t.regex((await failureOf(async () => collect(await driver.submit(early, take)))).message, /division by zero/)
  t.is(await driver.inquire(early, identity as EngineHandle), 'ended')

  const refused = new Error('owned elsewhere')
  const submitting = driver.submit(request('INSERT INTO items VALUES (7)'), () => Promise.reject(refused))
  t.is(await t.throwsAsync(submitting), refused)
  t.deepEqual(await sql('SELECT a FROM items'), [])
  t.deepEqual(await sql("SELECT count(*)::integer AS n FROM lens_outcome WHERE handle <> ''"), [{ n: 1 }])
})

test('nothing is sent before its identity is durable, and nothing but its own transaction is open then', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  await run(driver, 'CREATE TABLE items (a integer)')
  await run(driver, 'INSERT INTO items VALUES (1)')
  await driver.submit(request('DELETE FROM items', { handle: 'watched' }), async ({ pid, name }) => {
    t.is(name, 'lens-ha watched/1')
    const found = await sql('SELECT application_name, state, backend_xid FROM pg_stat_activity WHERE pid = $1', [pid])
    t.deepEqual(found, [{ application_name: 'lens-ha watched/1', state: 'idle in transaction', backend_xid: null }])
  })
})

test('a function that may write is not run read-only, unless the client says so', async t => {
  const url = await databases.create()
  await sqlAt(
    url,
    `CREATE TABLE items (a integer);
     CREATE FUNCTION add_item(n integer) RETURNS integer LANGUAGE sql AS 'INSERT INTO items VALUES (n) RETURNING a';
     CREATE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
     CREATE VIEW hidden AS SELECT add_item(9) AS a`,
  )
  const { driver, sql } = await openPostgreSql(t, url)
  t.false((await run(driver, 'SELECT add_item(1)')).safeToRepeat)
  t.true((await run(driver, 'SELECT twice(1), lower($$A$$), random()')).safeToRepeat)
  const properties = { 'lens.transaction': 'read-only' }
  const refused = await failureOf(() => run(driver, 'SELECT add_item(2)', { properties }))
  t.regex(refused.message, /read-only transaction/)
  // What the words do not tell the server does, and says what to do.
  const found = await failureOf(() => run(driver, 'SELECT a FROM hidden'))
  t.is(found.failure, 'failed')
  t.regex(found.message, /read-only transaction.*HINT.*lens\.transaction/s)
  t.deepEqual((await run(driver, 'SELECT a FROM hidden', { properties: { 'lens.transaction': 'transaction' } })).rows, [
    [9],
  ])
  t.deepEqual(await sql('SELECT a FROM items ORDER BY a'), [{ a: 1 }, { a: 9 }])
})

test('a statement that commits by itself runs outside a transaction when its client wants that', async t => {
  const url = await databases.create()
  await sqlAt(
    url,
    `CREATE TABLE items (a integer);
     CREATE PROCEDURE in_steps() LANGUAGE plpgsql AS 'BEGIN INSERT INTO items VALUES (1); COMMIT; INSERT INTO items VALUES (2); END'`,
  )
  const { driver, sql } = await openPostgreSql(t, url)
  const refused = await failureOf(() => run(driver, 'CALL in_steps()'))
  t.regex(refused.message, /invalid transaction termination.*HINT.*none/s)
  t.deepEqual(await sql('SELECT a FROM items'), [])
  t.false((await run(driver, 'CALL in_steps()', { properties: { 'lens.transaction': 'none' } })).safeToRepeat)
  t.deepEqual(await sql('SELECT a FROM items ORDER BY a'), [{ a: 1 }, { a: 2 }])
  const wrong = await failureOf(() => run(driver, 'SELECT 1', { properties: { 'lens.transaction': 'maybe' } }))
  t.is(wrong.failure, 'sql-invalid')
})

test('a read-only engine runs everything read-only, and needs no table of its own', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create(), { access: 'read-only' })
  const refused = await failureOf(() => run(driver, 'CREATE TABLE items (a integer)'))
  t.regex(refused.message, /read-only/)
  t.true((await run(driver, 'SELECT 1')).safeToRepeat)
  t.deepEqual(await sql("SELECT 1 FROM pg_class WHERE relname = 'lens_outcome'"), [])
})

test('where its table may not be made, a statement that did not commit is known by its number, one that did is not', async t => {
  const server = await databases.server()
  const url = await databases.create()
  const role = new URL(url).pathname.slice(1).replace('lens_test', 'lens_role')
  await sqlAt(
    url,
    `CREATE ROLE ${role} LOGIN; CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO ${role};
     CREATE TABLE app.items (a integer); GRANT INSERT, SELECT ON app.items TO ${role}`,
  )
  const { driver, log, sql } = await openPostgreSql(t, url.replace('postgres@', `${role}@`))
  t.truthy(server)
  const write = await run(driver, 'INSERT INTO app.items VALUES (1)')
  t.true(log.some(({ message }) => message.includes('lens_outcome')))
  t.is(write.identity?.outcomeTable, null)
  t.is(await driver.inquire(write.asked, write.identity as EngineHandle), 'unknown')
  let identity: EngineHandle | undefined
  const failing = request('INSERT INTO app.items VALUES (1 / 0)')
  const take = async (engineHandle: EngineHandle) => {
    identity = engineHandle
  }
  await failureOf(async () => collect(await driver.submit(failing, take)))
  t.is(await driver.inquire(failing, identity as EngineHandle), 'ended')
  t.deepEqual(await sql('SELECT a FROM app.items'), [{ a: 1 }])

  // With a schema of its own the role has a place for it.
  await sqlAt(url, `CREATE SCHEMA AUTHORIZATION ${role}`)
  const housed = await openPostgreSql(t, url.replace('postgres@', `${role}@`))
  const known = await run(housed.driver, 'INSERT INTO app.items VALUES (2)')
  t.is(known.identity?.outcomeTable, `${role}.lens_outcome`)
  t.is(await housed.driver.inquire(known.asked, known.identity as EngineHandle), 'committed')
})

test('what is older than the rows that are kept is unknown; a row is removed only after that', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  const { identity, asked } = await run(driver, 'CREATE TABLE items (a integer)')
  const days = 24 * 3600
  const agedBy = async (age: number) => {
    await sql(`UPDATE lens_outcome SET begun_at = now() - make_interval(secs => ${age})`)
    await driver.stop()
    await driver.start()
    const begunAt = (identity?.begunAt as number) - age
    return driver.inquire(asked, { ...identity, begunAt })
  }
  t.is(await agedBy(7.5 * days), 'committed')
  t.is(await agedBy(8.5 * days), 'unknown')
  t.deepEqual(await sql("SELECT * FROM lens_outcome WHERE handle <> ''"), [])
  t.is(await driver.inquire(asked, identity as EngineHandle), 'ended')
  // Another cluster has nothing to say about it.
  t.is(await driver.inquire(asked, { ...identity, system: '1' }), 'unknown')
})

test('database and properties hold for their statement alone, and nothing of a statement is left for the next', async t => {
  const url = await databases.create()
  await sqlAt(
    url,
    `CREATE SCHEMA "Sales"; CREATE TABLE "Sales".items (a integer); INSERT INTO "Sales".items VALUES (5);
     CREATE TABLE items (a integer); CREATE FUNCTION shout(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t)'`,
  )
  // One connection: whatever a statement left would be found by the next.
  const { driver } = await openPostgreSql(t, url, { connectionsMax: 1 })
  const one = async (sql: string, more: Partial<StatementRequest> = {}): Promise<WireValue | undefined> =>
    (await run(driver, sql, more)).rows[0]?.[0]
  t.is(await one('SELECT a FROM items', { database: 'Sales' }), 5)
  t.is(await one("SELECT shout('a')", { database: 'Sales' }), 'A')
  t.is(await one('SELECT a FROM items'), undefined)
  const missing = await failureOf(() => one('SELECT 1', { database: 'sales' }))
  t.deepEqual([missing.failure, /schema "sales" does not exist/.test(missing.message)], ['sql-invalid', true])

  const work = "SELECT current_setting('work_mem')"
  const usual = await one(work)
  t.is(await one(work, { properties: { Work_Mem: '7MB', 'trino.only': 'x', unheardOf: 'x' } }), '7MB')
  t.is(await one("SELECT current_setting('trino.only')", { properties: { 'trino.only': 'x' } }), 'x')
  t.is(await one(work), usual)
  t.is(await one("SELECT current_setting('trino.only', true)"), '')
  const level = "SELECT current_setting('transaction_isolation')"
  t.is(await one(level, { properties: { default_transaction_isolation: 'Serializable' } }), 'serializable')
  const wrong: readonly Readonly<Record<string, string>>[] = [
    { work_mem: 'much' },
    { DateStyle: 'German' },
    { transaction_isolation: 'x; DROP TABLE items' },
  ]
  for (const properties of wrong)
    t.is((await failureOf(() => one('SELECT 1', { properties }))).failure, 'sql-invalid', JSON.stringify(properties))

  await one("SET work_mem = '9MB'")
  t.is(await one(work), usual)
  await one('CREATE TEMP TABLE gone (a integer)')
  t.is((await failureOf(() => one('SELECT * FROM gone'))).failure, 'sql-invalid')
  await one('SELECT pg_advisory_lock(1)')
  await one("SELECT set_config('datestyle', 'German', false)")
  t.is(await one("SELECT DATE '2024-02-01'"), '2024-02-01')
  await one('VACUUM items', { properties: { work_mem: '6MB' }, database: 'Sales' })
  t.is(await one(work), usual)
  t.is(await one("SELECT count(*)::integer FROM pg_locks WHERE locktype = 'advisory'"), 0)
  t.is(await one("SELECT current_setting('application_name') LIKE 'lens-ha %'"), true)
})

test('errors show the place in the client’s own text, also where the server was asked to explain it', async t => {
  const { driver } = await openPostgreSql(t, await databases.create())
  const sql = "SELECT '🦆',\n  missing\nFROM pg_class"
  const marked = /column "missing" does not exist\n\nLINE 2: {3}missing\n {10}\^/
  for (const ask of [
    () => query(driver, sql),
    () => driver.prepare(request(sql)),
    () => driver.estimate(request(sql)),
    () => driver.explain(request(sql)),
  ]) {
    const error = await failureOf(ask)
    t.is(error.failure, 'sql-invalid')
    t.regex(error.message, marked)
  }
})

test('an estimate of what has no plan is nothing, but what cannot be read is refused', async t => {
  const { driver } = await openPostgreSql(t, await databases.create())
  t.deepEqual(await driver.estimate(request('VACUUM')), { cost: 0, rows: null })
  t.deepEqual(await driver.estimate(request('CREATE TABLE items (a integer)')), { cost: 0, rows: null })
  t.is((await failureOf(() => driver.estimate(request('VACUUM WHAT EVER')))).failure, 'sql-invalid')
  t.deepEqual((await driver.prepare(request('CREATE TABLE items (a integer)'))).columns, [])
})

/** What a client's text, properties and results may do to an engine's driver: at most fail its own statement. */
import test from 'ava'
import { collect, failureOf, query, request, submit } from '../conformance/engines.ts'
import { eventually } from '../support/conditions.ts'
import { postgresDatabases } from '../support/postgresql.ts'
import { openPostgreSql } from './postgresql-support.ts'

const databases = postgresDatabases(test)

test('a row that is too large for a text of this process fails its statement alone', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  await sql('CREATE TABLE items (a integer)')
  const huge = await submit(driver, "SELECT repeat('x', 70000000)")
  const error = await failureOf(() => collect(huge))
  t.is(error.failure, 'failed', error.message)
  t.regex(error.message, /row/)
  t.true(driver.healthy())
  t.deepEqual((await query(driver, 'SELECT 1')).rows, [[1]])
  const returning = await submit(driver, "INSERT INTO items VALUES (1) RETURNING repeat('x', 70000000)")
  t.is((await failureOf(() => collect(returning))).failure, 'failed')
  t.deepEqual(await sql('SELECT * FROM items'), [])
})

test('a large row comes whole', async t => {
  const { driver } = await openPostgreSql(t, await databases.create())
  const { rows } = await query(driver, "SELECT repeat('x', 20000000), 1")
  t.is(String(rows[0]?.[0]).length, 20_000_000)
})

test('an error of a statement is its own, whatever code it gives itself', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  for (const code of ['08006', '28000', '57P01', '53300']) {
    const text = `DO $$ BEGIN RAISE EXCEPTION 'no way' USING ERRCODE = '${code}'; END $$`
    const error = await failureOf(async () => collect(await submit(driver, text)))
    t.is(error.failure, 'failed', `${code}: ${error.message}`)
    t.regex(error.message, /no way/)
  }
  await sql(`CREATE TABLE late (a integer);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no way' USING ERRCODE = '08006'; END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
  const error = await failureOf(async () => collect(await submit(driver, 'INSERT INTO late VALUES (1)')))
  t.is(error.failure, 'failed', error.message)
})

test('a NUL in a name or a property is refused, and nobody takes the engine for lost', async t => {
  const { driver } = await openPostgreSql(t, await databases.create())
  for (const more of [{ database: 'a\0b' }, { properties: { 'my.setting': 'a\0b' } }]) {
    const error = await failureOf(() => submit(driver, 'SELECT 1', more))
    t.is(error.failure, 'sql-invalid', error.message)
    t.true(driver.healthy())
  }
})

test('a comment ends where the server ends it', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  await sql('CREATE TABLE items (a integer)')
  for (const text of ['--\rCOPY items FROM STDIN /*\n*/', '--\rROLLBACK /*\n*/'])
    t.is((await failureOf(() => submit(driver, text))).failure, 'sql-invalid')
})

test('a statement that takes the name of an idle connection is found all the same', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  const asked = request("SELECT set_config('application_name', 'lens-ha', false), pg_sleep(600)")
  const run = await driver.submit(asked, async () => {})
  const ended = failureOf(() => collect(run))
  const alive = async () => (await sql('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [run.engineHandle?.pid])).length
  const sleeping =
    "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND application_name = 'lens-ha' AND wait_event = 'PgSleep'"
  await eventually(async () => (await sql(sleeping, [run.engineHandle?.pid])).length === 1)
  t.is(await driver.inquire(asked, run.engineHandle), 'ended')
  t.is(await alive(), 0)
  await ended
})

test('a result without columns keeps its rows', async t => {
  const { driver } = await openPostgreSql(t, await databases.create())
  t.deepEqual(await query(driver, 'SELECT FROM generate_series(1, 3)'), { columns: [], rows: [[], [], []] })
})

test('a statement that is planned for too long has no plan, and nobody takes the engine for lost', async t => {
  const { driver } = await openPostgreSql(t, await databases.create())
  const from = Array.from({ length: 16 }, (_, index) => `pg_class c${index}`).join(', ')
  const where = Array.from({ length: 15 }, (_, index) => `c${index}.oid = c${index + 1}.oid`).join(' AND ')
  const properties = { geqo: 'off', join_collapse_limit: '100', from_collapse_limit: '100', statement_timeout: '0' }
  const asked = request(`SELECT 1 FROM ${from} WHERE ${where}`, { properties })
  const [refused, estimate] = await Promise.all([failureOf(() => driver.explain(asked)), driver.estimate(asked)])
  t.is(refused.failure, 'failed', refused.message)
  t.deepEqual(estimate, { cost: 0, rows: null })
  t.true(driver.healthy())
})

test('an outcome that is not in a table made later proves nothing', async t => {
  const { driver, sql } = await openPostgreSql(t, await databases.create())
  await sql('CREATE TABLE items (a integer)')
  const asked = request('INSERT INTO items VALUES (1)')
  const run = await driver.submit(asked, async () => {})
  await collect(run)
  t.is(await driver.inquire(asked, run.engineHandle), 'committed')
  await sql('DROP TABLE lens_outcome')
  t.is(await driver.inquire(asked, run.engineHandle), 'unknown')
  // Whoever comes next makes it again.
  await driver.stop()
  await driver.start()
  const next = request('INSERT INTO items VALUES (2)')
  const again = await driver.submit(next, async () => {})
  await collect(again)
  t.is(await driver.inquire(asked, run.engineHandle), 'unknown')
  t.is(await driver.inquire(next, again.engineHandle), 'committed')
  const lost = await driver.submit(request('INSERT INTO items VALUES (3 / 0)'), async () => {})
  await failureOf(() => collect(lost))
  t.is(await driver.inquire(request('', { handle: 'another' }), lost.engineHandle), 'ended')
})

/** What a client's text, properties and results may do to an engine's driver: at most fail its own statement. */
import test from 'ava'
import { collect, failureOf, query, request, submit } from '../conformance/engines.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { openMySql } from './mysql-support.ts'

const databases = mysqlDatabases(test)

test('properties change the statement, and nothing of what is said around it', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  await sql('CREATE TABLE items (a integer)')
  const [now] = await sql('SELECT UNIX_TIMESTAMP() AS now')
  const seconds = Number(now?.now)
  for (const properties of [
    { sql_select_limit: '0' },
    { timestamp: '1000000' },
    { sql_mode: 'ANSI_QUOTES,ONLY_FULL_GROUP_BY' },
    { sql_mode: '1048576' },
    { innodb_lock_wait_timeout: '1', lock_wait_timeout: '1' },
    { session_track_schema: '1', session_track_system_variables: '*', session_track_state_change: '1' },
    { session_track_transaction_info: 'CHARACTERISTICS' },
    { foreign_key_checks: "0', autocommit = '0" },
  ] as Record<string, string>[]) {
    const asked = request('INSERT INTO items VALUES (1)', { properties })
    const what = JSON.stringify(properties)
    try {
      const run = await driver.submit(asked, async () => {})
      await collect(run)
      t.is(await driver.inquire(asked, run.engineHandle), 'committed', what)
      t.true(Math.abs(Number(run.engineHandle?.begunAt) - seconds) < 300, what)
    } catch (error) {
      t.regex((error as Error).message, /Variable 'foreign_key_checks' can't be set|Incorrect argument type/, what)
    }
    t.true(driver.healthy(), what)
  }
  const told = await sql("SELECT handle FROM lens_outcome WHERE handle <> '' AND begun_at < UNIX_TIMESTAMP() - 3600")
  t.deepEqual(told, [])
  const limited = await submit(driver, 'SELECT 1 UNION SELECT 2', { properties: { sql_select_limit: '1' } })
  t.is((await collect(limited)).rows.length, 1)
})

test('an outcome that is not in a table made later proves nothing', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  await sql('CREATE TABLE items (a integer)')
  const asked = request('INSERT INTO items VALUES (1)')
  const run = await driver.submit(asked, async () => {})
  await collect(run)
  t.is(await driver.inquire(asked, run.engineHandle), 'committed')
  const lost = await driver.submit(request('INSERT INTO items VALUES (1)'), async () => {})
  await lost.cancel()
  t.is(await driver.inquire(request('', { handle: 'another' }), lost.engineHandle), 'ended')
  await sql('DROP TABLE lens_outcome; DO SLEEP(1.1)')
  t.is(await driver.inquire(asked, run.engineHandle), 'unknown')
  // Whoever comes next makes it again.
  await driver.stop()
  await driver.start()
  const next = request('INSERT INTO items VALUES (2)')
  const again = await driver.submit(next, async () => {})
  await collect(again)
  t.is(await driver.inquire(asked, run.engineHandle), 'unknown')
  t.is(await driver.inquire(next, again.engineHandle), 'committed')
})

test('a table is found whatever case its name is written in', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  await sql('CREATE TABLE Items (a integer) ENGINE = MyISAM; CREATE VIEW Shown AS SELECT a FROM Items')
  for (const text of ['INSERT INTO Items VALUES (1)', 'INSERT INTO `Items` VALUES (1)', 'DELETE FROM Shown']) {
    const run = await submit(driver, text)
    await collect(run)
    t.is(run.engineHandle?.mode, 'none', text)
  }
})

test('a row that is too large to be written fails its statement alone', async t => {
  const { driver } = await openMySql(t, await databases.create(t))
  const columns = Array.from({ length: 6 }, () => "REPEAT('x', 15000000)").join(', ')
  const error = await failureOf(async () =>
    collect(await submit(driver, `SELECT ${columns} UNION ALL SELECT 1, 1, 1, 1, 1, 1`)),
  )
  t.is(error.failure, 'failed', error.message)
  t.true(driver.healthy())
  t.deepEqual((await query(driver, 'SELECT 1')).rows, [[1]])
})

test('as many columns as the server has', async t => {
  const { driver } = await openMySql(t, await databases.create(t))
  const count = 4_000
  const columns = Array.from({ length: count }, (_, index) => `${index} AS c${index}`).join(', ')
  const result = await query(driver, `SELECT ${columns}`)
  t.is(result.columns.length, count)
  t.is(result.rows[0]?.at(-1), count - 1)
})

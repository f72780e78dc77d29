/** In which transaction a statement runs, and what that means for whoever repeats it: with a real server's refusals. */
import test from 'ava'
import { systemClock } from '../../src/async/index.ts'
import type { EngineHandle, WireValue } from '../../src/domain/index.ts'
import type { StatementRequest } from '../../src/engines/index.ts'
import { Connections } from '../../src/engines/mysql/connections.ts'
import { type Mode, modeOf } from '../../src/engines/mysql/modes.ts'
import { TransactionalLooks } from '../../src/engines/mysql/transactional.ts'
import { wordsOf } from '../../src/engines/mysql/words.ts'
import { collect, failureOf, request, type submit } from '../conformance/engines.ts'
import { ManualClock } from '../support/cluster/manual-clock.ts'
import { createOrdinaryDatabase, MySqlServer, mysqlDatabases } from '../support/mysql.ts'
import { openMySql, sqlAt } from './mysql-support.ts'

const databases = mysqlDatabases(test)
const modeOfText = (sql: string) => modeOf(wordsOf(sql), null, false)

test('the words of a statement are those outside quotes and comments', t => {
  const words = (sql: string) => [...wordsOf(sql).all].join(' ')
  t.is(words("select 'insert' 'it''s \\' delete', `update` -- merge\n, \"replace\" # truncate"), 'SELECT')
  t.is(words('/* insert /* not nested */ delete'), 'DELETE')
  t.is(words('select 1 --1'), 'SELECT')
  t.is(words("select 'unfinished insert"), 'SELECT')
  t.is(words('select /* unfinished insert'), 'SELECT')
  // What the server executes is no comment.
  t.is(words('/*!50000 insert */ /*M!100000 into */ /*! items */'), 'INSERT INTO ITEMS')
  t.deepEqual(
    [...wordsOf('SELECT `A``b`.c, "D" FROM 2e WHERE 12 = 1.5').names],
    ['select', 'a`b', 'c', 'd', 'from', '2e', 'where'],
  )
  for (const empty of ['', ' \n', '-- x', '/* x */ ; ;', '# x']) t.true(wordsOf(empty).isEmpty, empty)
  t.false(wordsOf('?').isEmpty)
  t.deepEqual(
    ['select 1;', 'select 1; -- x', 'select 1; ;', 'select 1; 2', "select ';' ; 'x'"].map(
      sql => wordsOf(sql).isSeveral,
    ),
    [false, false, false, true, true],
  )
  // A long text takes no time that grows with its square, and no stack.
  const long = `SELECT '${"x''".repeat(500_000)}', "${'\\"'.repeat(500_000)}", \`${'y'.repeat(500_000)}\` ${'/*'.repeat(500_000)}`
  t.is(words(long), 'SELECT')
})

const chosen: readonly (readonly [string, Mode])[] = [
  ['SELECT 1', 'read-only'],
  ['  (SELECT 1)', 'read-only'],
  ['WITH a AS (SELECT 1) SELECT * FROM a', 'read-only'],
  ['VALUES (1)', 'read-only'],
  ['SHOW TABLES', 'read-only'],
  ['EXPLAIN INSERT INTO items VALUES (1)', 'read-only'],
  ['SELECT * FROM items FOR UPDATE', 'read-only'],
  ['WITH a AS (SELECT 1) UPDATE items SET a = 1', 'transaction'],
  ['SELECT NEXTVAL(numbers)', 'transaction'],
  ['INSERT INTO items VALUES (1)', 'transaction'],
  ['REPLACE INTO items VALUES (1)', 'transaction'],
  ["SELECT * FROM items INTO OUTFILE 'x'", 'none'],
  ['CREATE TABLE other (a integer)', 'none'],
  ['TRUNCATE items', 'none'],
  ['CALL something()', 'none'],
  ['SET @a = 1', 'none'],
  ['ANALYZE TABLE items', 'none'],
]

for (const [sql, mode] of chosen) test(`${sql}: ${mode}`, t => t.is(modeOfText(sql), mode))

for (const sql of [
  'BEGIN',
  'start transaction',
  'COMMIT',
  'ROLLBACK',
  'SAVEPOINT a',
  "XA START 'a'",
  'BEGIN NOT ATOMIC INSERT INTO items VALUES (1); END',
  '/*!50000 COMMIT */',
  'SELECT RELEASE_ALL_LOCKS()',
  "LOAD DATA LOCAL INFILE 'x' INTO TABLE items",
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
  return { rows, identity: identity as EngineHandle | undefined, asked, safeToRepeat: submitted.safeToRepeat }
}

test('a query runs read-only and may be repeated; what writes commits with its outcome and may not', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  const creating = request('CREATE TABLE items (a integer) ENGINE = InnoDB')
  t.deepEqual(await driver.estimate(creating), { cost: 0, rows: null })
  t.deepEqual(await driver.prepare(creating), { parameterCount: 0, columns: [] })
  const made = await run(driver, creating.sql)
  t.deepEqual([made.safeToRepeat, made.identity?.mode], [false, 'none'])
  t.is(await driver.inquire(made.asked, made.identity as EngineHandle), 'unknown')

  const read = await run(driver, "SELECT 'x'")
  t.deepEqual([read.rows, read.safeToRepeat, read.identity?.mode], [[['x']], true, 'read-only'])
  t.is(await driver.inquire(read.asked, read.identity as EngineHandle), 'ended')

  const write = await run(driver, 'INSERT INTO items VALUES (1)')
  t.deepEqual([write.safeToRepeat, write.identity?.mode], [false, 'transaction'])
  t.is(await driver.inquire(write.asked, write.identity as EngineHandle), 'committed')

  t.is(await driver.inquire(write.asked, null), 'ended')
  t.is(await driver.inquire(write.asked, { of: 'another driver' }), 'unknown')
  t.deepEqual(await sql('SELECT count(*) AS n FROM items'), [{ n: 1 }])
})

test('what failed, or was refused, had no effect and leaves no outcome', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  await sql('CREATE TABLE items (a integer PRIMARY KEY) ENGINE = InnoDB; INSERT INTO items VALUES (5)')
  let identity: EngineHandle | undefined
  const take = async (engineHandle: EngineHandle) => {
    identity = engineHandle
  }
  const failing = request('INSERT INTO items SELECT 1 UNION SELECT 5')
  const error = await failureOf(async () => collect(await driver.submit(failing, take)))
  t.deepEqual([error.failure, /Duplicate entry/.test(error.message)], ['failed', true])
  t.is(await driver.inquire(failing, identity as EngineHandle), 'ended')
  const refused = new Error('owned elsewhere')
  const submitting = driver.submit(request('INSERT INTO items VALUES (7)'), () => Promise.reject(refused))
  t.is(await t.throwsAsync(submitting), refused)
  t.deepEqual(await sql('SELECT a FROM items'), [{ a: 5 }])
  t.deepEqual(await sql("SELECT count(*) AS n FROM lens_outcome WHERE handle <> ''"), [{ n: 0 }])
})

test('a query that would write after all is refused by the server', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  await sql(`CREATE TABLE items (a integer) ENGINE = InnoDB;
             CREATE FUNCTION add_item() RETURNS integer DETERMINISTIC BEGIN INSERT INTO items VALUES (1); RETURN 1; END`)
  const refused = await failureOf(() => run(driver, 'SELECT add_item()'))
  t.is(refused.failure, 'failed')
  t.regex(refused.message, /READ ONLY transaction.*HINT.*lens\.transaction/s)
  t.deepEqual((await run(driver, 'SELECT add_item()', { properties: { 'lens.transaction': 'transaction' } })).rows, [
    [1],
  ])
  t.deepEqual(await sql('SELECT a FROM items'), [{ a: 1 }])
  const wrong = await failureOf(() => run(driver, 'SELECT 1', { properties: { 'lens.transaction': 'maybe' } }))
  t.is(wrong.failure, 'sql-invalid')
  for (const mode of ['transaction', 'read-only'])
    for (const text of ['CREATE TABLE other (a integer)', 'CALL p()'])
      t.regex(
        (await failureOf(() => run(driver, text, { properties: { 'lens.transaction': mode } }))).message,
        /cannot be run in a transaction/,
      )
})

test('only what can be rolled back counts as a transaction, whatever stands between it and its tables', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  await sql(`CREATE TABLE items (a integer) ENGINE = InnoDB;
             CREATE TABLE old (a integer) ENGINE = MyISAM;
             CREATE VIEW old_view AS SELECT * FROM old;
             CREATE TABLE watched (a integer) ENGINE = InnoDB;
             CREATE TRIGGER note AFTER INSERT ON watched FOR EACH ROW INSERT INTO old VALUES (NEW.a);
             CREATE TABLE twice_watched (a integer) ENGINE = InnoDB;
             CREATE TRIGGER pass_on AFTER INSERT ON twice_watched FOR EACH ROW INSERT INTO watched VALUES (NEW.a);
             CREATE FUNCTION noted(n integer) RETURNS integer DETERMINISTIC BEGIN INSERT INTO old VALUES (n); RETURN n; END;
             CREATE FUNCTION harmless(n integer) RETURNS integer DETERMINISTIC RETURN n`)
  // Where the server logs by GTID it refuses some of them in the end.
  const modes = async (text: string) => {
    let mode: unknown
    const submitted = await driver.submit(request(text), async identity => {
      mode = identity.mode
    })
    await collect(submitted).catch(() => {})
    return mode
  }
  for (const [text, mode] of [
    ['INSERT INTO items VALUES (1)', 'transaction'],
    ['INSERT INTO items VALUES (harmless(1))', 'transaction'],
    ['INSERT INTO `items` SELECT a FROM items', 'transaction'],
    ['INSERT INTO old VALUES (1)', 'none'],
    ['INSERT INTO `OLD` VALUES (1)', 'none'],
    ['INSERT INTO old_view VALUES (1)', 'none'],
    ['INSERT INTO watched VALUES (1)', 'none'],
    ['INSERT INTO twice_watched VALUES (1)', 'none'],
    ['INSERT INTO items VALUES (noted(1))', 'none'],
    ['INSERT /*!50000 INTO old */ VALUES (1)', 'none'],
  ] as const)
    t.is(await modes(text.replace('`OLD`', '`old`')), mode, text)
  t.is(
    (await run(driver, 'INSERT INTO "old" VALUES (1)', { properties: { sql_mode: 'ANSI_QUOTES' } })).identity?.mode,
    'none',
  )
})

test('a read-only engine runs everything read-only, and needs no table of its own', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t), { access: 'read-only' })
  await sql('CREATE TABLE items (a integer)')
  t.regex((await failureOf(() => run(driver, 'CREATE TABLE other (a integer)'))).message, /read-only/)
  t.regex((await failureOf(() => run(driver, 'INSERT INTO items VALUES (1)'))).message, /READ ONLY/)
  t.true((await run(driver, 'SELECT * FROM items')).safeToRepeat)
  t.deepEqual(await sql("SHOW TABLES LIKE 'lens_outcome'"), [])
})

test('where its table may not be made, what became of a statement is unknown', async t => {
  const server = await MySqlServer.start()
  t.teardown(() => server.destroy())
  const url = await createOrdinaryDatabase(t, server.url)
  const name = new URL(url).pathname.slice(1)
  await sqlAt(
    server.url,
    `CREATE TABLE ${name}.items (a integer); CREATE USER reader@'%'; GRANT SELECT, INSERT ON ${name}.items TO reader@'%'`,
  )
  const limited = new URL(url)
  limited.username = 'reader'
  limited.password = ''
  const { driver, log } = await openMySql(t, limited.href)
  const write = await run(driver, 'INSERT INTO items VALUES (1)')
  t.true(log.some(({ message }) => message.includes('lens_outcome')))
  t.is(write.identity?.outcomeTable, null)
  t.is(await driver.inquire(write.asked, write.identity as EngineHandle), 'unknown')
})

test('what is older than the rows that are kept is unknown; a row is removed only after that', async t => {
  const { driver, sql } = await openMySql(t, await databases.create(t))
  await sql('CREATE TABLE items (a integer)')
  const { identity, asked } = await run(driver, 'INSERT INTO items VALUES (1)')
  const days = 24 * 3600
  const agedBy = async (age: number) => {
    await sql(`UPDATE lens_outcome SET begun_at = UNIX_TIMESTAMP() - ${age}`)
    await driver.stop()
    await driver.start()
    return driver.inquire(asked, { ...identity, begunAt: (identity?.begunAt as number) - age })
  }
  t.is(await agedBy(7.5 * days), 'committed')
  t.is(await agedBy(8.5 * days), 'unknown')
  t.deepEqual(await sql("SELECT * FROM lens_outcome WHERE handle <> ''"), [])
  t.is(await driver.inquire(asked, identity as EngineHandle), 'ended')
  // Another server has nothing to say about it.
  t.is(await driver.inquire(asked, { ...identity, server: 'another' }), 'unknown')
})

test('database and properties hold for their statement alone, and nothing of a statement is left for the next', async t => {
  const url = await databases.create(t)
  const other = await databases.create(t)
  const otherName = new URL(other).pathname.slice(1)
  await sqlAt(other, 'CREATE TABLE items (a integer); INSERT INTO items VALUES (5)')
  await sqlAt(url, 'CREATE TABLE items (a integer)')
  // One connection: whatever a statement left would be found by the next.
  const { driver } = await openMySql(t, url, { connectionsMax: 1 })
  const one = async (sql: string, more: Partial<StatementRequest> = {}): Promise<WireValue | undefined> =>
    (await run(driver, sql, more)).rows[0]?.[0]
  t.is(await one('SELECT a FROM items', { database: otherName }), 5)
  t.is(await one('SELECT a FROM items'), undefined)
  const missing = await failureOf(() => one('SELECT 1', { database: 'no`where' }))
  t.deepEqual([missing.failure, missing.message], ['sql-invalid', "Unknown database 'no`where'"])

  const isolation = { properties: { transaction_isolation: 'SERIALIZABLE' } }
  const [, variable] =
    (
      await run(driver, "SHOW VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')", isolation)
    ).rows.at(-1) ?? []
  t.is(variable, 'SERIALIZABLE')
  const size = 'SELECT @@sort_buffer_size'
  const usual = await one(size)
  t.is(await one(size, { properties: { Sort_Buffer_Size: '131072', 'trino.only': 'x', unheardOf: 'x' } }), '131072')
  t.is(await one(size), usual)
  t.is(await one('SELECT @@lc_time_names', { properties: { lc_time_names: 'de_DE' } }), 'de_DE')
  const wrong: readonly Readonly<Record<string, string>>[] = [
    { sort_buffer_size: 'much' },
    { time_zone: 'SYSTEM' },
    { transaction_isolation: "x'; DROP TABLE items" },
    { autocommit: '0' },
  ]
  for (const properties of wrong)
    t.is((await failureOf(() => one('SELECT 1', { properties }))).failure, 'sql-invalid', JSON.stringify(properties))
  // Texts are read as the words of the statement were.
  const escaped = { properties: { sql_mode: 'NO_BACKSLASH_ESCAPES' } }
  t.is(await one("SELECT 'a\\'b'", escaped), "a'b")

  await one('SET SESSION sort_buffer_size = 262144')
  t.is(await one(size), usual)
  await one('CREATE TEMPORARY TABLE gone (a integer)')
  t.is((await failureOf(() => one('SELECT * FROM gone'))).failure, 'sql-invalid')
  await one("SELECT GET_LOCK('mine', 0)")
  t.is(Number(await one("SELECT IS_FREE_LOCK('mine')")), 1)
  await one('SET @left = 1')
  t.is(await one('SELECT @left'), null)
  await one(`USE ${otherName}`)
  t.is(await one('SELECT DATABASE()'), new URL(url).pathname.slice(1))
  await one("SET time_zone = '+05:00'")
  t.is(await one('SELECT FROM_UNIXTIME(0)'), '1970-01-01T00:00:00')
})

test('what tables can do is looked up once for many statements, and anew when time or a statement may have changed it', async t => {
  const url = await databases.create(t)
  const { driver, sql } = await openMySql(t, url)
  await sql('CREATE TABLE items (a integer) ENGINE = InnoDB')
  const modeAt = async (text: string) => (await run(driver, text)).identity?.mode
  t.is(await modeAt('INSERT INTO items VALUES (1)'), 'transaction')
  await run(driver, 'ALTER TABLE items ENGINE = MyISAM')
  t.is(await modeAt('INSERT INTO items VALUES (1)'), 'none')
  await run(driver, 'ALTER TABLE items ENGINE = InnoDB')
  t.is(await modeAt('INSERT INTO items VALUES (1)'), 'transaction')

  const connections = await Connections.open({
    ...{ engine: 'mysql', url, tls: 'off', statementsMax: 1, connectMs: 5_000, clock: systemClock },
  })
  t.teardown(() => connections.close())
  let asked = 0
  const counting = {
    query: (text: string, values?: readonly unknown[]) => {
      asked++
      return connections.query(text, values)
    },
  } as Connections
  const clock = new ManualClock()
  const looks = new TransactionalLooks(counting, clock)
  const askedFor = async (text: string, database: string) => {
    const before = asked
    await looks.isTransactional(wordsOf(text), database)
    return asked - before
  }
  const database = new URL(url).pathname.slice(1)
  const both = await Promise.all([
    askedFor('INSERT INTO items VALUES (1)', database),
    askedFor("INSERT INTO items VALUES ('other', 2)", database),
  ])
  t.true(asked > 0 && both.includes(asked), 'two at once ask once')
  t.is(await askedFor('INSERT INTO items VALUES (3)', database), 0)
  t.true((await askedFor('INSERT INTO items VALUES (3)', 'elsewhere')) > 0)
  t.true((await askedFor('INSERT INTO others VALUES (3)', database)) > 0)
  await clock.advance(999)
  t.is(await askedFor('INSERT INTO items VALUES (3)', database), 0)
  await clock.advance(1)
  t.true((await askedFor('INSERT INTO items VALUES (3)', database)) > 0)
  connections.close()
  looks.forget()
  await t.throwsAsync(looks.isTransactional(wordsOf('INSERT INTO items VALUES (3)'), database), { name: 'EngineError' })
  await t.throwsAsync(looks.isTransactional(wordsOf('INSERT INTO items VALUES (3)'), database), { name: 'EngineError' })
})

/**
 * What a later owner learns of a statement whose owner is gone, at every point around its commit, and that the rows are there exactly as
 * often as it was told.
 */
import test, { type ExecutionContext } from 'ava'
import { type Connection, createConnection } from 'mysql2/promise'
import type { EngineHandle } from '../../src/domain/index.ts'
import { collect, failureOf, query, request, submit } from '../conformance/engines.ts'
import { ManualClock } from '../support/cluster/manual-clock.ts'
import { eventually } from '../support/conditions.ts'
import { createDatabase, createOrdinaryDatabase, executeAt, MySqlServer, privateMySqlServer } from '../support/mysql.ts'
import { isCommit, isExecution, isOutcome, MySqlEngineProxy } from '../support/mysql-engine-proxy.ts'
import { openMySql, sqlAt } from './mysql-support.ts'

/** One for all tests but those that kill it. */
let server: Promise<MySqlServer> | undefined
test.after.always('stop MySQL', async () => (await server)?.destroy())

async function database(t: ExecutionContext) {
  server ??= MySqlServer.start()
  const { port, url } = await server
  return { port, url: await createDatabase(t, url) }
}

/** An owner whose way to the server can be held, and one that will take over. */
async function twoOwners(t: ExecutionContext) {
  const { port, url } = await database(t)
  await sqlAt(url, 'CREATE TABLE items (a integer)')
  const proxy = await MySqlEngineProxy.start(t, port)
  const owner = await openMySql(t, proxy.through(url))
  const claimant = await openMySql(t, url)
  const count = async () => (await claimant.sql('SELECT count(*) AS n FROM items'))[0]?.n
  const backends = async (connection: unknown) =>
    (await claimant.sql('SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ?', [connection])).length
  /** What the connection does now. */
  const stateOf = async (connection: unknown) => {
    const [found] = await claimant.sql(
      'SELECT COMMAND AS command, STATE AS state, INFO AS info FROM information_schema.PROCESSLIST WHERE ID = ?',
      [connection],
    )
    return found as { command: string; state: string | null; info: string | null } | undefined
  }
  return { url, proxy, owner: owner.driver, claimant: claimant.driver, count, backends, stateOf }
}

/** A connection that keeps the table to itself until it ends. */
async function lockedTable(t: ExecutionContext, url: string): Promise<Connection> {
  const connection = await createConnection({ uri: url })
  t.teardown(() => connection.destroy())
  await connection.query('LOCK TABLES items WRITE')
  return connection
}

const statement =
  'INSERT INTO items WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 1000) SELECT a FROM n'

for (const [point, matches, what, answer, rows] of [
  ['its outcome is on its way', isOutcome, 'hold', 'ended', 0],
  ['its outcome is there', isOutcome, 'holdAnswer', 'ended', 0],
  ['it is on its way', isExecution, 'hold', 'ended', 0],
  ['it is done', isExecution, 'holdAnswer', 'ended', 0],
  ['its commit is on its way', isCommit, 'hold', 'ended', 0],
  ['it has committed', isCommit, 'holdAnswer', 'committed', 1000],
] as const)
  test(`the owner is gone when ${point}: ${answer}, and a repetition where that is right leaves it done once`, async t => {
    const { proxy, owner, claimant, count, backends, stateOf } = await twoOwners(t)
    const asked = request(statement)
    const held = proxy[what](matches)
    let identity: EngineHandle | undefined
    const running = owner
      .submit(asked, async engineHandle => {
        identity = engineHandle
      })
      .then(collect)
    running.catch(() => {})
    await held.first
    if (what === 'holdAnswer') await eventually(async () => (await stateOf(identity?.connection))?.command === 'Sleep')
    t.is(await claimant.inquire(asked, identity as EngineHandle), answer)
    t.is(await count(), rows)
    // Asked again, it says the same.
    t.is(await claimant.inquire(asked, identity as EngineHandle), answer)
    if (answer === 'ended') await collect(await claimant.submit({ ...asked, attempt: 2 }, async () => {}))
    t.is(await count(), 1000)
    // What was on its way arrives at last, and finds nobody.
    held.release()
    if (answer === 'ended') {
      t.is((await failureOf(() => running)).failure, 'unavailable')
      t.is(await backends(identity?.connection), 0)
    }
    t.is(await count(), 1000)
    t.is(await claimant.inquire({ ...asked, attempt: 2 }, identity as EngineHandle), 'committed')
  })

test('a connection that runs is ended, whatever it runs', async t => {
  const { owner, claimant, backends } = await twoOwners(t)
  for (const properties of [{}, { 'lens.transaction': 'none' }] as Readonly<Record<string, string>>[]) {
    const asked = request('SELECT SLEEP(600)', { properties })
    const run = await owner.submit(asked, async () => {})
    const failed = failureOf(() => collect(run))
    const connection = run.engineHandle?.connection
    t.is(await claimant.inquire(asked, run.engineHandle), 'lens.transaction' in properties ? 'unknown' : 'ended')
    t.is(await backends(connection), 0)
    t.is((await failed).failure, 'unavailable')
  }
})

test('a connection that has gone on to something else is left alone', async t => {
  const { url } = await database(t)
  const { driver: owner } = await openMySql(t, url, { connectionsMax: 1 })
  const { driver: claimant } = await openMySql(t, url)
  const first = request('SELECT 1')
  const run = await owner.submit(first, async () => {})
  await collect(run)
  const second = await submit(owner, 'SELECT SLEEP(0.3)')
  t.is(second.engineHandle?.connection, run.engineHandle?.connection)
  t.is(await claimant.inquire(first, run.engineHandle), 'ended')
  t.is((await collect(second)).rows.length, 1)
})

test('two attempts at once, since nobody could end the first: one waits for the other, and only one commits', async t => {
  const { proxy, owner, claimant, count, stateOf } = await twoOwners(t)
  const asked = request(statement)
  const held = proxy.hold(isCommit)
  const first = owner.submit(asked, async () => {}).then(collect)
  await held.first
  let identity: EngineHandle | undefined
  const second = claimant
    .submit({ ...asked, attempt: 2 }, async engineHandle => {
      identity = engineHandle
    })
    .then(collect)
  const refused = failureOf(() => second)
  await eventually(async () => {
    const found = await stateOf(identity?.connection)
    return found?.command === 'Query' && found.info?.startsWith('INSERT INTO')
  })
  held.release()
  await first
  t.is((await refused).failure, 'unavailable')
  t.is(await claimant.inquire({ ...asked, attempt: 2 }, identity as EngineHandle), 'committed')
  t.is(await count(), 1000)
})

test('the way breaks while it runs, or commits: it is unavailable, and what became of it can be asked', async t => {
  const { proxy, owner, count } = await twoOwners(t)
  for (const [matches, answer] of [
    [isExecution, 'ended'],
    [isCommit, 'committed'],
  ] as const) {
    const asked = request(statement)
    const held = proxy.holdAnswer(matches)
    const run = await owner.submit(asked, async () => {})
    const failed = failureOf(() => collect(run))
    await held.first
    if (answer === 'committed') await eventually(count, found => found === 1000)
    proxy.cut()
    held.release()
    t.is((await failed).failure, 'unavailable')
    t.is(await owner.inquire(asked, run.engineHandle), answer)
    // Over by then, as cancel says too.
    await run.cancel()
  }
  t.is(await count(), 1000)
})

test('a cancel that comes too late for the commit says nothing else than the commit', async t => {
  const { proxy, owner, count } = await twoOwners(t)
  const asked = request(statement)
  const held = proxy.holdAnswer(isCommit)
  const run = await owner.submit(asked, async () => {})
  const collected = collect(run)
  await held.first
  const canceled = run.cancel()
  held.release()
  await Promise.all([collected, canceled])
  t.is(await owner.inquire(asked, run.engineHandle), 'committed')
  t.is(await count(), 1000)
})

test('what was cancelled before its commit had no effect', async t => {
  const { owner, count } = await twoOwners(t)
  const waiting = request('INSERT INTO items SELECT SLEEP(600)')
  const run = await owner.submit(waiting, async () => {})
  const failed = failureOf(() => collect(run))
  await run.cancel()
  t.is((await failed).failure, 'canceled')
  t.is(await owner.inquire(waiting, run.engineHandle), 'ended')
  // Done, but nobody took its end: it is rolled back.
  const untaken = request(statement)
  const left = await owner.submit(untaken, async () => {})
  await left.cancel()
  t.is((await failureOf(() => collect(left))).failure, 'canceled')
  t.is(await owner.inquire(untaken, left.engineHandle), 'ended')
  t.is(await count(), 0)
})

test('a statement that waits for somebody’s lock can be cancelled, and keeps nobody from asking', async t => {
  const { claimant, count, url } = await twoOwners(t)
  const locking = await lockedTable(t, url)
  const [reading, writing] = [request('SELECT * FROM items'), request('INSERT INTO items VALUES (1)')]
  for (const asked of [reading, writing]) {
    const run = await claimant.submit(asked, async () => {})
    const failed = failureOf(() => run.columns())
    await run.cancel()
    t.is((await failed).failure, 'canceled')
    t.is(await claimant.inquire(asked, run.engineHandle), 'ended')
  }
  t.deepEqual(await claimant.estimate(reading), { cost: 0, rows: null })
  t.regex((await failureOf(() => claimant.explain(reading))).message, /[Ll]ock wait timeout/)
  locking.destroy()
  t.is((await claimant.prepare(reading)).columns.length, 1)
  t.is(await count(), 0)
})

test('an attempt that waits for an earlier one to end can be cancelled', async t => {
  const { proxy, owner, claimant, count, stateOf } = await twoOwners(t)
  const asked = request(statement)
  const held = proxy.hold(isCommit)
  const first = owner.submit(asked, async () => {}).then(collect)
  await held.first
  const second = await claimant.submit({ ...asked, attempt: 2 }, async () => {})
  await eventually(async () => {
    const found = await stateOf(second.engineHandle?.connection)
    return found?.command === 'Query' && found.info?.startsWith('INSERT INTO')
  })
  const failed = failureOf(() => collect(second))
  await second.cancel()
  t.is((await failed).failure, 'canceled')
  held.release()
  await first
  t.is(await count(), 1000)
})

test('while the server is away the engine is not healthy and says so; what ran with it has ended', async t => {
  const { port, url } = await database(t)
  const proxy = await MySqlEngineProxy.start(t, port)
  proxy.refuse(true)
  const { driver, log } = await openMySql(t, proxy.through(url))
  t.false(driver.healthy())
  t.true(log.length > 0)
  const unavailable = async (work: () => Promise<unknown>) => {
    const error = await failureOf(work)
    t.is(error.failure, 'unavailable')
    t.notRegex(error.message, /127\.0\.0\.1|ECONN/)
  }
  const asked = request('SELECT 1')
  for (const work of [
    () => driver.estimate(asked),
    () => driver.explain(asked),
    () => driver.prepare(asked),
    () => driver.tables(),
    () => driver.submit(asked, async () => {}),
  ])
    await unavailable(work)
  proxy.refuse(false)
  t.deepEqual((await query(driver, "SELECT 'x'")).rows, [['x']])
  t.true(driver.healthy())
  const run = await submit(driver, 'SELECT SLEEP(600)')
  const failed = failureOf(() => collect(run))
  proxy.refuse(true)
  t.is((await failed).failure, 'unavailable')
  await unavailable(() => driver.inquire(asked, run.engineHandle))
  t.false(driver.healthy())
  proxy.refuse(false)
  t.is(await driver.inquire(asked, run.engineHandle), 'ended')
  t.deepEqual(
    await sqlAt(
      url,
      "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(600)%' AND ID <> CONNECTION_ID() AND DB = DATABASE()",
    ),
    [],
  )
})

test('a server that was killed and started again has forgotten no outcome', async t => {
  const server = await privateMySqlServer(t)
  const url = await createDatabase(t, server.url)
  await sqlAt(url, 'CREATE TABLE items (a integer)')
  const { driver } = await openMySql(t, url)
  const done = request(statement)
  const finished = await driver.submit(done, async () => {})
  await collect(finished)
  const broken = request('INSERT INTO items SELECT SLEEP(600)')
  const run = await driver.submit(broken, async () => {})
  const failed = failureOf(() => collect(run))
  await server.kill()
  await server.start()
  t.is((await failed).failure, 'unavailable')
  t.is(await driver.inquire(done, finished.engineHandle), 'committed')
  t.is(await driver.inquire(broken, run.engineHandle), 'ended')
  t.deepEqual((await query(driver, 'SELECT count(*) FROM items')).rows, [['1000']])
})

test('a connection that is reset under its statement, not closed, is noticed', async t => {
  const { proxy, owner } = await twoOwners(t)
  for (const sql of ['SELECT SLEEP(600)', statement]) {
    const held = proxy.holdAnswer(isExecution)
    const run = await owner.submit(request(sql), async () => {})
    const failed = failureOf(() => collect(run))
    await held.first
    proxy.reset()
    t.is((await failed).failure, 'unavailable')
  }
})

test('a server that has frozen is away, not waited for', async t => {
  const frozen = await privateMySqlServer(t)
  const url = await createDatabase(t, frozen.url)
  const clock = new ManualClock()
  const { driver } = await openMySql(t, url, {}, clock)
  t.true(driver.healthy())
  frozen.pause()
  const asked = request('SELECT 1')
  // Over the connection that is there, and over a new one.
  for (const work of [() => driver.estimate(asked), () => driver.submit(asked, async () => {})]) {
    const failed = failureOf(work)
    await clock.advance(15_000)
    t.is((await failed).failure, 'unavailable')
    t.false(driver.healthy())
  }
  frozen.resume()
  t.is((await query(driver, "SELECT 'x'")).rows.length, 1)
  t.true(driver.healthy())
})

test('a server that takes no writes for now is away for writes alone, and they are taken when it does again', async t => {
  const server = await privateMySqlServer(t)
  const url = await createOrdinaryDatabase(t, server.url)
  const { driver, sql } = await openMySql(t, url)
  await sql('CREATE TABLE items (a integer)')
  await executeAt(server.url, 'SET GLOBAL read_only = 1')
  const insert = () => submit(driver, 'INSERT INTO items VALUES (1)').then(collect)
  // The table of outcomes is not made yet.
  for (let attempt = 0; attempt < 2; attempt++) {
    const refused = await failureOf(insert)
    t.is(refused.failure, 'unavailable', refused.message)
    t.regex(refused.message, /read.only/)
    t.deepEqual(await driver.estimate(request('INSERT INTO items VALUES (1)')), { cost: 0, rows: null })
  }
  t.true(driver.healthy())
  t.deepEqual((await query(driver, 'SELECT * FROM items')).rows, [])
  await executeAt(server.url, 'SET GLOBAL read_only = 0')
  await insert()
  await executeAt(server.url, 'SET GLOBAL read_only = 1')
  t.is((await failureOf(insert)).failure, 'unavailable')
  t.true(driver.healthy())
  t.deepEqual((await query(driver, 'SELECT * FROM items')).rows, [[1]])
})

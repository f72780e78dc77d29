/**
 * What a later owner learns of a statement whose owner is gone, at every point around its commit, and that the rows are there exactly as
 * often as it was told.
 */
import { writeFile } from 'node:fs/promises'
import test, { type ExecutionContext } from 'ava'
import { type Clock, systemClock } from '../../src/async/index.ts'
import type { EngineHandle } from '../../src/domain/index.ts'
import { collect, failureOf, query, request, submit } from '../conformance/engines.ts'
import { eventually } from '../support/conditions.ts'
import { isCommit, isExecution, isOutcome, PostgresProxy } from '../support/postgres-proxy.ts'
import { PostgresServer, postgresDatabases } from '../support/postgresql.ts'
import { openPostgreSql, sqlAt } from './postgresql-support.ts'

const databases = postgresDatabases(test)

/** An owner whose way to the server can be held, and one that will take over. */
async function twoOwners(t: ExecutionContext) {
  const server = await databases.server()
  const url = await databases.create()
  await sqlAt(url, 'CREATE TABLE items (a integer)')
  const proxy = await PostgresProxy.start(t, server.port)
  const owner = await openPostgreSql(t, proxy.through(url))
  const claimant = await openPostgreSql(t, url)
  const count = async () => (await claimant.sql('SELECT count(*)::integer AS n FROM items'))[0]?.n
  const backends = async (pid: unknown) =>
    (await claimant.sql('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).length
  return { proxy, owner: owner.driver, claimant: claimant.driver, sql: claimant.sql, count, backends }
}

const statement = 'INSERT INTO items SELECT generate_series(1, 1000)'

for (const [point, matches, what, answer, rows] of [
  ['its outcome is on its way', isOutcome, 'hold', 'ended', 0],
  ['its outcome is there', isOutcome, 'holdAnswer', 'ended', 0],
  ['it is on its way', isExecution, 'hold', 'ended', 0],
  ['it is done', isExecution, 'holdAnswer', 'ended', 0],
  ['its commit is on its way', isCommit, 'hold', 'ended', 0],
  ['it has committed', isCommit, 'holdAnswer', 'committed', 1000],
] as const)
  test(`the owner is gone when ${point}: ${answer}, and a repetition where that is right leaves it done once`, async t => {
    const { proxy, owner, claimant, count, backends, sql } = await twoOwners(t)
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
    if (what === 'holdAnswer')
      await eventually(async () => {
        const [found] = await sql('SELECT state FROM pg_stat_activity WHERE pid = $1', [identity?.pid])
        return found?.state?.toString().startsWith('idle')
      })
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
      t.is(await backends(identity?.pid), 0)
    }
    t.is(await count(), 1000)
    t.is(await claimant.inquire({ ...asked, attempt: 2 }, identity as EngineHandle), 'committed')
  })

test('a backend that runs is ended, also when the statement changed its name', async t => {
  const { owner, claimant, backends } = await twoOwners(t)
  for (const sql of ['SELECT pg_sleep(600)', "SELECT set_config('application_name', 'mine', false), pg_sleep(600)"]) {
    const asked = request(sql)
    const run = await owner.submit(asked, async () => {})
    const failed = failureOf(() => collect(run))
    const pid = run.engineHandle?.pid
    await eventually(
      () => backends(pid),
      found => found === 1,
    )
    t.is(await claimant.inquire(asked, run.engineHandle), 'ended')
    t.is(await backends(pid), 0)
    t.is((await failed).failure, 'unavailable')
  }
})

test('a connection that has gone on to something else is left alone', async t => {
  const url = await databases.create()
  const { driver: owner } = await openPostgreSql(t, url, { connectionsMax: 1 })
  const { driver: claimant } = await openPostgreSql(t, url)
  const first = request('SELECT 1')
  const run = await owner.submit(first, async () => {})
  await collect(run)
  const second = await submit(owner, 'SELECT count(*) FROM pg_sleep(0.3)')
  t.is(second.engineHandle?.pid, run.engineHandle?.pid)
  t.is(await claimant.inquire(first, run.engineHandle), 'ended')
  t.deepEqual((await collect(second)).rows, [['1']])
})

test('two attempts at once, since nobody could end the first: one waits for the other, and only one commits', async t => {
  const { proxy, owner, claimant, count, sql } = await twoOwners(t)
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
    const [found] = await sql('SELECT wait_event_type FROM pg_stat_activity WHERE pid = $1', [identity?.pid])
    return found?.wait_event_type === 'Lock'
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
  const waiting = request('INSERT INTO items SELECT 1 FROM pg_sleep(600)')
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
  const { owner, claimant, count, sql } = await twoOwners(t)
  const locking = await owner.submit(request('ALTER TABLE items ADD COLUMN b integer'), async () => {})
  const held = "SELECT 1 FROM pg_locks WHERE relation = 'items'::regclass AND mode = 'AccessExclusiveLock' AND granted"
  await eventually(async () => (await sql(held)).length > 0)
  const [reading, writing] = [request('SELECT * FROM items'), request('INSERT INTO items VALUES (1)')]
  for (const asked of [reading, writing]) {
    const run = await claimant.submit(asked, async () => {})
    const failed = failureOf(() => run.columns())
    await run.cancel()
    t.is((await failed).failure, 'canceled')
    t.is(await claimant.inquire(asked, run.engineHandle), 'ended')
  }
  t.deepEqual(await claimant.estimate(reading), { cost: 0, rows: null })
  t.regex((await failureOf(() => claimant.explain(reading))).message, /lock timeout/)
  await locking.cancel()
  t.is((await claimant.prepare(reading)).columns.length, 1)
  t.is(await count(), 0)
})

test('an attempt that waits for an earlier one to end can be cancelled', async t => {
  const { proxy, owner, claimant, count, sql } = await twoOwners(t)
  const asked = request(statement)
  const held = proxy.hold(isCommit)
  const first = owner.submit(asked, async () => {}).then(collect)
  await held.first
  const second = await claimant.submit({ ...asked, attempt: 2 }, async () => {})
  await eventually(async () => {
    const [found] = await sql('SELECT wait_event_type FROM pg_stat_activity WHERE pid = $1', [second.engineHandle?.pid])
    return found?.wait_event_type === 'Lock'
  })
  const failed = failureOf(() => collect(second))
  await second.cancel()
  t.is((await failed).failure, 'canceled')
  held.release()
  await first
  t.is(await count(), 1000)
})

test('while the server is away the engine is not healthy and says so; what ran with it has ended', async t => {
  const server = await databases.server()
  const url = await databases.create()
  const proxy = await PostgresProxy.start(t, server.port)
  proxy.refuse(true)
  const { driver, log } = await openPostgreSql(t, proxy.through(url))
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
  t.deepEqual((await query(driver, 'SELECT 1')).rows, [[1]])
  t.true(driver.healthy())
  const run = await submit(driver, 'SELECT pg_sleep(600)')
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
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid() AND datname = current_database()",
    ),
    [],
  )
})

test('a server that answers nothing is not reached, and is once it answers again', async t => {
  const server = await databases.server()
  const url = await databases.create()
  const proxy = await PostgresProxy.start(t, server.port)
  // What takes seconds takes as many twentieths.
  const clock: Clock = {
    ...systemClock,
    after: (delayMs, task) => systemClock.after(delayMs / 20, task),
    every: (periodMs, task) => systemClock.every(periodMs / 20, task),
  }
  const { driver, log } = await openPostgreSql(t, proxy.through(url), {}, clock)
  t.true(driver.healthy())
  const frozen = proxy.hold(() => true)
  await eventually(() => !driver.healthy())
  t.is((await failureOf(() => driver.estimate(request('SELECT 1')))).failure, 'unavailable')
  frozen.release()
  await eventually(() => driver.healthy())
  t.deepEqual((await query(driver, 'SELECT 1')).rows, [[1]])
  await eventually(() => log.filter(({ message }) => message === 'the engine is reached').length === 2)
})

test('a server that was killed and started again has forgotten no outcome', async t => {
  const server = await PostgresServer.start()
  t.teardown(() => server.destroy())
  const url = await server.create('app')
  await sqlAt(url, 'CREATE TABLE items (a integer)')
  const { driver } = await openPostgreSql(t, url)
  const done = request(statement)
  const finished = await driver.submit(done, async () => {})
  await collect(finished)
  const broken = request('INSERT INTO items SELECT 1 FROM pg_sleep(600)')
  const run = await driver.submit(broken, async () => {})
  const failed = failureOf(() => collect(run))
  await server.restart()
  t.is((await failed).failure, 'unavailable')
  t.is(await driver.inquire(done, finished.engineHandle), 'committed')
  t.is(await driver.inquire(broken, run.engineHandle), 'ended')
  t.deepEqual((await query(driver, 'SELECT count(*)::integer FROM items')).rows, [[1000]])
})

test('a standby is away for writes alone, and they are taken when it is promoted', async t => {
  const server = await PostgresServer.start()
  t.teardown(() => server.destroy())
  const { driver, sql } = await openPostgreSql(t, await server.create('lens'))
  await sql('CREATE TABLE items (a integer)')
  const insert = () => submit(driver, 'INSERT INTO items VALUES (1)').then(collect)
  await insert()
  const [at] = await sql('SHOW data_directory')
  await writeFile(`${at?.data_directory}/standby.signal`, '')
  await server.restart()
  const refused = await failureOf(insert)
  t.is(refused.failure, 'unavailable', refused.message)
  t.regex(refused.message, /recovery/)
  t.true(driver.healthy())
  t.deepEqual((await query(driver, 'SELECT * FROM items')).rows, [[1]])
  await sql('SELECT pg_promote()')
  await insert()
  t.is((await query(driver, 'SELECT * FROM items')).rows.length, 2)
})

/** What every engine driver has to do, whatever it drives. A driver's test file calls `engineConformance` with its fixture. */
import { zstdDecompressSync } from 'node:zlib'
import type { ExecutionContext, TestFn } from 'ava'
import type { Column, EngineHandle, WireValue } from '../../src/domain/index.ts'
import {
  type EngineDriver,
  EngineError,
  type EngineFailure,
  type RowBatch,
  type Run,
  type StatementRequest,
} from '../../src/engines/index.ts'
import { eventually } from '../support/conditions.ts'

/** A driver under test, started, stopped by the test's teardown. */
export interface OpenedEngine {
  readonly driver: EngineDriver
  /** Kills the process that serves shared statements, or the one of this isolated handle; resolves when the signal is sent. */
  readonly kill?: (handle: string | null) => Promise<void>
  /** Resident memory of the engine's process, in bytes. */
  readonly memoryBytes?: () => Promise<number>
}

export interface EngineFixture {
  open(t: ExecutionContext): Promise<OpenedEngine>
  /** Numbers 0, 1, … as one BIGINT column `n`. */
  numbers(count: number): string
  /** More than what is buffered between an engine and who takes its rows; 5,000,000 unless given. */
  readonly manyRows?: number
  /** Runs for minutes, gives one row, and can be interrupted. */
  readonly endless: string
  /** Fails while it runs, not before; `message` is part of what the engine says. */
  readonly failing: { readonly sql: string; readonly message: RegExp }
  /** Two parameters, a number and a text; gives them back in one row. */
  readonly twoParameters: string
  /** Demanded of a driver whose writing statements share a transaction with their outcome. */
  readonly writes?: WritesFixture
  /** A table of the fixture and its columns. */
  readonly table: { readonly name: string; readonly columns: readonly Column[]; readonly rowCount: number }
}

/** Statements on an empty table with one column of integers, made for one test. */
export interface WritableTable {
  /** Puts the numbers 1 to `count` into it. */
  insert(count: number): string
  /** Puts something into it, and fails before it has ended. */
  readonly failing: string
  /** Runs for minutes before it puts anything into it. */
  readonly endless: string
  /** Its rows, as somebody else sees them. */
  count(): Promise<number>
}

export interface WritesFixture {
  table(t: ExecutionContext): Promise<WritableTable>
}

let handles = 0

export function request(sql: string, more: Partial<StatementRequest> = {}): StatementRequest {
  return {
    handle: `handle-${++handles}`,
    attempt: 1,
    sql,
    parameters: [],
    database: null,
    properties: {},
    isolated: false,
    ...more,
  }
}

export function valuesOf(batch: RowBatch): WireValue[][] {
  const text = zstdDecompressSync(batch.data).toString()
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line))
}

export async function collect(run: Run): Promise<{ columns: readonly Column[]; rows: WireValue[][] }> {
  const rows: WireValue[][] = []
  for await (const batch of run.rows()) for (const row of valuesOf(batch)) rows.push(row)
  return { columns: await run.columns(), rows }
}

export function submit(driver: EngineDriver, sql: string, more: Partial<StatementRequest> = {}): Promise<Run> {
  return driver.submit(request(sql, more), async () => {})
}

export async function query(driver: EngineDriver, sql: string, parameters: readonly WireValue[] = []) {
  return collect(await submit(driver, sql, { parameters }))
}

/** `what` stands in the message when it does not fail. */
export async function failureOf(work: () => Promise<unknown>, what = 'it'): Promise<EngineError> {
  try {
    await work()
  } catch (error) {
    if (error instanceof EngineError) return error
    throw error
  }
  throw new Error(`${what} did not fail`)
}

async function drained(run: Run): Promise<number> {
  let count = 0
  for await (const batch of run.rows()) count += batch.rowCount
  return count
}

async function fails(t: ExecutionContext, failure: EngineFailure, work: () => Promise<unknown>): Promise<EngineError> {
  const error = await failureOf(work)
  t.is(error.failure, failure, error.message)
  return error
}

export function engineConformance(test: TestFn, name: string, fixture: EngineFixture): void {
  const { numbers, endless, failing } = fixture

  test(`${name}: rows come in order, with their columns`, async t => {
    const { driver } = await fixture.open(t)
    const { columns, rows } = await query(driver, numbers(5))
    t.deepEqual(columns, [{ name: 'n', type: 'BIGINT' }])
    t.deepEqual(rows, [['0'], ['1'], ['2'], ['3'], ['4']])
  })

  test(`${name}: a result without rows has columns and no batch`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, `SELECT * FROM (${numbers(5)}) AS x WHERE n > 100`)
    t.deepEqual(await run.columns(), [{ name: 'n', type: 'BIGINT' }])
    t.is(await drained(run), 0)
  })

  test(`${name}: parameters are given by position, and counted`, async t => {
    const { driver } = await fixture.open(t)
    const { rows } = await query(driver, fixture.twoParameters, [42, "it's"])
    t.deepEqual(rows, [[42, "it's"]])
    t.deepEqual((await query(driver, fixture.twoParameters, [null, null])).rows, [[null, null]])
    await fails(t, 'sql-invalid', () => query(driver, fixture.twoParameters, [1]))
    await fails(t, 'sql-invalid', () => query(driver, fixture.twoParameters, [1, 'a', 'b']))
    t.is((await driver.prepare(request(fixture.twoParameters))).parameterCount, 2)
  })

  test(`${name}: a large result comes whole, in batches of bounded size, once`, async t => {
    const { driver } = await fixture.open(t)
    const count = 1_000_000
    const run = await submit(driver, numbers(count))
    let next = 0
    for await (const batch of run.rows()) {
      t.true(batch.bytes <= 2 * 1024 * 1024)
      const rows = valuesOf(batch)
      t.is(rows.length, batch.rowCount)
      for (const [value] of rows) if (value !== `${next++}`) t.fail(`row ${next - 1} is ${value}`)
    }
    t.is(next, count)
  })

  test(`${name}: the engine waits for a slow consumer`, async t => {
    const { driver, memoryBytes } = await fixture.open(t)
    const count = fixture.manyRows ?? 5_000_000
    const run = await submit(driver, numbers(count))
    const rows = run.rows()[Symbol.asyncIterator]()
    t.false((await rows.next()).done)
    const before = await memoryBytes?.()
    // Two others of the same size are taken whole: time enough for the first one to end, if it did not wait.
    for (let other = 0; other < 2; other++) t.is(await drained(await submit(driver, numbers(count))), count)
    if (memoryBytes && before) t.true((await memoryBytes()) - before < 300 * 1024 * 1024)
    await run.cancel()
    await fails(t, 'canceled', async () => {
      for (;;) if ((await rows.next()).done) return
    })
  })

  test(`${name}: cancel ends a running statement, and is confirmed`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, endless)
    const failed = fails(t, 'canceled', () => drained(run))
    await run.cancel()
    await failed
    await run.cancel()
    await fails(t, 'canceled', () => run.columns())
    t.deepEqual((await query(driver, numbers(1))).rows, [['0']])
  })

  test(`${name}: cancel right after the submission is not lost`, async t => {
    const { driver } = await fixture.open(t)
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const run = await submit(driver, endless)
        await run.cancel()
      }),
    )
    t.is((await query(driver, numbers(3))).rows.length, 3)
  })

  test(`${name}: cancel ends a statement whose rows nobody takes`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, numbers(200_000_000))
    const rows = run.rows()[Symbol.asyncIterator]()
    await rows.next()
    await run.cancel()
    await fails(t, 'canceled', async () => {
      for (;;) if ((await rows.next()).done) return
    })
  })

  test(`${name}: cancel after the end changes nothing`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, numbers(10))
    t.is(await drained(run), 10)
    await run.cancel()
    t.deepEqual(await run.columns(), [{ name: 'n', type: 'BIGINT' }])
  })

  test(`${name}: leaving the rows early ends the statement`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, numbers(200_000_000))
    for await (const _ of run.rows()) break
    // Resolves only when the engine has confirmed the end.
    await run.cancel()
    t.is((await query(driver, numbers(3))).rows.length, 3)
  })

  test(`${name}: detach frees, twice too`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, endless)
    await run.detach()
    await run.detach()
    t.is((await query(driver, numbers(3))).rows.length, 3)
  })

  test(`${name}: progress is between 0 and 1`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, endless)
    // Some engines tell how far it is only to who asks for its rows.
    const following = drained(run).catch(() => 0)
    const seen = await eventually(
      () => run.progress().fraction,
      fraction => !driver.capabilities.progress || (fraction !== null && fraction > 0),
    )
    if (seen !== null) t.true(seen >= 0 && seen <= 1)
    await run.cancel()
    await following
    t.pass()
  })

  test(`${name}: an estimate grows with the work, and needs no parameters' values to differ`, async t => {
    const { driver } = await fixture.open(t)
    if (!driver.capabilities.estimate) return t.pass()
    const small = await driver.estimate(request(numbers(10)))
    const large = await driver.estimate(
      request(`SELECT count(*) FROM ${fixture.table.name} a, ${fixture.table.name} b WHERE a.value < b.value`),
    )
    t.true(large.cost > small.cost * 10, `${large.cost} against ${small.cost}`)
    t.true((await driver.estimate(request(fixture.twoParameters, { parameters: [1, 'a'] }))).cost >= 0)
    await fails(t, 'sql-invalid', () => driver.estimate(request('SELECT nothing FROM nowhere')))
  })

  test(`${name}: estimates are answered while long statements run`, async t => {
    const { driver } = await fixture.open(t)
    if (!driver.capabilities.estimate) return t.pass()
    const runs = await Promise.all(
      Array.from({ length: driver.slots.light + driver.slots.heavy }, () => submit(driver, endless)),
    )
    const { cost } = await driver.estimate(request(numbers(10)))
    t.true(cost >= 0)
    await Promise.all(runs.map(run => run.cancel()))
  })

  test(`${name}: explain gives the plan`, async t => {
    const { driver } = await fixture.open(t)
    const plan = await driver.explain(request(`SELECT count(*) FROM ${fixture.table.name} WHERE value > 3`))
    t.true(plan.length > 20)
    await fails(t, 'sql-invalid', () => driver.explain(request('SELECT nothing FROM nowhere')))
  })

  test(`${name}: prepare tells columns and parameters, without running`, async t => {
    const { driver } = await fixture.open(t)
    const { parameterCount, columns } = await driver.prepare(request(`SELECT * FROM ${fixture.table.name}`))
    t.is(parameterCount, 0)
    t.deepEqual(columns, fixture.table.columns)
    t.deepEqual((await driver.prepare(request(endless))).parameterCount, 0)
    await fails(t, 'sql-invalid', () => driver.prepare(request('SELECT nothing FROM nowhere')))
  })

  test(`${name}: tables and their columns are listed`, async t => {
    const { driver } = await fixture.open(t)
    const { name, columns, rowCount } = fixture.table
    t.deepEqual((await driver.tables()).find(table => table.name === name)?.columns, columns)
    t.deepEqual((await query(driver, `SELECT count(*) AS n FROM ${name}`)).rows, [[`${rowCount}`]])
  })

  test(`${name}: what the engine refuses is sql-invalid, with its message`, async t => {
    const { driver } = await fixture.open(t)
    const cases: readonly (readonly [string, RegExp])[] = [
      ['SELEC 1', /syntax error/i],
      ['SELECT\n  1 +\n  FROM', /syntax error.*LINE 3/is],
      ['SELECT nothing', /nothing/],
      ['SELECT * FROM nowhere', /nowhere/],
      ['SELECT 1; SELECT 2', /several statements/i],
      ['', /no statement/i],
      ['-- nothing', /no statement/i],
      [';', /no statement/i],
      ['SELECT 1\0', /NUL/],
    ]
    for (const [sql, message] of cases) {
      const error = await fails(t, 'sql-invalid', () => query(driver, sql))
      t.regex(error.message, message, sql)
    }
  })

  test(`${name}: a statement that fails while it runs says why`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, failing.sql)
    const error = await fails(t, 'failed', () => drained(run))
    t.regex(error.message, failing.message)
    await run.cancel()
  })

  test(`${name}: what a claimant asks about a run whose owner is gone`, async t => {
    const { driver } = await fixture.open(t)
    if (driver.capabilities.reattach || !driver.capabilities.endsWithNode) return t.pass()
    t.is(await driver.attach(request(numbers(1)), null, 0), null)
    t.is(await driver.inquire(request(numbers(1)), null), 'ended')
  })

  test(`${name}: its process dies: what ran fails, and others are served again`, async t => {
    const { driver, kill } = await fixture.open(t)
    if (!kill) return t.pass()
    const runs = await Promise.all([submit(driver, endless), submit(driver, endless), submit(driver, endless)])
    const failures = runs.map(run => fails(t, 'process-died', () => drained(run)))
    await kill(null)
    await Promise.all(failures)
    await Promise.all(runs.map(run => run.cancel()))
    await eventually(async () => (await query(driver, numbers(1))).rows.length === 1)
    t.true(driver.healthy())
    await kill(null)
    await eventually(async () => (await query(driver, numbers(1))).rows.length === 1)
  })

  test(`${name}: an isolated statement dies alone`, async t => {
    const { driver, kill } = await fixture.open(t)
    if (!kill) return t.pass()
    const shared = await submit(driver, endless)
    const isolated = request(endless, { isolated: true })
    const run = await driver.submit(isolated, async () => {})
    const failure = fails(t, 'process-died', () => drained(run))
    await kill(isolated.handle)
    await failure
    t.true(driver.healthy())
    t.deepEqual((await query(driver, numbers(1))).rows, [['0']])
    await shared.cancel()
    t.deepEqual((await collect(await submit(driver, numbers(2), { isolated: true }))).rows, [['0'], ['1']])
    await fails(t, 'sql-invalid', () => submit(driver, 'SELEC', { isolated: true }))
  })

  test(`${name}: stop ends what runs; afterwards it is unavailable; start serves again`, async t => {
    const { driver } = await fixture.open(t)
    const run = await submit(driver, endless)
    const isolated = await submit(driver, endless, { isolated: true })
    // Elsewhere it is let go of, and what became of it is asked for.
    const failure = driver.capabilities.endsWithNode ? 'process-died' : 'unavailable'
    const failures = [fails(t, failure, () => drained(run)), fails(t, failure, () => drained(isolated))]
    await driver.stop()
    await Promise.all(failures)
    t.false(driver.healthy())
    await fails(t, 'unavailable', () => submit(driver, numbers(1)))
    await fails(t, 'unavailable', () => submit(driver, numbers(1), { isolated: true }))
    await driver.stop()
    await driver.start()
    t.deepEqual((await query(driver, numbers(1))).rows, [['0']])
  })
}

/** What makes "exactly once" of a writing statement: asked of every driver that is `transactional`. */
export function transactionalConformance(test: TestFn, name: string, fixture: EngineFixture): void {
  const { writes } = fixture
  /** An owner, and one that takes over. */
  const stage = async (t: ExecutionContext) => {
    const { driver: owner } = await fixture.open(t)
    const { driver: claimant } = await fixture.open(t)
    if (!owner.capabilities.transactional || !writes) throw new Error(`${name} says nothing of its writes`)
    return { owner, claimant, table: await writes.table(t) }
  }
  const identified = async (driver: EngineDriver, asked: StatementRequest) => {
    let identity: EngineHandle | null = null
    const run = await driver.submit(asked, async engineHandle => {
      identity = engineHandle
    })
    return { run, identity: identity as EngineHandle | null }
  }

  test(`${name}: a write is there when its rows were taken, and says so to everybody`, async t => {
    const { owner, claimant, table } = await stage(t)
    const asked = request(table.insert(10))
    let identity: EngineHandle | null = null
    const run = await owner.submit(asked, async engineHandle => {
      identity = engineHandle
      t.is(await table.count(), 0)
    })
    t.false(run.safeToRepeat)
    t.deepEqual(run.engineHandle, identity)
    t.is(await drained(run), 0)
    t.is(await table.count(), 10)
    for (const driver of [owner, claimant]) t.is(await driver.inquire(asked, identity), 'committed')
    t.is(await owner.attach(asked, identity, 0), null)
  })

  test(`${name}: a write is estimated, explained and prepared without being run`, async t => {
    const { owner, table } = await stage(t)
    const asked = request(table.insert(10))
    t.true((await owner.estimate(asked)).cost >= 0)
    t.true((await owner.explain(asked)).length > 10)
    t.deepEqual(await owner.prepare(asked), { parameterCount: 0, columns: [] })
    t.is(await table.count(), 0)
  })

  test(`${name}: a query is safe to repeat, and ended without effect`, async t => {
    const { owner, claimant } = await stage(t)
    const asked = request(fixture.numbers(3))
    const { run, identity } = await identified(owner, asked)
    t.true(run.safeToRepeat)
    t.is(await drained(run), 3)
    t.is(await claimant.inquire(asked, identity), 'ended')
  })

  test(`${name}: a write whose identity is refused does not run`, async t => {
    const { owner, claimant, table } = await stage(t)
    const asked = request(table.insert(10))
    const reason = new Error('owned elsewhere')
    let identity: EngineHandle | null = null
    const submitting = owner.submit(asked, async engineHandle => {
      identity = engineHandle
      throw reason
    })
    t.is(await t.throwsAsync(submitting), reason)
    t.is(await claimant.inquire(asked, identity), 'ended')
    t.is(await claimant.inquire(asked, null), 'ended')
    t.is(await table.count(), 0)
  })

  test(`${name}: what is asked about is over, and another attempt leaves it done once`, async t => {
    const { owner, claimant, table } = await stage(t)
    for (const sql of [table.insert(10), table.endless]) {
      const asked = request(sql)
      // Nobody takes its rows: it is done, perhaps, and not committed.
      const { run, identity } = await identified(owner, asked)
      t.is(await claimant.inquire(asked, identity), 'ended')
      await fails(t, 'unavailable', () => drained(run))
      // It has no effect later, either.
      t.is(await claimant.inquire(asked, identity), 'ended')
      t.is(await table.count(), 0)
    }
    const asked = request(table.insert(10))
    const { identity } = await identified(owner, asked)
    t.is(await claimant.inquire(asked, identity), 'ended')
    const again = { ...asked, attempt: 2 }
    const second = await identified(claimant, again)
    await drained(second.run)
    t.is(await claimant.inquire(again, second.identity), 'committed')
    t.is(await table.count(), 10)
  })

  test(`${name}: no two attempts of a query commit`, async t => {
    const { owner, claimant, table } = await stage(t)
    const asked = request(table.insert(10))
    await drained((await identified(owner, asked)).run)
    const again = { ...asked, attempt: 2 }
    let identity: EngineHandle | null = null
    const repeating = async () =>
      drained(
        await claimant.submit(again, async engineHandle => {
          identity = engineHandle
        }),
      )
    await fails(t, 'unavailable', repeating)
    t.is(await claimant.inquire(again, identity), 'committed')
    t.is(await table.count(), 10)
  })

  test(`${name}: a write that failed or was cancelled had no effect`, async t => {
    const { owner, claimant, table } = await stage(t)
    const failing = request(table.failing)
    const failed = await identified(owner, failing)
    await fails(t, 'failed', () => drained(failed.run))
    t.is(await claimant.inquire(failing, failed.identity), 'ended')
    for (const sql of [table.endless, table.insert(10)]) {
      const asked = request(sql)
      const { run, identity } = await identified(owner, asked)
      await run.cancel()
      await fails(t, 'canceled', () => drained(run))
      t.is(await claimant.inquire(asked, identity), 'ended')
    }
    t.is(await table.count(), 0)
  })

  test(`${name}: an identity that is none of its own is unknown`, async t => {
    const { claimant } = await stage(t)
    t.is(await claimant.inquire(request('SELECT 1'), { of: 'another driver' }), 'unknown')
  })
}

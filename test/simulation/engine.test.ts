/** The simulated engine keeps the contract that drivers have: its word about a run is true, whoever asks and whatever happened. */
import test from 'ava'
import { EngineError, type StatementRequest } from '../../src/engines/index.ts'
import { SimulatedDriver } from './engine-driver.ts'
import { EngineServer, hadEffect } from './engine-server.ts'
import { Scheduler } from './scheduler.ts'
import { batchOf, parseStatement, rowsOf } from './statement.ts'

function engine(endsWithNode = false) {
  const scheduler = new Scheduler({ seed: 'engine' })
  const server = new EngineServer(scheduler, 'remote')
  const driverIn = (name: string) => {
    const process = scheduler.process(name)
    const driver = new SimulatedDriver({
      ...{ process, server, endsWithNode, slots: { light: 1, heavy: 1 }, latencyMs: () => 1 },
      atEngine: (delayMs, task) => scheduler.schedule(delayMs, 'engine', task),
    })
    void driver.start()
    return { process, driver }
  }
  const run = <T>(work: Promise<T>) => scheduler.settled(work, { untilMs: scheduler.nowMs + 60_000 })
  return { scheduler, server, driverIn, run }
}

const request = (sql: string): StatementRequest => ({
  ...{ handle: 'handle', attempt: 1, sql, parameters: [], database: null, properties: {}, isolated: false },
})

async function failureOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'none',
    error => (error instanceof EngineError ? error.failure : String(error)),
  )
}

test('rows follow from the text, in batches, once and in order', async t => {
  const { driverIn, run } = engine()
  const sql = 'SELECT n=7 ms=90 batches=3'
  const statement = parseStatement(sql)
  if (!statement) throw new Error('not a statement')
  const submitted = await run(driverIn('a').driver.submit(request(sql), async () => {}))
  const counts = await run(
    (async () => {
      const sizes: number[] = []
      for await (const batch of submitted.rows()) sizes.push(batch.rowCount)
      return sizes
    })(),
  )
  t.deepEqual(counts, [3, 3, 1])
  t.is(batchOf(statement, 1).rowCount, 3)
  t.deepEqual(rowsOf(sql, 2, 1)[0]?.[0], 2)
  t.is(parseStatement('SELEC n=1'), null)
})

test('nothing runs before its identity is durable, and what its owner never began is never begun', async t => {
  const { server, driverIn, run, scheduler } = engine()
  const { process, driver } = driverIn('a')
  let id: unknown
  void driver.submit(request('CALL ms=10'), handle => {
    id = handle.id
    return new Promise(() => {})
  })
  await scheduler.run({ untilMs: 1_000 })
  t.truthy(id)
  t.is(server.executions.size, 0)
  process.crash()
  const other = driverIn('b').driver
  t.is(await run(other.attach(request('CALL ms=10'), { id })), null)
  t.is(await run(other.inquire(request('CALL ms=10'), { id })), 'ended')
  const [opened] = [server.find(String(id))]
  if (opened) server.begin(opened)
  t.is(server.executions.size, 0)
})

test('a run outlives its owner: another finds it, with all its rows', async t => {
  const { driverIn, run } = engine()
  const first = driverIn('a')
  const sql = 'SELECT n=4 ms=500 batches=2'
  const submitted = await run(first.driver.submit(request(sql), async () => {}))
  first.process.crash()
  const found = await run(driverIn('b').driver.attach(request(sql), submitted.engineHandle))
  const rows = await run(
    (async () => {
      let count = 0
      for await (const batch of found?.rows() ?? []) count += batch.rowCount
      return count
    })(),
  )
  t.is(rows, 4)
})

for (const [sql, early, late] of [
  ['INSERT ms=500', 'ended', 'committed'],
  ['CALL ms=500', 'unknown', 'unknown'],
  ['SELECT n=1 ms=500', 'ended', 'ended'],
] as const)
  test(`what became of ${sql}: asked early ${early}, asked late ${late}`, async t => {
    for (const [waitMs, answer] of [
      [50, early],
      [900, late],
    ] as const) {
      const { server, scheduler, driverIn, run } = engine()
      const { driver } = driverIn('a')
      const { engineHandle } = await run(driver.submit(request(sql), async () => {}))
      await scheduler.run({ untilMs: scheduler.nowMs + waitMs })
      t.is(await run(driver.inquire(request(sql), engineHandle)), answer)
      t.is(server.running().length, 0)
      const effects = (server.executions.get('handle') ?? []).filter(hadEffect).length
      t.is(effects, sql.startsWith('CALL') || answer === 'committed' ? 1 : 0)
    }
  })

test('cancel ends a run and is confirmed; an engine that dies says so; one that is away says nothing', async t => {
  const { server, driverIn, run, scheduler } = engine()
  const { driver } = driverIn('a')
  const rowsOf = (submitted: { columns(): Promise<unknown>; rows(): AsyncIterable<unknown> }) =>
    failureOf(
      (async () => {
        for await (const _ of submitted.rows());
      })(),
    )
  const canceled = await run(driver.submit(request('SELECT n=1 ms=5000'), async () => {}))
  await run(canceled.cancel())
  t.is(server.running().length, 0)
  t.is(await run(rowsOf(canceled)), 'canceled')
  const dying = await run(driver.submit(request('INSERT ms=5000'), async () => {}))
  server.restart(100)
  t.is(await run(failureOf(driver.estimate(request('SELECT n=1')))), 'unavailable')
  t.is(await run(rowsOf(dying)), 'process-died')
  await scheduler.run({ untilMs: scheduler.nowMs + 200 })
  t.is(await run(driver.inquire(request('INSERT ms=5000'), dying.engineHandle)), 'ended')
})

test('one that ends with its node takes what is read alone, and is never found again', async t => {
  const { driverIn, run } = engine(true)
  const { driver } = driverIn('a')
  t.is(await run(failureOf(driver.submit(request('INSERT ms=5'), async () => {}))), 'sql-invalid')
  const submitted = await run(driver.submit(request('SELECT n=1 ms=500'), async () => t.fail('it has no identity')))
  t.is(submitted.engineHandle, null)
  t.is(await driver.attach(request('SELECT n=1 ms=500'), null), null)
  t.is(await driver.inquire(request('SELECT n=1 ms=500'), null), 'ended')
})

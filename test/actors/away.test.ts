/** An engine that cannot be reached: queries wait for it in the queue, and what it still has to end is kept until it has. */
import test from 'ava'
import { uuidv7 } from 'uuidv7'
import { OwedEnds } from '../../src/actors/index.ts'
import { eventually } from '../support/conditions.ts'
import { submittedQuery } from '../support/slow-engine.ts'

test('while no engine is there a query waits in the queue, says so, holds no slot and is no attempt', async t => {
  const { engine, host, handle, row } = await submittedQuery(t, {
    enginePatienceMs: 60_000,
    prepare: engine => {
      engine.isHealthy = false
    },
  })
  await eventually(() => host.find(handle)?.progress.message !== '')
  t.is(host.find(handle)?.progress.message, 'The engine slow cannot be reached. Waiting for it.')
  t.like(await row(), { status: 'QUEUED', attempt: 0 })
  t.is(host.load().running, 0)
  engine.isHealthy = true
  await engine.submitted.promise
  engine.identify.resolve()
  const ended = await eventually(row, found => found?.finished === true)
  t.like(ended, { status: 'SUCCESSFUL', attempt: 1, snapshot: { context: { failedAttempts: [] } } })
})

test('an engine that stays away is given up after the patience', async t => {
  const { engine, row } = await submittedQuery(t, {
    enginePatienceMs: 50,
    prepare: engine => {
      engine.isHealthy = false
    },
  })
  const ended = await eventually(row, found => found?.finished === true)
  t.like(ended, { status: 'FAILED', attempt: 0, snapshot: { context: { error: { code: 'ENGINE_UNAVAILABLE' } } } })
  t.is(engine.sent, 0)
})

test('an engine that goes away while queries wait for their turn gives none of them a slot', async t => {
  const { engine, host, store, row, handle, environment } = await submittedQuery(t, {
    enginePatienceMs: 60_000,
    runs: 'until-ended',
  })
  engine.identify.resolve()
  await eventually(row, found => found?.status === 'RUNNING')
  const first = host.find(handle)
  t.truthy(first)
  const second = { ...(first?.specification as NonNullable<typeof first>['specification']), handle: uuidv7() }
  await host.submit(second, null)
  await eventually(() => host.lanes.waiting('slow', 'light') === 1)
  engine.isHealthy = false
  engine.end.resolve()
  await eventually(row, found => found?.finished === true)
  await eventually(() => host.find(second.handle)?.progress.message !== '')
  t.is(environment.engines.drivers.length, 1)
  t.is(host.load().running, 0)
  t.like((await store.queries.read([second.handle]))[0], { status: 'QUEUED', attempt: 0 })
  engine.isHealthy = true
  const ended = await eventually(
    async () => (await store.queries.read([second.handle]))[0],
    found => found?.finished === true,
  )
  t.like(ended, { status: 'SUCCESSFUL', attempt: 1 })
})

test('attempts under which nothing had begun do not count while the patience lasts', async t => {
  const { engine, row } = await submittedQuery(t, {
    enginePatienceMs: 60_000,
    prepare: engine => {
      engine.refusals = 5
    },
  })
  engine.identify.resolve()
  const ended = await eventually(row, found => found?.finished === true)
  t.like(ended, { status: 'SUCCESSFUL', attempt: 6 })
  t.is(engine.sent, 1)
})

test('a run that was lost is ended by its engine once that can be asked, whatever became of the query', async t => {
  const { engine, store, handle, row, environment } = await submittedQuery(t)
  engine.safeToRepeat = true
  engine.isLost = true
  engine.word = null
  engine.identify.resolve()
  const ended = await eventually(row, found => found?.finished === true)
  t.like(ended, { status: 'FAILED', attempt: 3, snapshot: { context: { error: { code: 'ENGINE_UNAVAILABLE' } } } })
  const attemptsOwed = async () => (await store.cleanups.list(10, null)).map(row => [row.handle, row.attempt])
  const all = [1, 2, 3].map(attempt => [handle, attempt])
  t.deepEqual(await attemptsOwed(), all)

  const owedEnds = new OwedEnds(environment)
  await owedEnds.settle(() => true)
  t.deepEqual(await attemptsOwed(), all)
  engine.word = 'ended'
  engine.inquired.length = 0
  await owedEnds.settle(() => false)
  t.deepEqual(await attemptsOwed(), all)
  await owedEnds.settle(() => true)
  t.deepEqual(await attemptsOwed(), [])
  t.deepEqual(
    engine.inquired.map(({ attempt, sql }) => [attempt, sql]),
    [1, 2, 3].map(attempt => [attempt, 'insert']),
  )
})

test('what its engine has confirmed is not owed', async t => {
  const { engine, store, row } = await submittedQuery(t)
  engine.safeToRepeat = true
  engine.isLost = true
  engine.word = 'ended'
  engine.identify.resolve()
  await eventually(row, found => found?.finished === true)
  t.deepEqual(await store.cleanups.list(10, null), [])
  t.is(engine.inquired.length, 3)
})

test('an engine that is away keeps no query from being stopped: what may have had an effect is not known then', async t => {
  const { engine, host, store, handle, row } = await submittedQuery(t, { runs: 'until-ended', enginePatienceMs: 10 })
  engine.isDeaf = true
  engine.word = null
  engine.identify.resolve()
  await eventually(row, found => found?.status === 'RUNNING')
  await store.queries.requestCancel(handle)
  host.cancel([handle])
  const ended = await eventually(row, found => found?.finished === true)
  t.like(ended, { status: 'FAILED', snapshot: { context: { error: { code: 'EXECUTION_UNKNOWN' } } } })
  t.like(await store.cleanups.list(10, null), [{ handle, attempt: 1, engine: 'slow', engineHandle: { id: '1' } }])
})

test('a row that cannot be restored leaves its run to be ended', async t => {
  const { engine, host, store, handle, row, environment } = await submittedQuery(t, { runs: 'until-ended' })
  engine.identify.resolve()
  await eventually(row, found => found?.status === 'RUNNING')
  const found = (await row()) as NonNullable<Awaited<ReturnType<typeof row>>>
  await host.abandon()
  const { Restoration } = await import('../../src/actors/restoration.ts')
  await new Restoration(environment).fail(found, 'it is broken')
  t.like(await row(), { status: 'FAILED' })
  t.like(await store.cleanups.list(10, null), [{ handle, attempt: 1, engineHandle: { id: '1' } }])
})

/** The order of things between a query and an engine that gives identities. */
import test from 'ava'
import { LensError } from '../../src/domain/index.ts'
import type { PageStore, Store } from '../../src/store/index.ts'
import { eventually } from '../support/conditions.ts'
import { submittedQuery } from '../support/slow-engine.ts'

test('a statement whose identity comes when it is already being stopped is never sent', async t => {
  const { store, host, engine, handle, row } = await submittedQuery(t)
  await store.queries.requestCancel(handle)
  host.cancel([handle])
  await eventually(async () => JSON.stringify((await row())?.snapshot).includes('"stopping"'))
  engine.identify.resolve()
  t.false(await engine.identified.promise)
  const ended = await eventually(row, found => found?.finished === true)
  t.deepEqual([ended?.status, engine.sent], ['CANCELED', 0])
})

test('one whose identity is durable is sent, and ends as what the engine made of it', async t => {
  const { engine, row } = await submittedQuery(t)
  engine.identify.resolve()
  t.true(await engine.identified.promise)
  const ended = await eventually(row, found => found?.finished === true)
  t.deepEqual([ended?.status, engine.sent], ['SUCCESSFUL', 1])
})

test('a page that the store took before it went away is not taken for the loss of the query', async t => {
  let lost = 0
  const forgetful = (store: Store): PageStore => ({
    append: async (page, epoch, again) => {
      const taken = await store.pages.append(page, epoch, again)
      if (lost++ > 0) return taken
      throw new LensError('STORE_UNAVAILABLE', 'The answer to the commit is lost, and the store away for long.')
    },
    reset: (...given) => store.pages.reset(...given),
    from: (...given) => store.pages.from(...given),
    expire: (...given) => store.pages.expire(...given),
  })
  const { store, engine, handle, row } = await submittedQuery(t, { pagesOf: forgetful })
  engine.batches = 3
  engine.identify.resolve()
  const ended = await eventually(row, found => found?.finished === true)
  t.deepEqual([ended?.status, ended?.attempt, ended?.storedRows, engine.sent], ['SUCCESSFUL', 1, 3, 1])
  t.deepEqual(
    (await store.pages.from(handle, 1, 0, 9)).map(({ page, firstRow }) => [page, firstRow]),
    [0, 1, 2].map(page => [page, page]),
  )
})

/** What the leader clears away by size: results beyond the bytes that are kept, queries beyond their number, rows before their query. */
import type { TestFn } from 'ava'
import {
  committed,
  joined,
  leading,
  opened,
  rowOf,
  type StoreUnderTest,
  storeOn,
  storeTests,
  submitted,
  TestQuery,
} from './store-fixtures.ts'
import { page } from './store-steps.ts'

export function retentionConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('results beyond the bytes that are kept expire first the next to expire; queries go after their rows', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const term = await leading(store, member)
    const session = await opened(store)
    const queries = [0, 1, 2, 3].map(() => new TestQuery(member, session))
    await submitted(store, ...queries)
    for (const { handle } of queries) await store.pages.append(page(handle, 0), 1)
    const years = ['2020', '2097', '2098', '2099']
    for (const [index, query] of queries.entries())
      await committed(store, query.run(`${years[index]}-01-01T00:00:00.000Z`))
    const handles = queries.map(({ handle }) => handle)
    const left = async () =>
      (await Promise.all(handles.map(handle => store.pages.from(handle, 1, 0, 1)))).map(pages => pages.length)
    const { bytes } = page('', 0)
    // What is due anyway does not count.
    t.is(await store.retention.excess(0), 3 * bytes)
    t.is(await store.retention.excess(3 * bytes), 0)
    t.is(await store.retention.expireEarly(term + 1, bytes, 10), 0)
    t.is(await store.retention.excess(0), 3 * bytes)
    t.is(await store.retention.expireEarly(term, 1, 10), bytes)
    t.is(await store.retention.excess(0), 2 * bytes)
    t.is((await store.pages.expire(term, 10)).length, 2)
    t.deepEqual(await left(), [0, 0, 1, 1])
    t.like(await rowOf(store, handles[1] as string), { status: 'SUCCESSFUL', storedPages: 0 })
    const unfinished = new TestQuery(member, session)
    await submitted(store, unfinished)
    const unknown = unfinished.handle.replace(/^./, 'f')
    const gone = await store.retention.withoutRows([...handles, unfinished.handle, unknown, 'lost+found'])
    t.deepEqual([...gone].sort(), handles.slice(0, 2).sort())
    t.is(await store.retention.expireEarly(term, 2 * bytes, 1), bytes)
    t.is(await store.retention.endOfNewest(4), null)
    const before = Date.parse('2200-01-01T00:00:00.000Z')
    t.deepEqual(await store.retention.forget(term, { before }, 10), { queries: 2, waiting: 2, sessions: 0 })
    t.is((await store.pages.expire(term, 10)).length, 2)
    t.deepEqual(await left(), [0, 0, 0, 0])
    t.deepEqual(await store.retention.forget(term, { before }, 1), { queries: 1, waiting: 0, sessions: 0 })
    t.deepEqual(await store.retention.forget(term, { before }, 10), { queries: 1, waiting: 0, sessions: 0 })
    t.deepEqual(await store.queries.versions(handles), [])
  })

  test('the end of the newest finished queries', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const queries = [0, 1, 2].map(() => new TestQuery(member, session))
    await submitted(store, ...queries)
    for (const [index, query] of queries.entries())
      await committed(store, query.run(null, `${2000 + index}-01-01T00:00:00.000Z`))
    const ends = (await store.queries.read(queries.map(({ handle }) => handle)))
      .map(row => Date.parse(row.finishedAt as string))
      .sort((a, b) => b - a)
    t.is(await store.retention.endOfNewest(1), ends[0] as number)
    t.is(await store.retention.endOfNewest(2), ends[1] as number)
    t.is(await store.retention.endOfNewest(3), null)
  })
}

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
    t.deepEqual(await store.retention.forget(term, { before }, 10), { queries: 2, waiting: 2, sessionSteps: 0 })
    t.is((await store.pages.expire(term, 10)).length, 2)
    t.deepEqual(await left(), [0, 0, 0, 0])
    t.deepEqual(await store.retention.forget(term, { before }, 1), { queries: 1, waiting: 0, sessionSteps: 0 })
    t.deepEqual(await store.retention.forget(term, { before }, 10), { queries: 1, waiting: 0, sessionSteps: 0 })
    t.deepEqual(await store.queries.versions(handles), [])
  })

  test('what became of a session is forgotten step by step, by age, also while it stays open', async (t, stores) => {
    const url = await stores.fresh(t)
    const store = await storeOn(t, url)
    const term = await leading(store, await joined(store))
    const id = await opened(store)
    const changed = { type: 'CHANGED', database: 'other', properties: {}, at: '2026-01-01T00:00:00.000Z' } as const
    const next = { database: 'other', properties: {}, status: 'OPEN' } as const
    t.truthy(await store.sessions.move(id, changed, 'node-1', () => next))
    const dayMs = 86_400_000
    t.is((await store.retention.forget(term, { agoMs: dayMs }, 10)).sessionSteps, 0)
    await stores.execute(url, 'UPDATE session_transition SET at = 1 WHERE version = 1')
    t.is(
      (await store.retention.forget(term + 1, { agoMs: dayMs }, 10)).sessionSteps,
      0,
      'who does not lead deletes nothing',
    )
    t.is((await store.retention.forget(term, { agoMs: dayMs }, 10)).sessionSteps, 1)
    t.is((await store.retention.forget(term, { agoMs: dayMs }, 10)).sessionSteps, 0)
    t.deepEqual(
      (await store.sessions.transitions(id)).map(({ version }) => version),
      [2],
    )
    t.is((await store.sessions.read(id))?.version, 2)
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

/** What is owed to webhooks: written with the end of a query and with nothing else, tried until it is received or given up. */
import type { TestFn } from 'ava'
import type { Delivery, Store, WebhookInterest } from '../../src/store/index.ts'
import {
  committed,
  joined,
  leading,
  noLimits,
  opened,
  type StoreUnderTest,
  storeOn,
  storeTests,
  submitted,
  TestQuery,
} from './store-fixtures.ts'

const all: WebhookInterest = { name: 'all', outcomes: ['SUCCESSFUL', 'FAILED', 'CANCELED'], users: null }
const bobsCancelled: WebhookInterest = { name: 'bobs-cancelled', outcomes: ['CANCELED'], users: ['bob', 'carol'] }

const shown = (deliveries: readonly Delivery[]) => deliveries.map(({ handle, webhook }) => `${webhook} ${handle}`)
const one = async (store: Store, handle: string) => (await store.webhooks.list({ handle }, 10, null))[0] as Delivery

export function webhookConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('an end is owed to every webhook that wants it, once, and nothing before it', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t), 15_000, { webhooks: [all, bobsCancelled] })
    const member = await joined(store)
    const alice = await opened(store)
    const bob = await opened(store, { user: 'bob' })
    const ofAlice = new TestQuery(member, alice)
    const ofBob = new TestQuery(member, bob, { user: 'bob' })
    const other = new TestQuery(member, bob, { user: 'bob' })
    await submitted(store, ofAlice, ofBob, other)
    await committed(store, ofAlice.estimate('light'), ofBob.estimate('heavy'))
    t.deepEqual(await store.webhooks.list({}, 10, null), [])
    await committed(store, ofAlice.cancel())
    const [end, run] = [ofBob.cancel(), other.run()]
    await committed(store, end, run)
    // The answer to the commit was lost: it is asked for again, and nothing is owed twice.
    t.deepEqual(await store.queries.commit([end, run], noLimits), [{ kind: 'committed' }, { kind: 'committed' }])
    const owed = await store.webhooks.list({}, 10, null)
    t.deepEqual(
      shown(owed),
      // Newest first: handles begin with the time.
      [`all ${other.handle}`, `bobs-cancelled ${ofBob.handle}`, `all ${ofBob.handle}`, `all ${ofAlice.handle}`],
    )
    for (const delivery of owed) t.like(delivery, { state: 'PENDING', attempts: 0, lastError: null })
    t.deepEqual(shown(await store.webhooks.due('bobs-cancelled', 10)), [`bobs-cancelled ${ofBob.handle}`])
    t.is((await store.webhooks.due('all', 2)).length, 2)
    t.deepEqual(await store.webhooks.due('no-such', 10), [])
    // Page by page, by webhook, by state and by query.
    const first = await store.webhooks.list({}, 2, null)
    t.deepEqual([...first, ...(await store.webhooks.list({}, 9, first[1] as Delivery))], [...owed])
    t.is((await store.webhooks.list({ webhook: 'all' }, 9, null)).length, 3)
    t.is((await store.webhooks.list({ state: 'DEAD' }, 9, null)).length, 0)
    t.is((await store.webhooks.list({ handle: ofBob.handle }, 9, null)).length, 2)
    t.deepEqual(await store.webhooks.list({ handle: 'ä' }, 9, null), [])
  })

  test('an attempt counts once; a success whoever made it', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t), 15_000, { webhooks: [all] })
    const member = await joined(store)
    const session = await opened(store)
    const query = new TestQuery(member, session)
    await submitted(store, query)
    await committed(store, query.run())
    const { handle } = query
    const read = await one(store, handle)
    t.true(await store.webhooks.record(read, { kind: 'failed', error: 'HTTP 500', retryMs: 3_600_000 }))
    // Two leaders, of whom one does not know yet that it leads no more.
    t.false(await store.webhooks.record(read, { kind: 'failed', error: 'HTTP 501', retryMs: 0 }))
    t.false(await store.webhooks.record(read, { kind: 'dead', error: 'HTTP 410' }))
    const waiting = await one(store, handle)
    t.like(waiting, { state: 'PENDING', attempts: 1, lastError: 'HTTP 500' })
    t.is(Math.round((Date.parse(waiting.dueAt) - Date.parse(waiting.createdAt)) / 3_600_000), 1)
    t.deepEqual(await store.webhooks.due('all', 10), [])
    t.like((await store.webhooks.backlog())[0], { webhook: 'all', pending: 1, dead: 0 })
    t.is((await store.webhooks.backlog())[0]?.oldestPendingAt, waiting.createdAt)

    t.true(await store.webhooks.record(waiting, { kind: 'dead', error: 'x'.repeat(1_000) }))
    t.like(await one(store, handle), { state: 'DEAD', attempts: 2, lastError: 'x'.repeat(255) })
    t.deepEqual(await store.webhooks.backlog(), [{ webhook: 'all', pending: 0, dead: 1, oldestPendingAt: null }])
    t.like(await store.webhooks.again({ handle, webhook: 'all' }), { handle, state: 'PENDING', attempts: 0 })
    t.is(await store.webhooks.again({ handle, webhook: 'other' }), null)
    t.deepEqual(shown(await store.webhooks.due('all', 10)), [`all ${handle}`])
    t.true(await store.webhooks.record(waiting, { kind: 'delivered' }))
    t.like(await one(store, handle), { state: 'DELIVERED', lastError: null })
    t.deepEqual(await store.webhooks.backlog(), [])
    t.deepEqual(await store.webhooks.due('all', 10), [])
  })

  test('deliveries go with their query', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t), 15_000, { webhooks: [all] })
    const member = await joined(store)
    const term = await leading(store, member)
    const session = await opened(store)
    const [query, kept] = [new TestQuery(member, session), new TestQuery(member, session)]
    await submitted(store, query, kept)
    await committed(store, query.run(null, '2020-01-01T00:00:00.000Z'))
    await committed(store, kept.run(null, '2099-01-01T00:00:00.000Z'))
    await store.webhooks.drop([{ handle: query.handle, webhook: 'all' }])
    t.is((await store.webhooks.list({}, 10, null)).length, 2, 'their queries are there')
    t.is((await store.retention.forget(term, { before: Date.parse('2050-01-01T00:00:00.000Z') }, 10)).queries, 1)
    t.deepEqual(shown(await store.webhooks.list({}, 10, null)), [`all ${kept.handle}`])
  })
}

/** Sessions: opened once, moved by one after the other, expired only when nobody uses them. */
import { randomUUID } from 'node:crypto'
import type { TestFn } from 'ava'
import type { SessionEvent } from '../../src/domain/index.ts'
import type { SessionRow, Store } from '../../src/store/index.ts'
import { eventually } from '../support/conditions.ts'
import {
  committed,
  joined,
  leading,
  newSession,
  noLimits,
  opened,
  type StoreUnderTest,
  storeOn,
  storeTests,
  submitted,
  TestQuery,
} from './store-fixtures.ts'

const atTime = '2026-01-01T00:00:00.000Z'
const closing: SessionEvent = { type: 'CLOSE_REQUESTED', at: atTime }
const closed = { database: null, properties: {}, status: 'CLOSING' } as const

export function sessionConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('a session is there as it was opened, on every store', async (t, { fresh }) => {
    const url = await fresh(t)
    const [store, other] = [await storeOn(t, url), await storeOn(t, url)]
    const session = newSession()
    const answer = await store.sessions.open(session, 0)
    t.is(answer.kind, 'opened')
    const row = await other.sessions.read(session.id)
    t.deepEqual(row, answer.kind === 'opened' ? answer.session : null)
    const { id, user, secretHash, database, properties, idleMs } = session
    t.like(row, { id, user, secretHash, database, properties, idleMs, status: 'OPEN', version: 1, admin: false })
    const [check, ...more] = await other.sessions.check([session.id, randomUUID(), session.id])
    t.is(more.length, 0)
    t.like(check, { id, user, secretHash, idleMs, status: 'OPEN', version: 1, expired: false })
    t.true((check?.unusedMs as number) < 60_000)
    t.deepEqual(
      (await store.sessions.transitions(id)).map(({ version, from, to, event }) => [version, from, to, event.type]),
      [[1, 'NEW', 'OPEN', 'OPENED']],
    )
    t.deepEqual(await store.sessions.count('alice'), { OPEN: 1 })
    t.deepEqual(await store.sessions.count('bob'), {})
    const chief = newSession()
    await store.sessions.open({ ...chief, admin: true }, 0)
    t.true((await other.sessions.read(chief.id))?.admin)
  })

  test('opening is repeated safely, with and without a key', async (t, { fresh }) => {
    const url = await fresh(t)
    const [store, other] = [await storeOn(t, url), await storeOn(t, url)]
    const plain = newSession()
    t.is((await store.sessions.open(plain, 0)).kind, 'opened')
    t.is((await store.sessions.open(plain, 0)).kind, 'opened')
    const key = { idempotencyKey: 'k', requestHash: 'h' }
    const [a, b] = [newSession(key), newSession(key)]
    const answers = await Promise.all([store.sessions.open(a, 0), other.sessions.open(b, 0)])
    t.deepEqual(answers.map(({ kind }) => kind).sort(), ['duplicate', 'opened'])
    const winner = answers.find(({ kind }) => kind === 'opened')
    const loser = answers.find(({ kind }) => kind === 'duplicate')
    t.deepEqual(loser, {
      kind: 'duplicate',
      session: winner?.kind === 'opened' ? winner.session : null,
      sameRequest: true,
    })
    t.like(await store.sessions.open(newSession({ ...key, requestHash: 'x' }), 0), {
      kind: 'duplicate',
      sameRequest: false,
    })
    t.is((await store.sessions.open(newSession({ ...key, user: 'bob' }), 0)).kind, 'opened')
    t.is((await store.sessions.list('alice', 10, null)).length, 2)
  })

  test('a session moves under its version while it is open', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const id = await opened(store)
    const change: SessionEvent = { type: 'CHANGED', at: atTime, properties: { x: 'y' } }
    const next = { database: 'other', properties: { x: 'y' }, status: 'OPEN' } as const
    t.is(await store.sessions.move('unknown', change, 'node-1', () => next), null)
    t.is(await store.sessions.move(id, change, 'node-1', () => null), null)
    t.like(await store.sessions.read(id), { version: 1, database: 'main' })
    const moved = await store.sessions.move(id, change, 'node-1', ({ version }) => (version === 1 ? next : null))
    t.deepEqual(moved, await store.sessions.read(id))
    t.like(moved, { version: 2, database: 'other', properties: { x: 'y' } })
    t.like(await store.sessions.move(id, closing, 'node-1', () => closed), { version: 3, status: 'CLOSING' })
    t.is(await store.sessions.move(id, change, 'node-1', () => next), null)
    t.like((await store.sessions.check([id]))[0], { status: 'CLOSING', version: 3 })
    t.deepEqual(await store.sessions.list('alice', 10, null), [])
    t.deepEqual(await store.sessions.count(null), { CLOSING: 1 })
    t.true(await store.sessions.removeClosed(id, 'node-1'))
    t.true(await store.sessions.removeClosed(id, 'node-1'))
    t.is(await store.sessions.read(id), null)
    t.deepEqual(
      (await store.sessions.transitions(id)).map(({ version, from, to }) => [version, from, to]),
      [
        [1, 'NEW', 'OPEN'],
        [2, 'OPEN', 'OPEN'],
        [3, 'OPEN', 'CLOSING'],
        [4, 'CLOSING', 'CLOSED'],
      ],
    )
  })

  test('of many who move one session at once each has a turn, and none overwrites another', async (t, { fresh }) => {
    const url = await fresh(t)
    const several = [await storeOn(t, url), await storeOn(t, url)]
    const id = await opened(several[0] as Store)
    const [movers, rounds] = [8, 5]
    const counted = (row: SessionRow, by: number) => Number(row.properties[by] ?? 0)
    await Promise.all(
      Array.from({ length: movers }, async (_, by) => {
        for (let round = 1; round <= rounds; round++) {
          const event: SessionEvent = { type: 'CHANGED', at: atTime, properties: { [by]: String(round) } }
          const moved = await (several[by % 2] as Store).sessions.move(id, event, `node-${by % 2}`, row => ({
            ...{ database: null, status: 'OPEN' },
            properties: { ...row.properties, [by]: String(counted(row, by) + 1) },
          }))
          t.is(moved && counted(moved, by), round)
        }
      }),
    )
    const row = (await several[0]?.sessions.read(id)) as SessionRow
    t.is(row.version, 1 + movers * rounds)
    for (let by = 0; by < movers; by++) t.is(counted(row, by), rounds, `${by}`)
    const steps = (await several[0]?.sessions.transitions(id)) ?? []
    t.deepEqual(
      steps.map(({ version }) => version),
      steps.map((_, index) => index + 1),
    )
  })

  test('a closing session stays until its queries have ended', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const id = await opened(store)
    const query = new TestQuery(member, id)
    await submitted(store, query)
    t.truthy(await store.sessions.move(id, closing, 'node-1', () => closed))
    t.false(await store.sessions.removeClosed(id, 'node-1'))
    t.deepEqual(await store.queries.submit([new TestQuery(member, id).submission()], noLimits), [
      { kind: 'session-invalid' },
    ])
    const term = await leading(store, member)
    t.deepEqual(await store.sessions.sweep(term, 10), { expired: [], closed: [] })
    await committed(store, query.run())
    t.deepEqual(await store.sessions.sweep(term + 1, 10), { expired: [], closed: [] })
    t.deepEqual(await store.sessions.sweep(term, 10), { expired: [], closed: [id] })
    t.is(await store.sessions.read(id), null)
  })

  test('an open session is not removed as a closed one', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const id = await opened(store)
    t.false(await store.sessions.removeClosed(id, 'node-1'))
    t.is((await store.sessions.read(id))?.status, 'OPEN')
  })

  test('the sweep expires what is unused, and not what is used or runs a query', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const term = await leading(store, member)
    const idleMs = 150
    const used = await opened(store, { idleMs: 600_000 })
    const unused = await opened(store, { idleMs })
    const busy = await opened(store, { idleMs })
    const query = new TestQuery(member, busy)
    await submitted(store, query)
    await eventually(async () => (await store.sessions.check([unused]))[0]?.expired, Boolean, { what: 'expiry' })
    t.like((await store.sessions.check([busy]))[0], { expired: false, status: 'OPEN' })
    t.deepEqual(await store.sessions.sweep(term + 1, 10), { expired: [], closed: [] })
    t.deepEqual(await store.sessions.sweep(term, 10), { expired: [unused], closed: [] })
    t.deepEqual(await store.sessions.check([unused]), [])
    t.truthy(await store.sessions.read(used))
    const last = (await store.sessions.transitions(unused)).at(-1)
    t.like(last, { from: 'OPEN', to: 'EXPIRED', node: 'node-1', version: 2 })
    await committed(store, query.run())
    await eventually(async () => (await store.sessions.sweep(term, 10)).expired.includes(busy), Boolean, {
      what: 'expiry',
    })
  })

  test('touched sessions live, however the sweep races them', async (t, { fresh }) => {
    const url = await fresh(t)
    const [store, sweeper] = [await storeOn(t, url), await storeOn(t, url)]
    const member = await joined(store)
    const term = await leading(store, member)
    // Touching is far more frequent than idling: the session is in use for as long as the test lasts.
    const kept = await opened(store, { idleMs: 20_000 })
    const lost = await Promise.all(Array.from({ length: 10 }, () => opened(store, { idleMs: 20 })))
    const expired: string[] = []
    while (expired.length < lost.length) {
      const [{ expired: some }] = await Promise.all([sweeper.sessions.sweep(term, 3), store.sessions.touch([kept])])
      expired.push(...some)
      t.true(some.length <= 3)
    }
    t.deepEqual([...expired].sort(), [...lost].sort())
    t.truthy(await store.sessions.read(kept))
  })

  test('touch writes a last use only when the stored one is old enough', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const rare = await opened(store, { idleMs: 600_000 })
    const often = await opened(store, { idleMs: 100 })
    const before = [await store.sessions.read(rare), await store.sessions.read(often)]
    await eventually(
      async () => {
        await store.sessions.touch([rare, often])
        return (await store.sessions.read(often))?.lastUsedAt !== before[1]?.lastUsedAt
      },
      Boolean,
      { what: 'a touch that counts' },
    )
    t.is((await store.sessions.read(rare))?.lastUsedAt, before[0]?.lastUsedAt)
  })

  test('sessions per user hold for the cluster, and ending one makes room', async (t, { fresh }) => {
    const url = await fresh(t)
    const several = [await storeOn(t, url), await storeOn(t, url), await storeOn(t, url)] as const
    const answers = await Promise.all(
      Array.from({ length: 15 }, (_, index) =>
        (several[index % 3] as (typeof several)[0]).sessions.open(newSession(), 4),
      ),
    )
    const kinds = answers.map(({ kind }) => kind)
    t.is(kinds.filter(kind => kind === 'opened').length, 4)
    t.is(kinds.filter(kind => kind === 'limit').length, 11)
    const [first] = await several[0].sessions.list('alice', 10, null)
    t.truthy(await several[0].sessions.move(first?.id ?? '', closing, 'node-1', () => closed))
    t.is((await several[1].sessions.open(newSession(), 4)).kind, 'opened')
    t.is((await several[2].sessions.open(newSession(), 4)).kind, 'limit')
    t.is((await several[2].sessions.open(newSession({ user: 'bob' }), 4)).kind, 'opened')
  })

  test('lists a user’s open sessions, newest first, by pages', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const ids: string[] = []
    for (let index = 0; index < 5; index++) ids.push(await opened(store))
    await opened(store, { user: 'bob' })
    const first = await store.sessions.list('alice', 3, null)
    const second = await store.sessions.list('alice', 3, first.at(-1) ?? null)
    const seen = [...first, ...second]
    t.deepEqual(seen.map(({ id }) => id).sort(), [...ids].sort())
    t.deepEqual(
      seen.map(({ createdAt, id }) => createdAt + id),
      seen.map(({ createdAt, id }) => createdAt + id).sort((a, b) => (a < b ? 1 : -1)),
    )
    t.is((await store.sessions.list(null, 10, null)).length, 6)
  })
}

/** Steps under their predicates, hand-overs, pages, and the limits of the cluster. */
import { randomUUID } from 'node:crypto'
import type { TestFn } from 'ava'
import type { NewPage, StepGroup } from '../../src/store/index.ts'
import {
  at,
  committed,
  joined,
  leading,
  noLimits,
  opened,
  rowOf,
  type StoreUnderTest,
  storeOn,
  storeTests,
  submitted,
  TestQuery,
} from './store-fixtures.ts'

/** A page of a result; nobody unpacks it. */
export function page(handle: string, number: number, rows = 10): NewPage {
  return {
    handle,
    attempt: 1,
    page: number,
    firstRow: number * rows,
    rowCount: rows,
    bytes: 100,
    data: Buffer.from([number, 0, 255, 39]),
  }
}

export function stepConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('steps move the row and leave their transitions, to the end', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    await committed(store, query.estimate('heavy'))
    t.like(await rowOf(store, query.handle), { lane: 'heavy', status: 'QUEUED', version: 2 })
    await committed(store, query.launch())
    t.like(await rowOf(store, query.handle), { engine: 'duckdb', attempt: 1, status: 'LAUNCHED' })
    await committed(store, query.start())
    await committed(store, query.execute())
    const last = query.succeed('2030-01-01T00:00:00.000Z')
    await committed(store, last)
    const row = await rowOf(store, query.handle)
    t.like(row, {
      status: 'SUCCESSFUL',
      outcome: 'SUCCESSFUL',
      finished: true,
      version: 6,
      resultExpiresAt: '2030-01-01T00:00:00.000Z',
    })
    t.deepEqual(row.snapshot, last.snapshot)
    t.is(row.finishedAt, last.snapshot.context.finishedAt)
    t.deepEqual(
      (await store.queries.transitions(query.handle, 0)).map(({ version, from, to }) => [version, from, to]),
      [
        [1, 'NEW', 'QUEUED'],
        [2, 'QUEUED', 'QUEUED'],
        [3, 'QUEUED', 'LAUNCHED'],
        [4, 'LAUNCHED', 'RUNNING'],
        [5, 'RUNNING', 'EXECUTED'],
        [6, 'EXECUTED', 'SUCCESSFUL'],
      ],
    )
  })

  test('a step counts only under its version and epoch; nothing of another one is left behind', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const queries = [0, 1, 2, 3, 4].map(() => new TestQuery(member, session))
    await submitted(store, ...queries.slice(0, 4))
    queries[4]?.submission()
    const groups = queries.map(query => query.launch()) as [StepGroup, StepGroup, StepGroup, StepGroup, StepGroup]
    const answers = await store.queries.commit(
      [{ ...groups[0], fromVersion: 2 }, { ...groups[1], epoch: 2 }, groups[2], { ...groups[3], epoch: 0 }, groups[4]],
      noLimits,
    )
    t.deepEqual(
      answers.map(({ kind }) => kind),
      ['stale', 'fenced', 'committed', 'fenced', 'fenced'],
    )
    for (const [index, query] of queries.entries()) {
      const expected = [1, 1, 2, 1, 0][index]
      t.is((await store.queries.transitions(query.handle, 0)).length, expected as number)
      t.is((await store.queries.versions([query.handle]))[0]?.version ?? 0, expected as number)
    }
  })

  test('a step that is repeated is committed once, also when others followed or the query has ended', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const query = new TestQuery(member, session)
    const other = new TestQuery(member, session)
    await submitted(store, query, other)
    const launch = query.launch()
    await committed(store, launch)
    await committed(store, launch, other.launch())
    const start = query.start()
    await committed(store, start)
    await committed(store, launch)
    await committed(store, query.execute())
    const last = query.succeed()
    await committed(store, last)
    await committed(store, last)
    await committed(store, launch)
    t.is((await store.queries.transitions(query.handle, 0)).length, 5)
    t.is((await store.queries.transitions(other.handle, 0)).length, 2)
  })

  test('two owners of one version: one of them wins', async (t, { fresh }) => {
    const url = await fresh(t)
    const [a, b] = [await storeOn(t, url), await storeOn(t, url)]
    const member = await joined(a)
    const session = await opened(a)
    for (let round = 0; round < 20; round++) {
      const query = new TestQuery(member, session)
      await submitted(a, query)
      const group = query.launch()
      const twin = { ...group, transitions: group.transitions.map(transition => ({ ...transition, id: randomUUID() })) }
      const answers = (
        await Promise.all([a.queries.commit([group], noLimits), b.queries.commit([twin], noLimits)])
      ).flat()
      t.deepEqual(answers.map(({ kind }) => kind).sort(), ['committed', 'stale'])
      t.is((await a.queries.transitions(query.handle, 0)).length, 2)
    }
  })

  test('several steps of one query in a batch follow one another', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    await committed(store, query.launch(), query.start(), query.execute())
    t.like(await rowOf(store, query.handle), { status: 'EXECUTED', version: 4 })
  })

  test('a hand-over raises the epoch and fences the one who gave', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const target = await joined(store, 'node-2')
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    const group = { ...query.step({ type: 'HANDED_OVER', node: 'node-2', epoch: 2, at: at() }), newOwner: target }
    await committed(store, group)
    t.like(await rowOf(store, query.handle), {
      ownerIncarnation: target.incarnation,
      ownerNode: 'node-2',
      epoch: 2,
      version: 2,
    })
    await committed(store, group)
    const launch = query.launch()
    t.deepEqual(await store.queries.commit([{ ...launch, epoch: 1 }], noLimits), [{ kind: 'fenced' }])
    await committed(store, launch)
  })

  test('nothing is handed over to the dead: who gives keeps it, and what came with it counts', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const dead = await joined(store, 'node-2')
    const session = await opened(store)
    const [given, other] = [new TestQuery(member, session), new TestQuery(member, session)]
    await submitted(store, given, other)
    const term = await leading(store, member)
    t.truthy(await store.cluster.fence(term, dead.incarnation, 'test', null))
    const group = { ...given.step({ type: 'HANDED_OVER', node: 'node-2', epoch: 2, at: at() }), newOwner: dead }
    t.deepEqual(await store.queries.commit([group, other.launch()], noLimits), [
      { kind: 'stale' },
      { kind: 'committed' },
    ])
    t.deepEqual(await store.queries.commit([group], noLimits), [{ kind: 'stale' }])
    t.like(await rowOf(store, given.handle), { ownerIncarnation: member.incarnation, epoch: 1, version: 1 })
    t.is((await store.queries.transitions(given.handle, 0)).length, 1)
  })

  test('a failed attempt is kept, and the query queues again', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    await committed(store, query.launch())
    const code = 'ENGINE_UNAVAILABLE'
    await committed(
      store,
      query.step({
        type: 'ATTEMPT_FAILED',
        kind: 'engine',
        code,
        message: 'gone',
        node: 'node-1',
        retryAt: at(),
        at: at(),
      }),
      query.step({ type: 'RETRIED', at: at() }),
    )
    const row = await rowOf(store, query.handle)
    t.like(row, { status: 'QUEUED', version: 4 })
    t.like(row.snapshot, { context: { failedAttempts: [{ attempt: 1, code }] } })
    await committed(store, query.run())
  })

  test('the end of a run that is owed comes with its step, once, and not with one that is refused', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const [lost, fenced] = [new TestQuery(member, session), new TestQuery(member, session)]
    await submitted(store, lost, fenced)
    await committed(store, lost.launch(), fenced.launch())
    const failed = (query: TestQuery): StepGroup => ({
      ...query.step({
        ...{ type: 'ATTEMPT_FAILED', kind: 'engine', code: 'ENGINE_UNAVAILABLE', message: 'gone', node: 'node-1' },
        ...{ retryAt: at(), at: at() },
      }),
      owedEnds: [{ attempt: 1, engine: 'ward', engineHandle: { text: "Zoë's", number: 1.5 } }],
    })
    const [group, refused] = [failed(lost), { ...failed(fenced), epoch: 2 }]
    const kinds = async () => (await store.queries.commit([group, refused], noLimits)).map(({ kind }) => kind)
    t.deepEqual(await kinds(), ['committed', 'fenced'])
    t.deepEqual(await kinds(), ['committed', 'fenced'])
    const [owed, ...others] = await store.cleanups.list(10, null)
    t.deepEqual(others, [])
    t.like(owed, { handle: lost.handle, ...group.owedEnds?.[0] })
    t.true(Date.parse(owed?.createdAt ?? '') > 0)

    // It outlives its query.
    const again = lost.step({ type: 'RETRIED', at: at() })
    await committed(store, again, lost.launch())
    const second = { ...failed(lost), owedEnds: [{ attempt: 2, engine: 'ward', engineHandle: {} }] }
    await committed(store, second)
    const rows = await store.cleanups.list(10, null)
    t.deepEqual(
      rows.map(({ attempt }) => attempt),
      [1, 2],
    )
    const [first, next] = rows as [(typeof rows)[0], (typeof rows)[0]]
    t.deepEqual(await store.cleanups.list(1, null), [first])
    t.deepEqual(await store.cleanups.list(10, first), [next])
    await store.cleanups.done(lost.handle, 1)
    await store.cleanups.done(lost.handle, 1)
    t.deepEqual(await store.cleanups.list(10, null), [next])
  })

  test('pages follow one another under the epoch; the last one comes with the end', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    await committed(store, query.launch(), query.start())
    const { handle } = query
    t.true(await store.pages.reset(handle, 1, 1))
    t.true(await store.pages.append(page(handle, 0), 1))
    t.false(await store.pages.append(page(handle, 0), 1))
    t.false(await store.pages.append(page(handle, 2), 1))
    t.false(await store.pages.append(page(handle, 1), 2))
    t.true(await store.pages.append(page(handle, 1), 1))
    t.like(await rowOf(store, handle), { storedPages: 2, storedRows: 20, storedBytes: 200 })
    await committed(store, query.execute())
    const last = query.succeed()
    t.deepEqual(await store.queries.commit([{ ...last, page: page(handle, 3) }], noLimits), [{ kind: 'stale' }])
    await committed(store, { ...last, page: { ...page(handle, 2), data: null } })
    t.like(await rowOf(store, handle), { finished: true, storedPages: 3, storedRows: 30, storedBytes: 300 })
    t.false(await store.pages.append(page(handle, 3), 1))
    const all = await store.pages.from(handle, 1, 0, 10)
    t.deepEqual(
      all.map(({ page: number, firstRow, rowCount }) => [number, firstRow, rowCount]),
      [
        [0, 0, 10],
        [1, 10, 10],
        [2, 20, 10],
      ],
    )
    t.deepEqual([...(all[1]?.data ?? [])], [1, 0, 255, 39])
    t.is(all[2]?.data, null)
    const numbers = async (row: number, limit: number) =>
      (await store.pages.from(handle, 1, row, limit)).map(({ page: number }) => number)
    t.deepEqual(await numbers(9, 1), [0])
    t.deepEqual(await numbers(10, 1), [1])
    t.deepEqual(await numbers(19, 5), [1, 2])
    t.deepEqual(await numbers(29, 5), [2])
    t.deepEqual(await numbers(30, 5), [])
    t.deepEqual(await store.pages.from(handle, 2, 0, 5), [])
  })

  test('a new attempt forgets the pages of the old one, under the epoch', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    const { handle } = query
    t.true(await store.pages.append(page(handle, 0), 1))
    t.false(await store.pages.reset(handle, 2, 2))
    t.is((await store.pages.from(handle, 1, 0, 5)).length, 1)
    t.true(await store.pages.reset(handle, 1, 2))
    t.deepEqual(await store.pages.from(handle, 1, 0, 5), [])
    t.like(await rowOf(store, handle), { storedPages: 0, storedRows: 0, storedBytes: 0 })
  })

  test('the leader deletes the pages of expired results, and of ends without a result', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const term = await leading(store, member)
    const session = await opened(store)
    const [expired, kept, forever, canceled] = [0, 1, 2, 3].map(() => new TestQuery(member, session)) as [
      TestQuery,
      TestQuery,
      TestQuery,
      TestQuery,
    ]
    await submitted(store, expired, kept, forever, canceled)
    for (const { handle } of [expired, kept, forever, canceled]) await store.pages.append(page(handle, 0), 1)
    await committed(
      store,
      expired.run('2020-01-01T00:00:00.000Z'),
      kept.run('2099-01-01T00:00:00.000Z'),
      forever.run(),
      canceled.cancel(),
    )
    t.deepEqual(await store.pages.expire(term + 1, 10), [])
    t.is((await store.pages.from(expired.handle, 1, 0, 5)).length, 1)
    const gone = await store.pages.expire(term, 10)
    t.deepEqual(gone.map(({ handle }) => handle).sort(), [expired.handle, canceled.handle].sort())
    t.deepEqual(await store.pages.expire(term, 10), [])
    t.deepEqual(await store.pages.from(expired.handle, 1, 0, 5), [])
    t.is((await store.pages.from(kept.handle, 1, 0, 5)).length, 1)
    t.is((await store.pages.from(forever.handle, 1, 0, 5)).length, 1)
    t.like(await rowOf(store, expired.handle), { status: 'SUCCESSFUL', resultExpiresAt: '2020-01-01T00:00:00.000Z' })
  })

  test('queue limits hold exactly, whatever stores the submissions go to', async (t, { fresh }) => {
    const url = await fresh(t)
    const several = [await storeOn(t, url), await storeOn(t, url), await storeOn(t, url)] as const
    const [store] = several
    const member = await joined(store)
    const sessions = new Map([
      ['alice', await opened(store)],
      ['bob', await opened(store, { user: 'bob' })],
    ])
    const limits = { queuedPerUser: 20, runningPerUser: 0, queuedPerLane: 30 }
    const users = ['alice', 'bob'] as const
    const queries = Array.from({ length: 120 }, (_, index) => {
      const user = users[index % 2] as 'alice' | 'bob'
      return new TestQuery(member, sessions.get(user) as string, { user })
    })
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, part) =>
        (several[part % 3] as typeof store).queries.submit(
          queries.slice(part * 5, part * 5 + 5).map(query => query.submission()),
          limits,
        ),
      ),
    )
    const kinds = answers.flat()
    t.is(kinds.filter(({ kind }) => kind === 'accepted').length, 30)
    t.is(kinds.filter(({ kind }) => kind === 'queue-full').length, 90)
    const counts = await store.queries.countUnfinished()
    for (const { count } of counts) t.true(count <= 20)
    t.is(
      counts.reduce((sum, { count }) => sum + count, 0),
      30,
    )
    // What leaves the queue makes room for as many.
    const accepted = queries.filter((_, index) => kinds[index]?.kind === 'accepted')
    const alices = accepted.filter(({ user }) => user === 'alice').slice(0, 3)
    for (const query of alices)
      t.deepEqual(await store.queries.commit([query.launch()], limits), [{ kind: 'committed' }])
    const more = Array.from({ length: 5 }, () => new TestQuery(member, sessions.get('alice') as string))
    const again = await store.queries.submit(
      more.map(query => query.submission()),
      limits,
    )
    t.deepEqual(
      again.map(({ kind }) => kind),
      ['accepted', 'accepted', 'accepted', 'queue-full', 'queue-full'],
    )
  })

  test('an estimate moves a query’s place from one lane’s count to the other’s', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const limits = { queuedPerUser: 0, runningPerUser: 0, queuedPerLane: 2 }
    const query = (lane: 'light' | 'heavy' | 'auto') => new TestQuery(member, session, { lane })
    const submit = async (one: TestQuery) => (await store.queries.submit([one.submission()], limits))[0]?.kind
    const [a, b] = [query('auto'), query('light')]
    t.is(await submit(a), 'accepted')
    t.is(await submit(b), 'accepted')
    t.deepEqual((await store.queries.submit([query('light').submission()], limits))[0], {
      kind: 'queue-full',
      scope: 'queued:lane:light',
      limit: 2,
    })
    t.deepEqual(await store.queries.commit([a.estimate('heavy')], limits), [{ kind: 'committed' }])
    t.is(await submit(query('auto')), 'accepted')
    t.is(await submit(query('heavy')), 'accepted')
    t.is(await submit(query('heavy')), 'queue-full')
  })

  test('no more run per user than allowed, and an end makes room', async (t, { fresh }) => {
    const url = await fresh(t)
    const [store, other] = [await storeOn(t, url), await storeOn(t, url)]
    const member = await joined(store)
    const session = await opened(store)
    const limits = { queuedPerUser: 0, runningPerUser: 3, queuedPerLane: 0 }
    const queries = Array.from({ length: 10 }, () => new TestQuery(member, session))
    await submitted(store, ...queries)
    const launches = queries.map(query => query.launch())
    const answers = (
      await Promise.all([
        store.queries.commit(launches.slice(0, 5), limits),
        other.queries.commit(
          // Whose they are, the store finds out by itself.
          launches.slice(5).map(group => ({ ...group, user: undefined })),
          limits,
        ),
      ])
    ).flat()
    t.is(answers.filter(({ kind }) => kind === 'committed').length, 3)
    t.is(answers.filter(({ kind }) => kind === 'limit').length, 7)
    const refused = answers.findIndex(({ kind }) => kind === 'limit')
    const running = answers.findIndex(({ kind }) => kind === 'committed')
    t.like(await rowOf(store, queries[refused]?.handle as string), { status: 'QUEUED', version: 1 })
    const end = queries[running]?.step(
      { type: 'STARTED', engineHandle: null, safeToRepeat: true, at: at() },
      {
        type: 'ATTEMPT_FAILED',
        kind: 'statement',
        code: 'EXECUTION_FAILED',
        message: 'x',
        node: 'n',
        retryAt: null,
        at: at(),
      },
      { type: 'GAVE_UP', at: at() },
    ) as StepGroup
    // In one batch: the end makes room for the launch.
    t.deepEqual(await store.queries.commit([end, launches[refused] as StepGroup], limits), [
      { kind: 'committed' },
      { kind: 'committed' },
    ])
  })

  test('a launch beside steps of what runs already is refused all the same', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const limits = { queuedPerUser: 0, runningPerUser: 2, queuedPerLane: 0 }
    const queries = Array.from({ length: 4 }, () => new TestQuery(member, session)).sort((a, b) =>
      a.handle < b.handle ? -1 : 1,
    )
    const [first, second, third, last] = queries as [TestQuery, TestQuery, TestQuery, TestQuery]
    await submitted(store, ...queries)
    t.deepEqual(await store.queries.commit([second.launch(), third.launch()], limits), [
      { kind: 'committed' },
      { kind: 'committed' },
    ])
    t.deepEqual(await store.queries.commit([first.launch(), second.start(), third.start(), last.launch()], limits), [
      { kind: 'limit' },
      { kind: 'committed' },
      { kind: 'committed' },
      { kind: 'limit' },
    ])
  })

  test('the recount makes counters true that were not kept', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const queries = Array.from({ length: 4 }, () => new TestQuery(member, session))
    await submitted(store, ...queries)
    await committed(store, ...queries.slice(0, 2).map(query => query.launch()))
    const term = await leading(store, member)
    t.false(await store.cluster.recountLimits(term + 1))
    t.true(await store.cluster.recountLimits(term))
    const limits = { queuedPerUser: 3, runningPerUser: 3, queuedPerLane: 100 }
    const more = [new TestQuery(member, session), new TestQuery(member, session)]
    t.deepEqual(
      (
        await store.queries.submit(
          more.map(query => query.submission()),
          limits,
        )
      ).map(({ kind }) => kind),
      ['accepted', 'queue-full'],
    )
    t.deepEqual(
      (
        await store.queries.commit(
          queries.slice(2).map(query => query.launch()),
          limits,
        )
      ).map(({ kind }) => kind),
      ['committed', 'limit'],
    )
    t.deepEqual(await store.sessions.open({ ...sessionOf('alice'), node: 'node-1' }, 1), { kind: 'limit', limit: 1 })
  })
}

function sessionOf(user: string) {
  return {
    id: randomUUID(),
    user,
    secretHash: 'x',
    database: null,
    properties: {},
    idleMs: 1000,
    idempotencyKey: null,
    requestHash: null,
  }
}

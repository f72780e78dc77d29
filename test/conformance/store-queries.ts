/** Submissions, their guards and keys; reads over the two tables. */
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { TestFn } from 'ava'
import { isFinished } from '../../src/domain/index.ts'
import {
  committed,
  joined,
  leading,
  newSession,
  noLimits,
  opened,
  rowOf,
  type StoreUnderTest,
  storeOn,
  storeTests,
  submitted,
  TestQuery,
} from './store-fixtures.ts'

export function queryConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('a submission is there as it was sent, with its first transition', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    const submission = query.submission()
    t.deepEqual(await store.queries.submit([submission], noLimits), [{ kind: 'accepted' }])
    const row = await rowOf(store, query.handle)
    for (const [name, value] of Object.entries(submission.specification))
      t.deepEqual((row as unknown as Record<string, unknown>)[name], value, name)
    t.like(row, {
      finished: false,
      status: 'QUEUED',
      outcome: null,
      version: 1,
      epoch: 1,
      ownerIncarnation: member.incarnation,
      ownerNode: member.node,
      lane: 'auto',
      cancelRequested: false,
      storedPages: 0,
      finishedAt: null,
    })
    t.deepEqual(row.snapshot, submission.snapshot)
    const [transition, ...more] = await store.queries.transitions(query.handle, 0)
    t.is(more.length, 0)
    t.like(transition, submission.transition)
    t.is(new Date(transition?.at ?? '').toISOString(), transition?.at ?? '')
    t.deepEqual(await store.queries.transitions(query.handle, 1), [])
  })

  test('a submission needs a living member and an open session of its user', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const dead = await joined(store, 'node-2')
    const term = await leading(store, member)
    t.truthy(await store.cluster.fence(term, dead.incarnation, 'test', null))
    const session = await opened(store)
    const closing = await opened(store)
    const closingRow = await store.sessions.read(closing)
    await store.sessions.move(closing, { type: 'CLOSE_REQUESTED', at: '2026-01-01T00:00:00.000Z' }, 'node-1', () => ({
      database: null,
      properties: {},
      status: 'CLOSING',
    }))
    t.is(closingRow?.status, 'OPEN')
    const queries = [
      new TestQuery(member, session),
      new TestQuery(dead, session),
      new TestQuery({ incarnation: randomUUID(), node: 'nobody' }, session),
      new TestQuery(member, randomUUID()),
      new TestQuery(member, closing),
      new TestQuery(member, session, { user: 'mallory' }),
      new TestQuery(member, session, { user: 'alice ' }),
    ]
    const answers = await store.queries.submit(
      queries.map(query => query.submission()),
      noLimits,
    )
    t.deepEqual(
      answers.map(({ kind }) => kind),
      ['accepted', 'fenced', 'fenced', 'session-invalid', 'session-invalid', 'session-invalid', 'session-invalid'],
    )
    const found = await store.queries.versions(queries.map(query => query.handle))
    t.deepEqual(
      found.map(({ handle }) => handle),
      [queries[0]?.handle],
    )
  })

  test('a submission that is repeated is the same one, also after it has ended and its session is gone', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const sessionId = await opened(store)
    const query = new TestQuery(member, sessionId)
    query.key = 'key'
    query.requestHash = 'hash'
    await submitted(store, query)
    await submitted(store, query)
    await committed(store, query.run())
    const other = new TestQuery(member, sessionId)
    t.deepEqual(await store.queries.submit([other.submission(), query.submission()], noLimits), [
      { kind: 'accepted' },
      { kind: 'accepted' },
    ])
    t.is((await rowOf(store, query.handle)).status, 'SUCCESSFUL')
    t.is((await store.queries.transitions(query.handle, 0)).length, 5)
  })

  test('the transitions of many queries are those of each', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const sessionId = await opened(store)
    const [first, second] = [new TestQuery(member, sessionId), new TestQuery(member, sessionId)] as const
    await submitted(store, first, second)
    await committed(store, second.run())
    const unknown = '00000000-0000-7000-8000-000000000000'
    const found = await store.queries.transitionsOf([second.handle, unknown, 'no handle', first.handle])
    t.deepEqual([...found.keys()].sort(), [first.handle, second.handle].sort())
    for (const { handle } of [first, second]) t.deepEqual(found.get(handle), await store.queries.transitions(handle, 0))
    t.is(found.get(second.handle)?.length, 5)
    t.deepEqual(await store.queries.transitionsOf([]), new Map())
  })

  test('one key gives one query: in a batch, later, and with other content', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const bobs = await opened(store, { user: 'bob' })
    const query = (key: string | null, requestHash: string, user = 'alice') => {
      const made = new TestQuery(member, user === 'bob' ? bobs : session, { user })
      made.key = key
      made.requestHash = requestHash
      return made
    }
    const batch = [
      query('k', 'a'),
      query('k', 'a'),
      query('k', 'b'),
      query(null, 'a'),
      query('k ', 'a'),
      query('K', 'a'),
      query('k', 'a', 'bob'),
    ]
    const first = batch[0] as TestQuery
    const duplicate = (sameRequest: boolean) => ({ kind: 'duplicate', handle: first.handle, sameRequest })
    t.deepEqual(
      await store.queries.submit(
        batch.map(one => one.submission()),
        noLimits,
      ),
      [
        { kind: 'accepted' },
        duplicate(true),
        duplicate(false),
        { kind: 'accepted' },
        { kind: 'accepted' },
        { kind: 'accepted' },
        { kind: 'accepted' },
      ] as never,
    )
    await committed(store, first.run())
    t.deepEqual(await store.queries.submit([query('k', 'a').submission()], noLimits), [duplicate(true)] as never)
  })

  test('a key whose submission was refused is free', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const refused = new TestQuery(member, randomUUID())
    const full = new TestQuery(member, session)
    const second = new TestQuery(member, session)
    for (const query of [refused, full, second]) query.key = 'k'
    t.deepEqual(await store.queries.submit([refused.submission()], noLimits), [{ kind: 'session-invalid' }])
    await submitted(store, new TestQuery(member, session))
    const term = await leading(store, member)
    await store.cluster.recountLimits(term)
    const answers = await store.queries.submit([full.submission()], { ...noLimits, queuedPerUser: 1 })
    t.deepEqual(answers, [{ kind: 'queue-full', scope: 'queued:user:alice', limit: 1 }])
    await submitted(store, second)
  })

  test('one key sent to two stores at once gives one query, however often', async (t, { fresh }) => {
    const url = await fresh(t)
    const stores2 = [await storeOn(t, url), await storeOn(t, url)] as const
    const member = await joined(stores2[0])
    const session = await opened(stores2[0])
    for (let round = 0; round < 20; round++) {
      const queries = [0, 1, 2, 3].map(() => {
        const query = new TestQuery(member, session)
        query.key = `key-${round}`
        query.requestHash = 'same'
        return query
      })
      const answers = await Promise.all(
        queries.map((query, index) => stores2[(index % 2) as 0 | 1].queries.submit([query.submission()], noLimits)),
      )
      const kinds = answers.flat().map(answer => answer.kind)
      t.is(kinds.filter(kind => kind === 'accepted').length, 1)
      const winner = queries[kinds.indexOf('accepted')] as TestQuery
      for (const answer of answers.flat())
        if (answer.kind !== 'accepted')
          t.deepEqual(answer, { kind: 'duplicate', handle: winner.handle, sameRequest: true })
      t.is((await stores2[0].queries.versions(queries.map(query => query.handle))).length, 1)
    }
  })

  test('a query is found at every instant, also while it moves between the tables', async (t, { fresh }) => {
    const url = await fresh(t)
    const store = await storeOn(t, url)
    const reader = await storeOn(t, url)
    const member = await joined(store)
    const session = await opened(store)
    const queries = Array.from({ length: 150 }, () => new TestQuery(member, session))
    for (let begin = 0; begin < queries.length; begin += 50) await submitted(store, ...queries.slice(begin, begin + 50))
    const handles = queries.map(query => query.handle)
    let moving = true
    let looks = 0
    const poll = async () => {
      while (moving) {
        const versions = await reader.queries.versions(handles)
        const rows = await reader.queries.read(handles.slice(0, 20))
        t.is(new Set(versions.map(({ handle }) => handle)).size, handles.length)
        t.is(versions.length, handles.length)
        t.is(rows.length, 20)
        for (const row of rows) t.is(row.finished, isFinished(row.status))
        looks++
        await setImmediate()
      }
    }
    const polling = [poll(), poll()]
    for (const query of queries) await committed(store, query.run())
    moving = false
    await Promise.all(polling)
    t.true(looks > 1)
    t.true((await store.queries.versions(handles)).every(version => version.finished))
  })

  test('lists newest first, by pages, with filters, from both tables', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const second = await opened(store)
    const bobs = await opened(store, { user: 'bob' })
    // Two share each moment: the handle decides.
    const moment = (index: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, index >> 1)).toISOString()
    const queries = Array.from(
      { length: 12 },
      (_, index) => new TestQuery(member, index === 3 ? second : session, { submittedAt: moment(index) }),
    )
    const bob = new TestQuery(member, bobs, { user: 'bob', submittedAt: moment(0) })
    await submitted(store, ...queries, bob)
    await committed(store, ...queries.filter((_, index) => index % 3 === 0).map(query => query.run()))
    const newestFirst = [...queries]
      .map((query, index) => ({ handle: query.handle, submittedAt: moment(index) }))
      .sort((a, b) => (a.submittedAt + a.handle < b.submittedAt + b.handle ? 1 : -1))
    const pages: string[] = []
    let cursor: { submittedAt: string; handle: string } | null = null
    for (;;) {
      const page = await store.queries.list({ user: 'alice' }, 5, cursor)
      pages.push(...page.map(({ handle }) => handle))
      const last = page.at(-1)
      if (!last || page.length < 5) break
      cursor = { submittedAt: last.submittedAt, handle: last.handle }
      // What is inserted meanwhile is newer than the page, and not in the next.
      await submitted(store, new TestQuery(member, session))
    }
    t.deepEqual(
      pages,
      newestFirst.map(({ handle }) => handle),
    )
    const handles = async (filter: Parameters<typeof store.queries.list>[0]) =>
      (await store.queries.list(filter, 100, null)).map(({ handle }) => handle)
    t.deepEqual(await handles({ user: 'bob' }), [bob.handle])
    t.true((await handles({ user: null })).includes(bob.handle))
    t.deepEqual(await handles({ user: 'bo' }), [])
    t.deepEqual(await handles({ user: 'bob ' }), [])
    t.deepEqual(await handles({ user: "' OR 1 = 1 -- " }), [])
    t.is((await handles({ user: 'alice', statuses: ['SUCCESSFUL'] })).length, 4)
    t.deepEqual(await handles({ user: 'alice', statuses: [] }), [])
    // Of several statuses, from both tables, merged by time.
    const [queued] = queries.filter((_, index) => index % 3 !== 0)
    if (!queued) return t.fail()
    await committed(store, queued.cancel())
    const several = queries.filter((query, index) => index % 3 === 0 || query === queued).map(({ handle }) => handle)
    t.deepEqual(
      await handles({ user: 'alice', statuses: ['CANCELED', 'SUCCESSFUL', 'FAILED'] }),
      newestFirst.map(({ handle }) => handle).filter(handle => several.includes(handle)),
    )
    t.deepEqual(
      await handles({ user: null, statuses: ['CANCELED', 'QUEUED'], sessionId: session }),
      (await handles({ user: null, sessionId: session })).filter(
        handle => handle === queued.handle || !several.includes(handle),
      ),
    )
    t.deepEqual(await handles({ user: 'alice', statuses: ['SUCCESSFUL', 'FAILED', 'CANCELED', 'CLOSED'] }), [
      ...(await handles({ user: 'alice', statuses: ['SUCCESSFUL', 'CANCELED'] })),
    ])
    t.is((await handles({ user: 'alice', engine: 'duckdb' })).length, 4)
    t.deepEqual(await handles({ user: 'alice', sessionId: second }), [queries[3]?.handle])
    t.is((await handles({ user: 'alice', name: 'name', to: moment(12) })).length, 12)
    t.deepEqual(await handles({ user: 'alice', name: '%' }), [])
    t.deepEqual(
      (await handles({ user: 'alice', from: moment(2), to: moment(4) })).sort(),
      [queries[2]?.handle, queries[3]?.handle].sort(),
    )
  })

  test('handles that cannot be are not found', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    for (const handle of ['', 'x'.repeat(65), 'ä', "' OR 1=1", '\u0000', 'a b', '💥']) {
      t.deepEqual(await store.queries.versions([handle]), [])
      t.deepEqual(await store.queries.read([handle]), [])
      t.deepEqual(await store.queries.transitions(handle, 0), [])
      t.false(await store.queries.requestCancel(handle))
      t.false(await store.queries.makeAsync(handle))
      t.is(await store.sessions.read(handle), null)
      t.deepEqual(await store.sessions.check([handle]), [])
      t.is(await store.prepared.read(handle), null)
    }
    t.deepEqual(await store.queries.versions([]), [])
  })

  test('a session’s unfinished queries, and those finished since', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const other = await opened(store)
    const running = new TestQuery(member, session)
    const finished = new TestQuery(member, session)
    const elsewhere = new TestQuery(member, other)
    await submitted(store, running, finished, elsewhere)
    const run = finished.run()
    await committed(store, run)
    const handles = async (after?: string) =>
      (await store.queries.versionsOfSessions([session], after)).map(({ handle }) => handle).sort()
    const endedAt = Date.parse(run.snapshot.context.finishedAt as string)
    t.deepEqual(await handles(), [running.handle])
    t.deepEqual(await handles(new Date(endedAt - 1).toISOString()), [running.handle, finished.handle].sort())
    t.deepEqual(await handles(new Date(endedAt).toISOString()), [running.handle])
    t.deepEqual(await store.queries.versionsOfSessions([]), [])
  })

  test('anybody may wish an unfinished query cancelled; then it is not launched any more', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const [a, b, c] = [new TestQuery(member, session), new TestQuery(member, session), new TestQuery(member, session)]
    await submitted(store, a, b, c)
    await committed(store, c.run())
    t.true(await store.queries.requestCancel(a.handle))
    t.true(await store.queries.requestCancel(a.handle))
    t.false(await store.queries.requestCancel(c.handle))
    t.false(await store.queries.requestCancel(randomUUID()))
    t.deepEqual(await store.queries.cancelsRequested(member.incarnation), [a.handle])
    const before = a.version
    t.deepEqual(await store.queries.commit([a.launch()], noLimits), [{ kind: 'cancel-requested' }])
    t.like(await rowOf(store, a.handle), { version: before, status: 'QUEUED', cancelRequested: true })
    t.deepEqual(await store.queries.requestCancelOfSession(session), [a.handle, b.handle].sort())
    t.is((await store.queries.ownedBy(member.incarnation, 10)).filter(query => query.cancelRequested).length, 2)
  })

  test('a query that is already running goes on to its end although a cancel is wished', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    await committed(store, query.launch())
    t.true(await store.queries.requestCancel(query.handle))
    for (const group of [query.start(), query.execute(), query.succeed()]) await committed(store, group)
    t.like(await rowOf(store, query.handle), { status: 'SUCCESSFUL', finished: true })
  })

  test('a synchronous query becomes asynchronous once', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    const submission = query.submission()
    await store.queries.submit(
      [{ ...submission, specification: { ...submission.specification, mode: 'sync' } }],
      noLimits,
    )
    t.is((await rowOf(store, query.handle)).mode, 'sync')
    t.true(await store.queries.makeAsync(query.handle))
    t.is((await rowOf(store, query.handle)).mode, 'async')
    await committed(store, query.run())
    t.false(await store.queries.makeAsync(query.handle))
  })

  test('who owns what, by pages, and how much there is', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const other = await joined(store, 'node-2')
    const session = await opened(store)
    const queries = Array.from({ length: 7 }, () => new TestQuery(member, session))
    await submitted(store, ...queries, new TestQuery(other, session))
    const first = await store.queries.ownedBy(member.incarnation, 4)
    const rest = await store.queries.ownedBy(member.incarnation, 4, first.at(-1)?.handle)
    t.deepEqual(
      [...first, ...rest].map(({ handle }) => handle),
      queries.map(({ handle }) => handle).sort(),
    )
    t.like(first[0], { epoch: 1, version: 1, status: 'QUEUED', cancelRequested: false })
    const counts = await store.queries.countUnfinished()
    t.is(counts.length, 2)
    t.deepEqual(
      counts.map(({ ownerIncarnation, count }) => [ownerIncarnation, count]).sort(),
      [
        [member.incarnation, 7],
        [other.incarnation, 1],
      ].sort(),
    )
  })

  test('a finished query’s result is dropped once, under its version', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    const page = {
      handle: query.handle,
      attempt: 1,
      page: 0,
      firstRow: 0,
      rowCount: 1,
      bytes: 2,
      data: Buffer.from('[]'),
    }
    await committed(store, { ...query.run(), page })
    const drop = query.step({ type: 'RESULT_DROPPED', at: '2026-01-01T00:00:00.000Z' })
    const transition = drop.transitions[0] as (typeof drop.transitions)[0]
    t.false(
      await store.queries.dropResult({ ...transition, version: transition.version + 1 }, drop.snapshot, 'SUCCESSFUL'),
    )
    t.is((await store.pages.from(query.handle, 1, 0, 10)).length, 1)
    t.true(await store.queries.dropResult(transition, drop.snapshot, 'SUCCESSFUL'))
    t.false(await store.queries.dropResult({ ...transition, id: randomUUID() }, drop.snapshot, 'SUCCESSFUL'))
    t.like(await rowOf(store, query.handle), {
      status: 'CLOSED',
      outcome: 'SUCCESSFUL',
      version: transition.version,
      storedPages: 0,
    })
    t.deepEqual(await store.pages.from(query.handle, 1, 0, 10), [])
    t.is((await store.queries.transitions(query.handle, 0)).length, transition.version)
  })

  test('what has been finished for long enough is forgotten, with its key', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    const session = await opened(store)
    const term = await leading(store, member)
    const old = new TestQuery(member, session)
    old.key = 'k'
    const unfinished = new TestQuery(member, session)
    await submitted(store, old, unfinished)
    await committed(store, old.run())
    const none = { queries: 0, waiting: 0, sessionSteps: 0 }
    t.deepEqual(await store.retention.forget(term - 1, { agoMs: 0 }, 10), none)
    t.deepEqual(await store.retention.forget(term, { agoMs: 100 * 365 * 86_400_000 }, 10), none)
    t.deepEqual(await store.retention.forget(term, { agoMs: 86_400_000 }, 10), { ...none, queries: 1 })
    t.deepEqual(
      (await store.queries.versions([old.handle, unfinished.handle])).map(({ handle }) => handle),
      [unfinished.handle],
    )
    t.deepEqual(await store.queries.transitions(old.handle, 0), [])
    const again = new TestQuery(member, session)
    again.key = 'k'
    await submitted(store, again)
  })

  test('prepared queries', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const row = (user: string) => ({
      handle: randomUUID(),
      user,
      sessionId: newSession().id,
      name: null,
      sql: 'SELECT ? -- \u0000 ä',
      engine: 'duckdb',
      database: null,
      properties: { a: 'b' },
      parameterCount: 1,
      columns: [{ name: 'a', type: 'INTEGER' }],
    })
    const rows = [
      await store.prepared.insert(row('alice')),
      await store.prepared.insert(row('alice')),
      await store.prepared.insert(row('bob')),
    ]
    const [first] = rows as [(typeof rows)[0]]
    t.deepEqual(await store.prepared.read(first.handle), first)
    t.is(await store.prepared.read(randomUUID()), null)
    t.is((await store.prepared.list(null, 10, null)).length, 3)
    const page = await store.prepared.list('alice', 1, null)
    const next = await store.prepared.list('alice', 5, page[0] ?? null)
    t.deepEqual(
      [...page, ...next].map(({ handle }) => handle).sort(),
      rows
        .slice(0, 2)
        .map(({ handle }) => handle)
        .sort(),
    )
    t.false(await store.prepared.remove(first.handle, 'bob'))
    t.true(await store.prepared.remove(first.handle, 'alice'))
    t.false(await store.prepared.remove(first.handle, 'alice'))
  })
}

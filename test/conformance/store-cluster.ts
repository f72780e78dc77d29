/** Members, the lease and its term, fencing, claims, budgets; and the heartbeat's own small store against the same rows. */
import { randomUUID } from 'node:crypto'
import type { TestFn } from 'ava'
import { checkSnapshot } from '../../src/domain/index.ts'
import { eventually } from '../support/conditions.ts'
import {
  at,
  committed,
  joined,
  leading,
  leasesOn,
  noLimits,
  opened,
  rowOf,
  type StoreUnderTest,
  storeOn,
  storeTests,
  submitted,
  TestQuery,
} from './store-fixtures.ts'

const shortLeaseMs = 50

export function clusterConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('several that open an empty database at once make one schema', async (t, { fresh }) => {
    const url = await fresh(t)
    const several = await Promise.all([1, 2, 3, 4].map(() => storeOn(t, url)))
    const member = await joined(several[0] as (typeof several)[0])
    for (const store of several) t.is((await store.cluster.members()).members[0]?.incarnation, member.incarnation)
    const now = await several[0]?.ping(10_000)
    t.true(Math.abs((now as number) - Date.now()) < 3_600_000)
  })

  test('a second living process of one node id is refused; the same incarnation joins once', async (t, { fresh }) => {
    const url = await fresh(t)
    const [store, other] = [await storeOn(t, url), await storeOn(t, url)]
    const join = (to: typeof store, incarnation: string, leaseMs = 600_000) =>
      to.cluster.join({
        incarnation,
        nodeId: 'node-1',
        address: 'http://node-1',
        softwareVersion: '1',
        snapshotVersion: 1,
        leaseMs,
        earlyTakeoverAfterMs: 0,
      })
    const both = [randomUUID(), randomUUID()] as const
    const answers = await Promise.all([join(store, both[0]), join(other, both[1])])
    t.deepEqual(answers.map(({ joined: yes }) => yes).sort(), [false, true])
    const winner = both[answers.findIndex(({ joined: yes }) => yes)] as string
    const refused = answers.find(answer => !answer.joined)
    t.is(refused?.joined === false ? refused.by?.incarnation : '', winner)
    t.deepEqual(await join(store, winner), { joined: true })
    const { members } = await store.cluster.members()
    t.is(members.length, 1)
    t.like(members[0], {
      nodeId: 'node-1',
      address: 'http://node-1',
      state: 'alive',
      earlyTakeover: true,
      snapshotVersion: 1,
    })
    t.true((members[0]?.leaseLeftMs as number) > 500_000)
    t.is((await store.cluster.memberOf(winner))?.incarnation, winner)
    t.is(await store.cluster.memberOf(randomUUID()), null)
  })

  test('a node whose lease has run out is succeeded by its next process', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const old = await joined(store, 'node-1', shortLeaseMs)
    const successor = await eventually(() => joined(store, 'node-1'))
    const { members } = await store.cluster.members()
    t.deepEqual(
      members.map(({ incarnation }) => incarnation),
      [old.incarnation, successor.incarnation],
    )
    t.true((members[0]?.leaseLeftMs as number) < 0)
  })

  test('states, early takeover, and leaving with nothing owned', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const member = await joined(store)
    t.true(await store.cluster.setState(member.incarnation, 'draining'))
    t.true(await store.cluster.setState(member.incarnation, 'draining'))
    t.like(await store.cluster.memberOf(member.incarnation), { state: 'draining', earlyTakeover: false })
    await store.cluster.allowEarlyTakeover(member.incarnation)
    t.true((await store.cluster.memberOf(member.incarnation))?.earlyTakeover)
    const query = new TestQuery(member, await opened(store))
    await submitted(store, query)
    t.false(await store.cluster.leave(member.incarnation))
    await committed(store, query.run())
    t.true(await store.cluster.leave(member.incarnation))
    t.true(await store.cluster.leave(member.incarnation))
    t.deepEqual((await store.cluster.members()).members, [])
    t.false(await store.cluster.setState(member.incarnation, 'alive'))
    t.deepEqual(await store.queries.submit([new TestQuery(member, await opened(store)).submission()], noLimits), [
      { kind: 'fenced' },
    ])
  })

  test('the lease has one holder, and a term that grows with each', async (t, { fresh }) => {
    const url = await fresh(t)
    const several = [await storeOn(t, url), await storeOn(t, url), await storeOn(t, url)] as const
    const [store] = several
    const members = await Promise.all(['a', 'b', 'c'].map(node => joined(store, node)))
    const acquire = (index: number, leaseMs: number, dead: { incarnation: string; term: number } | null = null) =>
      (several[index] as typeof store).cluster.acquireLease(
        { ...(members[index] as (typeof members)[0]), leaseMs },
        dead,
      )
    t.is((await store.cluster.members()).lease, null)
    const terms = await Promise.all([acquire(0, 600_000), acquire(1, 600_000), acquire(2, 600_000)])
    t.deepEqual(
      terms.filter(term => term !== null),
      [1],
    )
    const holder = terms.indexOf(1)
    const { lease } = await store.cluster.members()
    t.like(lease, { holderIncarnation: members[holder]?.incarnation, holderNode: members[holder]?.node, term: 1 })
    const next = (holder + 1) % 3
    const incarnation = members[holder]?.incarnation as string
    t.is(await acquire(next, 600_000, { incarnation, term: 2 }), null)
    t.is(await acquire(next, 600_000, { incarnation: randomUUID(), term: 1 }), null)
    t.is(await acquire(next, 600_000, { incarnation, term: 1 }), 2)
    // Found dead once more by a late one: it names a term that is over.
    const third = (holder + 2) % 3
    t.is(await acquire(third, 600_000, { incarnation, term: 1 }), null)
    t.is(await acquire(third, shortLeaseMs, { incarnation: members[next]?.incarnation as string, term: 2 }), 3)
    // It runs out by itself.
    t.is(await eventually(() => acquire(next, 600_000)), 4)
    await store.cluster.resignLease(members[third]?.incarnation as string, 3)
    await store.cluster.resignLease(members[next]?.incarnation as string, 3)
    t.is((await store.cluster.members()).lease?.term, 4)
    await store.cluster.resignLease(members[next]?.incarnation as string, 4)
    t.is((await store.cluster.members()).lease, null)
    t.is(await store.cluster.acquireLease({ incarnation: randomUUID(), node: 'x', leaseMs: 1000 }, null), null)
    t.is(await acquire(holder, 600_000), 5)
  })

  test('a fenced member is dead for good; only the leader fences, and only when it is due', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const leader = await joined(store, 'leader')
    const living = await joined(store, 'living')
    const late = await joined(store, 'late', shortLeaseMs)
    const term = await leading(store, leader)
    t.is(await store.cluster.fence(term - 1, living.incarnation, 'test', null), null)
    t.is(await store.cluster.fence(term, living.incarnation, 'test', 0), null)
    t.is(await store.cluster.fence(term, late.incarnation, 'test', 600_000), null)
    t.is(await store.cluster.fence(term, randomUUID(), 'test', null), null)
    const failover = await eventually(() => store.cluster.fence(term, late.incarnation, 'lease-expired', 0))
    t.like(failover, {
      nodeId: 'late',
      incarnation: late.incarnation,
      cause: 'lease-expired',
      term,
      doneAt: null,
      queries: 0,
    })
    t.deepEqual(await store.cluster.fence(term, late.incarnation, 'again', null), failover)
    t.is((await store.cluster.memberOf(late.incarnation))?.state, 'dead')
    t.false(await store.cluster.setState(late.incarnation, 'alive'))
    await store.cluster.failoverDone(failover?.id as string, 7)
    const [done, ...more] = await store.cluster.failovers(10)
    t.is(more.length, 0)
    t.like(done, { id: failover?.id, queries: 7 })
    t.truthy(done?.doneAt)
    await store.cluster.sweepMembers(term)
    t.is(await store.cluster.memberOf(late.incarnation), null)
    t.truthy(await store.cluster.memberOf(living.incarnation))
  })

  test('who was fenced while it joined does not join again, swept or not; who was not gets its whole lease', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const leader = await joined(store, 'leader')
    const term = await leading(store, leader)
    const incarnation = randomUUID()
    const join = (leaseMs: number) =>
      store.cluster.join({
        incarnation,
        nodeId: 'slow',
        address: 'http://slow',
        softwareVersion: '1',
        snapshotVersion: 1,
        leaseMs,
        earlyTakeoverAfterMs: null,
      })
    t.deepEqual(await join(10_000), { joined: true })
    t.deepEqual(await join(600_000), { joined: true })
    t.true(((await store.cluster.memberOf(incarnation))?.leaseLeftMs as number) > 300_000)
    t.truthy(await store.cluster.fence(term, incarnation, 'test', null))
    t.deepEqual(await join(10_000), { joined: false, by: null })
    await store.cluster.sweepMembers(term)
    t.is(await store.cluster.memberOf(incarnation), null)
    t.deepEqual(await join(10_000), { joined: false, by: null })
    t.is(await store.cluster.memberOf(incarnation), null)
  })

  test('the newest thousand failovers are kept', async (t, stores) => {
    const url = await stores.fresh(t)
    const store = await storeOn(t, url)
    const term = await leading(store, await joined(store))
    const rows = Array.from({ length: 1_005 }, (_, at) => `('f${at}', 'n', 'i${at}', 'test', 1, ${at}, ${at}, 0)`)
    await stores.execute(
      url,
      `INSERT INTO failover (id, node_id, incarnation, cause, term, detected_at, done_at, queries) VALUES ${rows.join(', ')}`,
    )
    await store.cluster.sweepMembers(term + 1)
    t.is((await store.cluster.failovers(2_000)).length, 1_005)
    await store.cluster.sweepMembers(term)
    const kept = await store.cluster.failovers(2_000)
    t.deepEqual([kept.length, kept[0]?.id, kept.at(-1)?.id], [1_000, 'f1004', 'f5'])
  })

  test('orphans are found, and claimed in batches by a leader', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const leader = await joined(store, 'leader')
    const dead = await joined(store, 'dead')
    const target = await joined(store, 'target')
    const session = await opened(store)
    const queries = Array.from({ length: 25 }, () => new TestQuery(dead, session))
    await submitted(store, ...queries, new TestQuery(target, session))
    const launched = queries[3] as TestQuery
    await committed(store, launched.launch())
    const term = await leading(store, leader)
    t.deepEqual(await store.cluster.orphanOwners(), [])
    t.deepEqual(await store.cluster.claim(term, dead.incarnation, target, 10), { claimed: [], remaining: true })
    await store.cluster.fence(term, dead.incarnation, 'test', null)
    t.deepEqual(await store.cluster.orphanOwners(), [{ incarnation: dead.incarnation, count: 25 }])
    t.is(await store.cluster.claim(term + 1, dead.incarnation, target, 10), null)
    t.is(await store.cluster.claim(term, dead.incarnation, dead, 10), null)
    await store.cluster.sweepMembers(term)
    t.is((await store.cluster.memberOf(dead.incarnation))?.state, 'dead')
    const sizes: number[] = []
    const claimed: string[] = []
    for (let remaining = true; remaining; ) {
      const answer = await store.cluster.claim(term, dead.incarnation, target, 10)
      sizes.push(answer?.claimed.length as number)
      claimed.push(...(answer?.claimed ?? []).map(({ handle }) => handle))
      remaining = answer?.remaining as boolean
    }
    t.deepEqual(sizes, [10, 10, 5])
    t.deepEqual([...claimed].sort(), queries.map(({ handle }) => handle).sort())
    t.deepEqual(await store.cluster.orphanOwners(), [])
    const row = await rowOf(store, launched.handle)
    t.like(row, { ownerIncarnation: target.incarnation, ownerNode: 'target', epoch: 2, version: 3, status: 'LAUNCHED' })
    t.like(row.snapshot, { context: { version: 3, owner: { node: 'target', epoch: 2 } } })
    t.true(checkSnapshot(row.snapshot).ok)
    const last = (await store.queries.transitions(launched.handle, 0)).at(-1)
    t.like(last, {
      version: 3,
      epoch: 2,
      from: 'LAUNCHED',
      to: 'LAUNCHED',
      node: 'target',
      event: { type: 'CLAIMED', node: 'target', epoch: 2 },
    })
    // What the dead one still writes changes nothing.
    t.deepEqual(await store.queries.commit([launched.start()], noLimits), [{ kind: 'fenced' }])
    t.false(await store.pages.reset(launched.handle, 1, 1))
    // The new owner goes on.
    const orphan = queries[4] as TestQuery
    orphan.claimed('target', 2)
    await committed(store, orphan.run())
    t.is((await rowOf(store, orphan.handle)).version, 6)
  })

  test('a broken snapshot is claimed like any other, and harms none', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const leader = await joined(store, 'leader')
    const dead = await joined(store, 'dead')
    const session = await opened(store)
    const broken: unknown[] = [
      null,
      'text',
      7,
      [],
      {},
      { machineVersion: 1 },
      { context: 'x' },
      { context: { owner: 7 } },
    ]
    const queries = [...broken, 'whole'].map(() => new TestQuery(dead, session))
    const answers = await store.queries.submit(
      queries.map((query, index) => {
        const submission = query.submission()
        const { context } = submission.snapshot
        if (index >= broken.length) return submission
        // Stored as it is, but for the columns that are taken from it.
        const snapshot = { toJSON: () => broken[index], machineVersion: 1, value: 'QUEUED', context }
        return { ...submission, snapshot }
      }),
      noLimits,
    )
    t.true(answers.every(({ kind }) => kind === 'accepted'))
    const term = await leading(store, leader)
    await store.cluster.fence(term, dead.incarnation, 'test', null)
    const answer = await store.cluster.claim(term, dead.incarnation, leader, 100)
    t.is(answer?.claimed.length, queries.length)
    for (const [index, query] of queries.entries()) {
      const row = await rowOf(store, query.handle)
      t.like(row, { ownerIncarnation: leader.incarnation, version: 2, epoch: 2 })
      t.is(checkSnapshot(row.snapshot).ok, index === broken.length)
    }
  })

  test('queued work of a living member is moved to another, the last to be served first', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const leader = await joined(store, 'leader')
    const busy = await joined(store, 'busy')
    const session = await opened(store)
    const queries = Array.from(
      { length: 6 },
      (_, index) => new TestQuery(busy, session, { lane: index < 3 ? 'light' : 'heavy' }),
    )
    await submitted(store, ...queries)
    await committed(store, (queries[5] as TestQuery).launch())
    const term = await leading(store, leader)
    t.is(await store.cluster.rebalance(term + 1, busy.incarnation, leader, 10), null)
    const heavy = await store.cluster.rebalance(term, busy.incarnation, leader, 1, 'heavy')
    t.deepEqual(
      heavy?.map(({ handle }) => handle),
      [queries[4]?.handle],
    )
    t.like(await rowOf(store, queries[4]?.handle as string), {
      ownerNode: 'leader',
      epoch: 2,
      version: 2,
      status: 'QUEUED',
    })
    t.like((await store.queries.transitions(queries[4]?.handle as string, 1))[0], {
      event: { type: 'HANDED_OVER', epoch: 2 },
    })
    const rest = await store.cluster.rebalance(term, busy.incarnation, leader, 10)
    t.is(rest?.length, 4)
    t.like(await rowOf(store, queries[5]?.handle as string), { ownerNode: 'busy', status: 'LAUNCHED' })
    t.deepEqual(await store.queries.commit([(queries[0] as TestQuery).launch()], noLimits), [{ kind: 'fenced' }])
  })

  test('budgets: granted under the term, acknowledged up to the grant, gone with their member', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const leader = await joined(store, 'leader')
    const other = await joined(store, 'other')
    const term = await leading(store, leader)
    const grant = (member: typeof leader, granted: number) => ({
      incarnation: member.incarnation,
      engine: 'duckdb',
      lane: 'light' as const,
      granted,
    })
    t.false(await store.cluster.grantBudgets(term + 1, [grant(leader, 4)]))
    t.deepEqual(await store.cluster.budgets(), [])
    t.true(await store.cluster.grantBudgets(term, [grant(leader, 4), grant(other, 2)]))
    const of = async (member: typeof leader) => {
      const found = (await store.cluster.budgets()).find(({ incarnation }) => incarnation === member.incarnation)
      return found && [found.granted, found.acknowledged]
    }
    const acknowledge = (member: typeof leader, count: number, instead: number) =>
      store.cluster.acknowledgeBudget(member.incarnation, 'duckdb', 'light', count, instead)
    t.deepEqual(await of(leader), [4, 0])
    t.true(await acknowledge(leader, 9, 0))
    t.deepEqual(await of(leader), [4, 4])
    t.false(await acknowledge(leader, 2, 0))
    t.deepEqual(await of(leader), [4, 4])
    t.true(await store.cluster.grantBudgets(term, [grant(leader, 1), grant(other, 2)]))
    t.deepEqual(await of(leader), [1, 4])
    t.true(await acknowledge(leader, 3, 4))
    t.deepEqual(await of(leader), [1, 3])
    t.true(await acknowledge(leader, 4, 3))
    t.deepEqual(await of(leader), [1, 3])
    t.true(await acknowledge(leader, 0, 3))
    t.deepEqual(await of(leader), [1, 0])
    await store.cluster.fence(term, other.incarnation, 'test', null)
    t.true(await store.cluster.grantBudgets(term, [grant(leader, 1)]))
    t.is(await of(other), undefined)
  })

  test('slots held are counted by owner, engine and lane', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const [one, other] = [await joined(store, 'one'), await joined(store, 'other')]
    const session = await opened(store)
    const queries = [one, one, one, other].map(member => new TestQuery(member, session))
    await submitted(store, ...queries)
    const [first, second, , last] = queries as [TestQuery, TestQuery, TestQuery, TestQuery]
    await committed(store, first.estimate('light'), second.estimate('heavy'), last.estimate('heavy'))
    await committed(store, first.launch(), second.launch(), last.launch())
    await committed(store, last.start())
    const held = await store.cluster.slotsHeld()
    const of = (incarnation: string) =>
      held
        .filter(row => row.incarnation === incarnation)
        .map(({ engine, lane, count }) => [engine, lane, count])
        .sort()
    t.deepEqual(of(one.incarnation), [
      ['duckdb', 'heavy', 1],
      ['duckdb', 'light', 1],
    ])
    t.deepEqual(of(other.incarnation), [['duckdb', 'heavy', 1]])
  })

  test('who is given running queries acknowledges their slots in the same transaction', async (t, { fresh }) => {
    const store = await storeOn(t, await fresh(t))
    const leader = await joined(store, 'leader')
    const dead = await joined(store, 'dead')
    const target = await joined(store, 'new-owner')
    const session = await opened(store)
    const queries = Array.from({ length: 7 }, () => new TestQuery(dead, session))
    const [first, second, third, fourth, fifth] = queries as [TestQuery, TestQuery, TestQuery, TestQuery, TestQuery]
    await submitted(store, ...queries)
    await committed(store, ...queries.map((query, index) => query.estimate(index === 2 ? 'heavy' : 'light')))
    await committed(store, ...[first, second, third, fourth, fifth].map(query => query.launch()))
    await committed(store, first.start(), fifth.start())
    const term = await leading(store, leader)
    const grant = (granted: number) =>
      store.cluster.grantBudgets(term, [
        { incarnation: target.incarnation, engine: 'duckdb', lane: 'light' as const, granted },
      ])
    const acknowledge = (count: number, instead: number) =>
      store.cluster.acknowledgeBudget(target.incarnation, 'duckdb', 'light', count, instead)
    const of = async () =>
      (await store.cluster.budgets())
        .filter(({ incarnation }) => incarnation === target.incarnation)
        .map(row => `${row.lane} ${row.granted} ${row.acknowledged}`)
    await grant(2)
    await acknowledge(2, 0)
    // Its owner gives one away: on top of what is acknowledged.
    const gift = fifth.step({ type: 'HANDED_OVER', node: 'new-owner', epoch: 2, at: at() })
    await committed(store, { ...gift, newOwner: target })
    t.deepEqual(await of(), ['light 2 3'])
    t.false(await acknowledge(2, 2), 'what was read before the gift is not acknowledged any more')
    t.deepEqual(await of(), ['light 2 3'])
    t.true(await acknowledge(2, 3))
    // The leader claims the others, in two batches: on top of what is granted, since that may be about to be acknowledged.
    await grant(4)
    await store.cluster.fence(term, dead.incarnation, 'test', null)
    const sizes = [await store.cluster.claim(term, dead.incarnation, target, 3)]
    t.deepEqual(await of(), ['heavy 0 1', 'light 4 6'])
    sizes.push(await store.cluster.claim(term, dead.incarnation, target, 100))
    t.deepEqual(
      sizes.map(answer => answer?.claimed.length),
      [3, 3],
    )
    // What waits holds no slot.
    t.deepEqual(await of(), ['heavy 0 1', 'light 4 7'])
    t.false(await acknowledge(4, 2))
    t.true(await acknowledge(5, 7))
    t.deepEqual(await of(), ['heavy 0 1', 'light 4 5'])
  })

  test('the heartbeat’s store renews both leases, and learns when they are lost', async (t, { fresh }) => {
    const url = await fresh(t)
    const store = await storeOn(t, url)
    const member = await joined(store, 'node-1', 1000)
    const other = await joined(store, 'node-2')
    const leases = leasesOn(url, 10_000)
    t.teardown(() => leases.close())
    const beat = (over: object) =>
      leases.renew({ incarnation: member.incarnation, leaseMs: 600_000, running: 3, queued: 4, term: null, ...over })
    const first = await beat({})
    t.like(first, { member: true, leader: false })
    t.true(Math.abs(first.databaseNow - (await store.ping(10_000))) < 60_000)
    t.not(first.serverIdentity, '')
    const row = await store.cluster.memberOf(member.incarnation)
    t.like(row, { running: 3, queued: 4 })
    t.true((row?.leaseLeftMs as number) > 500_000)
    const term = await leading(store, member, 1000)
    t.like(await beat({ term }), { member: true, leader: true })
    t.true(((await store.cluster.members()).lease?.leftMs as number) > 500_000)
    t.like(await beat({ term: term + 1 }), { member: true, leader: false })
    const next = await leading(store, other)
    t.like(await beat({ term }), { member: true, leader: false })
    t.is((await store.cluster.members()).lease?.holderIncarnation, other.incarnation)
    await store.cluster.fence(next, member.incarnation, 'test', null)
    t.like(await beat({ term }), { member: false, leader: false })
    t.like(await beat({ incarnation: randomUUID() }), { member: false, leader: false })
    await leases.close()
    await leases.close()
  })
}

/** Versions side by side: in which format snapshots are written, who may join, and who is given which row. */
import { randomUUID } from 'node:crypto'
import type { TestFn } from 'ava'
import type { StoredSnapshot } from '../../src/domain/index.ts'
import type { NewQuery, StepGroup } from '../../src/store/index.ts'
import {
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

const leaseMs = 600_000

/** A program of the version after this one, whose snapshots say so; what it writes for this one says that too. */
const newer = {
  downgrades: {
    2: ({ context, ...rest }: StoredSnapshot) => ({ ...rest, context: { ...context, plan: 'downgraded' } }),
  },
}
const asNewer = (snapshot: StoredSnapshot): StoredSnapshot => ({ ...snapshot, machineVersion: 2 })
const groupOfNewer = (group: StepGroup): StepGroup => ({
  ...group,
  snapshot: asNewer(group.snapshot),
  transitions: group.transitions.map(transition => ({ ...transition, machineVersion: 2 })),
})
const queryOfNewer = (query: NewQuery): NewQuery => ({
  ...query,
  snapshot: asNewer(query.snapshot),
  transition: { ...query.transition, machineVersion: 2 },
})

export function formatConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('a newer format is written once the last member has left that does not read it, and nobody joins past it', async (t, {
    fresh,
  }) => {
    const store = await storeOn(t, await fresh(t))
    const old = await joined(store, 'old')
    const present = await joined(store, 'present', leaseMs, 2)
    const dead = await joined(store, 'dead')
    const term = await leading(store, present)
    t.is((await store.cluster.members()).snapshotFormat, 1)
    t.is(await store.cluster.raiseSnapshotFormat(term), null, 'two read only the older one')
    t.truthy(await store.cluster.fence(term, dead.incarnation, 'test', null))
    t.is(await store.cluster.raiseSnapshotFormat(term), null, 'one reads only the older one')
    t.true(await store.cluster.leave(old.incarnation))
    t.is(await store.cluster.raiseSnapshotFormat(term + 1), null, 'not the leader')
    t.is((await store.cluster.members()).snapshotFormat, 1)
    t.is(await store.cluster.raiseSnapshotFormat(term), 2)
    t.is(await store.cluster.raiseSnapshotFormat(term), null)
    t.is((await store.cluster.members()).snapshotFormat, 2)
    const late = {
      ...{ incarnation: randomUUID(), nodeId: 'late', address: 'http://late', softwareVersion: '0', leaseMs },
      ...{ snapshotVersion: 1, earlyTakeoverAfterMs: null },
    }
    t.deepEqual(await store.cluster.join(late), { joined: false, by: null, snapshotFormat: 2 })
    t.is(await store.cluster.memberOf(late.incarnation), null)
    t.deepEqual(await store.cluster.join({ ...late, snapshotVersion: 3 }), { joined: true })
    t.is(await store.cluster.raiseSnapshotFormat(term), null, 'one reads no newer one')
  })

  test('of a join and a raising at the same time, the one that is later knows of the other', async (t, { fresh }) => {
    const url = await fresh(t)
    const [store, other] = [await storeOn(t, url), await storeOn(t, url)]
    let leader = await joined(store, 'leader-1', leaseMs, 1)
    for (let format = 1; format <= 12; format++) {
      const next = await joined(store, `leader-${format + 1}`, leaseMs, format + 1)
      const term = await leading(store, next)
      t.true(await store.cluster.leave(leader.incarnation))
      leader = next
      const incarnation = randomUUID()
      const [raised, answer] = await Promise.all([
        store.cluster.raiseSnapshotFormat(term),
        other.cluster.join({
          ...{ incarnation, nodeId: 'old', address: 'http://old', softwareVersion: '0', leaseMs },
          ...{ snapshotVersion: format, earlyTakeoverAfterMs: null },
        }),
      ])
      t.is(raised !== null, !answer.joined, `raised to ${raised}, ${JSON.stringify(answer)}`)
      if (!answer.joined) continue
      t.true(await store.cluster.leave(incarnation))
      t.is(await store.cluster.raiseSnapshotFormat(term), format + 1)
    }
  })

  test('a newer program writes what the oldest member reads, and its own format from the raising on', async (t, {
    fresh,
  }) => {
    const url = await fresh(t)
    const store = await storeOn(t, url, 15_000, newer)
    const old = await joined(store, 'old')
    const owner = await joined(store, 'owner', leaseMs, 2)
    const session = await opened(store)
    const query = new TestQuery(owner, session)
    const first = queryOfNewer(query.submission())
    t.deepEqual(await store.queries.submit([first], noLimits), [{ kind: 'accepted' }])
    const seen = async () => {
      const { snapshot } = await rowOf(store, query.handle)
      const transitions = await store.queries.transitions(query.handle, 0)
      const { machineVersion, context } = snapshot as StoredSnapshot
      return { machineVersion, plan: context.plan, transitions: transitions.map(step => step.machineVersion) }
    }
    t.deepEqual(await seen(), { machineVersion: 1, plan: 'downgraded', transitions: [1] })
    t.deepEqual(await store.queries.commit([groupOfNewer(query.launch())], noLimits), [{ kind: 'committed' }])
    t.deepEqual(await seen(), { machineVersion: 1, plan: 'downgraded', transitions: [1, 1] })

    const term = await leading(store, owner)
    t.true(await store.cluster.leave(old.incarnation))
    t.is(await store.cluster.raiseSnapshotFormat(term), 2)
    // Who has not read it yet goes on with the older one.
    t.deepEqual(await store.queries.commit([groupOfNewer(query.start())], noLimits), [{ kind: 'committed' }])
    t.deepEqual(await seen(), { machineVersion: 1, plan: 'downgraded', transitions: [1, 1, 1] })
    await store.cluster.members()
    t.deepEqual(await store.queries.commit([groupOfNewer(query.execute())], noLimits), [{ kind: 'committed' }])
    t.deepEqual(await seen(), { machineVersion: 2, plan: null, transitions: [1, 1, 1, 2] })
  })

  test('nobody is given a query that it cannot read; it waits for one who can', async (t, { fresh, execute }) => {
    const url = await fresh(t)
    const store = await storeOn(t, url)
    const old = await joined(store, 'old')
    const owner = await joined(store, 'owner', leaseMs, 2)
    const session = await opened(store)
    const [readable, tooNew, waiting] = [1, 2, 3].map(() => new TestQuery(owner, session)) as [
      TestQuery,
      TestQuery,
      TestQuery,
    ]
    await submitted(store, readable, tooNew, waiting)
    const term = await leading(store, old)
    // As a version would leave them that knows nothing of all this.
    await execute(
      url,
      `UPDATE current_query SET machine_version = 2 WHERE handle IN ('${tooNew.handle}', '${waiting.handle}')`,
    )
    t.deepEqual(
      (await store.cluster.rebalance(term, owner.incarnation, old, 10))?.map(({ handle }) => handle),
      [readable.handle],
    )
    const given = groupOfNewer(
      waiting.step({ type: 'HANDED_OVER', node: 'old', epoch: 2, at: new Date().toISOString() }),
    )
    await execute(url, 'UPDATE snapshot_format SET version = 2')
    await store.cluster.members()
    t.deepEqual(
      await store.queries.commit([{ ...given, newOwner: { incarnation: old.incarnation, node: 'old' } }], noLimits),
      [{ kind: 'stale' }],
    )
    t.like(await rowOf(store, waiting.handle), { ownerIncarnation: owner.incarnation, epoch: 1, version: 1 })
    t.truthy(await store.cluster.fence(term, owner.incarnation, 'test', null))
    t.deepEqual(await store.cluster.claim(term, owner.incarnation, old, 10), { claimed: [], remaining: false })
    t.deepEqual(await store.cluster.orphanOwners(), [{ incarnation: owner.incarnation, count: 2 }])
    const able = await joined(store, 'able', leaseMs, 2)
    t.deepEqual(await store.cluster.claim(term, owner.incarnation, old, 10), { claimed: [], remaining: true })
    const claimed = await store.cluster.claim(term, owner.incarnation, able, 10)
    t.deepEqual(claimed?.claimed.map(({ handle }) => handle).sort(), [tooNew.handle, waiting.handle].sort())

    // Whoever owns one all the same gives it up, and is not asked again.
    await store.queries.release(tooNew.handle, old.incarnation, 2)
    await store.queries.release(tooNew.handle, able.incarnation, 1)
    t.deepEqual(await store.cluster.orphanOwners(), [])
    await store.queries.release(tooNew.handle, able.incarnation, 2)
    t.deepEqual(await store.cluster.orphanOwners(), [{ incarnation: '', count: 1 }])
    t.deepEqual((await store.cluster.claim(term, '', old, 10))?.claimed, [])
    t.is((await store.cluster.claim(term, '', able, 10))?.claimed[0]?.handle, tooNew.handle)
    t.like(await rowOf(store, tooNew.handle), { ownerIncarnation: able.incarnation, epoch: 3, version: 3 })
  })
}

/** Looking at rows that were given to this node: all of them, or those that a hint names. */
import test from 'ava'
import { submitted, TestQuery } from '../conformance/store-fixtures.ts'
import { submittedQuery } from '../support/slow-engine.ts'

test('a hint that names queries brings just these to life, once, and only if they are this node’s', async t => {
  const { store, host, handle, row } = await submittedQuery(t, { slots: 0 })
  const own = await row()
  if (!own) throw new Error('no row')
  const member = { incarnation: own.ownerIncarnation, node: own.ownerNode }
  const [named, other] = [new TestQuery(member, own.sessionId), new TestQuery(member, own.sessionId)]
  const foreign = new TestQuery({ incarnation: 'somebody', node: 'else' }, own.sessionId)
  await submitted(store, named, other)
  const read: string[][] = []
  const { read: readNow, ownedBy } = store.queries
  let readings = 0
  store.queries.read = handles => {
    read.push([...handles])
    return readNow.call(store.queries, handles)
  }
  store.queries.ownedBy = (...given) => {
    readings++
    return ownedBy.apply(store.queries, given)
  }
  const alive = () => [...host.lives()].map(live => live.handle).sort()
  t.deepEqual(alive(), [handle])
  // Two hints at once, and one for what lives already.
  await Promise.all([host.look([named.handle, foreign.handle]), host.look([named.handle, handle])])
  t.deepEqual(alive(), [handle, named.handle].sort())
  t.deepEqual([read, readings], [[[named.handle, foreign.handle]], 0])
  await host.look()
  t.deepEqual(alive(), [handle, named.handle, other.handle].sort())
  t.deepEqual([read.slice(1), readings], [[[other.handle]], 1])
})

test('a query that this node is too old for is released to nobody, and not failed', async t => {
  const { store, host, row } = await submittedQuery(t, { slots: 0 })
  const own = await row()
  if (!own) throw new Error('no row')
  const tooNew = new TestQuery({ incarnation: own.ownerIncarnation, node: own.ownerNode }, own.sessionId)
  await submitted(store, tooNew)
  const { read } = store.queries
  store.queries.read = async handles =>
    (await read.call(store.queries, handles)).map(found =>
      found.handle === tooNew.handle ? { ...found, snapshot: { ...tooNew.snapshot, machineVersion: 99 } } : found,
    )
  await host.look()
  t.is(host.find(tooNew.handle), undefined)
  t.deepEqual(await store.cluster.orphanOwners(), [{ incarnation: '', count: 1 }])
  t.like((await read.call(store.queries, [tooNew.handle]))[0], { status: 'QUEUED', version: 1, epoch: 1, attempt: 0 })
})

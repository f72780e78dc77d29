/** Whom a drain ends: only those for whom nobody can come back, as their rows have it. */
import test from 'ava'
import { joined } from '../conformance/store-fixtures.ts'
import { eventually } from '../support/conditions.ts'
import { submittedQuery } from '../support/slow-engine.ts'

test('a synchronous query whose client was answered elsewhere that it goes on is handed over', async t => {
  const { store, host, handle, row } = await submittedQuery(t, { mode: 'sync', slots: 0 })
  const other = await joined(store, 'node-2')
  // By another node, where the client waited: this one is not told.
  t.true(await store.queries.makeAsync(handle))
  await host.handOver(() => [other], 60_000)
  const found = await row()
  t.deepEqual([found?.status, found?.ownerIncarnation, found?.epoch], ['QUEUED', other.incarnation, 2])
})

test('one whose client still waits is ended by the drain', async t => {
  const { store, host, row } = await submittedQuery(t, { mode: 'sync', slots: 0 })
  const other = await joined(store, 'node-2')
  await host.handOver(() => [other], 60_000)
  const ended = await eventually(row, found => found?.finished === true)
  t.like(ended, { status: 'FAILED', snapshot: { context: { error: { code: 'NODE_LOST' } } } })
})

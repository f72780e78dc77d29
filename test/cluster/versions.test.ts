/** Members that read snapshots of different versions: when a newer one is written, and who may still join. */
import { join } from 'node:path'
import test from 'ava'
import { SoftwareTooOld } from '../../src/cluster/index.ts'
import { startMember } from '../support/cluster/members.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'

test('once the last member has left that reads only the older version, the newer is written, and no such member joins', async t => {
  const url = `sqlite:${join(await temporaryFolder(t, 'versions'), 'lens.db')}`
  const old = await startMember(t, { url, name: 'old' })
  const newer = [
    await startMember(t, { url, name: 'new-1', snapshotVersion: 2 }),
    await startMember(t, { url, name: 'new-2', snapshotVersion: 2 }),
  ]
  const written = () => newer.map(({ cluster }) => cluster.watch.snapshot.snapshotFormat)
  const known = () => newer.map(({ cluster }) => cluster.watch.snapshot.members.length)
  await eventually(known, counts => counts.every(count => count === 3), { what: 'all know each other' })
  t.deepEqual(written(), [1, 1])
  await old.cluster.drainSelf()
  await old.cluster.stop()
  await eventually(written, versions => versions.every(version => version === 2), { what: 'both know of the newer' })
  const error = await t.throwsAsync(startMember(t, { url, name: 'late' }), { instanceOf: SoftwareTooOld })
  t.regex(error?.message ?? '', /"late" reads snapshots up to version 1, and the cluster writes version 2/)
  await startMember(t, { url, name: 'newest', snapshotVersion: 3 })
  await eventually(known, counts => counts.every(count => count === 3), { what: 'the newest is known' })
  t.deepEqual(written(), [2, 2])
})

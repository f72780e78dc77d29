/** What other processes can do to a store on an SQLite file: hold its lock, and die at any moment. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'ava'
import { LensError } from '../../src/domain/index.ts'
import { openLeaseStore } from '../../src/store/lease.ts'
import { joined, opened, rowOf, storeOn, submitted, TestQuery } from '../conformance/store-fixtures.ts'
import { temporaryFolder } from '../support/folders.ts'
import { startProcess } from '../support/processes.ts'

test('a lock that another process holds is awaited without blocking the loop', async t => {
  const file = join(await temporaryFolder(t, 'store'), 'lens.db')
  const store = await storeOn(t, `sqlite:${file}`)
  const member = await joined(store)
  const session = await opened(store)
  const other = new DatabaseSync(file)
  t.teardown(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  const query = new TestQuery(member, session)
  let done = false
  const submitting = submitted(store, query).then(() => {
    done = true
  })
  // The loop turns, and reads are answered, while the write waits.
  for (let turn = 0; turn < 50; turn++) {
    await new Promise(resolve => setImmediate(resolve))
    t.is((await store.sessions.check([session])).length, 1)
  }
  t.false(done)
  other.exec('COMMIT')
  await submitting
  t.is((await rowOf(store, query.handle)).version, 1)
})

test('a lock that is never given back makes the store unavailable, and a heartbeat late', async t => {
  const file = join(await temporaryFolder(t, 'store'), 'lens.db')
  const url = `sqlite:${file}`
  const store = await storeOn(t, url, 100)
  const member = await joined(store)
  const leases = openLeaseStore({ url, attemptMs: 50 })
  t.teardown(() => leases.close())
  const beat = () => leases.renew({ incarnation: member.incarnation, leaseMs: 1000, running: 0, queued: 0, term: null })
  const other = new DatabaseSync(file)
  t.teardown(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  const error = await t.throwsAsync(opened(store), { instanceOf: LensError })
  t.is((error as LensError).code, 'STORE_UNAVAILABLE')
  await t.throwsAsync(beat, { message: /did not answer/ })
  other.exec('ROLLBACK')
  t.truthy(await opened(store))
  t.true((await beat()).member)
})

test('processes that are killed while they write leave every query in one table, with all its versions', async t => {
  const file = join(await temporaryFolder(t, 'store'), 'lens.db')
  const url = `sqlite:${file}`
  const store = await storeOn(t, url)
  const member = await joined(store)
  const session = await opened(store)
  const fixtures = new URL('../conformance/store-fixtures.ts', import.meta.url).href
  const script = `
    import { committed, storeOn, submitted, TestQuery } from ${JSON.stringify(fixtures)}
    const store = await storeOn({ teardown() {} }, ${JSON.stringify(url)})
    console.log('ready')
    for (;;) {
      const queries = [1, 2, 3].map(() => new TestQuery(${JSON.stringify(member)}, ${JSON.stringify(session)}))
      await submitted(store, ...queries)
      for (const query of queries) await committed(store, query.run())
      console.log('round')
    }`
  for (let round = 0; round < 3; round++) {
    const writers = [0, 1].map(() =>
      startProcess(t, process.execPath, ['--input-type=module-typescript', '-e', script]),
    )
    await Promise.all(writers.map(writer => writer.output(/round\s+round/)))
    await Promise.all(writers.map(writer => writer.kill()))
  }
  const raw = new DatabaseSync(file)
  t.teardown(() => raw.close())
  const one = (sql: string) => Number(Object.values(raw.prepare(sql).get() ?? {})[0])
  t.true(one('SELECT COUNT(*) FROM finished_query') > 0)
  t.is(one('SELECT COUNT(*) FROM current_query WHERE handle IN (SELECT handle FROM finished_query)'), 0)
  t.is(
    one('SELECT COUNT(*) FROM query_transition'),
    one('SELECT (SELECT SUM(version) FROM finished_query) + (SELECT COALESCE(SUM(version), 0) FROM current_query)'),
  )
  t.is(Object.values(raw.prepare('PRAGMA integrity_check').get() ?? {})[0], 'ok')
})

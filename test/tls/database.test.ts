/** The way to the database: only to the one that its authority vouches for, and by new certificates when they were replaced. */
import test from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { LensError } from '../../src/domain/index.ts'
import { openStore } from '../../src/store/index.ts'
import { openLeaseStore } from '../../src/store/lease.ts'
import { HeldCredentials } from '../../src/tls/index.ts'
import { Authority, replace, replaceFile } from '../support/certificates.ts'
import { createDatabase, executeAt, MySqlServer } from '../support/mysql.ts'

test('a store and a heartbeat go on by a new authority, and take no other', async t => {
  const [first, second] = [await Authority.create(t, 'first'), await Authority.create(t, 'second')]
  const database = await first.issue('database')
  const client = await first.issue('client')
  const server = await MySqlServer.start([
    `--ssl-ca=${first.caFile}`,
    `--ssl-cert=${database.certificateFile}`,
    `--ssl-key=${database.keyFile}`,
  ])
  t.teardown(() => server.destroy())
  const plain = await createDatabase(t, server.url)
  // A user who is let in with a certificate alone, so that one is seen to be shown.
  await executeAt(server.url, "CREATE USER 'shows'@'%' REQUIRE X509")
  await executeAt(server.url, "GRANT ALL ON *.* TO 'shows'@'%'")
  const url = plain.replace('root@', 'shows@')
  const open = (credentials: HeldCredentials, retryMs: number) => {
    const tls = { mode: 'verified', credentials: () => credentials.current } as const
    const store = openStore({ url, tls, connectionsMax: 2, retryMs, clock: systemClock, random: systemRandom })
    t.teardown(() => store.close())
    return store
  }

  const files = { ...client, caFile: first.caFile }
  const held = new HeldCredentials(files)
  const store = open(held, 5000)
  await store.open()
  const stranger = open(new HeldCredentials({ ...client, caFile: second.caFile }), 0)
  t.is((await t.throwsAsync(stranger.open(), { instanceOf: LensError })).code, 'STORE_UNAVAILABLE')
  const lease = openLeaseStore({ url, tls: { ...files, mode: 'verified' }, attemptMs: 5000 })
  t.teardown(() => lease.close())
  const beat = { incarnation: 'nobody', leaseMs: 2000, running: 0, queued: 0, term: null }
  t.false((await lease.renew(beat)).member)

  // The database is given a certificate of the other authority; what is open goes on, what is new does not.
  await replace(database, await second.issue('database'))
  await executeAt(server.url, 'FLUSH SSL')
  t.true((await store.ping(5000)) > 0)
  await store.actAs('another')
  await t.throwsAsync(store.ping(500))

  await replaceFile(first.caFile, second.caFile)
  t.is(held.renew(), 'taken')
  t.true((await store.ping(5000)) > 0)
  await lease.renew(beat)
  await executeAt(server.url, "KILL USER 'shows'")
  // It may have seen the end of its connection before this beat, or sees it by it.
  await lease.renew(beat).catch(() => undefined)
  t.false((await lease.renew(beat)).member)
})

/**
 * What only a network and another process can do to a store on MySQL: answers that are lost after the commit, connections
 * killed at any moment, locks held by somebody frozen, a server that stops, freezes, or may only be read.
 */
import { randomUUID } from 'node:crypto'
import test from 'ava'
import { type Connection, createConnection, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise'
import { WakeUp } from '../../src/async/index.ts'
import { LensError } from '../../src/domain/index.ts'
import type { Store } from '../../src/store/index.ts'
import { openLeaseStore } from '../../src/store/lease.ts'
import {
  committed,
  joined,
  leading,
  newSession,
  noLimits,
  opened,
  rowOf,
  storeOn,
  submitted,
  TestQuery,
} from '../conformance/store-fixtures.ts'
import { eventually } from '../support/conditions.ts'
import type { Teardown } from '../support/folders.ts'
import { createDatabase, mysqlDatabases, privateMySqlServer } from '../support/mysql.ts'
import { startProxy } from '../support/proxy.ts'

const databases = mysqlDatabases(test)

async function connected(t: Teardown, url: string): Promise<Connection> {
  const connection = await createConnection(url)
  connection.on('error', () => undefined)
  t.teardown(() => connection.destroy())
  return connection
}

/** A store behind a proxy, and one beside it, on one database. */
async function behindProxy(t: Teardown) {
  const url = await databases.create(t)
  const proxy = await startProxy(t, Number(new URL(url).port))
  const proxied = new URL(url)
  proxied.hostname = '127.0.0.1'
  proxied.port = String(proxy.port)
  return { url, proxy, store: await storeOn(t, proxied.href), beside: await storeOn(t, url) }
}

test('an answer lost after the commit is found out, and nothing is done twice', async t => {
  const { proxy, store, beside } = await behindProxy(t)
  const member = await joined(store)
  const session = await opened(store)
  const losing = async <T>(work: () => Promise<T>): Promise<T> => {
    const lost = proxy.loseAnswerTo('COMMIT')
    const answer = await work()
    await lost
    return answer
  }
  const limits = { queuedPerUser: 100, runningPerUser: 100, queuedPerLane: 100 }
  const query = new TestQuery(member, session)
  query.key = 'k'
  const others = [new TestQuery(member, session), new TestQuery(member, session)]
  const batch = [query, ...others].map(one => one.submission())
  t.deepEqual(await losing(() => store.queries.submit(batch, limits)), [
    { kind: 'accepted' },
    { kind: 'accepted' },
    { kind: 'accepted' },
  ])
  const launch = query.launch()
  t.deepEqual(await losing(() => store.queries.commit([launch, ...others.map(one => one.launch())], limits)), [
    { kind: 'committed' },
    { kind: 'committed' },
    { kind: 'committed' },
  ])
  await committed(store, query.start())
  const page = {
    handle: query.handle,
    attempt: 1,
    page: 0,
    firstRow: 0,
    rowCount: 1,
    bytes: 2,
    data: Buffer.from('[]'),
  }
  t.true(await losing(() => store.pages.append(page, 1)))
  await committed(store, query.execute())
  const end = query.succeed()
  t.deepEqual(await losing(() => store.queries.commit([end], limits)), [{ kind: 'committed' }])
  t.like(await rowOf(beside, query.handle), { finished: true, version: 5, storedPages: 1 })
  t.is((await beside.queries.transitions(query.handle, 0)).length, 5)
  const drop = query.step({ type: 'RESULT_DROPPED', at: '2026-01-01T00:00:00.000Z' })
  const [dropped] = drop.transitions
  if (!dropped) throw new Error('no transition')
  t.true(await losing(() => store.queries.dropResult(dropped, drop.snapshot, 'SUCCESSFUL')))

  const another = newSession({ idempotencyKey: 's' })
  t.is((await losing(() => store.sessions.open(another, 10))).kind, 'opened')
  const closing = { type: 'CLOSE_REQUESTED', at: '2026-01-01T00:00:00.000Z' } as const
  const closed = { database: null, properties: {}, status: 'CLOSING' } as const
  t.like(await losing(() => store.sessions.move(another.id, closing, 'node-1', () => closed)), { version: 2 })
  t.true(await losing(() => store.sessions.removeClosed(another.id, 'node-1')))
  t.is((await beside.sessions.transitions(another.id)).length, 3)

  const term = await losing(() => leading(store, member))
  t.is((await beside.cluster.members()).lease?.term, term)
  const dead = await joined(store, 'node-2')
  const orphan = new TestQuery(dead, session)
  await submitted(store, orphan)
  const failover = await losing(() => store.cluster.fence(term, dead.incarnation, 'test', null))
  t.is(failover?.incarnation, dead.incarnation)
  t.is((await beside.cluster.failovers(10)).length, 1)
  const claim = await losing(() => store.cluster.claim(term, dead.incarnation, member, 10))
  t.deepEqual(
    claim?.claimed.map(({ handle }) => handle),
    [orphan.handle],
  )
  t.is((await rowOf(beside, orphan.handle)).version, 2)
  // The counters saw each of these once.
  t.true(await beside.cluster.recountLimits(term))
})

test('counters are counted once although answers are lost', async t => {
  const { url, proxy, store } = await behindProxy(t)
  const member = await joined(store)
  const session = await opened(store)
  const limits = { queuedPerUser: 10, runningPerUser: 10, queuedPerLane: 10 }
  const values = async () => {
    const connection = await connected(t, url)
    const [rows] = await connection.query('SELECT scope, value FROM usage_counter ORDER BY scope')
    return Object.fromEntries((rows as { scope: string; value: number }[]).map(row => [row.scope, row.value]))
  }
  const queries = [1, 2, 3].map(() => new TestQuery(member, session))
  let lost = proxy.loseAnswerTo('COMMIT')
  // The first COMMIT makes the counters' rows, or the queries': either way one answer is lost.
  await store.queries.submit(
    queries.map(query => query.submission()),
    limits,
  )
  await lost
  t.deepEqual(await values(), { 'queued:lane:light': 3, 'queued:user:alice': 3 })
  lost = proxy.loseAnswerTo('COMMIT')
  await store.queries.commit(
    queries.slice(0, 2).map(query => query.launch()),
    limits,
  )
  await lost
  t.deepEqual(await values(), { 'queued:lane:light': 1, 'queued:user:alice': 1, 'running:user:alice': 2 })
})

test('connections are registered, fencing kills them, and with them the locks they hold', async t => {
  const url = await databases.create(t)
  const [store, owner] = [await storeOn(t, url), await storeOn(t, url)]
  const leader = await joined(store, 'leader')
  const frozen = await joined(store, 'frozen')
  const session = await opened(store)
  await owner.actAs(frozen.incarnation)
  const queries = [new TestQuery(frozen, session), new TestQuery(frozen, session)]
  await submitted(owner, ...queries)
  const raw = await connected(t, url)
  const registered = async () => {
    const [rows] = await raw.query('SELECT connection_id FROM member_connection WHERE incarnation = ?', [
      frozen.incarnation,
    ])
    return (rows as { connection_id: number }[]).map(row => row.connection_id)
  }
  t.true((await registered()).length > 0)
  // Stopped between its UPDATE and its COMMIT, and between a guard and its COMMIT: what such a process holds.
  const holder = await connected(t, url)
  await holder.query('INSERT INTO member_connection SELECT CONNECTION_ID(), ?, 0', [frozen.incarnation])
  await holder.beginTransaction()
  await holder.query('UPDATE current_query SET version = version + 1 WHERE handle = ?', [queries[0]?.handle])
  await holder.query('SELECT 1 FROM member WHERE incarnation = ? LOCK IN SHARE MODE', [frozen.incarnation])
  const term = await leading(store, leader)
  t.truthy(await store.cluster.fence(term, frozen.incarnation, 'test', null))
  await t.throwsAsync(holder.query('COMMIT'))
  t.deepEqual(await registered(), [])
  const claim = await store.cluster.claim(term, frozen.incarnation, leader, 10)
  t.deepEqual(
    claim?.claimed.map(({ version }) => version),
    [2, 2],
  )
  t.false(claim?.remaining)
  // Its pool connects anew, and what it writes is refused.
  const [first] = queries as [TestQuery]
  t.deepEqual(await owner.queries.commit([first.launch()], noLimits), [{ kind: 'fenced' }])
  t.deepEqual(await owner.queries.submit([new TestQuery(frozen, session).submission()], noLimits), [{ kind: 'fenced' }])
})

test('a frozen leader’s lock on the lease does not keep its successor waiting', async t => {
  const url = await databases.create(t)
  const store = await storeOn(t, url)
  const [old, next] = [await joined(store, 'old'), await joined(store, 'next')]
  const term = await leading(store, old)
  const holder = await connected(t, url)
  await holder.query('INSERT INTO member_connection SELECT CONNECTION_ID(), ?, 0', [old.incarnation])
  await holder.beginTransaction()
  await holder.query('SELECT term FROM lease WHERE term = ? LOCK IN SHARE MODE', [term])
  const successor = { ...next, leaseMs: 600_000 }
  t.is(await store.cluster.acquireLease(successor, { incarnation: old.incarnation, term }), term + 1)
  await t.throwsAsync(holder.query('COMMIT'))
})

test('a claim takes what is not locked, and comes back for the rest', async t => {
  const url = await databases.create(t)
  const store = await storeOn(t, url)
  const leader = await joined(store, 'leader')
  const dead = await joined(store, 'dead')
  const session = await opened(store)
  const queries = Array.from({ length: 5 }, () => new TestQuery(dead, session))
  await submitted(store, ...queries)
  const term = await leading(store, leader)
  await store.cluster.fence(term, dead.incarnation, 'test', null)
  // A connection that nobody registered: it is not killed, and does not hold the others up.
  const holder = await connected(t, url)
  await holder.beginTransaction()
  await holder.query('SELECT 1 FROM current_query WHERE handle = ? FOR UPDATE', [queries[2]?.handle])
  const first = await store.cluster.claim(term, dead.incarnation, leader, 100)
  t.is(first?.claimed.length, 4)
  t.true(first?.remaining)
  await holder.rollback()
  const second = await store.cluster.claim(term, dead.incarnation, leader, 100)
  t.deepEqual(
    second?.claimed.map(({ handle }) => handle),
    [queries[2]?.handle],
  )
  t.false(second?.remaining)
})

test('a session that is locked by a submission is neither swept nor waited for by a touch', async t => {
  const url = await databases.create(t)
  const store = await storeOn(t, url)
  const member = await joined(store)
  const term = await leading(store, member)
  const id = await opened(store, { idleMs: 10 })
  const holder = await connected(t, url)
  await holder.beginTransaction()
  await holder.query("SELECT id FROM session WHERE id = ? AND status = 'OPEN' LOCK IN SHARE MODE", [id])
  await eventually(async () => (await store.sessions.check([id]))[0]?.expired)
  await store.sessions.touch([id])
  t.deepEqual(await store.sessions.sweep(term, 10), { expired: [], closed: [] })
  await holder.rollback()
  t.deepEqual(await store.sessions.sweep(term, 10), { expired: [id], closed: [] })
})

test('an old incarnation’s connections are broken off when the store acts as a new one', async t => {
  const url = await databases.create(t)
  const store = await storeOn(t, url)
  const [old, next] = [await joined(store, 'old'), await joined(store, 'next')]
  await store.actAs(old.incarnation)
  await store.ping(10_000)
  const raw = await connected(t, url)
  const living = async (incarnation: string) => {
    const [ids] = await raw.query('SELECT connection_id AS id FROM member_connection WHERE incarnation = ?', [
      incarnation,
    ])
    const [rows] = await raw.query('SHOW PROCESSLIST')
    const registered = new Set((ids as { id: number }[]).map(({ id }) => id))
    return (rows as { Id: number }[]).filter(({ Id }) => registered.has(Id)).length
  }
  t.true((await living(old.incarnation)) > 0)
  await store.actAs(next.incarnation)
  await store.ping(10_000)
  await eventually(async () => (await living(old.incarnation)) === 0)
  t.true((await living(next.incarnation)) > 0)
})

test('connections killed at any moment leave every query once, with all its versions', async t => {
  const url = await databases.create(t)
  const stores = [await storeOn(t, url, 60_000), await storeOn(t, url, 60_000)] as const
  const members = [await joined(stores[0], 'a'), await joined(stores[1], 'b')] as const
  for (const [index, store] of stores.entries()) await store.actAs((members[index] as (typeof members)[0]).incarnation)
  const session = await opened(stores[0])
  const killer = await connected(t, url)
  let working = true
  let kills = 0
  // A kill for every answer: it hits whatever the others, or the next batch, are doing by then.
  const answered = new WakeUp()
  const killing = (async () => {
    for (;;) {
      await answered.wait()
      if (!working) return
      const [rows] = await killer.query('SHOW PROCESSLIST')
      const candidates = (rows as { Id: number; db: string | null }[]).filter(
        ({ Id, db }) => db === new URL(url).pathname.slice(1) && Id !== killer.threadId,
      )
      const victim = candidates[Math.floor(Math.random() * candidates.length)]
      if (victim)
        await killer.query(`KILL ${victim.Id}`).then(
          () => kills++,
          () => undefined,
        )
    }
  })()
  const limits = { queuedPerUser: 1000, runningPerUser: 1000, queuedPerLane: 1000 }
  const worker = async (store: Store, member: (typeof members)[0], part: number) => {
    const mine: TestQuery[] = []
    for (let round = 0; round < 6; round++) {
      const queries = Array.from({ length: 4 }, () => new TestQuery(member, session))
      for (const [index, query] of queries.entries()) query.key = `${part}-${round}-${index}`
      mine.push(...queries)
      const accepted = await store.queries.submit(
        queries.map(query => query.submission()),
        limits,
      )
      answered.wake()
      t.deepEqual([...new Set(accepted.map(({ kind }) => kind))], ['accepted'])
      for (const step of ['launch', 'start', 'execute', 'succeed'] as const) {
        const answers = await store.queries.commit(
          queries.map(query => query[step]()),
          limits,
        )
        answered.wake()
        t.deepEqual([...new Set(answers.map(({ kind }) => kind))], ['committed'])
      }
    }
    return mine
  }
  const done = (
    await Promise.all([0, 1, 2, 3].map(part => worker(stores[(part % 2) as 0 | 1], members[(part % 2) as 0 | 1], part)))
  ).flat()
  working = false
  answered.wake()
  await killing
  t.true(kills > 10)
  const versions = await stores[0].queries.versions(done.map(({ handle }) => handle))
  t.is(versions.length, done.length)
  t.true(versions.every(({ finished, version }) => finished && version === 5))
  const [counts] = await killer.query(
    'SELECT (SELECT COUNT(*) FROM current_query) AS current, (SELECT COUNT(*) FROM finished_query) AS finished, ' +
      '(SELECT COUNT(*) FROM query_transition) AS transitions, (SELECT SUM(value) FROM usage_counter) AS used',
  )
  t.deepEqual(Object.values((counts as Record<string, number>[])[0] ?? {}).map(Number), [
    0,
    done.length,
    done.length * 5,
    0,
  ])
})

test('a backup that locks all tables for a while costs no write and doubles none', async t => {
  const url = await createDatabase(t, (await privateMySqlServer(t)).url)
  const store = await storeOn(t, url, 20_000)
  const member = await joined(store)
  const session = await opened(store)
  const backup = await connected(t, url)
  const submitted: TestQuery[] = []
  let isOver = false
  t.teardown(() => {
    isOver = true
  })
  const submitting = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const query = new TestQuery(member, session)
      t.is((await store.queries.submit([query.submission()], noLimits))[0]?.kind, 'accepted')
      submitted.push(query)
    }
  })
  for (let round = 0; round < 3; round++) {
    // In the middle of whatever they do, their commits too.
    const some = submitted.length + 10
    await eventually(() => submitted.length >= some)
    await backup.query('FLUSH TABLES WITH READ LOCK')
    const tried = store.statementCount + 2 * submitting.length
    await eventually(() => store.statementCount >= tried)
    await backup.query('UNLOCK TABLES')
  }
  isOver = true
  await Promise.all(submitting)
  for (const [table, rows] of Object.entries({ current_query: submitted.length, query_transition: submitted.length })) {
    const [[counted]] = await backup.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`)
    t.is(Number(counted?.n), rows, table)
  }
})

test('a server that stops, freezes or may not be written is unavailable, and then served again', async t => {
  const server = await privateMySqlServer(t)
  const url = await createDatabase(t, server.url)
  const name = new URL(url).pathname.slice(1)
  const admin = async (sql: string) => {
    const connection = await createConnection(server.url)
    await connection.query(sql)
    connection.destroy()
  }
  // Not root, who writes to a read-only server too.
  await admin("CREATE USER lens@'%' IDENTIFIED BY 'secret'")
  await admin(`GRANT ALL ON ${name}.* TO lens@'%'`)
  const ours = `mysql://lens:secret@127.0.0.1:${server.port}/${name}`
  const store = await storeOn(t, ours, 300)
  const leases = openLeaseStore({ url: ours, attemptMs: 200 })
  t.teardown(() => leases.close())
  const member = await joined(store)
  const session = await opened(store)
  const beat = () =>
    leases.renew({ incarnation: member.incarnation, leaseMs: 600_000, running: 0, queued: 0, term: null })
  await eventually(async () => (await beat()).member)
  const unavailable = async (work: () => Promise<unknown>) => {
    const error = await t.throwsAsync(work, { instanceOf: LensError })
    t.is((error as LensError).code, 'STORE_UNAVAILABLE')
  }
  const submission = new TestQuery(member, session)
  const serves = () =>
    eventually(
      async () => (await store.queries.submit([submission.submission()], noLimits))[0]?.kind,
      kind => kind === 'accepted',
    )

  await admin('SET GLOBAL read_only = 1')
  await unavailable(() => store.queries.submit([submission.submission()], noLimits))
  t.truthy(await store.sessions.read(session))
  await admin('SET GLOBAL read_only = 0')
  await serves()

  server.pause()
  await unavailable(() => store.queries.commit([submission.launch()], noLimits))
  await unavailable(() => store.sessions.check([session]))
  await unavailable(() => store.ping(50))
  await t.throwsAsync(beat)
  server.resume()
  await serves()
  await eventually(async () => (await beat()).member)

  await server.stop()
  await unavailable(() => store.sessions.check([session]))
  await t.throwsAsync(beat)
  await server.start()
  await serves()
  await eventually(async () => (await beat()).member)
  await server.kill()
  await unavailable(() => store.sessions.check([session]))
  await server.start()
  await serves()
})

test('the database must report found rows, and a store that cannot connect says so', async t => {
  const url = await databases.create(t)
  const raw = await connected(t, url)
  await storeOn(t, url)
  const [result] = await raw.query('UPDATE lease SET id = 1 WHERE id = 1')
  t.is((result as ResultSetHeader).affectedRows, 1)
  const away = new URL(url)
  away.pathname = `/${randomUUID()}`
  const error = await t.throwsAsync(storeOn(t, away.href, 100), { instanceOf: LensError })
  t.is((error as LensError).code, 'STORE_UNAVAILABLE')
})

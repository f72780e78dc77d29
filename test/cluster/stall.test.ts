import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test, { type ExecutionContext } from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import type { BeatReport } from '../../src/cluster/beat-loop.ts'
import { ThreadHeartbeat } from '../../src/cluster/index.ts'
import { leaseModuleOf, openStore, type Store } from '../../src/store/index.ts'
import { type Member, startMember, testHeartbeatMs, testLeaseMs } from '../support/cluster/members.ts'
import { openSession, submitQueries } from '../support/cluster/queries.ts'
import { quietLog } from '../support/cluster/quiet-log.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'
import { createDatabase, mysqlDatabases, privateMySqlServer } from '../support/mysql.ts'

const mysql = mysqlDatabases(test)

async function startMembers(t: ExecutionContext, url: string): Promise<Member[]> {
  const members: Member[] = []
  for (const name of ['a', 'b', 'c']) members.push(await startMember(t, { url, name }))
  await eventually(() =>
    members.every(({ cluster }) => cluster.peers.length === 2 && cluster.watch.snapshot.members.length === 3),
  )
  return members
}

/** Stalls the database for everyone until every lease has run out long ago, then lets it go on. */
async function nobodyDiesOf(
  t: ExecutionContext,
  members: readonly Member[],
  stall: () => Promise<() => Promise<void>>,
) {
  const store = (members[0] as Member).store
  const owner = members[1] as Member
  const handles = await submitQueries(
    store,
    await openSession(store),
    { incarnation: owner.cluster.incarnation(), node: owner.name },
    20,
  )
  const incarnations = members.map(({ cluster }) => cluster.incarnation())
  const goOn = await stall()
  await eventually(() => members.every(({ cluster }) => !cluster.leaseValid()))
  t.true(
    members.every(({ cluster }) => cluster.term === null),
    'in doubt nobody leads',
  )
  const endedAt = performance.now() + 2 * testLeaseMs
  await eventually(() => performance.now() > endedAt)
  t.true(
    members.every(({ cluster }) => cluster.notReady() === null),
    'while nobody reaches it, nobody leaves the proxy',
  )
  await goOn()
  await eventually(() => members.every(({ cluster }) => cluster.leaseValid()))
  await eventually(() => members.filter(({ cluster }) => cluster.isLeader).length === 1)
  // Until the leader is free to fence again: had it blamed anyone, it would have by then.
  const beats = () => Math.min(...members.map(member => member.counts.get('beatsRenewed') ?? 0))
  const after = beats() + Math.ceil((2 * testLeaseMs) / testHeartbeatMs)
  await eventually(() => beats() >= after)
  t.deepEqual(
    members.map(({ cluster }) => cluster.incarnation()),
    incarnations,
  )
  t.deepEqual(await store.cluster.failovers(10), [])
  t.true(members.every(({ work }) => work.abandoned === 0))
  // The one thing that may have moved is queued work, to members with slots to spare.
  const owners = new Set((await store.queries.read(handles)).map(row => row.ownerIncarnation))
  t.true([...owners].every(one => incarnations.includes(one)))
}

test.serial('sqlite: a stall of the database is nobody’s death', async t => {
  const file = `${await temporaryFolder(t, 'stall')}/lens.db`
  const members = await startMembers(t, `sqlite:${file}`)
  await nobodyDiesOf(t, members, async () => {
    const lock = new DatabaseSync(file)
    await eventually(() => {
      lock.exec('BEGIN IMMEDIATE')
      return true
    })
    return async () => {
      lock.exec('ROLLBACK')
      lock.close()
    }
  })
})

test.serial('mysql: a frozen database is nobody’s death', async t => {
  const server = await privateMySqlServer(t)
  const members = await startMembers(t, await createDatabase(t, server.url))
  await nobodyDiesOf(t, members, async () => {
    server.pause()
    return async () => server.resume()
  })
})

test.serial('mysql: a restart of the database is nobody’s death', async t => {
  const server = await privateMySqlServer(t)
  const members = await startMembers(t, await createDatabase(t, server.url))
  await nobodyDiesOf(t, members, async () => {
    await server.kill()
    return () => server.start()
  })
})

test.serial('who comes back late from a stall has a whole lease period to do so', async t => {
  const url = `sqlite:${await temporaryFolder(t, 'late')}/lens.db`
  const members: Member[] = []
  // A period that also a busy machine keeps within, from the first beat after the stall to the late one's.
  const leaseMs = 8_000
  for (const name of ['a', 'b', 'c']) members.push(await startMember(t, { url, name, leaseMs, breakable: true }))
  await eventually(() => members.some(({ cluster }) => cluster.isLeader))
  const [a, b, late] = members as [Member, Member, Member]
  const incarnation = late.cluster.incarnation()
  for (const member of members) member.faults.beats = 'stall'
  await eventually(() => members.every(({ cluster }) => !cluster.leaseValid()))
  a.faults.beats = 'none'
  b.faults.beats = 'none'
  await eventually(() => a.cluster.isLeader || b.cluster.isLeader)
  // The leader sees a lease that ran out long ago, again and again.
  const beats = () => a.counts.get('beatsRenewed') ?? 0
  const some = beats() + 4
  await eventually(() => beats() >= some)
  t.deepEqual(await a.store.cluster.failovers(10), [])
  late.faults.beats = 'none'
  await eventually(() => late.cluster.leaseValid())
  t.is(late.cluster.incarnation(), incarnation)
  t.is(late.work.abandoned, 0)
})

test.serial('mysql: a starved pool costs no lease (river#1077)', async t => {
  const url = await mysql.create(t)
  const member = await startMember(t, { url, name: 'a', connectionsMax: 2 })
  await eventually(() => member.cluster.isLeader)
  const { createConnection } = await import('mysql2/promise')
  const blocker = await createConnection({ uri: url })
  t.teardown(() => blocker.destroy())
  await blocker.query('LOCK TABLES session WRITE')
  // A transaction of the leader that waits in its middle must not hold what the heartbeat renews; and there are more look-ups than
  // the pool has connections: nothing else of this node gets through.
  const starved = [
    member.store.cluster.recountLimits(member.cluster.term as number).catch(() => null),
    ...Array.from({ length: 8 }, () => member.store.sessions.read('nobody').catch(() => null)),
  ]
  const beats = () => member.counts.get('beatsRenewed') ?? 0
  const enough = beats() + Math.ceil((2 * testLeaseMs) / testHeartbeatMs)
  await eventually(() => beats() >= enough)
  t.true(member.cluster.leaseValid())
  t.true(member.cluster.isLeader)
  await blocker.query('UNLOCK TABLES')
  await Promise.all(starved)
  t.is(member.work.abandoned, 0)
})

test.serial('mysql: of many who reach for the lease at once one gets it', async t => {
  const url = await mysql.create(t)
  const store = openStore({ url, connectionsMax: 20, retryMs: 5000, clock: systemClock, random: systemRandom })
  await store.open()
  t.teardown(() => store.close())
  const holders = Array.from({ length: 12 }, (_, index) => ({
    incarnation: `i${index}`,
    node: `n${index}`,
    leaseMs: 60_000,
  }))
  for (const { incarnation, node } of holders)
    await store.cluster.join({
      incarnation,
      nodeId: node,
      address: 'http://127.0.0.1:1',
      softwareVersion: '0',
      snapshotVersion: 1,
      leaseMs: 60_000,
      earlyTakeoverAfterMs: null,
    })
  const terms = await Promise.all(holders.map(holder => store.cluster.acquireLease(holder, null)))
  t.is(terms.filter(term => term !== null).length, 1)
  const holder = (await store.cluster.members()).lease
  // From a holder found dead: again one, and only with the right term.
  const dead = { incarnation: holder?.holderIncarnation ?? '', term: holder?.term ?? 0 }
  t.is(await store.cluster.acquireLease(holders[0] as (typeof holders)[0], { ...dead, term: dead.term + 1 }), null)
  const others = holders.filter(({ incarnation }) => incarnation !== dead.incarnation)
  const again = await Promise.all(others.map(other => store.cluster.acquireLease(other, dead)))
  t.deepEqual(
    again.filter(term => term !== null),
    [dead.term + 1],
  )
})

test.serial('a main loop that hangs gets no beats, one that pauses keeps its lease', async t => {
  const url = `sqlite:${await temporaryFolder(t, 'hang')}/lens.db`
  const store: Store = openStore({ url, connectionsMax: 2, retryMs: 2000, clock: systemClock, random: systemRandom })
  await store.open()
  t.teardown(() => store.close())
  await store.cluster.join({
    incarnation: 'i',
    nodeId: 'n',
    address: 'http://127.0.0.1:1',
    softwareVersion: '0',
    snapshotVersion: 1,
    leaseMs: testLeaseMs,
    earlyTakeoverAfterMs: null,
  })
  const heartbeat = new ThreadHeartbeat({
    lease: leaseModuleOf({ url, attemptMs: testLeaseMs / 2 }),
    heartbeatMs: testHeartbeatMs,
    attemptMs: testLeaseMs / 2,
    clock: systemClock,
    random: systemRandom,
    log: quietLog,
  })
  const reports: BeatReport[] = []
  heartbeat.onBeat(report => reports.push(report))
  heartbeat.publishLoad(3, 4)
  heartbeat.act({ incarnation: 'i', leaseMs: testLeaseMs })
  await heartbeat.start()
  t.teardown(() => heartbeat.stop())
  const renewed = () => reports.filter(report => report.outcome === 'renewed').length
  await eventually(() => renewed() >= 3)
  t.like(await store.cluster.memberOf('i'), { running: 3, queued: 4 })

  const hang = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  const hungFrom = systemClock.monotonic()
  hang(2 * testLeaseMs)
  const hungUntil = systemClock.monotonic()
  const row = await store.cluster.memberOf('i')
  t.true((row?.leaseLeftMs ?? 0) < 0, 'the thread lives, but beats for nobody')
  const before = renewed()
  await eventually(() => renewed() > before + 2)
  t.true(
    reports.some(
      ({ outcome, startedAtMs }) => outcome === 'skipped' && startedAtMs > hungFrom && startedAtMs < hungUntil,
    ),
  )

  hang(testLeaseMs / 2)
  const left = (await store.cluster.memberOf('i'))?.leaseLeftMs ?? 0
  t.true(left > 0, 'a pause shorter than the lease costs nothing')
})

test.serial('nobody joins before the thread of its heartbeat can beat', async t => {
  const loading = join(await temporaryFolder(t, 'loading'), 'loaded')
  // A module that takes as long to load as it does on a machine with too much to do.
  const slow = `
    import { existsSync, writeFileSync } from 'node:fs'
    import { setTimeout as sleep } from 'node:timers/promises'
    export const openLeaseStore = () => ({ renew: async () => ({ member: true, leader: false, databaseNow: 0, serverIdentity: '' }), close: async () => {} })
    writeFileSync(${JSON.stringify(`${loading}.begun`)}, '')
    while (!existsSync(${JSON.stringify(loading)})) await sleep(5)`
  const heartbeat = new ThreadHeartbeat({
    lease: { moduleUrl: `data:text/javascript,${encodeURIComponent(slow)}`, options: null },
    heartbeatMs: testHeartbeatMs,
    attemptMs: testLeaseMs / 2,
    clock: systemClock,
    random: systemRandom,
    log: quietLog,
  })
  let stands = false
  const started = heartbeat.start().then(() => {
    stands = true
  })
  t.teardown(() => heartbeat.stop())
  await eventually(() => existsSync(`${loading}.begun`))
  t.false(stands)
  const reports: BeatReport[] = []
  heartbeat.onBeat(report => reports.push(report))
  heartbeat.act({ incarnation: 'i', leaseMs: testLeaseMs })
  writeFileSync(loading, '')
  await started
  await eventually(() => reports.some(({ outcome }) => outcome === 'renewed'))
})

import { createServer } from 'node:http'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/async/index.ts'
import { NodeNameTaken } from '../../src/cluster/index.ts'
import type { Store } from '../../src/store/index.ts'
import { type Member, type MemberOptions, startMember, testLeaseMs } from '../support/cluster/members.ts'
import { openSession, submitQueries } from '../support/cluster/queries.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'
import { mysqlDatabases } from '../support/mysql.ts'

const mysql = mysqlDatabases(test)
const databases: Readonly<Record<string, (t: ExecutionContext) => Promise<string>>> = {
  sqlite: async t => `sqlite:${await temporaryFolder(t, 'cluster')}/lens.db`,
  mysql: t => mysql.create(t),
}

async function startMembers(
  t: ExecutionContext,
  url: string,
  names: readonly string[],
  options: Partial<MemberOptions> = {},
) {
  const members: Member[] = []
  for (const name of names) members.push(await startMember(t, { url, name, ...options }))
  await settled(members)
  return members
}

/** All know each other, all can speak to each other, one leads, and every slot is with somebody, evenly. */
async function settled(members: readonly Member[], slots = 6): Promise<Member> {
  await eventually(
    () =>
      members.map(({ cluster }) => ({
        known: cluster.watch.snapshot.members.length,
        peers: cluster.peers.length,
        leads: cluster.isLeader,
        slots: budget(cluster),
      })),
    seen =>
      seen.every(({ known, peers }) => known === members.length && peers === members.length - 1) &&
      seen.filter(({ leads }) => leads).length === 1 &&
      seen.every(member => Math.floor(slots / members.length) === member.slots),
    { what: 'a settled cluster' },
  )
  return leaderOf(members)
}

/** The failovers, once all are done. */
function failoversDone(store: Store, count: number) {
  return eventually(
    () => store.cluster.failovers(100),
    rows => rows.length === count && rows.every(row => row.doneAt !== null),
    { what: 'the end of the recovery' },
  )
}

const budget = (cluster: Member['cluster']) => cluster.budgetOf('main', 'heavy')

function leaderOf(members: readonly Member[]): Member {
  const leader = members.find(({ cluster }) => cluster.isLeader)
  if (!leader) throw new Error('nobody leads')
  return leader
}

function ownerOf(member: Member) {
  return { incarnation: member.cluster.incarnation(), node: member.name }
}

/** Every handle is owned by exactly one of the members, as their own rows say. */
async function ownedOnce(members: readonly Member[], handles: readonly string[]): Promise<void> {
  await eventually(
    () => members.flatMap(({ work }) => work.owned).sort(),
    owned => JSON.stringify(owned) === JSON.stringify([...handles].sort()),
    { what: 'every query owned by one living member that knows it' },
  )
}

function each(title: string, run: (t: ExecutionContext, url: string) => Promise<void>): void {
  for (const [dialect, create] of Object.entries(databases))
    test.serial(`${dialect}: ${title}`, async t => run(t, await create(t)))
}

each('three nodes find each other, one leads, slots are split', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b', 'c'])
  t.deepEqual(
    members.map(({ cluster }) => budget(cluster)),
    [2, 2, 2],
  )
  const view = await (members[1] as Member).cluster.view()
  t.is(view.leader?.node, leaderOf(members).name)
  t.deepEqual(
    view.nodes.map(({ node, state }) => `${node} ${state}`),
    ['a alive', 'b alive', 'c alive'],
  )
  t.deepEqual(
    [...(members[0] as Member).cluster.otherNodes()].sort(),
    [members[1]?.address, members[2]?.address].sort(),
  )
  t.deepEqual(
    members.map(({ cluster }) => cluster.notReady()),
    [null, null, null],
  )
  await eventually(() =>
    members.every(({ cluster }) => cluster.watch.snapshot.members.every(member => member.earlyTakeover)),
  )
})

each(
  'the cluster is told as it was within the last beat, and as it was last read while the database is silent',
  async (t, url) => {
    const [member] = (await startMembers(t, url, ['a'])) as [Member]
    const { cluster, store } = member
    const isOld = () => systemClock.monotonic() - cluster.watch.snapshot.readAtMs > testLeaseMs / 4
    await eventually(isOld, old => old, { what: 'an old reading' })
    const old = cluster.watch.snapshot
    await cluster.view()
    t.not(cluster.watch.snapshot, old)

    const silence = Promise.withResolvers<never>()
    const { members } = store.cluster
    store.cluster.members = () => silence.promise
    t.teardown(() => {
      store.cluster.members = members
      silence.reject(new Error('the database answers again'))
    })
    await eventually(isOld, silent => silent, { what: 'an old reading' })
    const { nodes } = await cluster.view()
    t.deepEqual(
      nodes.map(({ node }) => node),
      ['a'],
    )
  },
)

each('a killed follower is fenced at once, its queries go to the others, everyone is told', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b', 'c'])
  const leader = leaderOf(members)
  const victim = members.find(member => member !== leader) as Member
  const survivors = members.filter(member => member !== victim)
  const session = await openSession(leader.store)
  const handles = await submitQueries(leader.store, session, ownerOf(victim), 40)
  const incarnation = victim.cluster.incarnation()
  await victim.kill()
  await ownedOnce(survivors, handles)
  const [failover] = await failoversDone(leader.store, 1)
  t.like(failover, { nodeId: victim.name, incarnation, cause: 'connection-lost', queries: 40 })
  t.true(
    survivors.every(member => member.work.owned.length > 0),
    'shared out',
  )
  for (const { news } of survivors) {
    await eventually(() => news.reduce((sum, { change }) => sum + change.count, 0) === 40)
    t.true(
      news.every(
        ({ change, users }) =>
          change.kind === 'takeover' && change.from === victim.name && users.length === change.count,
      ),
    )
  }
  await settled(survivors)
  const rows = await leader.store.queries.versions(handles)
  t.true(rows.every(row => row.epoch === 2 && row.version === 2))
})

each('a killed leader is followed by one other, in a greater term, which fences it and claims', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b', 'c'])
  const leader = leaderOf(members)
  const term = leader.cluster.term as number
  const survivors = members.filter(member => member !== leader)
  const store = (survivors[0] as Member).store
  const handles = await submitQueries(store, await openSession(store), ownerOf(leader), 30)
  await leader.kill()
  await ownedOnce(survivors, handles)
  const next = await settled(survivors)
  t.is(next.cluster.term, term + 1)
  const terms = members.flatMap(member => member.terms)
  t.is(new Set(terms).size, terms.length, 'no term had two leaders')
  t.like(await failoversDone(store, 1), [{ nodeId: leader.name, cause: 'connection-lost', queries: 30 }])
})

each(
  'a member that stops beating is fenced after its lease; awake, it abandons and joins as a new incarnation',
  async (t, url) => {
    const members = await startMembers(t, url, ['a', 'b', 'c'], { breakable: true })
    const leader = leaderOf(members)
    const frozen = members.find(member => member !== leader) as Member
    const before = frozen.cluster.incarnation()
    const handles = await submitQueries(leader.store, await openSession(leader.store), ownerOf(frozen), 10)
    frozen.faults.beats = 'stall'
    await eventually(() => !frozen.cluster.leaseValid())
    t.is(budget(frozen.cluster), 0, 'without a lease nothing is launched')
    const others = members.filter(member => member !== frozen)
    await ownedOnce(others, handles)
    t.like(await failoversDone(leader.store, 1), [{ nodeId: frozen.name, cause: 'lease-expired', queries: 10 }])
    frozen.faults.beats = 'none'
    await eventually(() => frozen.cluster.leaseValid() && frozen.cluster.incarnation() !== before)
    t.is(frozen.work.abandoned, 1)
    t.is(frozen.counts.get('incarnationsLost'), 1)
    t.is(frozen.counts.get('earlyTakeoversOfLiving'), undefined)
    await settled(members)
    const row = await leader.store.cluster.memberOf(frozen.cluster.incarnation())
    t.true(row?.earlyTakeover, 'a lease that ran out is no reason for distrust')
  },
)

each('a leader that cannot renew steps down by itself and another leads', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b'], { breakable: true })
  const leader = leaderOf(members)
  const follower = members.find(member => member !== leader) as Member
  // As on a database that became read-only: it answers, but renews nothing.
  leader.faults.beats = 'fail'
  await eventually(() => leader.cluster.term === null)
  await eventually(() => follower.cluster.isLeader)
  t.is(leader.cluster.term, null)
  leader.faults.beats = 'none'
  await settled(members)
  t.true(follower.cluster.isLeader)
  const terms = members.flatMap(member => member.terms)
  t.is(new Set(terms).size, terms.length)
})

each('a member that refuses while it lives is taken over, notices, and is not so trusted again', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b', 'c'])
  const leader = leaderOf(members)
  const victim = members.find(member => member !== leader) as Member
  await eventually(() => leader.cluster.watch.snapshot.members.every(member => member.earlyTakeover))
  const before = victim.cluster.incarnation()
  await victim.refuse()
  await eventually(() => victim.cluster.incarnation() !== before && victim.cluster.leaseValid())
  t.is(victim.work.abandoned, 1)
  t.is(victim.counts.get('earlyTakeoversOfLiving'), 1)
  t.like(await leader.store.cluster.failovers(10), [{ nodeId: victim.name, cause: 'connection-lost' }])
  const row = await leader.store.cluster.memberOf(victim.cluster.incarnation())
  t.false(row?.earlyTakeover)
  t.is(victim.fatal, null)
})

each('a member whose address answers with another incarnation is dead for its peers', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b'])
  const leader = leaderOf(members)
  const victim = members.find(member => member !== leader) as Member
  await eventually(() => leader.cluster.watch.snapshot.members.every(member => member.earlyTakeover))
  const before = victim.cluster.incarnation()
  victim.faults.identity = 'another'
  victim.cut()
  await eventually(() => victim.cluster.incarnation() !== before && victim.cluster.leaseValid())
  t.is((await leader.store.cluster.failovers(10)).at(-1)?.incarnation, before)
  const row = await leader.store.cluster.memberOf(victim.cluster.incarnation())
  t.false(row?.earlyTakeover, 'its address does not lead to it')
})

each('a member that does not answer, but beats, stays', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b'])
  const leader = leaderOf(members)
  const mute = members.find(member => member !== leader) as Member
  await eventually(() => leader.cluster.watch.snapshot.members.every(member => member.earlyTakeover))
  mute.faults.identity = 'silent'
  mute.cut()
  t.is(await leader.cluster.detector.suspect(mute.cluster.incarnation()), 'unknown')
  t.deepEqual(await leader.store.cluster.failovers(10), [])
  t.true(mute.cluster.leaseValid())
  t.is(mute.work.abandoned, 0)
})

each('a second live process of the same name waits one lease and fails; the first does not notice', async (t, url) => {
  const [first] = await startMembers(t, url, ['a'])
  const second = await startMember(t, { url, name: 'a', unstarted: true })
  const error = await t.throwsAsync(second.cluster.start(), { instanceOf: NodeNameTaken })
  t.regex(error?.message ?? '', /LENS_NODE_ID/)
  t.true(first?.cluster.isLeader)
  t.is(first?.work.abandoned, 0)
})

each('a node that restarts at its address need not wait for its own lease, and gets its work back', async (t, url) => {
  // A lease so long that waiting for it would show.
  const options = { url, name: 'a', leaseMs: 40_000, heartbeatMs: 100 }
  const first = await startMember(t, options)
  await settled([first])
  await eventually(() => first.cluster.watch.snapshot.members[0]?.earlyTakeover)
  const handles = await submitQueries(first.store, await openSession(first.store), ownerOf(first), 5)
  const term = first.cluster.term as number
  await first.kill()
  const second = await startMember(t, { ...options, port: first.port })
  await ownedOnce([second], handles)
  await settled([second])
  t.is(second.cluster.term, term + 1)
  t.like(await failoversDone(second.store, 1), [{ nodeId: 'a', queries: 5 }])
})

each('what every event missed is found by the standing query', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b'])
  const leader = leaderOf(members)
  // A member that nobody ever spoke to, dead by the time that anybody looks.
  const ghost = { incarnation: 'ghost', node: 'g' }
  await leader.store.cluster.join({
    incarnation: 'ghost',
    nodeId: 'g',
    address: 'http://127.0.0.1:1',
    softwareVersion: '0',
    snapshotVersion: 1,
    leaseMs: 60_000,
    earlyTakeoverAfterMs: null,
  })
  const handles = await submitQueries(leader.store, await openSession(leader.store), ghost, 7)
  await leader.store.cluster.fence(leader.cluster.term as number, 'ghost', 'connection-lost', null)
  await ownedOnce(members, handles)
  t.pass()
})

each('a drained node gives everything away and leaves without a failover', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b', 'c'])
  const leader = leaderOf(members)
  const stay = members.filter(member => member !== leader)
  const store = (stay[0] as Member).store
  const handles = await submitQueries(store, await openSession(store), ownerOf(leader), 12)
  await leader.work.look()
  t.is(leader.work.owned.length, 12)
  const drained = leader.cluster.drainSelf()
  t.not(leader.cluster.notReady(), null)
  await drained
  t.deepEqual(leader.work.owned, [])
  t.is(leader.cluster.term, null)
  await eventually(() => stay.some(({ cluster }) => cluster.isLeader))
  await leader.cluster.stop()
  await Promise.all(stay.map(({ work }) => work.look()))
  await ownedOnce(stay, handles)
  await settled(stay)
  t.deepEqual(await store.cluster.failovers(10), [])
})

each('a node is asked to drain by name from another', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b'])
  const [a, b] = members as [Member, Member]
  t.true(await a.cluster.drain('b'))
  await eventually(() => b.drainRequests === 1)
  t.false(await a.cluster.drain('nobody'))
  t.is(a.drainRequests, 0)
})

each('queued work moves to members with slots to spare', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b'])
  const [a, b] = members as [Member, Member]
  const handles = await submitQueries(a.store, await openSession(a.store), ownerOf(a), 20)
  await a.work.look()
  await eventually(() => b.work.owned.length > 0)
  await ownedOnce(members, handles)
  t.is(b.work.owned.length, 3, 'as many as b has slots; what has a slot, or none anywhere, stays')
  t.deepEqual(await a.store.cluster.failovers(1), [])
})

each('ten thousand orphans are shared by two survivors', async (t, url) => {
  const members = await startMembers(t, url, ['a', 'b', 'c'])
  const leader = leaderOf(members)
  const victim = members.find(member => member !== leader) as Member
  const survivors = members.filter(member => member !== victim)
  const session = await openSession(leader.store)
  const handles = await submitQueries(leader.store, session, ownerOf(victim), 10_000)
  // Without its listener before the submission is done, queued work would move by balancing.
  await victim.kill()
  await eventually(() => survivors.reduce((sum, { work }) => sum + work.owned.length, 0) === handles.length)
  const shares = survivors.map(({ work }) => work.owned.length)
  t.true(Math.min(...shares) > 3000, `shared out: ${shares}`)
})

each('an idle node costs at most five statements a second', async (t, url) => {
  // With the default lease and heartbeat: two beats a second by the thread, which are not counted here.
  const members = await startMembers(t, url, ['a', 'b', 'c'], { leaseMs: 2000, heartbeatMs: 500 })
  const beats = (member: Member) => member.counts.get('beatsRenewed') ?? 0
  await eventually(() => members.every(member => beats(member) >= 4))
  const begun = members.map(member => ({ statements: member.store.statementCount, beats: beats(member) }))
  await eventually(() => members.every((member, index) => beats(member) >= (begun[index]?.beats ?? 0) + 12))
  for (const [index, member] of members.entries()) {
    const statements = member.store.statementCount - (begun[index]?.statements ?? 0)
    const perSecond = statements / ((beats(member) - (begun[index]?.beats ?? 0)) / 2)
    t.true(perSecond + 2 <= 5, `${member.name}: ${perSecond.toFixed(2)} statements a second, and two beats`)
  }
})

each('an unreachable address allows no early takeover, until it leads here', async (t, url) => {
  const unreachable = await startMember(t, { url, name: 'a' })
  await unreachable.kill()
  const port = unreachable.port
  const squatter = createServer((_, response) => response.writeHead(404).end())
  await new Promise<void>(resolve => squatter.listen(port, '127.0.0.1', resolve))
  const row = await squat(t, url)
  t.false(row)
  await new Promise<void>(resolve => squatter.close(() => resolve()))

  async function squat(context: ExecutionContext, at: string): Promise<boolean | undefined> {
    const member = await startMember(context, {
      url: at,
      name: 'b',
      options: { probe: async () => ({ kind: 'silent', why: 'test' }) },
    })
    return (await member.store.cluster.memberOf(member.cluster.incarnation()))?.earlyTakeover
  }
})

test('a lease is a multiple of the beat in these tests too', t => {
  t.true(testLeaseMs >= 500)
})

import test, { type ExecutionContext } from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import type { BeatIdentity, BeatReport } from '../../src/cluster/beat-loop.ts'
import { planMoves } from '../../src/cluster/duties/rebalancing.ts'
import { Sweeps } from '../../src/cluster/duties/sweeps.ts'
import { Isolation } from '../../src/cluster/isolation.ts'
import { Membership } from '../../src/cluster/membership.ts'
import { periodsOf } from '../../src/cluster/settings.ts'
import type { BudgetRow } from '../../src/store/contract.ts'
import { openStore } from '../../src/store/index.ts'
import { ManualClock } from '../support/cluster/manual-clock.ts'
import { startMember } from '../support/cluster/members.ts'
import { openSession } from '../support/cluster/queries.ts'
import { quietLog } from '../support/cluster/quiet-log.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'

type Counts = Parameters<typeof planMoves>[2]

const granted = (incarnation: string, lane: 'light' | 'heavy', slots: number): BudgetRow => ({
  incarnation,
  engine: 'main',
  lane,
  granted: slots,
  acknowledged: slots,
})
const count = (
  ownerIncarnation: string,
  status: 'QUEUED' | 'RUNNING',
  lane: 'light' | 'heavy' | 'auto',
  number: number,
): Counts[number] => ({
  user: 'u',
  status,
  lane,
  ownerIncarnation,
  count: number,
})

test('queued work moves to where its own lane has slots to spare, and no further', t => {
  const budgets = [
    granted('a', 'heavy', 1),
    granted('b', 'heavy', 1),
    granted('c', 'heavy', 0),
    granted('c', 'light', 9),
  ]
  const counts = [count('a', 'RUNNING', 'heavy', 1), count('a', 'QUEUED', 'heavy', 5), count('b', 'QUEUED', 'auto', 9)]
  t.deepEqual(planMoves(['a', 'b', 'c'], budgets, counts, 500), [{ from: 'a', to: 'b', lane: 'heavy', queries: 1 }])
  t.deepEqual(planMoves(['a', 'b', 'c'], budgets, [count('b', 'RUNNING', 'heavy', 1), ...counts], 500), [])
})

test('a queue where its lane has no slot at all moves to where there is one', t => {
  const budgets = [granted('a', 'heavy', 1), granted('b', 'heavy', 0)]
  t.deepEqual(planMoves(['a', 'b'], budgets, [count('b', 'QUEUED', 'heavy', 2)], 500), [
    { from: 'b', to: 'a', lane: 'heavy', queries: 1 },
  ])
})

test('a node that hears neither database nor peers for three leases is cut off, once per silence', async t => {
  const clock = new ManualClock()
  const heard = { database: clock.monotonic() as number | null, peers: null as number | null }
  let hasPeers = true
  let cutOffs = 0
  const isolation = new Isolation({
    clock,
    periods: { cutOffMs: 6000, heartbeatMs: 500 },
    log: quietLog,
    databaseHeardAtMs: () => heard.database,
    peersHeardAtMs: () => heard.peers,
    hasPeers: () => hasPeers,
    onCutOff: () => cutOffs++,
  })
  isolation.start()
  await clock.advance(5000)
  heard.peers = clock.monotonic()
  await clock.advance(5500)
  t.is(cutOffs, 0, 'a peer is enough')
  await clock.advance(10_000)
  t.is(cutOffs, 1)
  heard.database = clock.monotonic()
  await clock.advance(1000)
  hasPeers = false
  await clock.advance(20_000)
  t.is(cutOffs, 1, 'nobody could have taken over from a cluster of one')
  isolation.stop()
})

/** A membership on a clock of the test, over a store of its own; `beat` reports a beat to it. */
async function membershipOn(t: ExecutionContext, name: string) {
  const url = `sqlite:${await temporaryFolder(t, name)}/lens.db`
  const store = openStore({ url, connectionsMax: 2, retryMs: 2000, clock: systemClock, random: systemRandom })
  await store.open()
  t.teardown(() => store.close())
  const clock = new ManualClock()
  let listener: (report: BeatReport) => void = () => undefined
  const acts: (BeatIdentity | null)[] = []
  /** Runs between the row of the member and the first beat. */
  const joining = { pause: async (): Promise<void> => undefined }
  const membership = new Membership({
    settings: {
      node: 'n',
      address: 'http://127.0.0.1:1',
      secret: 's',
      softwareVersion: '0',
      snapshotVersion: 1,
      leaseMs: 2000,
      heartbeatMs: 500,
      drainGraceMs: 0,
    },
    periods: periodsOf({ leaseMs: 2000, heartbeatMs: 500 }),
    stores: { cluster: store.cluster, actAs: () => joining.pause() },
    heartbeat: {
      start: async () => undefined,
      stop: async () => undefined,
      act: identity => acts.push(identity),
      lead: () => undefined,
      publishLoad: () => undefined,
      beatNow: () => undefined,
      onBeat(given) {
        listener = given
        return () => undefined
      },
    },
    probe: async () => ({ kind: 'identity', identity: membership.identity }),
    clock,
    random: systemRandom,
    log: quietLog,
    count: () => undefined,
  })
  return { store, clock, membership, acts, joining, beat: (report: BeatReport) => listener(report) }
}

test('an incarnation whose lease ran out while it joined is given up, and another one joins', async t => {
  const { store, clock, membership, acts, joining } = await membershipOn(t, 'joining')
  const first = membership.incarnation
  joining.pause = async () => {
    joining.pause = async () => undefined
    clock.suspend(2000)
  }
  const joined = membership.join(new AbortController().signal)
  await eventually(async () => {
    await clock.advance(50)
    return membership.joined
  })
  await joined
  t.not(membership.incarnation, first)
  t.true(membership.leaseValid())
  t.deepEqual(
    acts.map(identity => identity?.incarnation),
    [membership.incarnation],
    'nobody beats for the first',
  )
  const { members } = await store.cluster.members()
  t.deepEqual(
    members.map(({ incarnation }) => incarnation),
    [membership.incarnation],
    'the first has left: the name is free',
  )
})

test('an incarnation that was fenced while it joined stays dead, and another one joins at once', async t => {
  const { store, clock, membership, joining } = await membershipOn(t, 'fenced')
  const first = membership.incarnation
  const leader = { incarnation: 'leader', node: 'l' }
  await store.cluster.join({
    incarnation: leader.incarnation,
    nodeId: leader.node,
    address: 'http://127.0.0.1:2',
    softwareVersion: '0',
    snapshotVersion: 1,
    leaseMs: 60_000,
    earlyTakeoverAfterMs: null,
  })
  const term = (await store.cluster.acquireLease({ ...leader, leaseMs: 60_000 }, null)) as number
  joining.pause = async () => {
    joining.pause = async () => undefined
    await store.cluster.fence(term, first, 'lease-expired', null)
    throw new Error('frozen until after its end')
  }
  const tried = membership.join(new AbortController().signal)
  await eventually(async () => {
    await clock.advance(50)
    return membership.joined
  })
  await tried
  t.not(membership.incarnation, first)
  t.is((await store.cluster.memberOf(first))?.state, 'dead')
  t.is((await store.cluster.memberOf(membership.incarnation))?.state, 'alive')
})

test('a lease is trusted no longer than both clocks allow', async t => {
  const { store, clock, membership, acts, beat } = await membershipOn(t, 'lease')
  const renewed = (startedAtMs: number, wallStartedAtMs: number): BeatReport => ({
    incarnation: membership.incarnation,
    outcome: 'renewed',
    startedAtMs,
    endedAtMs: startedAtMs,
    wallStartedAtMs,
    term: null,
    leader: false,
    databaseNowMs: 1,
    serverIdentity: 's',
    error: null,
  })
  t.false(membership.leaseValid())
  await membership.join(new AbortController().signal)
  t.true(membership.leaseValid())
  t.is(acts.at(-1)?.incarnation, membership.incarnation)
  await clock.advance(1799)
  t.true(membership.leaseValid())
  await clock.advance(1)
  t.false(membership.leaseValid(), 'a margin before its end')
  beat(renewed(clock.monotonic(), clock.now()))
  t.true(membership.leaseValid())
  clock.suspend(1800)
  t.false(membership.leaseValid(), 'the machine slept: only the wall clock has noticed')
  beat(renewed(clock.monotonic(), clock.now()))
  beat({ ...renewed(clock.monotonic(), clock.now()), incarnation: 'an earlier one', outcome: 'refused' })
  t.true(membership.leaseValid(), 'what concerns another incarnation is nothing to this one')
  const lost: string[] = []
  const before = membership.incarnation
  membership.onLost(incarnation => lost.push(incarnation))
  beat({ ...renewed(clock.monotonic(), clock.now()), outcome: 'refused' })
  beat({ ...renewed(clock.monotonic(), clock.now()), outcome: 'refused' })
  t.deepEqual([lost, membership.leaseValid(), acts.at(-1)], [[before], false, null])
  await store.cluster.leave(before)
  await membership.join(new AbortController().signal)
  t.not(membership.incarnation, before)
  t.true(membership.leaseValid())
})

test('a peer’s word is no proof: the row decides', async t => {
  const url = `sqlite:${await temporaryFolder(t, 'word')}/lens.db`
  const member = await startMember(t, { url, name: 'a' })
  const before = member.cluster.incarnation()
  await member.cluster.membership.confirm()
  t.is(member.cluster.incarnation(), before)
  await eventually(() => member.cluster.isLeader)
  await member.store.cluster.fence(member.cluster.term as number, before, 'connection-lost', null)
  await member.cluster.membership.confirm()
  await eventually(() => member.cluster.leaseValid() && member.cluster.incarnation() !== before)
  t.is(member.work.abandoned, 1)
})

test('the leader sweeps sessions and tells everyone', async t => {
  const url = `sqlite:${await temporaryFolder(t, 'sweep')}/lens.db`
  const ended: string[] = []
  const member = await startMember(t, { url, name: 'a' })
  await eventually(() => member.cluster.isLeader)
  const session = await openSession(member.store, 'ada', 1)
  await eventually(async () => (await member.store.sessions.check([session]))[0]?.expired)
  const abort = new AbortController()
  const expired: string[] = []
  const sweeps = new Sweeps({
    stores: member.store,
    clock: systemClock,
    periods: { sweepMs: 20, recountMs: 20, owedEndsMs: 20, leftoversMs: 20 },
    log: quietLog,
    retention: { queryMs: 1, finishedMax: 0, resultBytesMax: 0 },
    onResultExpired: async handle => void expired.push(handle),
    onLeftovers: async () => {},
    onOwedEnds: async () => {},
    onSessionsEnded: ids => ended.push(...ids),
  })
  sweeps.start({ number: member.cluster.term as number, signal: abort.signal, valid: () => !abort.signal.aborted })
  await eventually(() => ended.length > 0)
  abort.abort()
  await sweeps.stop()
  t.deepEqual(ended, [session])
  t.is(await member.store.sessions.read(session), null)
  t.deepEqual(expired, [])
})

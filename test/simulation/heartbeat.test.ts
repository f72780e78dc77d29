/** The real beat loop in a simulated world. */
import test from 'ava'
import type { BeatReport } from '../../src/cluster/beat-loop.ts'
import { joined, leading } from '../conformance/store-fixtures.ts'
import { simulatedDatabase } from './database.ts'
import { Scheduler } from './scheduler.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const leaseMs = 2000

async function beating() {
  const scheduler = new Scheduler({ seed: '1' })
  const database = await simulatedDatabase(scheduler)
  const process = scheduler.process('a')
  const store = database.storeOf(process)
  const passes = (ms: number) => scheduler.run({ untilMs: scheduler.nowMs + ms })
  const member = await scheduler.settled(
    store.open().then(() => joined(store, 'a', leaseMs)),
    { untilMs: 10_000 },
  )
  const heartbeat = database.heartbeatOf(process, { heartbeatMs: 500, attemptMs: 400, log: silent })
  const reports: BeatReport[] = []
  heartbeat.onBeat(report => reports.push(report))
  heartbeat.act({ incarnation: member.incarnation, leaseMs })
  await heartbeat.start()
  const leaseLeftMs = () =>
    Number(database.committed<{ left: number }>('SELECT lease_expires_at - lens_now() AS left FROM heartbeat')[0]?.left)
  const outcomes = () => reports.splice(0).map(({ outcome }) => outcome)
  return { scheduler, database, process, store, member, heartbeat, passes, leaseLeftMs, outcomes, reports }
}

test('renews the member’s lease each heartbeat, and the leader’s with its term; publishes the load', async t => {
  const { scheduler, database, store, member, heartbeat, passes, leaseLeftMs, outcomes, reports } = await beating()
  heartbeat.publishLoad(3, 4)
  await passes(10_000)
  const beats = outcomes()
  t.true(beats.length >= 19 && beats.length <= 21)
  t.true(beats.every(outcome => outcome === 'renewed'))
  t.true(leaseLeftMs() > 1400)
  t.deepEqual(
    { ...database.committed<{ running: number; queued: number }>('SELECT running, queued FROM heartbeat')[0] },
    { running: 3, queued: 4 },
  )
  const term = await scheduler.settled(leading(store, member, leaseMs), { untilMs: scheduler.nowMs + 1000 })
  heartbeat.lead(term)
  await passes(5000)
  t.true(reports.at(-1)?.leader)
  t.true(Number(database.committed<{ e: number }>('SELECT expires_at - lens_now() AS e FROM lease')[0]?.e) > 1400)
})

test('a main loop that hangs costs the lease; a process that is stopped does too, and both recover', async t => {
  const { process, heartbeat, passes, leaseLeftMs, outcomes } = await beating()
  await passes(2000)
  outcomes()
  process.freeze()
  await passes(5000)
  t.true(leaseLeftMs() < 0)
  process.resume()
  await passes(1000)
  t.deepEqual([...new Set(outcomes())].sort(), ['renewed', 'skipped'])
  t.true(leaseLeftMs() > 1000)
  process.freeze()
  heartbeat.thread.freeze()
  await passes(5000)
  t.true(leaseLeftMs() < 0)
  process.resume()
  heartbeat.thread.resume()
  await passes(1500)
  t.true(leaseLeftMs() > 1000)
})

test('a database that does not answer is asked again until it does', async t => {
  const { database, passes, leaseLeftMs, outcomes } = await beating()
  await passes(1000)
  outcomes()
  database.faults.stall(3000)
  await passes(3000)
  // The store gives up when the loop does: either may be first.
  t.true(outcomes().every(outcome => outcome === 'late' || outcome === 'failed'))
  await passes(1000)
  t.true(outcomes().includes('renewed'))
  database.faults.restart(1000)
  await passes(1000)
  t.true(outcomes().includes('failed'))
  await passes(1000)
  t.true(outcomes().includes('renewed'))
  t.true(leaseLeftMs() > 1000)
})

test('ends with its process, and when it is stopped; a fenced member is refused', async t => {
  const { scheduler, database, process, store, heartbeat, member, passes, outcomes } = await beating()
  await passes(1000)
  outcomes()
  const term = await scheduler.settled(leading(store, member), { untilMs: scheduler.nowMs + 1000 })
  await scheduler.settled(store.cluster.fence(term, member.incarnation, 'test', null), {
    untilMs: scheduler.nowMs + 1000,
  })
  await passes(1000)
  t.true(outcomes().includes('refused'))
  await heartbeat.stop()
  await passes(10)
  outcomes()
  const statements = database.statements
  await passes(5000)
  t.deepEqual(outcomes(), [])
  t.is(database.statements, statements)
  const again = await beating()
  again.process.crash()
  await again.passes(10)
  const then = again.database.statements
  await again.passes(5000)
  t.is(again.database.statements, then)
  t.is(again.heartbeat.thread.state, 'crashed')
  t.not(process.state, 'crashed')
})

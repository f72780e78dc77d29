import test from 'ava'
import { systemRandom } from '../../src/async/index.ts'
import { BeatLoop, type BeatReport } from '../../src/cluster/beat-loop.ts'
import type { LeaseStore } from '../../src/store/contract.ts'
import { ManualClock, settle } from '../support/cluster/manual-clock.ts'

type Renewal = Awaited<ReturnType<LeaseStore['renew']>>
const renewed: Renewal = { member: true, leader: false, databaseNow: 5000, serverIdentity: 'server' }

/** A loop over a database that answers as the test says, with the main loop's ticks in the test's hand. */
function loopOver(renew: (beat: Parameters<LeaseStore['renew']>[0]) => Promise<Renewal>) {
  const clock = new ManualClock()
  const reports: BeatReport[] = []
  const state = { ticks: 0, ticking: true, opened: 0, closed: 0 }
  const loop = new BeatLoop({
    async open() {
      state.opened++
      return {
        renew,
        async close() {
          state.closed++
        },
      }
    },
    clock,
    random: { ...systemRandom, fraction: () => 0.5 },
    heartbeatMs: 500,
    attemptMs: 1000,
    ticks: () => (state.ticking ? state.ticks++ : state.ticks),
    load: () => ({ running: 3, queued: 4 }),
    report: report => reports.push(report),
  })
  loop.act({ incarnation: 'i', leaseMs: 2000 })
  loop.start()
  return { clock, loop, reports, state, outcomes: () => reports.map(report => report.outcome) }
}

test('beats once a heartbeat, with load and term', async t => {
  const beats: unknown[] = []
  const { clock, loop, reports } = loopOver(async beat => {
    beats.push(beat)
    return { ...renewed, leader: beat.term === 7 }
  })
  await clock.advance(400)
  loop.lead(7)
  await clock.advance(700)
  t.deepEqual(beats, [
    { incarnation: 'i', leaseMs: 2000, running: 3, queued: 4, term: null },
    { incarnation: 'i', leaseMs: 2000, running: 3, queued: 4, term: 7 },
    { incarnation: 'i', leaseMs: 2000, running: 3, queued: 4, term: 7 },
  ])
  t.deepEqual(
    reports.map(({ term, leader, outcome }) => ({ term, leader, outcome })),
    [
      { term: null, leader: false, outcome: 'renewed' },
      { term: 7, leader: true, outcome: 'renewed' },
      { term: 7, leader: true, outcome: 'renewed' },
    ],
  )
  const stopped = loop.stop()
  await clock.advance(1000)
  await stopped
})

test('a main loop that does not tick costs beats, and gets one at once when it ticks again', async t => {
  let beats = 0
  const { clock, state, loop, outcomes } = loopOver(async () => {
    beats++
    return renewed
  })
  await clock.advance(100)
  state.ticking = false
  await clock.advance(3000)
  t.is(beats, 2, 'the tick before the hang pays for one more')
  t.deepEqual(outcomes(), ['renewed', 'renewed', 'skipped'])
  state.ticking = true
  state.ticks++
  await clock.advance(60)
  t.deepEqual(outcomes(), ['renewed', 'renewed', 'skipped', 'renewed'])
  const stopped = loop.stop()
  await clock.advance(1000)
  await stopped
})

test('an attempt that hangs is given up with its connection, and the next one opens another', async t => {
  let hang = true
  const { clock, state, loop, reports, outcomes } = loopOver(() =>
    hang ? new Promise(() => undefined) : Promise.resolve(renewed),
  )
  await clock.advance(1010)
  t.deepEqual(outcomes(), ['late'])
  t.is(state.closed, 1)
  hang = false
  await clock.advance(1000)
  t.is(outcomes()[1], 'renewed')
  t.is(state.opened, 2)
  t.true((reports[1]?.startedAtMs ?? 0) - (reports[0]?.endedAtMs ?? 0) <= 250, 'the return is noticed soon')
  const stopped = loop.stop()
  await clock.advance(1000)
  await stopped
})

test('errors are reported and repeated within 250 ms', async t => {
  const { clock, loop, reports } = loopOver(() => Promise.reject(new Error('gone')))
  await clock.advance(5000)
  t.true(reports.length >= 20)
  t.true(
    reports.every(report => report.outcome === 'failed' && report.error === 'gone' && report.databaseNowMs === null),
  )
  const stopped = loop.stop()
  await clock.advance(1000)
  await stopped
})

test('a dead row is reported as refused; without an identity nothing beats', async t => {
  const { clock, loop, outcomes } = loopOver(async () => ({ ...renewed, member: false }))
  await clock.advance(100)
  t.deepEqual(outcomes(), ['refused'])
  loop.act(null)
  await clock.advance(3000)
  t.deepEqual(outcomes(), ['refused'])
  loop.act({ incarnation: 'j', leaseMs: 2000 })
  await settle()
  t.deepEqual(outcomes(), ['refused', 'refused'], 'a new identity does not wait for its first beat')
  const stopped = loop.stop()
  await clock.advance(1000)
  await stopped
})

import test from 'ava'
import type { BeatReport } from '../../src/cluster/beat-loop.ts'
import { StoreHealth } from '../../src/cluster/store-health.ts'

const periods = { heartbeatMs: 500, stallMs: 500, marginMs: 200 }

function beat(startedAtMs: number, endedAtMs: number, changes: Partial<BeatReport> = {}): BeatReport {
  return {
    incarnation: 'a',
    outcome: 'renewed',
    startedAtMs,
    endedAtMs,
    wallStartedAtMs: 0,
    term: null,
    leader: false,
    databaseNowMs: 1_000_000 + (startedAtMs + endedAtMs) / 2,
    serverIdentity: 'server-1',
    error: null,
    ...changes,
  }
}

function failed(startedAtMs: number, endedAtMs: number): BeatReport {
  return beat(startedAtMs, endedAtMs, { outcome: 'failed', databaseNowMs: null, serverIdentity: null })
}

test('healthy since the first answer, and not before', t => {
  const health = new StoreHealth(periods)
  t.is(health.healthyForMs(0), 0)
  health.observe(beat(0, 10))
  health.observe(beat(500, 510))
  t.is(health.healthyForMs(600), 590)
})

test('a failed or late beat ends it; it begins again with the next answer', t => {
  const health = new StoreHealth(periods)
  health.observe(beat(0, 10))
  health.observe(failed(500, 700))
  t.is(health.healthyForMs(800), 0)
  health.observe(beat(900, 910))
  t.is(health.healthyForMs(1000), 90)
  health.observe(beat(1400, 2200))
  t.is(health.healthyForMs(2300), 100, 'the slow answer is the end of a stall')
})

test('no answer at all for too long counts as a stall, while skipped beats say nothing', t => {
  const health = new StoreHealth(periods)
  health.observe(beat(0, 10))
  health.observe(beat(1000, 1010, { outcome: 'skipped', databaseNowMs: null }))
  t.is(health.healthyForMs(1100), 1090)
  t.is(health.healthyForMs(1600), 0)
})

test('another server, or a jump of its clock, starts a fresh period', t => {
  const health = new StoreHealth(periods)
  health.observe(beat(0, 10))
  health.observe(beat(500, 510, { serverIdentity: 'server-2' }))
  t.is(health.healthyForMs(600), 90)
  health.observe(beat(1000, 1010, { serverIdentity: 'server-2', databaseNowMs: 1_004_000 }))
  t.is(health.healthyForMs(1100), 90)
  health.observe(beat(1500, 1510, { serverIdentity: 'server-2', databaseNowMs: 1_004_500 }))
  t.is(health.healthyForMs(1600), 590)
  health.observeClock(1_004_600 - 10_000, 1600, 1604)
  t.is(health.healthyForMs(1700), 96, 'a reading of the members shows the jump too')
})

test('an inexact reading of the clock is not taken for a jump', t => {
  const health = new StoreHealth(periods)
  health.observe(beat(0, 10))
  health.observe(beat(500, 900, { databaseNowMs: 1_000_000 + 520 }))
  t.is(health.healthyForMs(900), 890)
})

test("gives the database's clock by the most certain reading", t => {
  const health = new StoreHealth(periods)
  t.is(health.databaseNowMs(0), null)
  health.observe(beat(0, 10))
  t.is(health.databaseNowMs(1000), 1_001_000)
  health.observe(beat(500, 700, { databaseNowMs: 1_000_000 + 690 }))
  t.is(health.databaseNowMs(1000), 1_001_000)
})

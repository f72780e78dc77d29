import test from 'ava'
import type { ActorEnvironment } from '../../src/actors/index.ts'
import { LiveQuery } from '../../src/actors/live-query.ts'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { queryMachine } from '../../src/domain/index.ts'
import type { QuerySpecificationRow } from '../../src/store/index.ts'

const specification: QuerySpecificationRow = {
  ...{ handle: 'h', sessionId: 's', user: 'u', name: null, sql: 'select 1', operation: 'execute', mode: 'async' },
  ...{ priority: 'normal', onRecovery: 'auto', database: null, properties: {}, parameters: [], requestedLane: 'auto' },
  ...{ requestedEngine: null, idempotencyKey: null, deadlineAt: null, submittedAt: '2026-01-01T00:00:00.000Z' },
}

/** Only what a live query itself asks for; nothing of it reaches a database or an engine. */
const environment = {
  clock: systemClock,
  random: systemRandom,
  membership: { nodeId: 'n1', incarnation: () => 'i1', leaseValid: () => true, doubt: () => {}, databaseNow: () => 0 },
} as unknown as ActorEnvironment

function accepted(): LiveQuery {
  const live = LiveQuery.submitted(environment, queryMachine, specification, () => {})
  live.start()
  live.send({ type: 'SUBMITTED', node: 'n1' })
  live.accepted()
  return live
}

test('nothing follows a hand-over: an effect that speaks too late cannot keep the query here', t => {
  const live = accepted()
  t.true(live.handOver({ incarnation: 'i2', node: 'n2' }))
  t.false(live.send({ type: 'ESTIMATED', lane: 'light', cost: 1, rows: 1 }))
  t.false(live.handOver({ incarnation: 'i3', node: 'n3' }))
  const { group } = live.takeOff()
  t.deepEqual(group.newOwner, { incarnation: 'i2', node: 'n2' })
  t.deepEqual(
    group.transitions.map(({ event, version, epoch }) => [event.type, version, epoch]),
    [['HANDED_OVER', 2, 2]],
  )
})

test('a hand-over that was refused is taken back: the query goes on here', t => {
  const live = accepted()
  live.handOver({ incarnation: 'i2', node: 'n2' })
  live.takeOff()
  live.rollBack()
  t.false(live.handingOver)
  t.deepEqual([live.context.version, live.context.owner.epoch], [1, 1])
  t.true(live.send({ type: 'ESTIMATED', lane: 'light', cost: 1, rows: 1 }))
})

test('consecutive steps travel as one group, and what was sent meanwhile as the next', async t => {
  const live = accepted()
  live.send({ type: 'ESTIMATED', lane: 'light', cost: 1, rows: 1 })
  live.send({ type: 'LAUNCHED', engine: 'e' })
  const durable = live.durable()
  const flight = live.takeOff()
  t.deepEqual([flight.group.fromVersion, flight.group.transitions.length, flight.group.launches], [1, 2, true])
  live.send({ type: 'STARTED', engineHandle: null, safeToRepeat: true })
  live.landed(flight)
  await durable
  t.is(live.committed?.context.version, 3)
  t.deepEqual([live.takeOff().group.fromVersion, live.context.version], [3, 4])
})

test('who waits for what is not durable any more is told', async t => {
  const live = accepted()
  live.send({ type: 'ESTIMATED', lane: 'light', cost: 1, rows: 1 })
  const durable = live.durable()
  live.detach()
  await t.throwsAsync(durable, { name: 'DetachedError' })
  await t.throwsAsync(live.durable(), { name: 'DetachedError' })
  t.false(live.send({ type: 'LAUNCHED', engine: 'e' }))
})

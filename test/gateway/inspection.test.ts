/** What an inspection tells and in which order, over a real host: the orders that a whole node shows only by chance. */
import test, { type ExecutionContext } from 'ava'
import { uuidv7 } from 'uuidv7'
import { type LiveQuery, SessionHost } from '../../src/actors/index.ts'
import { systemClock } from '../../src/async/index.ts'
import type { InspectedEvent, InspectedMoment } from '../../src/gateway/index.ts'
import { Inspections } from '../../src/gateway/inspection.ts'
import { Lookups } from '../../src/gateway/lookups.ts'
import { createLogger } from '../../src/observability/index.ts'
import type { SessionRow } from '../../src/store/index.ts'
import { submittedQuery } from '../support/slow-engine.ts'

/** Queries of alice that stay in the queue, and what an inspector of hers is told. */
async function inspected(t: ExecutionContext, count: number) {
  const { store, host, handle } = await submittedQuery(t, { slots: 0 })
  const { specification } = host.find(handle) as LiveQuery
  for (let more = 1; more < count; more++) await host.submit({ ...specification, handle: uuidv7() }, null)
  const lives = [...host.lives()]
  t.is(lives.length, count)
  const sessions = new SessionHost({
    ...{ sessions: store.sessions, clock: systemClock, passivateMs: 60_000 },
    nodeId: (lives[0] as LiveQuery).context.owner.node,
  })
  const inspections = new Inspections({
    ...{ host, sessions, clock: systemClock, logger: createLogger({ level: 'silent' }), databaseNow: () => Date.now() },
    ...{ nodeId: (lives[0] as LiveQuery).context.owner.node, settings: { revalidateMs: 60_000 } },
    lookups: new Lookups(store, sessions, [], systemClock),
  })
  t.teardown(() => inspections.stop())
  const told: (readonly [string, LiveQuery['handle']])[] = []
  const inspection = inspections.open(
    { sessionId: specification.sessionId, user: specification.user, admin: false },
    {
      actor: moment => told.push([moment.life, moment.handle]),
      step: (moment, { type }) => told.push([type, moment.handle]),
      stopped: moment => told.push([moment.life, moment.handle]),
      ended: () => {},
    },
  )
  return {
    inspections,
    inspection,
    lives: lives as [LiveQuery, LiveQuery, LiveQuery],
    told,
    sessions,
    store,
    specification,
  }
}

const at = '2026-01-01T00:00:00.000Z'
const estimated = { type: 'ESTIMATED', lane: 'light', cost: 1, rows: null, at } as const
const stepOf = ({ specification, epoch, committed }: LiveQuery) => ({
  ...{ specification, epoch, snapshot: committed as NonNullable<typeof committed> },
  event: estimated,
})

test('what lives is presented as many at a time as asked for, and nothing unasked', async t => {
  const { inspection, lives, told } = await inspected(t, 3)
  t.deepEqual(told, [])
  t.true(inspection.present(2))
  t.is(told.length, 2)
  t.false(inspection.present(2))
  t.deepEqual(told, [
    ['active', lives[0].handle],
    ['active', lives[1].handle],
    ['active', lives[2].handle],
  ])
})

test('an actor whose step comes before its presentation is told of with it, and not again', async t => {
  const { inspections, inspection, lives, told } = await inspected(t, 3)
  const [first, second, third] = lives
  inspections.committed([stepOf(second)])
  t.deepEqual(told, [
    ['active', second.handle],
    ['ESTIMATED', second.handle],
  ])
  t.false(inspection.present(3))
  t.deepEqual(told.slice(2), [
    ['active', first.handle],
    ['active', third.handle],
  ])
  inspections.committed([stepOf(second)])
  t.deepEqual(told.slice(4), [['ESTIMATED', second.handle]])
})

test('sessions are actors too: told of when they come, move and leave, without what looks like a secret, to who may see them', async t => {
  const { inspections, sessions, store, specification, lives } = await inspected(t, 1)
  const events: unknown[] = []
  const listener = {
    actor: (moment: InspectedMoment) => events.push([moment.machine, moment.life, moment.version, moment.context]),
    step: ({ life, value, context }: InspectedMoment, { at: _at, ...event }: InspectedEvent) =>
      events.push([event, life, value, context]),
    stopped: ({ handle, life }: InspectedMoment) => events.push([life, handle]),
    ended: () => {},
  }
  const { sessionId: id, user } = specification
  const row = (await store.sessions.read(id)) as SessionRow
  sessions.adopt(row)
  const inspection = inspections.open({ sessionId: id, user, admin: false }, listener)
  inspections.open({ sessionId: 'x', user: 'mallory', admin: false }, { ...listener, actor: () => t.fail() })
  t.false(inspection.present(5))
  const { database, properties } = row
  const context = { id, user, version: 1, database, properties }
  t.deepEqual(events.splice(0), [
    ['session', 'active', 1, context],
    ['query', 'active', 1, lives[0].committed?.context],
  ])

  const change = { 'db.password': 'hunter2', 'api-key': 'hunter4', url: 'mysql://a:hunter3@db/x', zone: 'utc' }
  await sessions.move(id, { type: 'CHANGED', properties: change, at })
  const shown = { 'db.password': '[redacted]', 'api-key': '[redacted]', url: 'mysql://a:[redacted]@db/x', zone: 'utc' }
  const changed = { ...context, version: 2, properties: { ...properties, ...shown } }
  t.deepEqual(events.splice(0), [[{ type: 'CHANGED', properties: shown }, 'active', 'OPEN', changed]])

  // As another node would have done it: it is read when it is used here next.
  const next = { database: 'flights', properties: {}, status: 'OPEN' } as const
  await store.sessions.move(id, { type: 'CHANGED', database: 'flights', properties: {}, at }, 'other', () => next)
  await sessions.follow(id, (await store.sessions.check([id]))[0])
  t.deepEqual(events.splice(0), [
    ['session', 'active', 3, { id, user, version: 3, database: 'flights', properties: {} }],
  ])
  sessions.drop(id)
  t.deepEqual(events.splice(0), [['stopped', id]])

  await sessions.move(id, { type: 'CLOSE_REQUESTED', at })
  t.deepEqual(
    events.splice(0).map(event => (event as unknown[]).slice(0, 3)),
    [
      ['session', 'active', 3],
      [{ type: 'CLOSE_REQUESTED' }, 'stopped', 'CLOSING'],
    ],
  )
  sessions.drop(id)
  t.deepEqual(events, [])
})

test('what is lost is told of as stopped, once, and only if it was told of and has not ended', async t => {
  const { inspections, inspection, lives, told } = await inspected(t, 3)
  const [first, second, third] = lives
  inspection.present(2)
  const { snapshot, ...step } = stepOf(second)
  inspections.committed([{ ...step, event: { type: 'GAVE_UP', at }, snapshot: { ...snapshot, value: 'FAILED' } }])
  // What the host does with an actor that has ended, and with one whose write was refused since another member claimed it.
  for (const live of [first, second, third]) live.detach()
  await Promise.resolve()
  t.deepEqual(told.slice(2), [
    ['GAVE_UP', second.handle],
    ['stopped', first.handle],
  ])
  inspections.stop()
  t.is(told.length, 4)
})

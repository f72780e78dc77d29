/** The session's machine: every path, any events, and the properties with the strangest names. */
import assert from 'node:assert/strict'
import test from 'ava'
import fc from 'fast-check'
import { createActor, initialTransition, transition } from 'xstate'
import { getShortestPaths } from 'xstate/graph'
import { type SessionContext, type SessionEvent, sessionMachine } from '../../src/domain/index.ts'

const at = '2026-03-01T10:00:00.000Z'
const input = { id: 's1', user: 'ada' }

const moves: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  NEW: { OPENED: 'OPEN' },
  OPEN: { CHANGED: 'OPEN', CLOSE_REQUESTED: 'CLOSING', EXPIRED: 'EXPIRED' },
  CLOSING: { CLOSED: 'CLOSED' },
  CLOSED: {},
  EXPIRED: {},
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('__proto__', 'constructor', 'toString', ''),
)
/** As they come out of JSON: `__proto__` is a name like any other. */
const anyProperties = fc
  .array(fc.tuple(anyText, anyText), { maxLength: 5 })
  .map(entries => Object.fromEntries(entries) as Record<string, string>)
const anyEvent: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({
    type: fc.constant('OPENED' as const),
    database: fc.option(anyText),
    properties: anyProperties,
    at: fc.constant(at),
  }),
  fc.record({
    type: fc.constant('CHANGED' as const),
    database: fc.option(fc.option(anyText), { nil: undefined }),
    properties: fc
      .array(fc.tuple(anyText, fc.option(anyText)), { maxLength: 5 })
      .map(entries => Object.fromEntries(entries) as Record<string, string | null>),
    at: fc.constant(at),
  }),
  fc.record({
    type: fc.constantFrom('CLOSE_REQUESTED' as const, 'CLOSED' as const, 'EXPIRED' as const),
    at: fc.constant(at),
  }),
)

/** What the properties must be, worked out on a list of pairs. */
function expectedProperties(before: object, changes: Readonly<Record<string, string | null>>): [string, string][] {
  const kept = Object.entries(before as Record<string, string>).filter(([key]) => !Object.hasOwn(changes, key))
  const set = Object.entries(changes).filter((entry): entry is [string, string] => entry[1] !== null)
  return [...kept, ...set].sort(([a], [b]) => (a < b ? -1 : 1))
}

function assertStep(
  before: { value: string; context: SessionContext },
  event: SessionEvent,
  after: { value: string; context: SessionContext },
) {
  const to = moves[before.value]?.[event.type]
  const note = `${event.type} in ${before.value}`
  if (to === undefined) {
    assert.deepEqual(after, before, `${note}: not to be accepted`)
    return
  }
  assert.equal(after.value, to, note)
  assert.equal(after.context.version, before.context.version + 1, `${note}: version`)
  assert.deepEqual(JSON.parse(JSON.stringify(after.context)), after.context, `${note}: not the same after JSON`)
  const { properties, database } = after.context
  const sorted = Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1))
  if (event.type === 'OPENED') assert.deepEqual([database, properties], [event.database, event.properties], note)
  else if (event.type === 'CHANGED') {
    assert.equal(database, event.database === undefined ? before.context.database : event.database, `${note}: database`)
    assert.deepEqual(sorted, expectedProperties(before.context.properties, event.properties), `${note}: properties`)
  } else assert.deepEqual([database, properties], [before.context.database, before.context.properties], note)
}

test('every state is reached, by the shortest way, and by no event that does not belong', t => {
  const events: SessionEvent[] = [
    { type: 'OPENED', database: 'sales', properties: { a: '1', b: '2' }, at },
    { type: 'CHANGED', properties: { a: null, c: '3' }, at },
    { type: 'CHANGED', database: null, properties: {}, at },
    { type: 'CLOSE_REQUESTED', at },
    { type: 'CLOSED', at },
    { type: 'EXPIRED', at },
  ]
  const paths = getShortestPaths(sessionMachine, {
    input,
    events,
    serializeState: ({ value, context }) => JSON.stringify([value, context.database, context.properties]),
  })
  const reached = new Set<string>()
  for (const path of paths) {
    let [state] = initialTransition(sessionMachine, input)
    for (const { event } of path.steps.slice(1)) [state] = transition(sessionMachine, state, event)
    reached.add(state.value)
    for (const event of events) {
      const [next] = transition(sessionMachine, state, event)
      t.notThrows(
        () =>
          assertStep({ value: state.value, context: state.context }, event, {
            value: next.value,
            context: next.context,
          }),
        state.value,
      )
    }
  }
  t.deepEqual([...reached].sort(), Object.keys(moves).sort())
})

test('any life of a session keeps the invariants, on a live actor and purely alike', t => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 25 }), fc.boolean(), (events, opened) => {
      const actor = createActor(sessionMachine, { input }).start()
      let [pure] = initialTransition(sessionMachine, input)
      const life: SessionEvent[] = opened ? [{ type: 'OPENED', database: null, properties: {}, at }, ...events] : events
      for (const event of life) {
        const before = { value: pure.value, context: pure.context }
        actor.send(event)
        ;[pure] = transition(sessionMachine, pure, event)
        const live = actor.getSnapshot()
        assert.notEqual(live.status, 'error')
        assert.deepEqual([live.value, live.context], [pure.value, pure.context])
        assertStep(before, event, { value: pure.value, context: pure.context })
        seen.add(pure.value)
      }
      actor.stop()
    }),
    { numRuns: 1_000 },
  )
  t.is(seen.size, 5, [...seen].join())
})

test('a property may be named __proto__', t => {
  const actor = createActor(sessionMachine, { input }).start()
  actor.send({ type: 'OPENED', database: null, properties: {}, at })
  actor.send({ type: 'CHANGED', properties: JSON.parse('{"__proto__": "x", "constructor": "y"}'), at })
  t.is(JSON.stringify(actor.getSnapshot().context.properties), '{"__proto__":"x","constructor":"y"}')
  actor.send({ type: 'CHANGED', properties: JSON.parse('{"__proto__": null}'), at })
  t.is(JSON.stringify(actor.getSnapshot().context.properties), '{"constructor":"y"}')
})

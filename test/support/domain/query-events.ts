/**
 * Events of the query machine for tests: a finite alphabet for the walks over all paths, an endless one for the property
 * tests, and the shortest way into each state.
 */
import fc from 'fast-check'
import type { EngineHandle, QueryEvent, QueryInput } from '../../../src/domain/index.ts'

export const queryInput: QueryInput = { handle: '0190f0c4-0000-7000-8000-000000000001', lane: 'auto', engine: null }

const at = '2026-03-01T10:00:00.000Z'
const later = '2026-03-01T10:01:00.000Z'
const engineHandle: EngineHandle = { id: 'q-1', uri: '/next/1' }
const columns = [{ name: 'n', type: 'BIGINT' }]

/** Every type of event, with each payload that the machine tells apart. */
export const alphabet = {
  submitted: { type: 'SUBMITTED', node: 'n1', at },
  estimated: { type: 'ESTIMATED', lane: 'light', cost: 3, rows: null, at },
  launched: { type: 'LAUNCHED', engine: 'duckdb', at },
  identified: { type: 'IDENTIFIED', engineHandle, at },
  started: { type: 'STARTED', engineHandle: { id: 'q-1', uri: '/next/2' }, safeToRepeat: false, at },
  startedSafe: { type: 'STARTED', engineHandle: null, safeToRepeat: true, at },
  advanced: { type: 'ADVANCED', engineHandle: { id: 'q-1', uri: '/next/3' }, at },
  executed: { type: 'EXECUTED', rowCount: 7, columns, plan: null, estimate: null, at },
  executedWithoutRows: { type: 'EXECUTED', rowCount: 0, columns: [], plan: 'SCAN', estimate: null, at },
  stored: { type: 'STORED', bytes: 70, pages: 1, expiresAt: later, at },
  failedForNow: {
    type: 'ATTEMPT_FAILED',
    kind: 'engine',
    code: 'ENGINE_UNAVAILABLE',
    message: 'refused',
    node: 'n1',
    retryAt: later,
    at,
  },
  failedForGood: {
    type: 'ATTEMPT_FAILED',
    kind: 'statement',
    code: 'EXECUTION_FAILED',
    message: 'division by zero',
    node: 'n1',
    retryAt: null,
    at,
  },
  retried: { type: 'RETRIED', at },
  gaveUp: { type: 'GAVE_UP', at },
  cancel: { type: 'STOP_REQUESTED', reason: 'cancel', at },
  deadline: { type: 'STOP_REQUESTED', reason: 'deadline', at },
  abandon: { type: 'STOP_REQUESTED', reason: 'abandoned', at },
  handOverStop: { type: 'STOP_REQUESTED', reason: 'hand-over', at },
  stopped: { type: 'STOPPED', node: 'n1', at },
  claimed: { type: 'CLAIMED', node: 'n2', epoch: 2, at },
  claimedStale: { type: 'CLAIMED', node: 'n3', epoch: 1, at },
  handedOver: { type: 'HANDED_OVER', node: 'n3', epoch: 3, at },
  dropped: { type: 'RESULT_DROPPED', at },
} as const satisfies Record<string, QueryEvent>

export type EventName = keyof typeof alphabet
export const events = (...names: EventName[]): QueryEvent[] => names.map(name => alphabet[name])

/** A way into each state that can be stored, by a name that is also the fixture's. */
export const waysInto: Readonly<Record<string, readonly EventName[]>> = {
  queued: ['submitted'],
  'queued-estimated': ['submitted', 'estimated'],
  'queued-again': ['submitted', 'estimated', 'launched', 'failedForNow', 'retried'],
  'launched-submitting': ['submitted', 'estimated', 'launched', 'identified'],
  'launched-stopping': ['submitted', 'estimated', 'launched', 'identified', 'cancel'],
  'running-following': ['submitted', 'estimated', 'launched', 'started', 'advanced'],
  'running-stopping': ['submitted', 'estimated', 'launched', 'startedSafe', 'deadline'],
  'running-claimed': ['submitted', 'estimated', 'launched', 'started', 'claimed'],
  executed: ['submitted', 'estimated', 'launched', 'started', 'executed'],
  'executed-without-rows': ['submitted', 'launched', 'executedWithoutRows'],
  'failing-retry': ['submitted', 'estimated', 'launched', 'started', 'failedForNow'],
  'failing-for-good': ['submitted', 'estimated', 'launched', 'started', 'failedForGood'],
  successful: ['submitted', 'estimated', 'launched', 'startedSafe', 'executed', 'stored'],
  'successful-without-rows': ['submitted', 'launched', 'executedWithoutRows', 'stored'],
  failed: ['submitted', 'estimated', 'launched', 'started', 'failedForGood', 'gaveUp'],
  canceled: ['submitted', 'cancel'],
  'canceled-while-running': ['submitted', 'estimated', 'launched', 'started', 'cancel', 'stopped'],
  'closed-after-success': ['submitted', 'estimated', 'launched', 'startedSafe', 'executed', 'stored', 'dropped'],
  'closed-after-failure': ['submitted', 'estimated', 'launched', 'started', 'failedForGood', 'gaveUp', 'dropped'],
  'closed-after-cancel': ['submitted', 'cancel', 'dropped'],
}

const anyTime = fc.integer({ min: 0, max: 4_000_000_000 }).map(seconds => new Date(seconds * 1000).toISOString())
const anyText = fc.string({ unit: 'binary', maxLength: 20 })
const anyCount = fc.nat(1_000_000)
const anyHandle = fc
  .dictionary(anyText, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 })
  .map(handle => JSON.parse(JSON.stringify(handle)) as EngineHandle)
const anyColumns = fc.array(fc.record({ name: anyText, type: anyText }, { noNullPrototype: true }), { maxLength: 3 })
const anyEstimate = fc.record(
  {
    cost: anyCount,
    rows: fc.option(anyCount),
    lane: fc.constantFrom('light' as const, 'heavy' as const, 'auto' as const),
  },
  { noNullPrototype: true },
)

/** Any event that the type allows, with any payload. */
export const anyEvent: fc.Arbitrary<QueryEvent> = fc
  .oneof(
    fc.constantFrom<QueryEvent>(...Object.values(alphabet)),
    fc.record({ type: fc.constant('SUBMITTED' as const), node: anyText, at: anyTime }),
    fc.record({
      type: fc.constant('ESTIMATED' as const),
      lane: fc.constantFrom('light' as const, 'heavy' as const),
      cost: anyCount,
      rows: fc.option(anyCount),
      at: anyTime,
    }),
    fc.record({ type: fc.constant('LAUNCHED' as const), engine: anyText, at: anyTime }),
    fc.record({
      type: fc.constantFrom('IDENTIFIED' as const, 'ADVANCED' as const),
      engineHandle: anyHandle,
      at: anyTime,
    }),
    fc.record({
      type: fc.constant('STARTED' as const),
      engineHandle: fc.option(anyHandle),
      safeToRepeat: fc.boolean(),
      at: anyTime,
    }),
    fc.record({
      type: fc.constant('EXECUTED' as const),
      rowCount: anyCount,
      columns: anyColumns,
      plan: fc.option(anyText),
      estimate: fc.option(anyEstimate),
      at: anyTime,
    }),
    fc.record({
      type: fc.constant('STORED' as const),
      bytes: anyCount,
      pages: anyCount,
      expiresAt: fc.option(anyTime),
      at: anyTime,
    }),
    fc.record({
      type: fc.constant('ATTEMPT_FAILED' as const),
      kind: fc.constantFrom(
        'statement' as const,
        'engine' as const,
        'engine-process' as const,
        'node' as const,
        'hand-over' as const,
      ),
      code: fc.constantFrom('EXECUTION_FAILED' as const, 'SQL_INVALID' as const, 'RECOVERY_FAILED' as const),
      message: anyText,
      node: anyText,
      retryAt: fc.option(anyTime),
      at: anyTime,
    }),
    fc.record({
      type: fc.constant('STOP_REQUESTED' as const),
      reason: fc.constantFrom('cancel' as const, 'deadline' as const, 'hand-over' as const, 'abandoned' as const),
      at: anyTime,
    }),
    fc.record({ type: fc.constant('STOPPED' as const), node: anyText, at: anyTime }),
    fc.record({
      type: fc.constantFrom('CLAIMED' as const, 'HANDED_OVER' as const),
      node: anyText,
      epoch: fc.integer({ min: 0, max: 6 }),
      at: anyTime,
    }),
    fc.record({
      type: fc.constantFrom('RETRIED' as const, 'GAVE_UP' as const, 'RESULT_DROPPED' as const),
      at: anyTime,
    }),
  )
  .map(event => ({ ...event }))

/** What no type allows: events that the machine has never heard of, and stops for reasons that do not exist. */
export const strangeEvent: fc.Arbitrary<QueryEvent> = fc.oneof(
  fc
    .record({ type: fc.oneof(anyText, fc.constantFrom('toString', '__proto__', 'constructor', 'QUEUED')), at: anyTime })
    .filter(({ type }) => type !== '*' && !type.startsWith('xstate.')),
  fc.record({
    type: fc.constant('STOP_REQUESTED'),
    reason: fc.oneof(fc.jsonValue(), fc.constantFrom('toString', '__proto__', 'constructor')),
    at: anyTime,
  }),
) as fc.Arbitrary<QueryEvent>

/** A life of a query: some way in, then anything. */
export const anyLife: fc.Arbitrary<QueryEvent[]> = fc
  .tuple(
    fc.constantFrom(...Object.values(waysInto)),
    fc.array(fc.oneof({ weight: 9, arbitrary: anyEvent }, strangeEvent), { maxLength: 40 }),
  )
  .map(([way, rest]) => [...events(...way), ...rest])

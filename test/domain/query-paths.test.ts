/** Walks every path that `xstate/graph` finds through the query machine, and holds each step to the design's invariants. */
import assert from 'node:assert/strict'
import test from 'ava'
import { createActor } from 'xstate'
import { getAdjacencyMap, getShortestPaths, getSimplePaths, type StatePath } from 'xstate/graph'
import {
  legalMoves,
  type QueryEvent,
  type QueryStatus,
  queryMachine,
  replay,
  statusOf,
} from '../../src/domain/index.ts'
import { alphabet, events, queryInput } from '../support/domain/query-events.ts'
import {
  assertRestores,
  assertState,
  assertStep,
  effectsOf,
  pathOf,
  type QueryState,
} from '../support/domain/query-invariants.ts'

type Snapshot = QueryState & { readonly children: object }

/** All that can make the machine move otherwise; times, versions and texts cannot. */
function distinction({ value, context }: QueryState): string {
  const { owner, attempt, retryAt, stopReason, engineHandle, safeToRepeat, rowCount, error, launchedAt } = context
  return JSON.stringify([
    value,
    owner.epoch,
    attempt,
    retryAt !== null,
    stopReason,
    engineHandle !== null,
    safeToRepeat,
    rowCount,
    error?.code,
    launchedAt !== null,
    context.failedAttempts.length,
  ])
}

const traversal = {
  input: queryInput,
  serializeState: (snapshot: Snapshot) => distinction(snapshot),
  // Two attempts show all that a further one can.
  filterEvents: (snapshot: Snapshot, event: QueryEvent) => event.type !== 'LAUNCHED' || snapshot.context.attempt < 2,
} as never

/**
 * Goes along a path by its events. (The states that `xstate/graph` names on a path are representatives of all that are
 * alike: their versions are of other paths.)
 */
function walk(path: StatePath<never, never>): QueryState {
  const accepted = path.steps.map(({ event }) => event as QueryEvent).filter(({ type }) => !type.startsWith('xstate.'))
  const actor = createActor(queryMachine, { input: queryInput }).start()
  let before: QueryState = actor.getSnapshot()
  for (const [index, after] of [...replay(queryInput, accepted)].entries()) {
    const event = accepted[index] as QueryEvent
    assertStep(before, event, after)
    assertState(after)
    actor.send(event)
    const live = actor.getSnapshot()
    assert.deepEqual({ value: live.value, context: live.context }, after, 'replay and live actor')
    assert.deepEqual(Object.keys(live.children), effectsOf[pathOf(after.value)], 'effects of the live actor')
    before = after
  }
  if (before.context.version > 0) assertRestores(before)
  actor.stop()
  return before
}

test('shortest paths: every state that the whole alphabet can reach', t => {
  const paths = getShortestPaths(queryMachine, { ...(traversal as object), events: Object.values(alphabet) } as never)
  const reached = new Set(paths.map(path => pathOf(walk(path as never).value)))
  t.deepEqual([...reached].sort(), Object.keys(effectsOf).sort())
  t.true(paths.length > 500, `${paths.length} paths`)
})

test('every event in every reachable state', t => {
  const map = getAdjacencyMap(queryMachine, { ...(traversal as object), events: Object.values(alphabet) } as never)
  let steps = 0
  const moves = new Set<string>()
  for (const { state: before, transitions } of Object.values(map))
    for (const { event, state: after } of Object.values(
      transitions as Record<string, { event: unknown; state: unknown }>,
    )) {
      steps++
      assertStep(before as never, event as never, after as never)
      assertState(after as never)
      const [from, to] = [statusOf((before as never as Snapshot).value), statusOf((after as never as Snapshot).value)]
      if (from !== to || (before as never as Snapshot).context.version !== (after as never as Snapshot).context.version)
        moves.add(`${from} → ${to}`)
    }
  t.true(steps > 10_000, `${steps} steps`)
  // And nothing that is legal is impossible.
  const legal = Object.entries(legalMoves).flatMap(([from, tos]) => tos.map((to: QueryStatus) => `${from} → ${to}`))
  t.deepEqual([...moves].sort(), legal.sort())
})

test('simple paths: every way from the submission to the end, through one more attempt and one more owner', t => {
  const few = events(
    'submitted',
    'launched',
    'startedSafe',
    'executed',
    'stored',
    'failedForNow',
    'failedForGood',
    'retried',
    'gaveUp',
    'cancel',
    'deadline',
    'stopped',
    'dropped',
  )
  const paths = getSimplePaths(queryMachine, {
    ...(traversal as object),
    events: few,
    toState: (snapshot: Snapshot) => snapshot.value === 'CLOSED',
  } as never)
  for (const path of paths) t.is(walk(path as never).value, 'CLOSED')
  t.true(paths.length > 50, `${paths.length} paths`)
})

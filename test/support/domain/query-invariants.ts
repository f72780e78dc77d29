/**
 * What is true of a query at every step, whatever happened to it. Written from the design's words, not from the machine:
 * the tables here are the tests' own.
 */
import assert from 'node:assert/strict'
import { createActor, type StateValue } from 'xstate'
import {
  checkSnapshot,
  legalMoves,
  type QueryContext,
  type QueryEvent,
  type QuerySpecification,
  queryMachine,
  queryMachineVersion,
  queryView,
  restorable,
  type StoredSnapshot,
  statusOf,
} from '../../../src/domain/index.ts'
import { queryInput } from './query-events.ts'

export interface QueryState {
  readonly value: StateValue
  readonly context: QueryContext
}

export const specification: QuerySpecification = {
  handle: queryInput.handle,
  sessionId: 's1',
  user: 'ada',
  name: null,
  sql: 'select 1',
  operation: 'execute',
  mode: 'async',
  priority: 'normal',
}

/** Which effects run in which state. */
export const effectsOf: Readonly<Record<string, readonly string[]>> = {
  NEW: [],
  QUEUED: ['schedule'],
  'LAUNCHED.submitting': ['submit'],
  'LAUNCHED.stopping': ['stop'],
  'RUNNING.following': ['follow'],
  'RUNNING.stopping': ['stop'],
  EXECUTED: ['finish'],
  FAILING: ['settle'],
  SUCCESSFUL: [],
  FAILED: [],
  CANCELED: [],
  CLOSED: [],
}

const finished = ['SUCCESSFUL', 'FAILED', 'CANCELED', 'CLOSED']
const ownerEvents = ['SUBMITTED', 'CLAIMED', 'HANDED_OVER']

export function pathOf(value: StateValue): string {
  return typeof value === 'string'
    ? value
    : Object.entries(value)
        .map(([outer, inner]) => `${outer}.${inner}`)
        .join()
}

export function stored({ value, context }: QueryState): StoredSnapshot {
  return { machineVersion: queryMachineVersion, value, context }
}

const json = (value: unknown) => JSON.parse(JSON.stringify(value))

/** One event: at most one version, one legal move, and what may never change stays. */
export function assertStep(before: QueryState, event: QueryEvent, after: QueryState): void {
  const from = statusOf(before.value)
  const to = statusOf(after.value)
  const note = `${event.type} in ${pathOf(before.value)}`
  if (after.context.version === before.context.version) {
    assert.deepEqual(after.value, before.value, `${note}: not accepted, but the state moved`)
    assert.deepEqual(after.context, before.context, `${note}: not accepted, but the context changed`)
    return
  }
  assert.equal(after.context.version, before.context.version + 1, `${note}: version`)
  assert.ok(legalMoves[from].includes(to), `${note}: ${from} → ${to} is no legal move`)
  if (finished.includes(from)) {
    assert.equal(event.type, 'RESULT_DROPPED', `${note}: accepted by a finished query`)
    assert.equal(view(after).outcome, view(before).outcome, `${note}: the outcome changed`)
    assert.equal(after.context.finishedAt, before.context.finishedAt)
  }
  if (!ownerEvents.includes(event.type)) assert.deepEqual(after.context.owner, before.context.owner, `${note}: owner`)
  else if ('epoch' in event) {
    assert.equal(to, from, `${note}: a change of owner moved the query`)
    assert.ok(after.context.owner.epoch > before.context.owner.epoch, `${note}: the epoch did not grow`)
  }
  for (const key of ['handle', 'submittedAt'] as const)
    if (before.context[key] !== null) assert.equal(after.context[key], before.context[key], `${note}: ${key}`)
  assert.ok(after.context.attempt - before.context.attempt === (event.type === 'LAUNCHED' ? 1 : 0), `${note}: attempt`)
  assert.deepEqual(
    after.context.failedAttempts.slice(0, before.context.failedAttempts.length),
    before.context.failedAttempts,
    `${note}: failed attempts were rewritten`,
  )
}

function view({ value, context }: QueryState) {
  return queryView(specification, value, context)
}

/** One state by itself: context, stored form, view. */
export function assertState(state: QueryState): void {
  const { value, context } = state
  const path = pathOf(value)
  const status = statusOf(value)
  assert.ok(Object.hasOwn(effectsOf, path), `${path} is no state of the design`)
  if (status === 'NEW') return

  assert.deepEqual(json(stored(state)), stored(state), `${path}: not the same after JSON`)
  const check = checkSnapshot(json(stored(state)))
  assert.deepEqual(check, { ok: true, snapshot: stored(state) }, `${path}: refused by checkSnapshot`)

  // Each launched attempt is one running one, or one recorded failure, in order.
  const numbers = context.failedAttempts.map(({ attempt }) => attempt)
  const failedCounts: Record<string, number[]> = {
    QUEUED: [context.attempt],
    FAILING: [context.attempt],
    FAILED: [context.attempt],
    CANCELED: [context.attempt, context.attempt - 1],
    CLOSED: [context.attempt, context.attempt - 1],
  }
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
    `${path}: failed attempts ${numbers}`,
  )
  assert.ok(
    (failedCounts[status] ?? [context.attempt - 1]).includes(numbers.length),
    `${path}: attempt ${context.attempt}, failed ${numbers}`,
  )

  const shown = view(state)
  const ended = finished.includes(status)
  assert.equal(shown.status, status)
  assert.equal(shown.version, context.version)
  assert.equal(shown.finishedAt !== null, ended, `${path}: finishedAt`)
  assert.equal(shown.outcome !== null, ended, `${path}: outcome`)
  if (ended && status !== 'CLOSED') assert.equal(shown.outcome, status)
  if (shown.outcome === 'FAILED') assert.notEqual(shown.error, null, `${path}: failed without an error`)
  if (shown.error !== null)
    assert.ok(shown.outcome === 'FAILED' || status === 'FAILING', `${path}: an error, but not failed`)
  if (shown.result !== null) assert.equal(status, 'SUCCESSFUL', `${path}: a result before the end`)
  assert.equal(shown.progress.fraction, shown.outcome === 'SUCCESSFUL' ? 1 : null)
  assert.notEqual(shown.submittedAt, '')
  if (['LAUNCHED', 'RUNNING', 'EXECUTED', 'SUCCESSFUL'].includes(status)) assert.notEqual(shown.launchedAt, null)
  if (status === 'RUNNING') assert.notEqual(shown.startedAt, null)
  if (status === 'QUEUED')
    assert.deepEqual(
      [shown.launchedAt, shown.startedAt, context.engineHandle, context.safeToRepeat],
      [null, null, null, false],
    )
}

/** Brought back to life from what is stored: the same state, with exactly its effects. */
export function assertRestores(state: QueryState): void {
  const path = pathOf(state.value)
  const checked = checkSnapshot(json(stored(state)))
  if (!checked.ok) throw new Error(checked.reason)
  const actor = createActor(queryMachine, {
    input: queryInput,
    snapshot: restorable(queryMachine, checked.snapshot),
  }).start()
  const snapshot = actor.getSnapshot()
  assert.equal(snapshot.status, path === 'CLOSED' ? 'done' : 'active', `${path}: status after restoring`)
  assert.deepEqual(snapshot.value, state.value)
  assert.deepEqual(snapshot.context, state.context)
  assert.deepEqual(Object.keys(snapshot.children), effectsOf[path], `${path}: effects after restoring`)
  for (const child of Object.values(snapshot.children))
    assert.equal((child as { getSnapshot(): { status: string } }).getSnapshot().status, 'active')
  actor.stop()
}

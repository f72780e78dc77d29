/**
 * Snapshots of a query's machine as they are stored, and what is made from them. Stored are only the machine's version,
 * the state value and the context; which effects run follows from the definition. Old versions are upgraded step by step,
 * a snapshot that is broken or too new is recognised before an actor is built on it.
 */
import { type AnyStateMachine, initialTransition, type Snapshot, type StateValue, transition } from 'xstate'
import {
  type QueryContext,
  type QueryEvent,
  type QueryInput,
  type QueryMachine,
  queryMachine,
  queryMachineVersion,
} from './query-machine.ts'
import type { QueryView } from './views.ts'
import type { Mode, Operation, Outcome, Priority, QueryStatus } from './vocabulary.ts'

export interface StoredSnapshot {
  readonly machineVersion: number
  readonly value: StateValue
  readonly context: QueryContext
}

/** What never changes after the submission, and stands in columns of the query's row. */
export interface QuerySpecification {
  readonly handle: string
  readonly sessionId: string
  readonly user: string
  readonly name: string | null
  readonly sql: string
  readonly operation: Operation
  readonly mode: Mode
  readonly priority: Priority
}

/** Steps from version n to n + 1; the fixtures under `test/fixtures/snapshots` must restore for ever. */
export const snapshotUpgrades: Readonly<Record<number, (snapshot: StoredSnapshot) => StoredSnapshot>> = {}

export type SnapshotCheck =
  | { readonly ok: true; readonly snapshot: StoredSnapshot }
  /** Written by a newer node: to be released, never counted as an attempt. */
  | { readonly ok: false; readonly tooNew: true; readonly reason: string }
  | { readonly ok: false; readonly tooNew: false; readonly reason: string }

const contextShape: Readonly<Record<keyof QueryContext, (value: unknown) => boolean>> = {
  handle: isText,
  lane: value => value === 'auto' || value === 'light' || value === 'heavy',
  engine: isTextOrNull,
  version: isCount,
  owner: value => isRecord(value) && isText(value.node) && isCount(value.epoch),
  attempt: isCount,
  attemptNode: isTextOrNull,
  failedAttempts: Array.isArray,
  failures: isRecord,
  retryAt: isTextOrNull,
  stopReason: isTextOrNull,
  engineHandle: value => value === null || isRecord(value),
  safeToRepeat: value => typeof value === 'boolean',
  rowCount: value => value === null || isCount(value),
  error: value => value === null || isRecord(value),
  result: value => value === null || isRecord(value),
  pages: isCount,
  estimate: value => value === null || isRecord(value),
  plan: isTextOrNull,
  submittedAt: isTextOrNull,
  launchedAt: isTextOrNull,
  startedAt: isTextOrNull,
  finishedAt: isTextOrNull,
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}
function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === 'string'
}
function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Checks what the database holds, and brings it to the current version. Never throws. */
export function checkSnapshot(stored: unknown): SnapshotCheck {
  const broken = (reason: string): SnapshotCheck => ({ ok: false, tooNew: false, reason })
  if (!isRecord(stored)) return broken('the snapshot is not an object')
  const { machineVersion } = stored
  if (!isCount(machineVersion) || machineVersion === 0) return broken('the snapshot names no machine version')
  if ((machineVersion as number) > queryMachineVersion)
    return { ok: false, tooNew: true, reason: `the snapshot has version ${machineVersion}, this node reads up to ${queryMachineVersion}` }
  try {
    let snapshot = stored as unknown as StoredSnapshot
    while (snapshot.machineVersion < queryMachineVersion) {
      const upgrade = snapshotUpgrades[snapshot.machineVersion]
      if (!upgrade) return broken(`nothing upgrades a snapshot of version ${snapshot.machineVersion}`)
      snapshot = upgrade(snapshot)
    }
    if (!isRecord(snapshot.context)) return broken('the snapshot has no context')
    for (const [key, holds] of Object.entries(contextShape))
      if (!holds(snapshot.context[key as keyof QueryContext])) return broken(`the snapshot's ${key} is not of the expected form`)
    queryMachine.resolveState({ value: snapshot.value, context: snapshot.context })
    return { ok: true, snapshot }
  } catch (error) {
    return broken(error instanceof Error ? error.message : String(error))
  }
}

/** The state value's top level: the status. */
export function statusOf(value: StateValue): QueryStatus {
  return (typeof value === 'string' ? value : Object.keys(value)[0]) as QueryStatus
}

/** A snapshot that XState restores: the effects of its states are invoked again, with their original input. */
export function restorable(machine: QueryMachine, { value, context }: StoredSnapshot): Snapshot<unknown> {
  const resolved = machine.resolveState({ value, context })
  const children: Record<string, unknown> = {}
  for (const node of resolved._nodes)
    for (const invoke of node.invoke)
      children[invoke.id] = {
        snapshot: { status: 'active', output: undefined, error: undefined, input: { handle: context.handle } },
        src: invoke.src,
        syncSnapshot: false,
      }
  return { status: resolved.status, output: undefined, error: undefined, value, context, historyValue: {}, children } as unknown as Snapshot<unknown>
}

export interface ReplayStep {
  readonly value: StateValue
  readonly context: QueryContext
}

/** Replays events from the beginning; yields the state after each. Pure: the same events give the same states. */
export function* replay(input: QueryInput, events: Iterable<QueryEvent>): Generator<ReplayStep> {
  let [snapshot] = initialTransition(queryMachine as AnyStateMachine, input)
  for (const event of events) {
    ;[snapshot] = transition(queryMachine as AnyStateMachine, snapshot, event)
    yield { value: snapshot.value, context: snapshot.context as QueryContext }
  }
}

const outcomes: Partial<Record<QueryStatus, Outcome>> = { SUCCESSFUL: 'SUCCESSFUL', FAILED: 'FAILED', CANCELED: 'CANCELED' }

/** How a query in this state ended, or null. CLOSED has forgotten it: it is known from what went before. */
export function outcomeOf(status: QueryStatus, context: QueryContext): Outcome | null {
  if (status !== 'CLOSED') return outcomes[status] ?? null
  if (context.error !== null) return 'FAILED'
  return context.rowCount === null ? 'CANCELED' : 'SUCCESSFUL'
}

/** What clients see of a query in this state. `progress` and `queuePosition` are outside the version: filled in by who knows them. */
export function queryView(specification: QuerySpecification, value: StateValue, context: QueryContext): QueryView {
  const status = statusOf(value)
  const { handle, sessionId, user, name, sql, operation, mode, priority } = specification
  const ended = status === 'SUCCESSFUL'
  return {
    handle,
    sessionId,
    user,
    name,
    sql,
    operation,
    mode,
    lane: context.lane,
    priority,
    engine: context.engine,
    status,
    outcome: outcomeOf(status, context),
    version: context.version,
    progress: { fraction: ended ? 1 : null, message: '' },
    queuePosition: null,
    owner: context.owner,
    attempt: context.attempt,
    failedAttempts: context.failedAttempts,
    error: context.error,
    result: ended ? context.result : null,
    estimate: context.estimate,
    plan: context.plan,
    submittedAt: context.submittedAt ?? '',
    launchedAt: context.launchedAt,
    startedAt: context.startedAt,
    finishedAt: context.finishedAt,
  }
}

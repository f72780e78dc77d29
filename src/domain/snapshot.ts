/**
 * Snapshots of a query's machine as they are stored, and what is made from them. Stored are only the machine's version,
 * the state value and the context; which effects run follows from the definition. Old versions are upgraded step by step,
 * a snapshot that is broken or too new is recognised before an actor is built on it.
 */
import { initialTransition, type Snapshot, type SnapshotFrom, type StateValue, transition } from 'xstate'
import {
  type FailureKind,
  type QueryContext,
  type QueryEvent,
  type QueryInput,
  type QueryMachine,
  queryMachine,
  queryMachineVersion,
  type StopReason,
} from './query-machine.ts'
import type { Column, Estimate, FailedAttempt, QueryError, QueryView, ResultSummary } from './views.ts'
import {
  isFinished,
  lanes,
  type Mode,
  type Operation,
  type Outcome,
  type Priority,
  type QueryStatus,
} from './vocabulary.ts'

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

/**
 * Steps from version n to n - 1, for as long as members may live that read no newer one. Until the newer format is written, a machine
 * of version n behaves as one of n - 1 did: what it is in can be said in the older words.
 */
export const snapshotDowngrades: Readonly<Record<number, (snapshot: StoredSnapshot) => StoredSnapshot>> = {}

/** Steps from version n to n + 1; the fixtures under `test/fixtures/snapshots` must restore for ever. */
export const snapshotUpgrades: Readonly<Record<number, (snapshot: StoredSnapshot) => StoredSnapshot>> = {}

export type SnapshotCheck =
  | { readonly ok: true; readonly snapshot: StoredSnapshot }
  /** Written by a newer node: to be released, never counted as an attempt. */
  | { readonly ok: false; readonly tooNew: true; readonly reason: string }
  | { readonly ok: false; readonly tooNew: false; readonly reason: string }

type Holds = (value: unknown) => boolean

const isText = (value: unknown): value is string => typeof value === 'string'
const isCount: Holds = value => Number.isSafeInteger(value) && (value as number) >= 0
const isNumber: Holds = value => Number.isFinite(value)
const isFlag: Holds = value => typeof value === 'boolean'
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
const oneOf =
  (...words: readonly string[]): Holds =>
  value =>
    isText(value) && words.includes(value)
const orNull =
  (holds: Holds): Holds =>
  value =>
    value === null || holds(value)
const listOf =
  (holds: Holds): Holds =>
  value =>
    Array.isArray(value) && value.every(holds)
/** An object with these fields, whatever else it has. */
function shapeOf<Shape>(shape: Readonly<Record<keyof Shape, Holds>>): Holds {
  const fields = Object.entries<Holds>(shape)
  return value => isRecord(value) && fields.every(([key, holds]) => holds(value[key]))
}

const isLane = oneOf('auto', ...lanes)
const failureKinds = [
  'statement',
  'engine-away',
  'engine',
  'engine-process',
  'node',
  'hand-over',
] satisfies FailureKind[]
const stopReasons = ['cancel', 'deadline', 'hand-over', 'abandoned'] satisfies StopReason[]

const contextShape: Readonly<Record<keyof QueryContext, Holds>> = {
  handle: isText,
  lane: isLane,
  engine: orNull(isText),
  version: value => isCount(value) && value !== 0,
  owner: shapeOf<QueryContext['owner']>({ node: isText, epoch: value => isCount(value) && value !== 0 }),
  attempt: isCount,
  attemptNode: orNull(isText),
  failedAttempts: listOf(
    shapeOf<FailedAttempt>({
      attempt: isCount,
      node: isText,
      engine: orNull(isText),
      code: isText,
      message: isText,
      at: isText,
    }),
  ),
  failures: value => isRecord(value) && failureKinds.every(kind => value[kind] === undefined || isCount(value[kind])),
  retryAt: orNull(isText),
  stopReason: orNull(oneOf(...stopReasons)),
  engineHandle: orNull(isRecord),
  safeToRepeat: isFlag,
  rowCount: orNull(isCount),
  error: orNull(shapeOf<QueryError>({ code: isText, message: isText })),
  result: orNull(
    shapeOf<ResultSummary>({
      columns: listOf(shapeOf<Column>({ name: isText, type: isText })),
      rowCount: isCount,
      bytes: isCount,
      expiresAt: orNull(isText),
    }),
  ),
  pages: isCount,
  estimate: orNull(shapeOf<Estimate>({ cost: isNumber, rows: orNull(isNumber), lane: isLane })),
  plan: orNull(isText),
  submittedAt: isText,
  launchedAt: orNull(isText),
  startedAt: orNull(isText),
  finishedAt: orNull(isText),
}
const contextFields = Object.entries(contextShape) as [keyof QueryContext, Holds][]

/** The state values in which a query can be stored, as JSON: the machine's leaves, but NEW, which is never durable. */
const storedValues: ReadonlySet<string> = new Set(
  Object.values(queryMachine.root.states)
    .filter(({ key }) => key !== 'NEW')
    .flatMap(({ key, states }) => {
      const inner = Object.keys(states)
      return inner.length === 0 ? [JSON.stringify(key)] : inner.map(child => JSON.stringify({ [key]: child }))
    }),
)

/** What a state needs of its context so that it can be left again; null when all is there. */
function contradiction(value: StateValue, context: QueryContext): string | null {
  const status = statusOf(value)
  if (isFinished(status) !== (context.finishedAt !== null))
    return `a query that is ${status} disagrees with its finishedAt`
  if (typeof value === 'object' && (value[status] === 'stopping') !== (context.stopReason !== null))
    return `a query that is ${status} disagrees with its stopReason`
  if (status === 'FAILING' && (context.retryAt === null) !== (context.error !== null))
    return 'a query that is FAILING has to have either a next attempt or an error'
  if (status === 'FAILED' && context.error === null) return 'a query that is FAILED has no error'
  if ((status === 'EXECUTED' || status === 'SUCCESSFUL') && context.rowCount === null)
    return `a query that is ${status} has no rowCount`
  return null
}

/** A snapshot of an earlier version, step by step. Throws when there is no way. */
export function upgradeSnapshot(
  stored: StoredSnapshot,
  upgrades: typeof snapshotUpgrades = snapshotUpgrades,
  version = queryMachineVersion,
): StoredSnapshot {
  let snapshot = stored
  for (let from = stored.machineVersion; from < version; from++) {
    const upgrade = upgrades[from]
    if (!upgrade) throw new Error(`nothing upgrades a snapshot of version ${from}`)
    snapshot = { ...upgrade(snapshot), machineVersion: from + 1 }
  }
  return snapshot
}

/** A snapshot for members that read nothing newer than `version`, step by step; as it is where it is no newer. Throws when there is no way. */
export function downgradeSnapshot(
  stored: StoredSnapshot,
  version: number,
  downgrades: typeof snapshotDowngrades = snapshotDowngrades,
): StoredSnapshot {
  let snapshot = stored
  for (let from = stored.machineVersion; from > version; from--) {
    const downgrade = downgrades[from]
    if (!downgrade) throw new Error(`nothing downgrades a snapshot of version ${from}`)
    snapshot = { ...downgrade(snapshot), machineVersion: from - 1 }
  }
  return snapshot
}

/** Checks what the database holds, and brings it to the current version. Never throws. */
export function checkSnapshot(stored: unknown): SnapshotCheck {
  const broken = (reason: string): SnapshotCheck => ({ ok: false, tooNew: false, reason })
  try {
    if (!isRecord(stored)) return broken('the snapshot is not an object')
    const { machineVersion } = stored
    if (!isCount(machineVersion) || machineVersion === 0) return broken('the snapshot names no machine version')
    if ((machineVersion as number) > queryMachineVersion)
      return {
        ok: false,
        tooNew: true,
        reason: `the snapshot has version ${machineVersion}, this node reads up to ${queryMachineVersion}`,
      }
    const snapshot = upgradeSnapshot(stored as unknown as StoredSnapshot)
    const { value, context } = snapshot
    if (!storedValues.has(JSON.stringify(value))) return broken('the snapshot is in no state of the machine')
    if (!isRecord(context)) return broken('the snapshot has no context')
    for (const [key, holds] of contextFields)
      if (!holds(context[key])) return broken(`the snapshot's ${key} is not of the expected form`)
    const reason = contradiction(value, context)
    return reason === null ? { ok: true, snapshot } : broken(reason)
  } catch (error) {
    return broken(error instanceof Error ? error.message : String(error))
  }
}

/** The state value's top level: the status. */
export function statusOf(value: StateValue): QueryStatus {
  return (typeof value === 'string' ? value : Object.keys(value)[0]) as QueryStatus
}

/**
 * A snapshot that XState restores: the effects of its states are invoked again, with their original input. To be given
 * only what `checkSnapshot` let through: XState answers a bad snapshot with an actor in status `error`, and drops an
 * effect that it does not know without a word, which is why the effects are taken from the definition.
 */
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
  return {
    status: resolved.status,
    output: undefined,
    error: undefined,
    value,
    context,
    historyValue: {},
    children,
  } as unknown as Snapshot<unknown>
}

export interface ReplayStep {
  readonly value: StateValue
  readonly context: QueryContext
}

/**
 * Replays events from the beginning, or `after` some step; yields the state after each. Pure: the same events give the same states. An event
 * that its state does not accept leaves the version as it was.
 */
export function* replay(
  input: QueryInput,
  events: Iterable<QueryEvent>,
  after: ReplayStep | null = null,
): Generator<ReplayStep> {
  let snapshot =
    after === null
      ? initialTransition(queryMachine, input)[0]
      : (queryMachine.resolveState(after) as SnapshotFrom<QueryMachine>)
  for (const event of events) {
    ;[snapshot] = transition(queryMachine, snapshot, event)
    yield { value: snapshot.value, context: snapshot.context }
  }
}

const outcomes: Partial<Record<QueryStatus, Outcome>> = {
  SUCCESSFUL: 'SUCCESSFUL',
  FAILED: 'FAILED',
  CANCELED: 'CANCELED',
}

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
  const outcome = outcomeOf(status, context)
  const readable = status === 'SUCCESSFUL'
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
    outcome,
    version: context.version,
    progress: { fraction: outcome === 'SUCCESSFUL' ? 1 : null, message: '' },
    queuePosition: null,
    owner: context.owner,
    attempt: context.attempt,
    failedAttempts: context.failedAttempts,
    error: context.error,
    result: readable ? context.result : null,
    estimate: context.estimate,
    plan: context.plan,
    submittedAt: context.submittedAt ?? '',
    launchedAt: context.launchedAt,
    startedAt: context.startedAt,
    finishedAt: context.finishedAt,
  }
}

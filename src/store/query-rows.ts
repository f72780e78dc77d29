/** A query's row: how it is written, how it is read. */
import type { QueryEvent, StoredSnapshot } from '../domain/index.ts'
import type { NewQuery, QueryRow, QueryVersion, StoredTransition, TransitionRecord } from './contract.ts'
import type { SqlValue } from './database.ts'
import type { queryColumns, queryTransitionColumns } from './entities.ts'
import type { QueryNames, Tables } from './names.ts'
import { databaseNow, isoOf, isoOrNull, msOrNull, parsed, selection, unselected } from './rows.ts'

export type QueryProperty = keyof typeof queryColumns
type StoredQuery = Record<QueryProperty, string & number>

export const versionProperties = ['handle', 'sessionId', 'user', 'status', 'version', 'epoch'] as const

const rowProperties = [
  ...versionProperties,
  'name',
  'sql',
  'operation',
  'mode',
  'priority',
  'onRecovery',
  'database',
  'properties',
  'parameters',
  'requestedLane',
  'requestedEngine',
  'idempotencyKey',
  'deadlineAt',
  'submittedAt',
  'outcome',
  'ownerIncarnation',
  'ownerNode',
  'lane',
  'engine',
  'attempt',
  'cancelRequested',
  'snapshot',
  'storedPages',
  'storedRows',
  'storedBytes',
  'finishedAt',
  'resultExpiresAt',
  'traceparent',
] as const satisfies readonly QueryProperty[]

/** The select lists of one of the two tables; `finished_` says which. */
export function rowSelection(names: QueryNames, finished: boolean): string {
  return `${selection(names, rowProperties)}, ${finished ? 1 : 0} AS finished_`
}

export function versionSelection(names: QueryNames, finished: boolean): string {
  return `${selection(names, versionProperties)}, ${finished ? 1 : 0} AS finished_`
}

export function queryRowOf(selected: object): QueryRow {
  const row = unselected<StoredQuery & { finished: number }>(selected)
  const count = (property: QueryProperty) => Number(row[property])
  return {
    ...(row as unknown as QueryRow),
    properties: parsed(row.properties) as QueryRow['properties'],
    parameters: parsed(row.parameters) as QueryRow['parameters'],
    snapshot: parsed(row.snapshot),
    deadlineAt: isoOrNull(row.deadlineAt),
    submittedAt: isoOf(row.submittedAt),
    finishedAt: isoOrNull(row.finishedAt),
    resultExpiresAt: isoOrNull(row.resultExpiresAt),
    finished: row.finished === 1,
    cancelRequested: row.cancelRequested === 1,
    version: count('version'),
    epoch: count('epoch'),
    attempt: count('attempt'),
    storedPages: count('storedPages'),
    storedRows: count('storedRows'),
    storedBytes: count('storedBytes'),
  }
}

export function queryVersionOf(selected: object): QueryVersion {
  const row = unselected<StoredQuery & { finished: number }>(selected)
  return {
    ...(row as unknown as QueryVersion),
    version: Number(row.version),
    epoch: Number(row.epoch),
    finished: row.finished === 1,
  }
}

/** The row of a query at its submission. */
export function newQueryValues({
  specification,
  transition,
  snapshot,
  ownerIncarnation,
  ownerNode,
}: NewQuery): Record<QueryProperty, SqlValue> {
  return {
    handle: specification.handle,
    sessionId: specification.sessionId,
    user: specification.user,
    name: specification.name,
    sql: specification.sql,
    operation: specification.operation,
    mode: specification.mode,
    priority: specification.priority,
    onRecovery: specification.onRecovery,
    database: specification.database,
    properties: JSON.stringify(specification.properties),
    parameters: JSON.stringify(specification.parameters),
    requestedLane: specification.requestedLane,
    requestedEngine: specification.requestedEngine,
    idempotencyKey: specification.idempotencyKey,
    deadlineAt: msOrNull(specification.deadlineAt),
    submittedAt: Date.parse(specification.submittedAt),
    status: transition.to,
    outcome: null,
    version: transition.version,
    epoch: transition.epoch,
    ownerIncarnation,
    ownerNode,
    ...snapshotValues(snapshot),
    cancelRequested: 0,
    transitionId: transition.id,
    storedPages: 0,
    storedRows: 0,
    storedBytes: 0,
    finishedAt: null,
    resultExpiresAt: null,
    pagesExpireAt: null,
    traceparent: specification.traceparent ?? null,
  }
}

function snapshotValues(snapshot: StoredSnapshot) {
  const { context, machineVersion } = snapshot
  return {
    lane: context.lane,
    engine: context.engine,
    attempt: context.attempt,
    machineVersion,
    snapshot: JSON.stringify(snapshot),
    launchedAt: msOrNull(context.launchedAt),
    startedAt: msOrNull(context.startedAt),
  }
}

export function transitionValues(
  transition: TransitionRecord,
): Record<keyof typeof queryTransitionColumns, SqlValue | typeof databaseNow> {
  return {
    handle: transition.handle,
    version: transition.version,
    id: transition.id,
    epoch: transition.epoch,
    machineVersion: transition.machineVersion,
    node: transition.node,
    event: JSON.stringify(transition.event),
    fromStatus: transition.from,
    toStatus: transition.to,
    at: databaseNow,
  }
}

const transitionProperties = [
  'handle',
  'version',
  'id',
  'epoch',
  'machineVersion',
  'node',
  'event',
  'fromStatus',
  'toStatus',
  'at',
] as const

export function transitionSelection(tables: Tables): string {
  return selection(tables.transition, transitionProperties)
}

export function storedTransitionOf(selected: object): StoredTransition {
  const row = unselected<Record<(typeof transitionProperties)[number], string & number>>(selected)
  return {
    id: row.id,
    handle: row.handle,
    version: Number(row.version),
    epoch: Number(row.epoch),
    machineVersion: Number(row.machineVersion),
    node: row.node,
    event: parsed(row.event) as QueryEvent,
    from: row.fromStatus as unknown as StoredTransition['from'],
    to: row.toStatus as unknown as StoredTransition['to'],
    at: isoOf(row.at),
  }
}

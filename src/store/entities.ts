/**
 * The tables. What is asked about or guarded is a column; what is only carried (snapshot, event, properties) is JSON text.
 *
 * Times are milliseconds since 1970 as BIGINT: the database's clock adds and compares them the same way in both dialects,
 * and no connection's time zone can shift them. Nothing is related by foreign keys: their checks would take locks on parents
 * that a frozen node could keep, and the guards in the statements already say more than they could.
 */
import { defineEntity, p } from '@mikro-orm/core'

const id = () => p.string().length(64)
const word = () => p.string().length(32)
const label = () => p.string().length(255)
const timeMs = () => p.bigint('number')
const count = () => p.bigint('number')

export const sessionColumns = {
  id: id().primary(),
  user: label(),
  secretHash: id(),
  database: label().fieldName('database_name').nullable(),
  properties: p.text(),
  status: word(),
  version: count(),
  createdAt: timeMs(),
  lastUsedAt: timeMs(),
  idleMs: count(),
  /** `last_used_at + idle_ms + slack`: from then on the leader's sweep may expire it. */
  sweepAt: timeMs(),
  /** 1: by the word of who authenticated the user; users whom the configuration names are admins without it. */
  admin: p.integer(),
}

export const sessionTransitionColumns = {
  sessionId: id().primary(),
  version: count().primary(),
  event: p.text(),
  fromStatus: word(),
  toStatus: word(),
  node: label(),
  at: timeMs(),
}

/** `current_query` and `finished_query`: a row moves from the one to the other unchanged. */
export const queryColumns = {
  handle: id().primary(),
  sessionId: id(),
  user: label(),
  name: label().nullable(),
  sql: p.text().fieldName('sql_text'),
  operation: word(),
  mode: word(),
  priority: word(),
  onRecovery: word(),
  database: label().fieldName('database_name').nullable(),
  properties: p.text(),
  parameters: p.text(),
  requestedLane: word(),
  requestedEngine: label().nullable(),
  idempotencyKey: label().nullable(),
  deadlineAt: timeMs().nullable(),
  submittedAt: timeMs(),
  status: word(),
  outcome: word().nullable(),
  version: count(),
  epoch: count(),
  ownerIncarnation: id(),
  ownerNode: label(),
  lane: word(),
  engine: label().nullable(),
  attempt: count(),
  cancelRequested: p.integer(),
  machineVersion: count(),
  snapshot: p.text(),
  /** The transition that made this version: recognises a commit whose answer was lost. */
  transitionId: id(),
  storedPages: count(),
  storedRows: count(),
  storedBytes: count(),
  launchedAt: timeMs().nullable(),
  startedAt: timeMs().nullable(),
  finishedAt: timeMs().nullable(),
  resultExpiresAt: timeMs().nullable(),
  /** Set on finished rows that still have pages to delete some day; the sweep's index. */
  pagesExpireAt: timeMs().nullable(),
  traceparent: id().fieldName('trace_parent').nullable(),
}

export const queryTransitionColumns = {
  handle: id().primary(),
  version: count().primary(),
  id: id(),
  epoch: count(),
  machineVersion: count(),
  node: label(),
  event: p.text(),
  fromStatus: word(),
  toStatus: word(),
  at: timeMs(),
}

export const failedAttemptColumns = {
  handle: id().primary(),
  attempt: count().primary(),
  node: label(),
  engine: label().nullable(),
  code: word(),
  message: p.text(),
  at: timeMs(),
}

/** Runs whose end an engine has not confirmed, of attempts that are over. */
export const engineCleanupColumns = {
  handle: id().primary(),
  attempt: count().primary(),
  engine: label(),
  engineHandle: p.text(),
  createdAt: timeMs(),
}

export const preparedQueryColumns = {
  handle: id().primary(),
  user: label(),
  sessionId: id(),
  name: label().nullable(),
  sql: p.text().fieldName('sql_text'),
  engine: label(),
  database: label().fieldName('database_name').nullable(),
  properties: p.text(),
  parameterCount: count(),
  columns: p.text().fieldName('result_columns'),
  createdAt: timeMs(),
}

/** Keys of queries and of sessions are told apart by `kind`. */
export const submissionKeyColumns = {
  user: label().primary(),
  kind: word().primary(),
  key: label().fieldName('submission_key').primary(),
  handle: id(),
  requestHash: id(),
  createdAt: timeMs(),
}

export const resultPageColumns = {
  handle: id().primary(),
  attempt: count().primary(),
  page: count().primary(),
  firstRow: count(),
  rowCount: count(),
  bytes: count(),
  data: p.blob().nullable(),
}

export const memberColumns = {
  incarnation: id().primary(),
  nodeId: label(),
  address: label(),
  state: word(),
  softwareVersion: label(),
  snapshotVersion: count(),
  startedAt: timeMs(),
  earlyTakeoverFrom: timeMs().nullable(),
}

/**
 * What a member writes twice a second. Apart from `member`, whose rows the submissions share-lock: a frozen
 * node that holds such a lock must not stop the heartbeat of another one.
 */
export const heartbeatColumns = {
  incarnation: id().primary(),
  leaseExpiresAt: timeMs(),
  running: count(),
  queued: count(),
}

/** Which database connections an incarnation holds: fencing it kills them. */
export const memberConnectionColumns = {
  connectionId: p.bigint('number').primary(),
  incarnation: id(),
  since: timeMs(),
}

/** One row. */
export const leaseColumns = {
  id: p.integer().primary(),
  holderIncarnation: id(),
  holderNode: label(),
  term: count(),
  expiresAt: timeMs(),
}

/** One row, `id` 1. */
export const snapshotFormatColumns = {
  id: p.integer().primary(),
  version: count(),
}

export const slotBudgetColumns = {
  incarnation: id().primary(),
  engine: label().primary(),
  lane: word().primary(),
  granted: count(),
  acknowledged: count(),
}

export const usageCounterColumns = {
  /** `queued:user:alice`, `running:user:alice`, `queued:lane:light`, `sessions:user:alice` */
  scope: p.string().length(300).primary(),
  value: count(),
}

/** What is left in a bucket of tokens, said by when it is full again: microseconds since 1970. */
export const rateBucketColumns = {
  id: id().primary(),
  fullAt: timeMs(),
}

export const failoverColumns = {
  id: id().primary(),
  nodeId: label(),
  incarnation: id(),
  cause: label(),
  term: count(),
  detectedAt: timeMs(),
  doneAt: timeMs().nullable(),
  queries: count(),
}

/** What is owed to a webhook for the end of a query. */
export const webhookDeliveryColumns = {
  handle: id().primary(),
  webhook: id().primary(),
  state: word(),
  attempts: count(),
  createdAt: timeMs(),
  dueAt: timeMs(),
  lastError: label().nullable(),
}

export const Session = defineEntity({ name: 'Session', tableName: 'session', properties: sessionColumns })
export const SessionTransition = defineEntity({
  name: 'SessionTransition',
  tableName: 'session_transition',
  properties: sessionTransitionColumns,
})
export const CurrentQuery = defineEntity({ name: 'CurrentQuery', tableName: 'current_query', properties: queryColumns })
export const FinishedQuery = defineEntity({
  name: 'FinishedQuery',
  tableName: 'finished_query',
  properties: queryColumns,
})
export const QueryTransition = defineEntity({
  name: 'QueryTransition',
  tableName: 'query_transition',
  properties: queryTransitionColumns,
})
export const FailedAttempt = defineEntity({
  name: 'FailedAttempt',
  tableName: 'failed_attempt',
  properties: failedAttemptColumns,
})
export const EngineCleanup = defineEntity({
  name: 'EngineCleanup',
  tableName: 'engine_cleanup',
  properties: engineCleanupColumns,
})
export const PreparedQuery = defineEntity({
  name: 'PreparedQuery',
  tableName: 'prepared_query',
  properties: preparedQueryColumns,
})
export const SubmissionKey = defineEntity({
  name: 'SubmissionKey',
  tableName: 'submission_key',
  properties: submissionKeyColumns,
})
export const ResultPage = defineEntity({ name: 'ResultPage', tableName: 'result_page', properties: resultPageColumns })
export const Member = defineEntity({ name: 'Member', tableName: 'member', properties: memberColumns })
export const Heartbeat = defineEntity({ name: 'Heartbeat', tableName: 'heartbeat', properties: heartbeatColumns })
export const MemberConnection = defineEntity({
  name: 'MemberConnection',
  tableName: 'member_connection',
  properties: memberConnectionColumns,
})
export const Lease = defineEntity({ name: 'Lease', tableName: 'lease', properties: leaseColumns })
export const SnapshotFormatRow = defineEntity({
  name: 'SnapshotFormatRow',
  tableName: 'snapshot_format',
  properties: snapshotFormatColumns,
})
export const SlotBudget = defineEntity({ name: 'SlotBudget', tableName: 'slot_budget', properties: slotBudgetColumns })
export const UsageCounter = defineEntity({
  name: 'UsageCounter',
  tableName: 'usage_counter',
  properties: usageCounterColumns,
})
export const RateBucket = defineEntity({ name: 'RateBucket', tableName: 'rate_bucket', properties: rateBucketColumns })
export const Failover = defineEntity({ name: 'Failover', tableName: 'failover', properties: failoverColumns })
export const WebhookDelivery = defineEntity({
  name: 'WebhookDelivery',
  tableName: 'webhook_delivery',
  properties: webhookDeliveryColumns,
})

export const entities = [
  Session,
  SessionTransition,
  CurrentQuery,
  FinishedQuery,
  QueryTransition,
  FailedAttempt,
  EngineCleanup,
  PreparedQuery,
  SubmissionKey,
  ResultPage,
  Member,
  Heartbeat,
  MemberConnection,
  Lease,
  SlotBudget,
  UsageCounter,
  Failover,
  RateBucket,
  SnapshotFormatRow,
  WebhookDelivery,
]

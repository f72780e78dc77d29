/** The words of the system, each a const object and a union: what stands in the database, on the wire and in the logs. */

/** Where a query is. Lens's own vocabulary; `status` on the wire. */
export const QueryStatus = {
  /** Exists only inside the submission; never durable. */
  NEW: 'NEW',
  /** Durable; waits for its estimate and for a slot of its lane. */
  QUEUED: 'QUEUED',
  /** The intent to submit is durable, with whatever identity the engine gives before anything can run. */
  LAUNCHED: 'LAUNCHED',
  /** The engine has it; its engine handle is durable. */
  RUNNING: 'RUNNING',
  /** The engine is done; the last rows are being made durable. */
  EXECUTED: 'EXECUTED',
  /** An attempt failed; decides between another attempt and the end. */
  FAILING: 'FAILING',
  /** Ended, rows durable. */
  SUCCESSFUL: 'SUCCESSFUL',
  /** Ended with an error. */
  FAILED: 'FAILED',
  /** Ended by its client. */
  CANCELED: 'CANCELED',
  /** Ended, and its client dropped the result; `outcome` keeps how it ended. */
  CLOSED: 'CLOSED',
} as const
export type QueryStatus = (typeof QueryStatus)[keyof typeof QueryStatus]

/** How a query ended, for good. */
export type Outcome = 'SUCCESSFUL' | 'FAILED' | 'CANCELED'

export const finishedStatuses = ['SUCCESSFUL', 'FAILED', 'CANCELED', 'CLOSED'] as const satisfies QueryStatus[]
export const unfinishedStatuses = [
  'QUEUED',
  'LAUNCHED',
  'RUNNING',
  'EXECUTED',
  'FAILING',
] as const satisfies QueryStatus[]
/** Statuses in which a query holds a slot of its lane. */
export const slotStatuses = ['LAUNCHED', 'RUNNING', 'EXECUTED'] as const satisfies QueryStatus[]

export function isFinished(status: QueryStatus): boolean {
  return (finishedStatuses as readonly string[]).includes(status)
}

export function holdsSlot(status: QueryStatus): boolean {
  return (slotStatuses as readonly string[]).includes(status)
}

/** Lens's table of legal moves, NEW included; every transition of the query machine obeys it (a test compares). */
export const legalMoves: Readonly<Record<QueryStatus, readonly QueryStatus[]>> = {
  NEW: ['QUEUED'],
  QUEUED: ['QUEUED', 'LAUNCHED', 'FAILING', 'CANCELED'],
  LAUNCHED: ['LAUNCHED', 'RUNNING', 'EXECUTED', 'FAILING', 'CANCELED'],
  RUNNING: ['RUNNING', 'EXECUTED', 'FAILING', 'CANCELED'],
  EXECUTED: ['EXECUTED', 'SUCCESSFUL', 'FAILING', 'CANCELED'],
  FAILING: ['FAILING', 'QUEUED', 'FAILED'],
  SUCCESSFUL: ['CLOSED'],
  FAILED: ['CLOSED'],
  CANCELED: ['CLOSED'],
  CLOSED: [],
}

/** Where a session is. A session that is not OPEN counts as absent for every new call. */
export type SessionStatus = 'OPEN' | 'CLOSING' | 'CLOSED' | 'EXPIRED'

export type Operation = 'execute' | 'estimate' | 'explain'
export type Mode = 'async' | 'sync'
/** `auto` until the estimate has chosen. */
export type Lane = 'light' | 'heavy' | 'auto'
export const lanes = ['light', 'heavy'] as const
export type SlotLane = (typeof lanes)[number]
export const priorities = ['very_low', 'low', 'normal', 'high', 'very_high'] as const
export type Priority = (typeof priorities)[number]
export type OnRecovery = 'auto' | 'rerun' | 'fail'

/** A member's state as its row says it; `dead` is final for that incarnation. */
export type MemberState = 'alive' | 'draining' | 'dead'

/** What became of what is owed to a webhook for the end of a query: to be tried (again), received, or given up. */
export const deliveryStates = ['PENDING', 'DELIVERED', 'DEAD'] as const
export type DeliveryState = (typeof deliveryStates)[number]

/** From the most severe to none at all; a line is written when its own level is at least as severe as its node's. */
export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]
/** For as long as a level that was set at run time may hold, in milliseconds: a week. */
export const logLevelMsMax = 7 * 24 * 60 * 60 * 1000

/**
 * What is durable, and every guarded write. Two dialects implement it (MySQL/MariaDB through `mysql2`, SQLite through
 * `node:sqlite`, both below MikroORM), and one conformance suite holds them to it. Nobody outside `store/` knows SQL.
 *
 * Rules of every implementation:
 * - A guarded write carries its predicate (epoch, version, term, status) in the statement itself.
 * - A batch method answers item by item, in order. It repeats by itself after deadlocks, lock time-outs and lost
 *   connections, for up to `retryMs`; since every item carries an id of its own, what had committed before the connection
 *   broke is recognised and answered as committed, never done twice.
 * - When the database cannot be reached or written, methods reject with `LensError('STORE_UNAVAILABLE')`; nothing else
 *   of the driver's errors comes through.
 * - Dates are ISO 8601 texts with milliseconds in UTC, by the database's clock.
 */
import type { ClusterStore } from './cluster-contract.ts'
import type { CleanupStore, PageStore, QueryStore } from './query-contract.ts'
import type { RateStore } from './rate-contract.ts'
import type { RetentionStore } from './retention-contract.ts'
import type { PreparedStore, SessionStore } from './session-contract.ts'
import type { WebhookInterest, WebhookStore } from './webhook-contract.ts'

export type { EngineHandle, QueryEventType } from '../domain/index.ts'
export type * from './cluster-contract.ts'
export type * from './query-contract.ts'
export type * from './rate-contract.ts'
export type * from './retention-contract.ts'
export type * from './session-contract.ts'
export type * from './webhook-contract.ts'

export interface Store {
  readonly dialect: 'mysql' | 'sqlite'
  readonly queries: QueryStore
  readonly pages: PageStore
  readonly cleanups: CleanupStore
  readonly sessions: SessionStore
  readonly prepared: PreparedStore
  readonly cluster: ClusterStore
  readonly rates: RateStore
  readonly retention: RetentionStore
  readonly webhooks: WebhookStore
  /** Connects, creates or migrates the schema (one node does it, the others wait), checks that writes report found rows. */
  open(): Promise<void>
  close(): Promise<void>
  /** From now on pool connections register under this incarnation; those of an earlier one are closed. */
  actAs(incarnation: string): Promise<void>
  /** A statement that reaches the writer; rejects when it does not answer within `timeoutMs`. Gives the database's clock in ms since 1970. */
  ping(timeoutMs: number): Promise<number>
  /** Statements since start: for metrics and the "idle node" target. */
  readonly statementCount: number
  /** Calls that the database has not answered yet, those that wait for a connection among them. */
  readonly pending: number
}

/** One SELECT, one other statement, or a transaction whole. */
export type CallKind = 'read' | 'write' | 'transaction'

export interface StoreOptions {
  /** `sqlite:<file>` or `mysql://user:password@host:port/database`. */
  readonly url: string
  readonly connectionsMax: number
  /** How long a method repeats after retryable errors before it gives up with STORE_UNAVAILABLE. */
  readonly retryMs: number
  /** Who is owed something when a query ends; nobody unless given. */
  readonly webhooks?: readonly WebhookInterest[]
  /** Told how long each call took its caller: waits for a connection and repetitions included, failures too. */
  readonly onCall?: (kind: CallKind, seconds: number) => void
}

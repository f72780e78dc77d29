/** What is owed to webhooks, as the store keeps it. The rules of `contract.ts` hold for every method. */
import type { DeliveryState, Outcome } from '../domain/index.ts'

/** Which ends of queries one webhook is told of. */
export interface WebhookInterest {
  readonly name: string
  readonly outcomes: readonly Outcome[]
  /** Null: everybody's. */
  readonly users: readonly string[] | null
}

export interface Delivery {
  readonly handle: string
  /** The webhook's name. */
  readonly webhook: string
  readonly state: DeliveryState
  /** Attempts that were made, of which each but the last failed. */
  readonly attempts: number
  /** ISO 8601: the query ended. */
  readonly createdAt: string
  /** ISO 8601: not before this the next attempt is made, or the last one was. */
  readonly dueAt: string
  /** Why the last attempt failed; null after none and after a success. */
  readonly lastError: string | null
}

/** What became of an attempt. */
export type DeliveryOutcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly error: string; readonly retryMs: number }
  | { readonly kind: 'dead'; readonly error: string }

export interface DeliveryKey {
  readonly handle: string
  readonly webhook: string
}

export interface DeliveryFilter {
  readonly webhook?: string
  readonly state?: DeliveryState
  readonly handle?: string
}

export interface Backlog {
  readonly webhook: string
  readonly pending: number
  readonly dead: number
  /** ISO 8601: since when the oldest of the pending waits; null when none does. */
  readonly oldestPendingAt: string | null
}

/**
 * Deliveries begin with the end of a query: `queries.commit` writes them in the transaction that moves the row, for every webhook that this
 * store was opened with. They go with their query.
 */
export interface WebhookStore {
  /** What is due by the database's clock, what waited longest first. */
  due(webhook: string, limit: number): Promise<readonly Delivery[]>
  /**
   * Records one more attempt, unless somebody recorded another one since `delivery` was read. A success counts in any case: the receiver
   * has it, whoever sent it. False: it did not count.
   */
  record(delivery: Delivery, outcome: DeliveryOutcome): Promise<boolean>
  /** Pending again and due at once, whatever became of it; null when there is none such. */
  again(key: DeliveryKey): Promise<Delivery | null>
  /** Newest query first, from behind `after`. */
  list(filter: DeliveryFilter, limit: number, after: DeliveryKey | null): Promise<readonly Delivery[]>
  /** Of each webhook that has any pending or dead. */
  backlog(): Promise<readonly Backlog[]>
  /** Deletes deliveries whose query is gone. */
  drop(keys: readonly DeliveryKey[]): Promise<void>
}

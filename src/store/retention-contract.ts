/** What is kept, and for how long, as the store knows it. The rules of `contract.ts` hold for every method. */

/** Queries that finished longer ago than this, or before this moment; both in ms, by the database's clock. */
export type Finished = { readonly agoMs: number } | { readonly before: number }

export interface Forgotten {
  /** Queries that are gone. */
  readonly queries: number
  /** Queries whose rows must go first: they are due from now on, for `pages.expire`. */
  readonly waiting: number
  /** Transitions of sessions that are gone. */
  readonly sessionSteps: number
}

/** Every write is the leader's, term-guarded, and one short transaction over rows that an index range named. */
export interface RetentionStore {
  /**
   * Deletes the oldest `limit` of these queries (25 at the most), with their transitions, failed attempts, idempotency keys and deliveries;
   * what still has rows loses these first. By age also the transitions of sessions, open ones too. Repeat until it gives zeros.
   */
  forget(term: number, finished: Finished, limit: number): Promise<Forgotten>
  /** When the oldest of the newest `max` finished queries ended, ms since 1970; null when there are no more than that. Reads `max` entries of an index. */
  endOfNewest(max: number): Promise<number | null>
  /** Bytes of kept results (those that are due not counted) beyond `bytesMax`; 0 or less: none. Reads an index entry of each result. */
  excess(bytesMax: number): Promise<number>
  /** Makes results due until `bytes` are, those that would expire next first, at most `limit`; gives how many bytes. 0: the term is over, or there are none. */
  expireEarly(term: number, bytes: number, limit: number): Promise<number>
  /** Those of the handles whose query has ended and has no rows, or none any more. */
  withoutRows(handles: readonly string[]): Promise<readonly string[]>
}

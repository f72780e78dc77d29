/** What is rationed for the cluster, as the store keeps it. The rules of `contract.ts` hold for every method. */

export interface TokenWish {
  /** At most 64 ASCII characters. */
  readonly bucket: string
  /** How many at the most; below 0: how many are put back. */
  readonly tokens: number
  /** How fast it fills, greater than 0, and what it holds when full. */
  readonly perSecond: number
  readonly burst: number
}

export interface TokenGrant {
  /** From 0 to as many as were wished. */
  readonly granted: number
  /** When the bucket has one again; 0: it has. */
  readonly retryAfterMs: number
}

export interface RateStore {
  /** In one transaction, in the order of the wishes. Whose commit got lost may be taken twice: rationing forgives that. */
  take(wishes: readonly TokenWish[]): Promise<readonly TokenGrant[]>
  /** Deletes the rows of buckets that are full again, at most `limit`; gives how many. */
  sweep(limit: number): Promise<number>
}

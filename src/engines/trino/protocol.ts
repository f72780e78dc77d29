/** What Trino's client protocol says, as far as it is read here: https://trino.io/docs/current/develop/client-protocol.html. */

export interface TypeSignature {
  readonly rawType: string
  readonly arguments?: readonly TypeArgument[]
}

export interface TypeArgument {
  /** TYPE, NAMED_TYPE, LONG, VARIABLE. */
  readonly kind: string
  readonly value: unknown
}

export interface TrinoColumn {
  readonly name: string
  readonly type: string
  readonly typeSignature?: TypeSignature
}

export interface TrinoError {
  readonly message: string
  readonly errorCode?: number
  readonly errorName: string
  readonly errorType: string
  readonly errorLocation?: { readonly lineNumber: number; readonly columnNumber: number }
}

export interface TrinoStats {
  readonly state: string
  readonly progressPercentage?: number
  readonly processedRows?: number
  readonly completedSplits?: number
  readonly totalSplits?: number
}

/** One value as it stands in the JSON; whole numbers beyond 2^53 as texts. */
export type TrinoValue =
  | null
  | boolean
  | number
  | string
  | readonly TrinoValue[]
  | { readonly [key: string]: TrinoValue }
export type TrinoRow = readonly TrinoValue[]

/** Rows that stand in the answer, or where they lie. */
export interface Segment {
  readonly type: 'inline' | 'spooled'
  /** Base64. */
  readonly data?: string
  readonly uri?: string
  readonly ackUri?: string
  readonly headers?: Readonly<Record<string, readonly string[]>>
  readonly metadata?: Readonly<Record<string, unknown>>
}

export interface SegmentedData {
  /** `json`, `json+zstd`. */
  readonly encoding: string
  readonly segments: readonly Segment[]
}

export interface QueryResults {
  readonly id: string
  readonly nextUri?: string
  readonly partialCancelUri?: string
  readonly columns?: readonly TrinoColumn[]
  readonly data?: readonly TrinoRow[] | SegmentedData
  readonly stats?: TrinoStats
  readonly error?: TrinoError
  readonly updateType?: string
}

/** What this client can read of spooled results, the best first. */
export const encodings = 'json+zstd,json'

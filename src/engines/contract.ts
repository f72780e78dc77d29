/**
 * What an engine's driver does for a query. One conformance suite runs over every driver (`test/conformance/engines.ts`).
 *
 * A driver never decides about recovery and never writes to the store: it says what it knows, and awaits `onIdentity` of
 * its caller, which makes durable what has to be durable before anything goes on.
 */
import type { Column, EngineAnswer, EngineHandle, Progress, SlotLane, TableView, WireValue } from '../domain/index.ts'

/** What the driver can do; the conformance suite demands of each driver just that. */
export interface EngineCapabilities {
  /** A running query can be found again by its engine handle from another node. */
  readonly reattach: boolean
  readonly cancel: boolean
  readonly progress: boolean
  readonly estimate: boolean
  /** A writing statement and its marker commit together, so that its outcome can be asked for. */
  readonly transactional: boolean
  /** What runs for a node ends with that node: nothing has to be cleaned up after it. */
  readonly endsWithNode: boolean
}

export interface StatementRequest {
  readonly handle: string
  readonly attempt: number
  readonly sql: string
  readonly parameters: readonly WireValue[]
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  /** Run apart from the others: its engine process died under it before. */
  readonly isolated: boolean
  /** W3C Trace Context for an engine that takes one. */
  readonly traceparent?: string | null
}

/** Rows of a result, encoded once, where they were made; `results/` stores and serves them as they are. */
export interface RowBatch {
  readonly rowCount: number
  /** Size as JSON text, before compression, in bytes. */
  readonly bytes: number
  /** One JSON array per row, each followed by a line feed, UTF-8; compressed with zstd. */
  readonly data: Uint8Array
  /**
   * Where the engine goes on behind these rows, of which there may be none. It and they are durable before the next batch is taken: then what
   * came before is gone at the engine.
   */
  readonly continues?: EngineHandle
}

/** What a statement made of the session that it ran in, where the engine keeps none. */
export interface SessionChange {
  /** Left out: as it was. */
  readonly database?: string | null
  /** null takes one away. */
  readonly properties: Readonly<Record<string, string | null>>
}

/** A statement that the engine has. */
export interface Run {
  /** To be durable with RUNNING; null when there is nothing to find again. */
  readonly engineHandle: EngineHandle | null
  /** It runs in a read-only transaction, or on a read-only engine. */
  readonly safeToRepeat: boolean
  /** So many of its rows were stored by an earlier owner, and `rows()` begins behind them; left out: it begins with the first one. */
  readonly storedRows?: number
  /**
   * Known with the first row. Empty for a statement that returns none. Rejects with the statement's failure. Who stores the rows asks for
   * them first: where they have to be fetched to know it, only `rows()` says what has to be durable.
   */
  columns(): Promise<readonly Column[]>
  /**
   * The rows, in order, in batches of bounded size; the engine waits while the consumer does. Ends when the statement has
   * ended; throws an `EngineError`. To be iterated once. Left early, it ends where the engine ends with its node; elsewhere it is
   * only let go of, since its next owner may be following it: who wants its end says so by `cancel`.
   */
  rows(): AsyncIterable<RowBatch>
  progress(): Progress
  /** What the statement made of its session, once its rows have ended; null: nothing. */
  sessionChange?(): SessionChange | null
  /** Asks the engine for the end, and resolves when the engine has confirmed it (also when it had ended before). Safe twice. */
  cancel(): Promise<void>
  /** Lets go without ending it (the run goes on at the engine, where the engine can), frees what is held here. Safe twice. */
  detach(): Promise<void>
}

/** Why a statement failed, in the terms of the failure policy. */
export type EngineFailure =
  /** The engine refuses the text (syntax, names, types, what is forbidden): SQL_INVALID. */
  | 'sql-invalid'
  /** It failed while running: EXECUTION_FAILED. */
  | 'failed'
  /** It was ended by `cancel`. */
  | 'canceled'
  /** The engine cannot be reached: ENGINE_UNAVAILABLE. */
  | 'unavailable'
  /** The engine's process died under it. */
  | 'process-died'

/** A statement may say anything in its errors, and they are kept with its query. */
const messageLengthMax = 8_192

export class EngineError extends Error {
  readonly failure: EngineFailure
  /** `message` is the engine's own, free of paths and secrets of the server. */
  constructor(failure: EngineFailure, message: string, options: { cause?: unknown } = {}) {
    super(message.length <= messageLengthMax ? message : `${message.slice(0, messageLengthMax)}…`, options)
    this.name = 'EngineError'
    this.failure = failure
  }
}

export interface EstimateAnswer {
  readonly cost: number
  readonly rows: number | null
}

export interface PreparedAnswer {
  readonly parameterCount: number
  readonly columns: readonly Column[]
}

export interface EngineDriver {
  readonly name: string
  readonly driver: string
  readonly group: string | null
  readonly capabilities: EngineCapabilities
  /** Slots of each lane in the whole cluster. */
  readonly slots: Readonly<Record<SlotLane, number>>

  start(): Promise<void>
  /** Ends what still runs for this node where the engine ends with its node, detaches from the rest. */
  stop(): Promise<void>
  healthy(): boolean

  estimate(request: StatementRequest): Promise<EstimateAnswer>
  /** The engine's plan as text. */
  explain(request: StatementRequest): Promise<string>
  prepare(request: StatementRequest): Promise<PreparedAnswer>
  /**
   * Gives the statement to the engine. `onIdentity` is awaited with whatever identity the engine gives before anything can
   * run; when it rejects, nothing may run: the statement is not sent, and `submit` rejects with the same. Resolves when the engine
   * has it. Rejects with `EngineError`.
   */
  submit(request: StatementRequest, onIdentity: (engineHandle: EngineHandle) => Promise<void>): Promise<Run>
  /**
   * Finds a run of an earlier owner, who had stored so many rows of it; null when the engine does not have it. Rejects with `unavailable`
   * when the engine cannot be asked.
   */
  attach(request: StatementRequest, engineHandle: EngineHandle | null, storedRows: number): Promise<Run | null>
  /**
   * What became of a run whose owner is gone, or that was lost or ended by its owner, after its end was asked for where that can be.
   * Rejects with `unavailable` when the engine cannot be asked.
   */
  inquire(request: StatementRequest, engineHandle: EngineHandle | null): Promise<EngineAnswer>
  tables(): Promise<readonly TableView[]>
}

/** The engines of this node by name, and who serves a name or group. */
export interface Engines {
  readonly drivers: readonly EngineDriver[]
  /** The driver of an engine by its name; null: the default one, the first configured. Of a group's name, the first healthy one. */
  choose(name: string | null): EngineDriver | undefined
  /**
   * Those that may run a statement for this name (as for `choose`): of a group the healthy ones, or all when none is. Without
   * `except`, an engine that was lost, as long as there is another of its group, also when `name` is that engine's own. Empty: there is
   * no such engine.
   */
  candidates(name: string | null, except: string | null): readonly EngineDriver[]
  start(): Promise<void>
  stop(): Promise<void>
}

/** Where a driver writes what operators should know; the node's logger fits. */
export interface EngineLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

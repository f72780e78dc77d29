/**
 * Statements and transactions, repeated after what `retry.ts` calls repeatable, and with nothing of the drivers' errors
 * getting out: `STORE_UNAVAILABLE` when the database could not be reached or written for `retryMs`, else a defect.
 */
import { backoffDelayMs, type Clock, type Random } from '../async/index.ts'
import { LensError, snapshotDowngrades } from '../domain/index.ts'
import type { CallKind } from './contract.ts'
import type { SqlDialect } from './dialect.ts'
import type { Tables } from './names.ts'
import { failureClass, retryDelays } from './retry.ts'
import { SnapshotFormat } from './snapshot-format.ts'

export type SqlValue = string | number | null | Uint8Array

export interface Statements {
  /** Rows of a SELECT. */
  rows<Row extends object>(sql: string, values?: readonly SqlValue[]): Promise<Row[]>
  /** Rows found by the predicate of an INSERT, UPDATE or DELETE, changed or not. */
  run(sql: string, values?: readonly SqlValue[]): Promise<number>
}

/** What a statement answers: its rows, or how many its predicate found. */
export interface StatementAnswer<Row extends object = object> {
  readonly rows: readonly Row[]
  readonly count: number
}

/** What is executed here is all committed or all undone. */
export interface Transaction extends Statements {
  /**
   * For a statement whose answer decides nothing yet: it goes with the next one, or with the commit, in the same round trip,
   * and fails as that does. What it answered can be read from then on.
   */
  later<Row extends object>(sql: string, values?: readonly SqlValue[]): Later<Row>
}

/** A statement that was put off: once a connector has its answer, that answer. */
export class Later<Row extends object = object> implements StatementAnswer<Row> {
  #answer: StatementAnswer<Row> | undefined

  answered(answer: StatementAnswer<Row>): void {
    this.#answer = answer
  }

  get rows(): readonly Row[] {
    return this.#known.rows
  }

  get count(): number {
    return this.#known.count
  }

  get #known(): StatementAnswer<Row> {
    if (!this.#answer) throw new Error('a statement that was put off has no answer before one after it has')
    return this.#answer
  }
}

/** One way to a database: what the dialects implement. */
export interface Connector {
  readonly dialect: SqlDialect
  readonly tables: Tables
  /** Outside any transaction. */
  readonly statements: Statements
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>
  connect(): Promise<void>
  /** Runs what must be done by one process at a time, in order to make the schema. */
  migrate(): Promise<void>
  close(): Promise<void>
  actAs(incarnation: string): Promise<void>
  /**
   * Runs `work` while nobody else runs any under this name. Whoever waits for the name waits for nothing else, and does not hold what others need.
   * Rejects, to be repeated, when the name is not to be had soon.
   */
  alone<T>(name: string, work: () => Promise<T>): Promise<T>
  /** Ends the connections that an incarnation registered, and with them their locks. */
  killConnectionsOf(incarnation: string): Promise<void>
  readonly statementCount: number
}

/** Where the store says what it could not help; pino's form. */
export interface StoreLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface DatabaseOptions {
  readonly connector: Connector
  readonly clock: Clock
  readonly random: Random
  readonly retryMs: number
  readonly logger?: StoreLogger
  /** Those of the domain, unless given. */
  readonly downgrades?: typeof snapshotDowngrades
  /** Told how long each call took. */
  readonly onCall?: (kind: CallKind, seconds: number) => void
}

/** Thrown inside a transaction to undo it and to answer with a value instead; never leaves the store. */
export class Undo<T> extends Error {
  readonly value: T
  constructor(value: T) {
    super('undone')
    this.value = value
  }
}

/** A row was there already; never leaves the store. */
export class Duplicate extends Error {}

export class Database {
  readonly format: SnapshotFormat
  readonly #options: DatabaseOptions
  #ended = false
  #pending = 0

  constructor(options: DatabaseOptions) {
    this.#options = options
    this.format = new SnapshotFormat(options.downgrades ?? snapshotDowngrades)
  }

  get connector(): Connector {
    return this.#options.connector
  }

  get dialect(): SqlDialect {
    return this.#options.connector.dialect
  }

  get tables(): Tables {
    return this.#options.connector.tables
  }

  get clock(): Clock {
    return this.#options.clock
  }

  get random(): Random {
    return this.#options.random
  }

  rows<Row extends object>(sql: string, values?: readonly SqlValue[]): Promise<Row[]> {
    return this.#timed(
      'read',
      this.repeat(() => this.connector.statements.rows<Row>(sql, values)),
    )
  }

  /** A single statement that may be repeated after an unknown outcome. */
  run(sql: string, values?: readonly SqlValue[]): Promise<number> {
    return this.#timed(
      'write',
      this.repeat(() => this.connector.statements.run(sql, values)),
    )
  }

  /**
   * `attempt` is 0 the first time; later ones must expect that an earlier one has committed.
   * Rejects with `Undo` and `Duplicate` as they are.
   */
  transaction<T>(work: (transaction: Transaction, attempt: number) => Promise<T>): Promise<T> {
    const done = this.repeat(attempt => this.connector.transaction(transaction => work(transaction, attempt)))
    return this.#timed('transaction', done)
  }

  /** Calls that have no answer yet. */
  get pending(): number {
    return this.#pending
  }

  async #timed<T>(kind: CallKind, call: Promise<T>): Promise<T> {
    const { clock, onCall } = this.#options
    const begun = clock.monotonic()
    this.#pending++
    try {
      return await call
    } finally {
      this.#pending--
      onCall?.(kind, (clock.monotonic() - begun) / 1000)
    }
  }

  /** From now on nothing reaches the database: a late statement would connect again, and nobody would close that. */
  end(): void {
    this.#ended = true
  }

  async repeat<T>(task: (attempt: number) => Promise<T>): Promise<T> {
    const { clock, random, retryMs, logger } = this.#options
    const deadline = clock.monotonic() + retryMs
    for (let attempt = 0; ; attempt++) {
      if (this.#ended) throw new LensError('STORE_UNAVAILABLE', 'The store is closed.')
      try {
        return await task(attempt)
      } catch (error) {
        if (error instanceof Undo || error instanceof LensError || error instanceof Duplicate) throw error
        const failure = failureClass(error)
        if (failure === 'duplicate') throw new Duplicate('a row was there already', { cause: error })
        if (failure === 'defect') {
          logger?.warn({ err: error }, 'a statement failed for good')
          throw new LensError('INTERNAL', 'The store refused a statement.', { cause: error })
        }
        const delayMs = backoffDelayMs(retryDelays[failure], attempt, random)
        if (clock.monotonic() + delayMs >= deadline) {
          logger?.warn({ err: error, attempt }, 'the store is not available')
          throw new LensError('STORE_UNAVAILABLE', 'The database does not answer, or cannot be written.', {
            retryAfterMs: 1000,
            cause: error,
          })
        }
        await clock.sleep(delayMs)
      }
    }
  }
}

/** Cuts a batch so that each part keeps within the dialect's bounds on rows and bytes. */
export function* parts<T>(batch: readonly T[], dialect: SqlDialect, bytes: (item: T) => number): Generator<T[]> {
  let part: T[] = []
  let size = 0
  for (const item of batch) {
    const itemSize = bytes(item)
    if (part.length > 0 && (part.length >= dialect.rowsMax || size + itemSize > dialect.bytesMax)) {
      yield part
      part = []
      size = 0
    }
    part.push(item)
    size += itemSize
  }
  if (part.length > 0) yield part
}

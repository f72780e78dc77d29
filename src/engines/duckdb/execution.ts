/**
 * One running statement inside the engine process.
 *
 *     preparing ──▶ running ⇄ waiting for a credit ──▶ ended | failed
 *         └────────────┴──────── cancel ───────────────▶ failed (canceled)
 *
 * DuckDB's interrupt is lost on a statement that has not begun, so it is repeated until the statement has ended.
 */
import { type DuckDBResult, type DuckDBType, ResultReturnType } from '@duckdb/node-api'
import { type CancelTimer, type Clock, WakeUp } from '../../async/index.ts'
import type { Column } from '../../domain/index.ts'
import { EngineError, type RowBatch } from '../contract.ts'
import type { EngineDatabase, Lease } from './database.ts'
import { RowEncoder } from './encoder.ts'
import { engineError, isFatal } from './failures.ts'
import { linesToAdd, prefixed } from './guard.ts'
import type { FromProcess, ProcessStatement } from './protocol.ts'
import { bind, type Prepared, prepare, typeName } from './statements.ts'

const interruptPeriodMs = 5
const progressPeriodMs = 200

export interface ExecutionOptions {
  readonly id: number
  readonly database: EngineDatabase
  readonly statement: ProcessStatement
  readonly credits: number
  readonly clock: Clock
  readonly send: (message: FromProcess) => void
  /** The database is unusable; the process must go. */
  readonly fatal: () => void
}

export class Execution {
  readonly #options: ExecutionOptions
  readonly #wakeUp = new WakeUp()
  #credits: number
  #canceled = false
  #stopInterrupting: CancelTimer | undefined
  #lease: Lease | null = null
  #columns: readonly Column[] | null = null
  #progressSent = ''

  constructor(options: ExecutionOptions) {
    this.#options = options
    this.#credits = options.credits
  }

  credit(): void {
    this.#credits++
    this.#wakeUp.wake()
  }

  cancel(): void {
    this.#canceled = true
    this.#wakeUp.wake()
    this.#lease?.connection.interrupt()
    this.#stopInterrupting ??= this.#options.clock.every(interruptPeriodMs, () => this.#lease?.connection.interrupt())
  }

  /** Resolves when the last message was sent; never rejects. */
  async run(): Promise<void> {
    const { id, database, statement, send, fatal, clock } = this.#options
    let clean = false
    let linesAdded = 0
    const stopProgress = clock.every(progressPeriodMs, () => this.#reportProgress())
    try {
      this.#lease = await database.lease()
      this.#throwIfCanceled()
      const prepared = await prepare(database, this.#lease, statement)
      linesAdded = prepared.linesAdded
      bind(prepared.statement, statement.parameters)
      this.#throwIfCanceled()
      send({ type: 'started', id })
      const last = await this.#stream(prepared)
      clean = true
      send({ type: 'ended', id, columns: this.#unsentColumns(), batch: last })
    } catch (error) {
      if (isFatal(error)) fatal()
      const { failure, message } = engineError(error, 'run', statement.sql, linesAdded)
      if (this.#canceled) send({ type: 'failed', id, failure: 'canceled', message: 'The statement was cancelled.' })
      else send({ type: 'failed', id, failure, message })
    } finally {
      this.#stopInterrupting?.()
      stopProgress()
      const lease = this.#lease
      this.#lease = null
      if (lease) await database.release(lease, clean)
    }
  }

  /** Gives the last batch, which travels with the end. */
  async #stream(prepared: Prepared): Promise<RowBatch | null> {
    const { statement } = prepared
    const result = await statement.stream()
    this.#throwIfCanceled()
    this.#columns = columnsOf(result)
    const columnsSent = this.#options.clock.after(progressPeriodMs, () => this.#sendColumns())
    const encoder = new RowEncoder(result.columnTypes())
    // The batch before is compressed while the next one is written.
    let compressing: Promise<RowBatch> | null = null
    try {
      for (;;) {
        const chunk = await result.fetchChunk()
        this.#throwIfCanceled()
        if (!chunk || chunk.rowCount === 0) break
        encoder.load(chunk)
        while (encoder.fill()) {
          if (compressing) await this.#deliver(compressing)
          compressing = encoder.take()
          compressing?.catch(() => {})
        }
      }
      // A stream that fails ends like one that is exhausted; only its result's kind tells.
      if (result.returnType === ResultReturnType.INVALID) await this.#fail(prepared)
      const last = encoder.take()
      if (last && compressing) await this.#deliver(compressing)
      return await (last ?? compressing)
    } finally {
      columnsSent()
      statement.destroySync()
    }
  }

  /**
   * Why the stream failed is not to be had from it: the statement is run once more, its rows discarded where they are made,
   * and says so itself.
   */
  async #fail({ guarded }: Prepared): Promise<never> {
    const { statement } = this.#options
    const lease = this.#lease as Lease
    const text = prefixed('EXPLAIN ANALYZE', guarded)
    const again = await lease.connection.prepare(text)
    bind(again, statement.parameters)
    this.#throwIfCanceled()
    try {
      await again.run()
    } catch (error) {
      throw engineError(error, 'run', statement.sql, linesToAdd(text, guarded))
    }
    throw new EngineError(
      'failed',
      'The statement failed while its rows were read, and did not fail when it was repeated.',
    )
  }

  async #deliver(compressing: Promise<RowBatch>): Promise<void> {
    const batch = await compressing
    while (this.#credits === 0 && !this.#canceled) await this.#wakeUp.wait()
    this.#throwIfCanceled()
    this.#credits--
    this.#options.send({ type: 'batch', id: this.#options.id, columns: this.#unsentColumns(), batch })
  }

  // Slow rows must not keep the columns waiting.
  #sendColumns(): void {
    const columns = this.#unsentColumns()
    if (columns) this.#options.send({ type: 'columns', id: this.#options.id, columns })
  }

  #unsentColumns(): readonly Column[] | null {
    const columns = this.#columns
    this.#columns = null
    return columns
  }

  #reportProgress(): void {
    if (!this.#lease || this.#canceled) return
    const { percentage, rows_processed: rows } = this.#lease.connection.progress
    const fraction = percentage >= 0 ? Math.min(1, percentage / 100) : null
    const progress = `${fraction} ${rows}`
    if (progress === this.#progressSent) return
    this.#progressSent = progress
    this.#options.send({ type: 'progress', id: this.#options.id, fraction, rows: Number(rows) })
  }

  #throwIfCanceled(): void {
    if (this.#canceled) throw new EngineError('canceled', 'The statement was cancelled.')
  }
}

function columnsOf(result: DuckDBResult): readonly Column[] {
  const types = result.columnTypes()
  return result.columnNames().map((name, index) => ({ name, type: typeName(types[index] as DuckDBType) }))
}

/**
 * One statement that a server's backend has, and whose rows come over a connection that dies with this node.
 *
 *     running ──all rows taken──▶ committing ──▶ ended
 *        └───────── cancel, detach, failure ──▶ failed
 *
 * It commits when its last row has been taken, so that whoever stores the rows has them before the statement is there for good; a
 * statement that nobody follows commits nothing (outside a transaction it is on its own).
 */
import { type Clock, deferred } from '../../async/index.ts'
import type { Column, EngineHandle, Progress } from '../../domain/index.ts'
import { EngineError, type RowBatch, type Run } from '../contract.ts'
import { RowBatches, type ValueWriter } from './batches.ts'

/** Columns, and how the values of each become JSON. */
export interface RowShape<Value> {
  readonly columns: readonly Column[]
  readonly writers: readonly ValueWriter<Value>[]
}

/** A statement on its connection, as a driver knows it. */
export interface ServerStatement<Value> {
  readonly engineHandle: EngineHandle
  readonly safeToRepeat: boolean
  /** It can be rolled back until `commit`. */
  readonly inTransaction: boolean
  /** Rejects with the server's error. */
  shape(): Promise<RowShape<Value>>
  /** The rows that have come since the last time, at least one; null when all were taken. Rejects with the server's error. */
  next(): Promise<readonly (readonly (Value | null)[])[] | null>
  /** From now on rows are thrown away as they come. */
  discard(): void
  /** The server has done with it. Never rejects. */
  readonly settled: Promise<void>
  readonly isSettled: boolean
  readonly error: Error | undefined
  commit(): Promise<void>
  /** On its own connection, which then ends: a late cancel may still be on its way to it. Never rejects. */
  rollBack(): Promise<void>
  /** Gives its connection back. Never rejects. */
  release(): Promise<void>
  /** Ends its connection here; the server notices in its time. */
  destroy(): void
  /** Asks the server, over another connection, to stop what it does. */
  cancel(): Promise<void>
  /** Ends its backend, and resolves when it is gone. Rejects with `unavailable`. */
  end(): Promise<void>
  /** Never rejects. */
  failureOf(error: unknown): EngineError | Promise<EngineError>
  /** The server said so, and its connection is still good. */
  isServerError(error: unknown): boolean
  /** The server's word that it was stopped by `cancel`. */
  isCanceled(error: unknown): boolean
}

const cancelPeriodMs = 20
/** A backend that takes no cancel for this long is ended altogether. */
const cancelMs = 5_000

export class ServerRun<Value> implements Run {
  readonly engineHandle: EngineHandle
  readonly safeToRepeat: boolean
  readonly #statement: ServerStatement<Value>
  readonly #clock: Clock
  readonly #ended: (run: ServerRun<Value>) => void
  readonly #over = deferred()
  #state: 'running' | 'committing' | 'ended' | 'failed' = 'running'
  #failure: EngineError | undefined
  #stopping: Promise<void> | undefined
  /** From then on rows are thrown away: it can only be over, never go on. */
  #isStopped = false
  #rowCount = 0

  /** `ended`: nothing of it is left here. */
  constructor(statement: ServerStatement<Value>, clock: Clock, ended: (run: ServerRun<Value>) => void) {
    this.#statement = statement
    this.#clock = clock
    this.#ended = ended
    this.engineHandle = statement.engineHandle
    this.safeToRepeat = statement.safeToRepeat
  }

  async columns(): Promise<readonly Column[]> {
    return (await this.#shape()).columns
  }

  async *rows(): AsyncGenerator<RowBatch, void, void> {
    const { writers } = await this.#shape()
    const batches = new RowBatches<Value>(writers)
    // The batch before is compressed while the next one is written.
    let compressing: Promise<RowBatch> | null = null
    for (let rows = await this.#next(); rows !== null; rows = await this.#next()) {
      this.#rowCount += rows.length
      for (const row of rows) {
        try {
          batches.add(row)
        } catch (error) {
          // Nobody else ends what its server still sends.
          await this.cancel()
          throw error
        }
        if (!batches.isFull) continue
        if (compressing) yield await compressing
        compressing = batches.take()
        compressing?.catch(() => {})
      }
    }
    if (compressing) yield await compressing
    // The last rows are with their consumer before the statement is there for good.
    const last = batches.take()
    if (last) yield await last
    await this.#commit()
  }

  progress(): Progress {
    const message = this.#rowCount > 0 ? `${this.#rowCount.toLocaleString('en-US')} rows received` : ''
    return { fraction: this.#state === 'ended' ? 1 : null, message }
  }

  /** Rejects with `unavailable` when the server cannot say that it is over. */
  async cancel(): Promise<void> {
    if (this.#state === 'running') {
      this.#stopping ??= this.#stop()
      // Asked again, it tries again.
      this.#stopping.catch(() => {
        this.#stopping = undefined
      })
      await this.#stopping
    } else await this.#over.promise
  }

  /** Nobody could take its rows from another connection: letting go is ending it, here without waiting for the engine's word. */
  async detach(): Promise<void> {
    if (this.#state !== 'running') return
    const ended = this.#statement.end()
    this.#fail(new EngineError('unavailable', 'The statement was let go of.'))
    this.#statement.discard()
    this.#statement.destroy()
    await ended.catch(() => {})
  }

  async #shape(): Promise<RowShape<Value>> {
    if (this.#failure) throw this.#failure
    try {
      return await this.#statement.shape()
    } catch (error) {
      throw await this.#failed(error)
    }
  }

  async #next(): Promise<readonly (readonly (Value | null)[])[] | null> {
    if (this.#failure) throw this.#failure
    try {
      const rows = await this.#statement.next()
      if (this.#isStopped) await this.#over.promise
      if (this.#failure) throw this.#failure
      return rows
    } catch (error) {
      throw await this.#failed(error)
    }
  }

  async #commit(): Promise<void> {
    if (this.#isStopped) await this.#over.promise
    if (this.#failure) throw this.#failure
    if (this.#state !== 'running') return
    this.#state = 'committing'
    if (this.#statement.inTransaction)
      try {
        await this.#statement.commit()
      } catch (error) {
        throw await this.#failed(error)
      }
    this.#end()
    void this.#statement.release()
  }

  /** The statement has failed; what it left is rolled back before anybody hears of it. */
  async #failed(error: unknown): Promise<EngineError> {
    if (this.#failure) return this.#failure
    // Whoever stops it says how it ended.
    if (this.#isStopped) {
      await this.#over.promise
      if (this.#failure) return this.#failure
    }
    const failure = await this.#statement.failureOf(error)
    if (this.#statement.isServerError(error)) await this.#statement.rollBack()
    else this.#statement.destroy()
    return this.#fail(failure)
  }

  async #stop(): Promise<void> {
    const statement = this.#statement
    this.#isStopped = true
    statement.discard()
    const until = this.#clock.monotonic() + cancelMs
    for (let waitMs = cancelPeriodMs; !statement.isSettled && this.#clock.monotonic() < until; waitMs *= 2) {
      await statement.cancel()
      const waiting = new AbortController()
      const period = this.#clock.sleep(Math.min(waitMs, 1_000), waiting.signal).catch(() => {})
      await Promise.race([statement.settled, period])
      waiting.abort()
    }
    const { isSettled, error } = statement
    const isDone = isSettled && error === undefined
    if (isDone && !statement.inTransaction && (await statement.shape()).columns.length === 0) {
      // It was done already, and nothing takes it back.
      this.#end()
      statement.destroy()
      return
    }
    if (isDone || (isSettled && statement.isServerError(error))) await statement.rollBack()
    else {
      statement.destroy()
      await statement.end()
    }
    const itself = isSettled && statement.isServerError(error) && !statement.isCanceled(error)
    this.#fail(itself ? await statement.failureOf(error) : new EngineError('canceled', 'The statement was cancelled.'))
  }

  #end(): void {
    this.#state = 'ended'
    this.#over.resolve()
    this.#ended(this)
  }

  #fail(failure: EngineError): EngineError {
    if (this.#state === 'running' || this.#state === 'committing') {
      this.#state = 'failed'
      this.#failure = failure
      this.#over.resolve()
      this.#ended(this)
    }
    return this.#failure ?? failure
  }
}

/**
 * One statement in an engine process, as its node sees it. Batches wait here until the consumer takes them; the process
 * has as many credits as batches may wait, so neither side holds more than that.
 */
import { type Deferred, deferred, WakeUp } from '../../async/index.ts'
import type { Column, Progress } from '../../domain/index.ts'
import { EngineError, type RowBatch, type Run } from '../contract.ts'
import type { FromProcess } from './protocol.ts'

type RunMessage = Extract<FromProcess, { type: 'started' | 'columns' | 'batch' | 'progress' | 'ended' | 'failed' }>

export interface RunChannel {
  credit(): void
  cancel(): void
}

export class ProcessRun implements Run {
  /** Batches of about 1 MiB of JSON text, compressed, that may wait for the consumer. */
  static readonly credits = 3

  readonly engineHandle = null
  readonly safeToRepeat = true
  readonly #channel: RunChannel
  readonly #started = deferred()
  readonly #columns: Deferred<readonly Column[]> = deferred<readonly Column[]>()
  readonly #ended = deferred()
  readonly #arrived = new WakeUp()
  #batches: RowBatch[] = []
  #state: 'running' | 'ended' | 'failed' = 'running'
  #failure: EngineError | undefined
  #progress: Progress = { fraction: null, message: '' }
  #cancelAsked = false

  constructor(channel: RunChannel) {
    this.#channel = channel
    this.#started.promise.catch(() => {})
    this.#columns.promise.catch(() => {})
  }

  /** Resolves when the statement was checked and runs; rejects when it was refused. */
  get started(): Promise<void> {
    return this.#started.promise
  }

  /** Resolves when it has ended, however it did. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  columns(): Promise<readonly Column[]> {
    return this.#columns.promise
  }

  async *rows(): AsyncGenerator<RowBatch, void, void> {
    try {
      for (;;) {
        const batch = this.#state === 'failed' ? undefined : this.#batches.shift()
        if (batch) {
          yield batch
          if (this.#state === 'running') this.#channel.credit()
        } else if (this.#failure) throw this.#failure
        else if (this.#state === 'ended') return
        else await this.#arrived.wait()
      }
    } finally {
      // A consumer that leaves early would leave the statement waiting for ever.
      if (this.#state === 'running') void this.cancel()
    }
  }

  progress(): Progress {
    return this.#progress
  }

  async cancel(): Promise<void> {
    if (this.#state === 'running' && !this.#cancelAsked) {
      this.#cancelAsked = true
      this.#channel.cancel()
    }
    await this.#ended.promise
  }

  /** Nobody could ever find it again: letting go is ending it. */
  async detach(): Promise<void> {
    await this.cancel()
    this.#batches = []
  }

  fail(failure: EngineError): void {
    if (this.#state !== 'running') return
    this.#state = 'failed'
    this.#failure = failure
    this.#batches = []
    this.#started.reject(failure)
    this.#columns.reject(failure)
    this.#ended.resolve()
    this.#arrived.wake()
  }

  /** True when it was the last message. */
  receive(message: RunMessage): boolean {
    switch (message.type) {
      case 'started':
        this.#started.resolve()
        return false
      case 'columns':
        this.#columns.resolve(message.columns)
        return false
      case 'batch':
        this.#accept(message.columns, message.batch)
        return false
      case 'progress':
        this.#progress = progressOf(message.fraction, message.rows)
        return false
      case 'ended':
        this.#state = 'ended'
        this.#started.resolve()
        this.#accept(message.columns, message.batch)
        this.#columns.resolve([])
        this.#progress = { fraction: 1, message: this.#progress.message }
        this.#ended.resolve()
        return true
      case 'failed':
        this.fail(new EngineError(message.failure, message.message))
        return true
    }
  }

  #accept(columns: readonly Column[] | null, batch: RowBatch | null): void {
    if (columns) this.#columns.resolve(columns)
    if (batch) this.#batches.push(batch)
    this.#arrived.wake()
  }
}

function progressOf(fraction: number | null, rows: number): Progress {
  return { fraction, message: rows > 0 ? `${rows.toLocaleString('en-US')} rows processed` : '' }
}

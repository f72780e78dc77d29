/**
 * The driver of a simulated engine in one process of the world. Everything it says travels to the engine and back; an engine
 * that cannot be reached says nothing of what it runs, so what was begun is asked for until it answers.
 */

import type { Column, EngineAnswer, EngineHandle, Progress, TableView } from '../../src/domain/index.ts'
import {
  type EngineCapabilities,
  type EngineDriver,
  EngineError,
  type EstimateAnswer,
  type PreparedAnswer,
  type RowBatch,
  type Run,
  type StatementRequest,
} from '../../src/engines/index.ts'
import type { EngineRun, EngineServer } from './engine-server.ts'
import type { SimulatedProcess } from './process.ts'
import { batchOf, parseStatement, type Statement } from './statement.ts'

export interface SimulatedEngineOptions {
  readonly process: SimulatedProcess
  readonly server: EngineServer
  /** Ends with its node: it takes only what is safe to repeat, and nothing of it is ever found again. */
  readonly endsWithNode: boolean
  readonly slots: { readonly light: number; readonly heavy: number }
  /** The world's way between the process and the engine, in milliseconds. */
  readonly latencyMs: () => number
  /** An event of the world, not of the process. */
  readonly atEngine: (delayMs: number, task: () => void) => void
}

const columns: readonly Column[] = [
  { name: 'n', type: 'BIGINT' },
  { name: 'h', type: 'BIGINT' },
]
/** What was begun and does not answer is asked again. */
const askAgainMs = 200

export class SimulatedDriver implements EngineDriver {
  readonly name: string
  readonly driver = 'simulated'
  readonly group = null
  readonly capabilities: EngineCapabilities
  readonly slots: { readonly light: number; readonly heavy: number }
  readonly #options: SimulatedEngineOptions
  #started = false

  constructor(options: SimulatedEngineOptions) {
    this.#options = options
    this.name = options.server.name
    this.slots = options.slots
    this.capabilities = {
      reattach: !options.endsWithNode,
      cancel: true,
      progress: true,
      estimate: true,
      transactional: !options.endsWithNode,
      endsWithNode: options.endsWithNode,
    }
  }

  async start(): Promise<void> {
    this.#started = true
  }

  async stop(): Promise<void> {
    this.#started = false
    const { server, endsWithNode } = this.#options
    if (endsWithNode) for (const run of server.running()) server.end(run)
  }

  healthy(): boolean {
    return this.#started && this.#options.server.available
  }

  async estimate(request: StatementRequest): Promise<EstimateAnswer> {
    const { cost, rows } = this.#parse(request)
    await this.#ask(() => undefined)
    return { cost, rows }
  }

  async explain(request: StatementRequest): Promise<string> {
    const { kind, rows } = this.#parse(request)
    await this.#ask(() => undefined)
    return `${kind} of ${rows} rows, as its text says`
  }

  async prepare(request: StatementRequest): Promise<PreparedAnswer> {
    const { kind } = this.#parse(request)
    await this.#ask(() => undefined)
    return { parameterCount: 0, columns: kind === 'select' ? columns : [] }
  }

  async submit(request: StatementRequest, onIdentity: (handle: EngineHandle) => Promise<void>): Promise<Run> {
    const { server, endsWithNode, process } = this.#options
    const statement = this.#parse(request)
    const run = await this.#ask(() => server.open(request.handle, request.attempt, statement, process.name))
    if (!endsWithNode) await onIdentity({ id: run.id })
    // From here on it may run: what the engine did not answer is asked again, never given up.
    await this.#insist(() => server.find(run.id) && server.begin(run))
    return this.#run(run)
  }

  async attach(request: StatementRequest, handle: EngineHandle | null): Promise<Run | null> {
    if (this.#options.endsWithNode || handle === null) return null
    const { server } = this.#options
    const run = await this.#ask(() => server.find(String(handle.id)))
    // One that never began is not gone on with: nobody could say whether its former owner still begins it.
    if (!run || run.handle !== request.handle || run.state === 'opened' || run.state === 'ended') return null
    return run.state === 'failed' ? null : this.#run(run)
  }

  async inquire(request: StatementRequest, handle: EngineHandle | null): Promise<EngineAnswer> {
    if (this.#options.endsWithNode) return 'ended'
    const { server } = this.#options
    const id = handle === null ? null : String(handle.id)
    return await this.#ask(() => {
      const run = id === null ? undefined : server.find(id)
      if (run) server.end(run)
      return server.outcome(id, request.handle)
    })
  }

  async tables(): Promise<readonly TableView[]> {
    return []
  }

  #run(run: EngineRun): Run {
    return new SimulatedRun(
      run,
      this.#options,
      work => this.#ask(work),
      work => this.#insist(work),
    )
  }

  #parse(request: StatementRequest): Statement {
    const statement = parseStatement(request.sql)
    if (!statement) throw new EngineError('sql-invalid', `syntax error at ${request.sql.slice(0, 10)}`)
    if (this.#options.endsWithNode && statement.kind !== 'select')
      throw new EngineError('sql-invalid', 'the engine is read-only')
    return statement
  }

  /** There and back. Rejects with `unavailable` when the engine cannot be reached on either way. */
  #ask<T>(work: () => T): Promise<T> {
    const { process, latencyMs, atEngine, server } = this.#options
    return new Promise<T>((resolve, reject) => {
      const refuse = () => reject(new EngineError('unavailable', `${this.name} cannot be reached`))
      if (!this.#started) return refuse()
      atEngine(latencyMs(), () => {
        if (!server.available) {
          process.schedule(latencyMs(), 'engine', refuse)
          return
        }
        const answer = work()
        process.schedule(latencyMs(), 'engine', () => (server.available ? resolve(answer) : refuse()))
      })
    })
  }

  /** Until the engine answers, or the driver is stopped. */
  async #insist<T>(work: () => T): Promise<T> {
    for (;;) {
      try {
        return await this.#ask(work)
      } catch (error) {
        if (!this.#started) throw error
        await this.#options.process.clock.sleep(askAgainMs)
      }
    }
  }
}

class SimulatedRun implements Run {
  readonly engineHandle: EngineHandle | null
  readonly safeToRepeat: boolean
  readonly #run: EngineRun
  readonly #options: SimulatedEngineOptions
  readonly #ask: <T>(work: () => T) => Promise<T>
  readonly #insist: <T>(work: () => T) => Promise<T>
  #detached = false

  constructor(
    run: EngineRun,
    options: SimulatedEngineOptions,
    ask: <T>(work: () => T) => Promise<T>,
    insist: <T>(work: () => T) => Promise<T>,
  ) {
    this.#run = run
    this.#options = options
    this.#ask = ask
    this.#insist = insist
    this.engineHandle = options.endsWithNode ? null : { id: run.id }
    this.safeToRepeat = run.statement.kind === 'select'
  }

  async columns(): Promise<readonly Column[]> {
    const { kind } = this.#run.statement
    if (kind !== 'select') {
      await this.#ready(0)
      return []
    }
    await this.#insist(() => undefined)
    this.#judge()
    return columns
  }

  async *rows(): AsyncIterable<RowBatch> {
    const { statement } = this.#run
    try {
      for (let batch = 0; batch < statement.batches; batch++) {
        await this.#ready(batch)
        yield batchOf(statement, batch)
      }
      // The end of the statement, and how it ended, comes after its last row.
      await this.#ready(Math.max(0, statement.batches))
    } finally {
      if (this.#options.endsWithNode && this.#run.state === 'running' && !this.#detached)
        await this.cancel().catch(() => undefined)
    }
  }

  progress(): Progress {
    const { beganAtMs, statement } = this.#run
    const ranMs = this.#options.process.clock.monotonic() - (beganAtMs ?? 0)
    return { fraction: Math.max(0, Math.min(1, ranMs / Math.max(1, statement.runsMs))), message: '' }
  }

  async cancel(): Promise<void> {
    await this.#ask(() => this.#options.server.end(this.#run))
  }

  async detach(): Promise<void> {
    this.#detached = true
  }

  async #ready(batch: number): Promise<void> {
    const { process, server, latencyMs, atEngine } = this.#options
    await new Promise<void>(resolve =>
      atEngine(latencyMs(), () =>
        server.whenReady(this.#run, batch, () => process.schedule(latencyMs(), 'engine', resolve)),
      ),
    )
    // What is ready is worth nothing while nobody can fetch it.
    await this.#insist(() => undefined)
    this.#judge()
  }

  #judge(): void {
    switch (this.#run.state) {
      case 'died':
        throw new EngineError('process-died', 'the engine died')
      case 'ended':
        throw new EngineError('canceled', 'it was ended')
      case 'failed':
        throw new EngineError('failed', 'it failed, as its text says')
    }
  }
}

/**
 * DuckDB as an engine: the tables that the configuration names, read-only, the same on every node, in a process of its own.
 *
 *     stopped ──start──▶ opening ──▶ serving ──(process dies)──▶ waiting (back-off) ──▶ opening …
 *         ◀──────────────stop──────────────┘
 *
 * A session's `database` is a schema; there is `main`. `properties` that DuckDB would know are none: its configuration is
 * locked, and all of them are ignored. Times are computed in UTC. A statement that runs `isolated` has a process to itself.
 */
import { type Backoff, backoffDelayMs, type CancelTimer, type Clock, deferred, type Random } from '../../async/index.ts'
import type { EngineAnswer, SlotLane, TableView } from '../../domain/index.ts'
import {
  type EngineCapabilities,
  type EngineDriver,
  EngineError,
  type EngineLogger,
  type EstimateAnswer,
  type PreparedAnswer,
  type Run,
  type StatementRequest,
} from '../contract.ts'
import { EngineProcess } from './process.ts'
import type { ProcessStatement } from './protocol.ts'
import { resolveTable } from './tables.ts'

export interface DuckDbConfiguration {
  readonly driver: 'duckdb'
  /** Table name → file, folder, pattern, or `package:NAME/PATH`; relative to the working directory. */
  readonly tables: Readonly<Record<string, string>>
  readonly group?: string
  readonly slots: Readonly<Record<SlotLane, number>>
  readonly memoryBytesMax?: number
  readonly threads?: number
}

export interface DuckDbDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: EngineLogger
  readonly onProcessDeath?: (engine: string) => void
}

const restartBackoff: Backoff = { firstMs: 50, limitMs: 5_000 }
/** A process that lived this long starts the back-off anew. */
const soundAfterMs = 10_000
/** A statement that comes while the process is being replaced waits this long. */
const patienceMs = 15_000

export class DuckDbDriver implements EngineDriver {
  readonly name: string
  readonly driver = 'duckdb'
  readonly group: string | null
  readonly slots: Readonly<Record<SlotLane, number>>
  readonly capabilities: EngineCapabilities = {
    reattach: false,
    cancel: true,
    progress: true,
    estimate: true,
    transactional: false,
    endsWithNode: true,
  }
  readonly #configuration: DuckDbConfiguration
  readonly #dependencies: DuckDbDependencies
  readonly #isolated = new Set<EngineProcess>()
  #state: 'stopped' | 'started' = 'stopped'
  #serving: EngineProcess | undefined
  #opening: EngineProcess | undefined
  #arrival = deferred<EngineProcess>()
  #tables: readonly TableView[] = []
  #failures = 0
  #cancelRestart: CancelTimer | undefined

  constructor(name: string, configuration: DuckDbConfiguration, dependencies: DuckDbDependencies) {
    this.name = name
    this.group = configuration.group ?? null
    this.slots = configuration.slots
    this.#configuration = configuration
    this.#dependencies = dependencies
    this.#arrival.promise.catch(() => {})
  }

  /** Rejects when a table cannot be found or read; the message is for operators. */
  async start(): Promise<void> {
    if (this.#state === 'started') return
    this.#state = 'started'
    try {
      await this.#open()
    } catch (error) {
      await this.stop()
      throw new Error(`engine ${this.name}: ${error instanceof Error ? error.message : error}`, { cause: error })
    }
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#cancelRestart?.()
    const processes = [this.#serving, this.#opening, ...this.#isolated].filter(process => process !== undefined)
    this.#serving = undefined
    this.#arrival.reject(this.#unavailable('is stopped'))
    this.#arrival = deferred()
    this.#arrival.promise.catch(() => {})
    await Promise.all(processes.map(process => process.close()))
  }

  healthy(): boolean {
    return this.#serving !== undefined
  }

  async estimate(request: StatementRequest): Promise<EstimateAnswer> {
    return (await this.#process()).call('estimate', statementOf(request))
  }

  async explain(request: StatementRequest): Promise<string> {
    return (await this.#process()).call('explain', statementOf(request))
  }

  async prepare(request: StatementRequest): Promise<PreparedAnswer> {
    return (await this.#process()).call('prepare', statementOf(request))
  }

  async submit(request: StatementRequest): Promise<Run> {
    if (request.isolated) return this.#submitIsolated(request)
    const run = (await this.#process()).run(statementOf(request))
    await run.started
    return run
  }

  async attach(): Promise<null> {
    return null
  }

  /** Its process ended with its node, and it could only read. */
  async inquire(): Promise<EngineAnswer> {
    return 'ended'
  }

  async tables(): Promise<readonly TableView[]> {
    await this.#process()
    return this.#tables
  }

  async #submitIsolated(request: StatementRequest): Promise<Run> {
    if (this.#state === 'stopped') throw this.#unavailable('is stopped')
    const process = this.#spawn(1)
    this.#isolated.add(process)
    void process.ended.then(() => this.#isolated.delete(process))
    try {
      await process.ready
      this.#dependencies.logger.info(
        { engine: this.name, enginePid: process.pid, handle: request.handle },
        'isolated engine process serves',
      )
      const run = process.run(statementOf(request))
      void run.ended.then(() => process.close())
      await run.started
      return run
    } catch (error) {
      void process.close()
      throw error
    }
  }

  /** The process that serves, waiting a little while it is being replaced. */
  async #process(): Promise<EngineProcess> {
    if (this.#serving) return this.#serving
    if (this.#state === 'stopped') throw this.#unavailable('is stopped')
    const giveUp = deferred<never>()
    const cancel = this.#dependencies.clock.after(patienceMs, () =>
      giveUp.reject(this.#unavailable('is being restarted')),
    )
    try {
      return await Promise.race([this.#arrival.promise, giveUp.promise])
    } finally {
      cancel()
    }
  }

  async #open(): Promise<void> {
    const { clock, logger } = this.#dependencies
    const process = this.#spawn(this.slots.light + this.slots.heavy)
    this.#opening = process
    try {
      this.#tables = await process.ready
    } catch (error) {
      await process.close()
      throw error
    } finally {
      this.#opening = undefined
    }
    if (this.#state === 'stopped') return process.close()
    const since = clock.monotonic()
    this.#serving = process
    this.#arrival.resolve(process)
    logger.info({ engine: this.name, enginePid: process.pid, tables: this.#tables.length }, 'engine process serves')
    void process.ended.then(() => {
      if (this.#serving === process) this.#serving = undefined
      if (this.#state === 'stopped') return
      this.#arrival = deferred()
      this.#arrival.promise.catch(() => {})
      if (clock.monotonic() - since > soundAfterMs) this.#failures = 0
      logger.warn({ engine: this.name, enginePid: process.pid }, 'engine process died, another one is started')
      this.#dependencies.onProcessDeath?.(this.name)
      this.#restart()
    })
  }

  #restart(): void {
    const { clock, random, logger } = this.#dependencies
    const delayMs = backoffDelayMs(restartBackoff, this.#failures++, random)
    this.#cancelRestart = clock.after(delayMs, () => {
      if (this.#state === 'stopped') return
      this.#open().catch(error => {
        if (this.#state === 'stopped') return
        logger.error({ engine: this.name, err: error }, 'engine process could not be started, trying again')
        this.#restart()
      })
    })
  }

  #spawn(statementsMax: number): EngineProcess {
    const { tables, memoryBytesMax = null, threads = null } = this.#configuration
    return new EngineProcess({
      engine: this.name,
      open: {
        tables: Object.entries(tables).map(([name, location]) => resolveTable(name, location)),
        memoryBytesMax,
        threads,
      },
      statementsMax,
      logger: this.#dependencies.logger,
      clock: this.#dependencies.clock,
    })
  }

  #unavailable(reason: string): EngineError {
    return new EngineError('unavailable', `The engine ${this.name} ${reason}.`)
  }
}

function statementOf({ sql, parameters, database }: StatementRequest): ProcessStatement {
  return { sql, parameters, database }
}

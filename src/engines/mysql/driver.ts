/**
 * MySQL and MariaDB as engines.
 *
 * A session's `database` is a database of the server; its properties are session variables, for its statements alone. A statement has
 * a connection to itself while it runs, and a transaction (`modes.ts`): read-only for a query; together with a row that tells its
 * outcome for what writes. Its connection's identity is durable before it is sent, so whoever takes it over ends that connection,
 * waits until it is gone, and reads the outcome.
 */
import type { CancelTimer, Clock, Random } from '../../async/index.ts'
import type { EngineAnswer, EngineHandle, SlotLane, TableView } from '../../domain/index.ts'
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
import { ServerRun } from '../rows/server-run.ts'
import { Connections, type Lease } from './connections.ts'
import { MySqlExecution } from './execution.ts'
import { engineError, takesNoWrites } from './failures.ts'
import { endConnection, handleOf, identityOf, lockName, type StatementIdentity } from './identity.ts'
import type { Mode } from './modes.ts'
import { Outcomes } from './outcomes.ts'
import { estimate, explain, prepare } from './plan.ts'
import { beginStatement, type CheckedStatement, checkStatement } from './statement.ts'
import { readTables } from './tables.ts'
import { TransactionalLooks } from './transactional.ts'

export interface MySqlConfiguration {
  readonly driver: 'mysql'
  /** `mysql://user:password@host:port/database`. */
  readonly url: string
  /** `off` unless set. */
  readonly tls?: 'off' | 'encrypted' | 'verified'
  readonly group?: string
  readonly slots: Readonly<Record<SlotLane, number>>
  /** Connections for statements of one node; as many as there are slots unless set. */
  readonly connectionsMax?: number
  /** `read-only`: every statement runs in a read-only transaction. */
  readonly access?: 'read-write' | 'read-only'
}

export interface MySqlDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: EngineLogger
}

const connectMs = 5_000
/** Whether the server is there is looked at this often; while it is away, queries wait for the news. */
const lookMs = 5_000
const awayLookMs = 500
const tidyMs = 3_600_000
const noVariables: ReadonlySet<string> = new Set()

/** All that is there while the driver is started. */
interface Started {
  readonly connections: Connections
  readonly outcomes: Outcomes
  readonly looks: TransactionalLooks
  readonly timers: readonly CancelTimer[]
}

export class MySqlDriver implements EngineDriver {
  readonly name: string
  readonly driver = 'mysql'
  readonly group: string | null
  readonly slots: Readonly<Record<SlotLane, number>>
  readonly capabilities: EngineCapabilities = {
    reattach: false,
    cancel: true,
    progress: false,
    estimate: true,
    transactional: true,
    endsWithNode: false,
  }
  readonly #configuration: MySqlConfiguration
  readonly #dependencies: MySqlDependencies
  readonly #runs = new Set<Run>()
  readonly #database: string
  #started: Started | undefined
  #variables: ReadonlySet<string> | undefined

  constructor(name: string, configuration: MySqlConfiguration, dependencies: MySqlDependencies) {
    this.name = name
    this.group = configuration.group ?? null
    this.slots = configuration.slots
    this.#configuration = configuration
    this.#database = decodeURIComponent(new URL(configuration.url).pathname.slice(1))
    this.#dependencies = dependencies
  }

  get #readOnly(): boolean {
    return this.#configuration.access === 'read-only'
  }

  /** A server that is away keeps no node from starting: the engine is not healthy until it is there. */
  async start(): Promise<void> {
    if (this.#started) return
    const { clock, logger } = this.#dependencies
    const { url, tls = 'off', connectionsMax = this.slots.light + this.slots.heavy } = this.#configuration
    const connections = await Connections.open({
      ...{ engine: this.name, url, tls, statementsMax: connectionsMax, connectMs, clock },
    })
    const outcomes = new Outcomes({ engine: this.name, database: this.#database, connections, clock, logger })
    let lookedAt = Number.NEGATIVE_INFINITY
    let isLooking = false
    const look = async () => {
      if (isLooking || (connections.reachable && clock.monotonic() < lookedAt + lookMs)) return
      isLooking = true
      lookedAt = clock.monotonic()
      await connections.query('SELECT 1').catch(() => {})
      isLooking = false
    }
    const tidy = () => this.#tidy(outcomes)
    this.#started = {
      connections,
      outcomes,
      looks: new TransactionalLooks(connections, clock),
      timers: [clock.every(awayLookMs, () => void look()), clock.every(tidyMs, () => void tidy())],
    }
    await look()
    await tidy()
    if (!this.healthy()) return
    logger.info({ engine: this.name }, 'the engine is reached')
    const [row] = await connections.query('SELECT @@max_connections AS room').catch(() => [])
    if (row && Number(row.room) < connections.max)
      logger.warn(
        { engine: this.name, connections: connections.max, room: Number(row.room) },
        'the server takes fewer connections than this node may want: statements will wait; lower slots or connectionsMax',
      )
  }

  async stop(): Promise<void> {
    const started = this.#started
    if (!started) return
    this.#started = undefined
    for (const cancel of started.timers) cancel()
    await Promise.all([...this.#runs].map(run => run.detach()))
    started.connections.close()
  }

  healthy(): boolean {
    return this.#started?.connections.reachable ?? false
  }

  async estimate(request: StatementRequest): Promise<EstimateAnswer> {
    const { connections } = this.#serving()
    return estimate({ engine: this.name, connections }, request, await this.#check(request))
  }

  async explain(request: StatementRequest): Promise<string> {
    const { connections } = this.#serving()
    return explain({ engine: this.name, connections }, request, await this.#check(request))
  }

  async prepare(request: StatementRequest): Promise<PreparedAnswer> {
    const { connections } = this.#serving()
    return prepare({ engine: this.name, connections }, request, await this.#check(request))
  }

  async submit(request: StatementRequest, onIdentity: (engineHandle: EngineHandle) => Promise<void>): Promise<Run> {
    const checked = await this.#check(request)
    const mode = await this.#modeOf(request, checked)
    const table = mode === 'transaction' ? await this.#serving().outcomes.table() : null
    const [lease, identity] = await this.#begin(request, checked, mode, table)
    try {
      await onIdentity(handleOf(identity))
      return this.#run(lease, identity, request, checked)
    } catch (error) {
      // The reset rolls back what was begun for it.
      void lease.release()
      throw error
    }
  }

  /** Its rows came over a connection that is gone with its owner. */
  async attach(): Promise<null> {
    return null
  }

  async inquire(request: StatementRequest, engineHandle: EngineHandle | null): Promise<EngineAnswer> {
    // Without an identity nothing was sent.
    if (engineHandle === null) return 'ended'
    const identity = identityOf(engineHandle)
    if (identity === null) return 'unknown'
    const { connections, outcomes } = this.#serving()
    await endConnection(connections, identity, this.#dependencies.clock)
    return outcomes.of(request.handle, identity)
  }

  async tables(): Promise<readonly TableView[]> {
    return readTables(this.#serving().connections)
  }

  #serving(): Started {
    if (this.#started) return this.#started
    throw new EngineError('unavailable', `The engine ${this.name} is stopped.`)
  }

  async #check(request: StatementRequest): Promise<CheckedStatement> {
    const known = Object.keys(request.properties).length === 0 ? noVariables : await this.#knownVariables()
    return checkStatement(request, known, this.#readOnly)
  }

  async #knownVariables(): Promise<ReadonlySet<string>> {
    this.#variables ??= new Set(
      (await this.#serving().connections.query('SHOW SESSION VARIABLES')).map(row =>
        String(row.Variable_name).toLowerCase(),
      ),
    )
    return this.#variables
  }

  /** A transaction is only for what can be rolled back. */
  async #modeOf({ database }: StatementRequest, { mode, words }: CheckedStatement): Promise<Mode> {
    // It may change what tables are.
    if (mode === 'none') this.#serving().looks.forget()
    if (mode !== 'transaction') return mode
    return (await this.#serving().looks.isTransactional(words, database ?? this.#database)) ? mode : 'none'
  }

  async #begin(
    request: StatementRequest,
    { settings }: CheckedStatement,
    mode: Mode,
    outcomeTable: string | null,
  ): Promise<readonly [Lease, StatementIdentity]> {
    const lock = lockName(request.handle, request.attempt, this.#dependencies.random.uuid().slice(-12))
    try {
      const [lease, begunAt] = await this.#serving().connections.lease(taken =>
        beginStatement({ lease: taken, request, settings, mode, lock }),
      )
      const { connection, server } = lease.backend
      return [lease, { connection, server, lock, mode, outcomeTable, begunAt }]
    } catch (error) {
      throw takesNoWrites(error, this.name) ?? engineError(error, this.name, 'prepare')
    }
  }

  #run(lease: Lease, identity: StatementIdentity, request: StatementRequest, checked: CheckedStatement): Run {
    const { connections, outcomes, looks } = this.#serving()
    const { clock } = this.#dependencies
    const execution = new MySqlExecution({
      ...{ engine: this.name, connections, outcomes },
      ...{ lease, request, checked, identity, clock },
    })
    const run = new ServerRun(execution, clock, ended => {
      this.#runs.delete(ended)
      if (identity.mode === 'none') looks.forget()
    })
    this.#runs.add(run)
    return run
  }

  /** Old outcomes are of no use to anybody. */
  async #tidy(outcomes: Outcomes): Promise<void> {
    const { logger } = this.#dependencies
    try {
      if (!this.#readOnly) await outcomes.removeOld()
    } catch (error) {
      logger.warn({ engine: this.name, err: error }, 'outcomes of old statements could not be removed')
    }
  }
}

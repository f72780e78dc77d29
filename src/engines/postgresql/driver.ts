/**
 * PostgreSQL as an engine.
 *
 * A session's `database` is a schema, which is looked at before `public`; its properties are settings of the server, for its statements
 * alone. A statement has a connection to itself while it runs, and a transaction (`modes.ts`): read-only for a query; together with a row that
 * tells its outcome for what writes. Its backend's identity is durable before it is sent, so whoever takes it over ends that
 * backend, waits until it is gone, and reads the outcome.
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
import { PostgreSqlExecution } from './execution.ts'
import { engineError, takesNoWrites } from './failures.ts'
import { endBackend, handleOf, identityOf, nameOf, type StatementIdentity } from './identity.ts'
import { Outcomes } from './outcomes.ts'
import { estimate, explain, prepare } from './plan.ts'
import { type BegunStatement, beginStatement, type CheckedStatement, checkStatement } from './statement.ts'
import { readTables } from './tables.ts'
import { TypeCatalogue, type TypeRow, typesSql } from './types.ts'

export interface PostgreSqlConfiguration {
  readonly driver: 'postgresql'
  /** `postgresql://user:password@host:port/database`. */
  readonly url: string
  readonly group?: string
  readonly slots: Readonly<Record<SlotLane, number>>
  /** Connections for statements of one node; as many as there are slots unless set. */
  readonly connectionsMax?: number
  /** `read-only`: every statement runs in a read-only transaction. */
  readonly access?: 'read-write' | 'read-only'
}

export interface PostgreSqlDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: EngineLogger
}

const connectMs = 10_000
const answerMs = 15_000
/** Whether the server is there is looked at this often; while it is away, queries wait for the news. */
const lookMs = 5_000
const awayLookMs = 500
const closeMs = 5_000
const tidyMs = 3_600_000

/** All that is there while the driver is started. */
interface Started {
  readonly connections: Connections
  readonly catalogue: TypeCatalogue
  readonly outcomes: Outcomes
  readonly timers: readonly CancelTimer[]
}

export class PostgreSqlDriver implements EngineDriver {
  readonly name: string
  readonly driver = 'postgresql'
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
  readonly #configuration: PostgreSqlConfiguration
  readonly #dependencies: PostgreSqlDependencies
  readonly #runs = new Set<ServerRun<string>>()
  #started: Started | undefined
  /** What was said last. */
  #isReached: boolean | undefined
  #isLooking = false
  /** By the monotonic clock. */
  #lookedAt = Number.NEGATIVE_INFINITY
  #settings: ReadonlySet<string> | undefined

  constructor(name: string, configuration: PostgreSqlConfiguration, dependencies: PostgreSqlDependencies) {
    this.name = name
    this.group = configuration.group ?? null
    this.slots = configuration.slots
    this.#configuration = configuration
    this.#dependencies = dependencies
  }

  /** A server that is away keeps no node from starting: the engine is not healthy until it is there. */
  async start(): Promise<void> {
    if (this.#started) return
    const { clock, logger } = this.#dependencies
    const { url, connectionsMax = this.slots.light + this.slots.heavy } = this.#configuration
    const connections = await Connections.open({
      engine: this.name,
      url,
      statementsMax: connectionsMax,
      connectMs,
      answerMs,
      clock,
      logger,
    })
    const catalogue = new TypeCatalogue(types => connections.query<TypeRow>(typesSql, [types]))
    const outcomes = new Outcomes({ engine: this.name, connections, clock, logger })
    this.#started = {
      connections,
      catalogue,
      outcomes,
      timers: [
        clock.every(awayLookMs, () => void this.#look(connections, lookMs)),
        clock.every(tidyMs, () => void this.#tidy(outcomes)),
      ],
    }
    await this.#look(connections, 0)
    if (this.healthy()) await this.#tidy(outcomes)
  }

  async stop(): Promise<void> {
    const started = this.#started
    if (!started) return
    this.#started = undefined
    this.#isReached = undefined
    for (const cancel of started.timers) cancel()
    await Promise.all([...this.#runs].map(run => run.detach()))
    // What a statement still has of them is on its way back; one that is not must not keep the node.
    const patience = new AbortController()
    const waited = this.#dependencies.clock.sleep(closeMs, patience.signal).catch(() => {})
    await Promise.race([started.connections.close(), waited])
    patience.abort()
  }

  healthy(): boolean {
    return this.#started?.connections.reachable ?? false
  }

  async estimate(request: StatementRequest): Promise<EstimateAnswer> {
    const started = this.#serving()
    return estimate({ engine: this.name, ...started }, request, await this.#check(request))
  }

  async explain(request: StatementRequest): Promise<string> {
    const started = this.#serving()
    return explain({ engine: this.name, ...started }, request, await this.#check(request))
  }

  async prepare(request: StatementRequest): Promise<PreparedAnswer> {
    const started = this.#serving()
    return prepare({ engine: this.name, ...started }, request, await this.#check(request))
  }

  async submit(request: StatementRequest, onIdentity: (engineHandle: EngineHandle) => Promise<void>): Promise<Run> {
    const { outcomes } = this.#serving()
    const checked = await this.#check(request)
    // A query may turn out to write, where its client left that open.
    const mayWrite = checked.mode === 'transaction' || (checked.mode === 'read-only' && !checked.isChosen)
    const table = mayWrite ? await outcomes.table() : null
    const [lease, begun] = await this.#begin(request, checked, table === null)
    const identity: StatementIdentity = {
      ...lease.backend,
      name: nameOf(request.handle, request.attempt),
      mode: begun.mode,
      outcomeTable: begun.mode === 'transaction' ? table : null,
      transaction: begun.transaction,
      begunAt: begun.begunAt,
    }
    try {
      await onIdentity(handleOf(identity))
      return this.#run(lease, identity, request)
    } catch (error) {
      await lease.rollBack()
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
    await endBackend(connections, identity, this.#dependencies.clock)
    return outcomes.of(request.handle, identity)
  }

  async tables(): Promise<readonly TableView[]> {
    const { connections, catalogue } = this.#serving()
    return readTables(connections, catalogue)
  }

  #serving(): Started {
    if (this.#started) return this.#started
    throw new EngineError('unavailable', `The engine ${this.name} is stopped.`)
  }

  async #check(request: StatementRequest): Promise<CheckedStatement> {
    const known = Object.keys(request.properties).length === 0 ? noSettings : await this.#knownSettings()
    return checkStatement(request, known, this.#configuration.access === 'read-only')
  }

  async #knownSettings(): Promise<ReadonlySet<string>> {
    this.#settings ??= new Set(
      (await this.#serving().connections.query<{ name: string }>(settingsSql)).map(({ name }) => name.toLowerCase()),
    )
    return this.#settings
  }

  async #begin(
    request: StatementRequest,
    checked: CheckedStatement,
    numbered: boolean,
  ): Promise<readonly [Lease, BegunStatement]> {
    try {
      return await this.#serving().connections.lease(({ client }) =>
        beginStatement({ client, request, checked, numbered }),
      )
    } catch (error) {
      throw takesNoWrites(error, this.name) ?? engineError(error, this.name, 'prepare')
    }
  }

  #run(lease: Lease, identity: StatementIdentity, request: StatementRequest): Run {
    const { connections, catalogue, outcomes } = this.#serving()
    const { clock } = this.#dependencies
    const execution = new PostgreSqlExecution({
      ...{ engine: this.name, connections, catalogue, outcomes },
      ...{ lease, request, identity, clock },
    })
    const run = new ServerRun(execution, clock, ended => this.#runs.delete(ended))
    this.#runs.add(run)
    return run
  }

  /** Whether it is there, unless that was seen less than `periodMs` ago; said when that has changed. */
  async #look(connections: Connections, periodMs: number): Promise<void> {
    const { clock, logger } = this.#dependencies
    if (this.#isLooking || (connections.reachable && clock.monotonic() < this.#lookedAt + periodMs)) return
    this.#isLooking = true
    this.#lookedAt = clock.monotonic()
    const failure = await connections.query('SELECT 1').then(
      () => null,
      (error: unknown) => error,
    )
    this.#isLooking = false
    const isReached = failure === null
    if (!this.#started || isReached === this.#isReached) return
    this.#isReached = isReached
    if (isReached) {
      logger.info({ engine: this.name }, 'the engine is reached')
      await this.#measure(connections)
    } else logger.warn({ engine: this.name, err: failure }, 'the engine cannot be reached')
  }

  /** Says so when the server takes fewer connections than this node alone may want. */
  async #measure(connections: Connections): Promise<void> {
    const [row] = await connections.query<{ room: number }>(roomSql).catch(() => [])
    if (row && row.room < connections.max)
      this.#dependencies.logger.warn(
        { engine: this.name, connections: connections.max, room: row.room },
        'the server takes fewer connections than this node may want: statements will wait; lower slots or connectionsMax',
      )
  }

  /** Old outcomes are of no use to anybody. */
  async #tidy(outcomes: Outcomes): Promise<void> {
    const { logger } = this.#dependencies
    try {
      if (this.#configuration.access !== 'read-only') await outcomes.removeOld()
    } catch (error) {
      logger.warn({ engine: this.name, err: error }, 'outcomes of old statements could not be removed')
    }
  }
}

const noSettings: ReadonlySet<string> = new Set()
const roomSql = `SELECT pg_catalog.current_setting('max_connections')::integer
  - pg_catalog.current_setting('superuser_reserved_connections')::integer AS room`
const settingsSql = "SELECT name FROM pg_catalog.pg_settings WHERE context IN ('user', 'superuser')"

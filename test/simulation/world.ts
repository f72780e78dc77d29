/**
 * A simulated world: N nodes with the code of production, one database, engines, a network, clients and a nemesis, all under
 * one seeded scheduler.
 *
 *     boot ─▶ plan (operations and faults, each at its time) ─▶ all faults end ─▶ quiet? ─▶ everything is compared
 */
import { loadConfig } from '../../src/config/index.ts'
import { type Logger, silentLogger } from '../../src/observability/index.ts'
import type { Holdings, TransitionRow } from '../support/invariants.ts'
import { Client, GivenUp } from './client.ts'
import { CommitWatch } from './commit-watch.ts'
import { simulatedDatabase } from './database.ts'
import type { SimulatedDatabase } from './database-contract.ts'
import { type EngineRun, EngineServer } from './engine-server.ts'
import { EngineWatch } from './engine-watch.ts'
import { History, type Invariant, type Violation } from './history.ts'
import { judge } from './judgement.ts'
import { endAll, inject, type NemesisWorld } from './nemesis.ts'
import { Network } from './network.ts'
import type { PlanItem } from './plan.ts'
import { SeededRandom } from './random.ts'
import { Scheduler, type TracedEvent } from './scheduler.ts'
import { engineSlots, SimulatedNode } from './simulated-node.ts'
import { perform } from './workload.ts'

export interface WorldOptions {
  readonly seed: string
  readonly plan: readonly PlanItem[]
  /** Of what is drawn; the plan's items may be fewer. */
  readonly forMs: number
  readonly nodes?: number
  readonly leaseMs?: number
  readonly runningPerUser?: number
  readonly users?: number
  /** Stops at the first violation. */
  readonly stopsAtFirst?: boolean
  /** Stops at the first violation of this one. */
  readonly stopsWhen?: Invariant
  /** What is logged and traced; nothing unless given. */
  readonly log?: (line: string) => void
  readonly trace?: (event: TracedEvent) => void
  /** Breaks a rule on purpose, to see that it is found. */
  readonly sabotage?: (world: World) => void
}

export interface WorldReport {
  readonly seed: string
  readonly hash: string
  readonly steps: number
  readonly virtualMs: number
  readonly queries: number
  readonly statements: number
  readonly commits: number
  readonly transitions: number
  readonly faults: Readonly<Record<string, number>>
  readonly counts: Readonly<Record<string, number>>
  readonly violations: readonly Violation[]
}

/** How long a world may take to become quiet when nothing is wrong any more. */
const quietMs = 600_000
const settleMs = 12_000
/** Between two looks at what the engines run. */
const enginesMs = 2_000
const leaseMsDrawn = [2_000, 2_000, 3_000, 5_000]

export class World implements NemesisWorld {
  readonly scheduler: Scheduler
  readonly network: Network
  readonly history: History
  readonly remote: EngineServer
  readonly localExecutions = new Map<string, EngineRun[]>()
  readonly nodes: readonly SimulatedNode[]
  readonly clients: readonly Client[]
  readonly database: SimulatedDatabase
  readonly options: WorldOptions
  readonly runningPerUser: number
  readonly watch: CommitWatch
  readonly #engines: EngineWatch
  readonly #faults = new Map<string, number>()
  #open = 0

  static async make(options: WorldOptions): Promise<World> {
    const { seed, trace } = options
    const preemption = { chance: 0.01, delayMsMax: 40 }
    const scheduler = new Scheduler({ seed, preemption, ...(trace && { trace }) })
    return new World(options, scheduler, await simulatedDatabase(scheduler))
  }

  private constructor(options: WorldOptions, scheduler: Scheduler, database: SimulatedDatabase) {
    this.options = options
    this.scheduler = scheduler
    this.database = database
    const random = new SeededRandom(`${options.seed}/settings`)
    const leaseMs = options.leaseMs ?? random.pick(leaseMsDrawn)
    const nodeCount = options.nodes ?? random.pick([3, 3, 3, 2, 4])
    this.runningPerUser = options.runningPerUser ?? random.pick([0, 0, 4])
    const idleMs = random.pick([86_400_000, 86_400_000, 30_000])
    this.history = new History(() => scheduler.nowMs, idleMs)
    this.network = new Network(scheduler)
    this.remote = new EngineServer(scheduler, 'remote')
    const config = loadConfig({
      makeSecret: false,
      overrides: {
        'cluster.secret': 'the secret of a simulated cluster',
        'cluster.leaseMs': leaseMs,
        'cluster.heartbeatMs': leaseMs / 4,
        'lanes.heavyFromCost': 50,
        'limits.runningPerUser': this.runningPerUser,
        'drain.graceMs': 3_000,
        'queries.retryDelayMs': 300,
        'queries.engineFailuresMax': 6,
        'queries.engineDeathsMax': 3,
        'sessions.revalidateMs': 1_000,
        'cluster.orphansMs': 1_000,
        'sessions.idleMs': idleMs,
        'limits.queuedPerUser': random.pick([10_000, 12]),
      },
    })
    const world = {
      ...{ scheduler, network: this.network, database, remote: this.remote, config },
      localExecutions: this.localExecutions,
      logger: (process: { name: string }) => this.#loggerOf(process.name),
      retryMs: 5_000,
      defect: (what: string) => this.history.violated('defect', what),
    }
    this.nodes = Array.from({ length: nodeCount }, (_, index) => new SimulatedNode(world, `node-${index + 1}`))
    this.clients = Array.from(
      { length: options.users ?? 4 },
      (_, index) => new Client(this, scheduler.process(`client-${index + 1}`), `user-${index + 1}`),
    )
    const slots = new Map(
      Object.entries(engineSlots).flatMap(([engine, of]) =>
        Object.entries(of).map(([lane, count]) => [`${engine} ${lane}`, count] as const),
      ),
    )
    this.#engines = new EngineWatch(database, this.history, () => this.#running())
    this.watch = new CommitWatch(database, this.history, { runningPerUser: this.runningPerUser, slots })
  }

  async run(): Promise<WorldReport> {
    const { plan, forMs, sabotage } = this.options
    const { scheduler, history } = this
    for (const [index, node] of this.nodes.entries()) scheduler.schedule(10 + index * 30, 'boot', () => node.boot())
    sabotage?.(this)
    const lookAtEngines = () => {
      this.#engines.look(scheduler.nowMs)
      scheduler.schedule(enginesMs, 'watch', lookAtEngines, true)
    }
    scheduler.schedule(enginesMs, 'watch', lookAtEngines, true)
    for (const item of plan)
      scheduler.schedule(item.atMs, 'plan', () => (item.type === 'fault' ? this.#inject(item) : this.#perform(item)))
    const endsAtMs = Math.max(forMs, 0)
    scheduler.schedule(endsAtMs, 'end of faults', () => endAll(this))
    try {
      await this.#runUntil(endsAtMs, () => false)
      await this.#becomeQuiet()
    } catch (error) {
      if (!(error instanceof Stop)) history.violated('defect', (error as Error).stack ?? String(error))
    }
    const report = {
      seed: this.options.seed,
      hash: scheduler.hash,
      steps: scheduler.steps,
      virtualMs: scheduler.nowMs,
      queries: history.queries.size + history.unknown,
      statements: this.database.statements,
      commits: this.database.commits,
      transitions: this.watch.transitions,
      faults: Object.fromEntries(this.#faults),
      counts: Object.fromEntries(history.counts),
      violations: history.violations,
    }
    this.database.close()
    return report
  }

  async #runUntil(untilMs: number, until: () => boolean): Promise<boolean> {
    let seen = 0
    const end = await this.scheduler.run({
      untilMs,
      until,
      onStep: () => {
        this.watch.look()
        if (this.history.violations.length === seen) return
        seen = this.history.violations.length
        const { stopsAtFirst, stopsWhen } = this.options
        if (stopsAtFirst || this.history.violations.some(({ invariant }) => invariant === stopsWhen)) throw new Stop()
      },
    })
    return end === 'condition'
  }

  #perform(item: PlanItem & { type: 'operation' }): void {
    const random = new SeededRandom(`${this.options.seed}/item/${item.number}`)
    const client = random.pick(this.clients)
    const others = this.clients.filter(other => other !== client)
    this.#open++
    client.process.schedule(0, item.kind, () => {
      perform(item.kind, client, others, random)
        .catch(error => {
          if (!(error instanceof GivenUp)) this.history.violated('defect', (error as Error).stack ?? String(error))
        })
        .finally(() => {
          this.#open--
        })
    })
  }

  #inject(item: PlanItem & { type: 'fault' }): void {
    this.#faults.set(item.kind, (this.#faults.get(item.kind) ?? 0) + 1)
    this.options.log?.(`${this.scheduler.nowMs.toFixed(1)} ---- fault ${item.number} ${item.kind}`)
    inject(item.kind, this, new SeededRandom(`${this.options.seed}/item/${item.number}`))
  }

  /** Every fault is over: all that was accepted comes to its end, and nothing runs any more. */
  async #becomeQuiet(): Promise<void> {
    const { scheduler, history, database } = this
    const untilMs = scheduler.nowMs + quietMs
    const isQuiet = () => this.#open === 0 && this.#unfinished() === 0 && this.#running().length === 0
    while (!isQuiet() && scheduler.nowMs < untilMs) {
      // Nodes that were down when the faults ended come back by themselves; those that ended since, here.
      await this.#runUntil(scheduler.nowMs + 500, () => false)
    }
    // What follows the end of the last query: budgets return, sessions close, clean-ups.
    await this.#runUntil(scheduler.nowMs + settleMs, () => false)
    if (this.#open > 0) history.violated('defect', `${this.#open} operations of clients never ended`)
    for (const run of this.#running())
      history.violated('I7', `${run.handle}: ${run.id} still runs on its engine, asked for by ${run.by}`)
    const up = this.nodes.filter(node => node.life?.serving)
    if (up.length < this.nodes.length)
      history.violated('defect', `only ${up.length} of ${this.nodes.length} nodes serve when all is quiet`)
    const leaders = up.filter(node => node.life?.assembly.cluster.isLeader)
    if (leaders.length !== 1) history.violated('I2', `${leaders.length} nodes lead when all is quiet`)
    judge(this.#holdings(), [...this.localExecutions, ...this.remote.executions], history)
    void database
  }

  #unfinished(): number {
    const [row] = this.database.committed<{ count: number }>('SELECT count(*) AS count FROM current_query')
    return row?.count ?? 0
  }

  #running(): EngineRun[] {
    return [this.remote, ...this.nodes.flatMap(node => node.life?.local ?? [])].flatMap(server => server.running())
  }

  #holdings(): Holdings {
    const { database } = this
    const transitions = database
      .committed<Record<string, unknown>>('SELECT * FROM query_transition ORDER BY handle, version')
      .map(row => ({ ...row, event: JSON.parse(String(row.event)) }) as unknown as TransitionRow)
    const pages = database.committed<Record<string, unknown>>(
      'SELECT handle, attempt, page, first_row, row_count, bytes FROM result_page ORDER BY handle, attempt, page',
    )
    return {
      current: database.committed('SELECT * FROM current_query'),
      finished: database.committed('SELECT * FROM finished_query'),
      transitions: Map.groupBy(transitions, ({ handle }) => handle),
      pages: Map.groupBy(pages, row => String(row.handle)),
      // Of a limit that is off nobody keeps the counter.
      counters: database.committed(
        `SELECT scope, value FROM usage_counter WHERE scope LIKE 'queued:%'${this.runningPerUser > 0 ? " OR scope LIKE 'running:%'" : ''}`,
      ),
    }
  }

  #loggerOf(name: string): Logger {
    const { log } = this.options
    if (!log) return silentLogger
    const write = (level: string) => (fields: object | string, message?: string) => {
      const { err, ...rest } = (typeof fields === 'string' ? { fields } : fields) as { err?: Error }
      const cause = err ? ` ${err.message}${err.cause ? ` <- ${(err.cause as Error).message}` : ''}` : ''
      log(`${this.scheduler.nowMs.toFixed(1)} ${name} ${level} ${message ?? ''} ${JSON.stringify(rest)}${cause}`)
    }
    const logger: Logger = {
      fatal: write('fatal'),
      error: write('error'),
      warn: write('warn'),
      info: write('info'),
      debug: write('debug'),
      trace: write('trace'),
      isLevelEnabled: () => true,
      child: () => logger,
    }
    return logger
  }
}

class Stop extends Error {}

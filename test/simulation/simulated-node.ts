/**
 * A node of a simulated world: the wiring of production (`Assembly`) over a store, engines, a network and a heartbeat of that
 * world. It lives again and again, each time as a process of its own.
 *
 *     down ──boot──▶ up ──crash──▶ down          up ⇄ frozen          up ──leave──▶ leaving ──▶ down
 */
import { Assembly, type AssemblyConfig } from '../../src/assembly.ts'
import { periodsOf } from '../../src/cluster/index.ts'
import { enginesOf } from '../../src/engines/index.ts'
import type { Gateway } from '../../src/gateway/contract.ts'
import type { Logger } from '../../src/observability/index.ts'
import { SimulatedBus } from './bus.ts'
import type { SimulatedDatabase, SimulatedHeartbeat } from './database-contract.ts'
import { SimulatedDriver } from './engine-driver.ts'
import { type EngineRun, EngineServer } from './engine-server.ts'
import type { Listener, Network } from './network.ts'
import type { SimulatedProcess } from './process.ts'
import type { Scheduler } from './scheduler.ts'

export const engineSlots = {
  local: { light: 6, heavy: 3 },
  remote: { light: 6, heavy: 3 },
}

export interface NodeWorld {
  readonly scheduler: Scheduler
  readonly network: Network
  readonly database: SimulatedDatabase
  /** Outlives the nodes. */
  readonly remote: EngineServer
  readonly localExecutions: Map<string, EngineRun[]>
  readonly config: AssemblyConfig
  readonly logger: (process: SimulatedProcess) => Logger
  readonly retryMs: number
  /** Something that never happens in a healthy node. */
  readonly defect: (what: string) => void
}

/** One process of a node. */
export class Life {
  readonly process: SimulatedProcess
  readonly assembly: Assembly
  readonly local: EngineServer
  readonly heartbeat: SimulatedHeartbeat
  readonly listener: Listener
  /** Requests of clients that have no answer yet. */
  requests = 0
  serving = false
  leaving = false
  bus: SimulatedBus | null = null

  constructor(world: NodeWorld, node: SimulatedNode) {
    const { scheduler, network, database } = world
    const process = scheduler.process(node.name)
    this.process = process
    const { clock, random } = process
    const logger = world.logger(process)
    const config = { ...world.config, node: { ...world.config.node, id: node.name, advertiseUrl: node.address } }
    const periods = periodsOf(config.cluster)
    this.local = new EngineServer(scheduler, 'local', world.localExecutions)
    process.onCrash(() => this.local.restart(0))
    const latencyMs = () => random.between(0.1, 2)
    const driverOf = (server: EngineServer, endsWithNode: boolean) =>
      new SimulatedDriver({
        ...{ process, server, endsWithNode, latencyMs },
        slots: server.name === 'local' ? engineSlots.local : engineSlots.remote,
        atEngine: (delayMs, task) => scheduler.schedule(delayMs, 'engine', task, true),
      })
    this.heartbeat = database.heartbeatOf(process, {
      heartbeatMs: periods.heartbeatMs,
      attemptMs: periods.attemptMs,
      log: logger,
    })
    this.assembly = new Assembly({
      config,
      softwareVersion: 'simulated',
      clock,
      random,
      logger,
      logLevel: { state: logLevel, change: () => logLevel },
      store: database.storeOf(process, { retryMs: world.retryMs, connectionsMax: 8 }),
      engines: enginesOf([driverOf(this.local, true), driverOf(world.remote, false)]),
      cluster: {
        lease: this.heartbeat,
        probe: network.probeFrom(process, node.address, periods.probeMs),
        bus: options => {
          this.bus = new SimulatedBus({ ...options, process, network, address: node.address })
          return this.bus
        },
      },
      onDrainRequested: () => node.leave(this),
      onFatal: error => node.exit(this, error),
    })
    this.listener = { process, identity: () => this.assembly.cluster.identity, bus: () => this.bus }
  }

  get gateway(): Gateway {
    return this.assembly.gateway
  }
}

/** Nothing of a simulation hangs on what it logs. */
const logLevel = { level: 'silent', configured: 'silent', revertsAt: null } as const

/** How long a departing node waits for the answers that are under way. */
const lastAnswersMs = 10_000

export class SimulatedNode {
  readonly name: string
  readonly address: string
  readonly #world: NodeWorld
  life: Life | null = null
  /** It comes back by itself after this time when it left or gave up; null: whoever stopped it starts it. */
  restartMs = 500
  fatal: Error | null = null
  stays = true

  constructor(world: NodeWorld, name: string) {
    this.#world = world
    this.name = name
    this.address = `http://${name}:9999`
  }

  get up(): boolean {
    return this.life !== null
  }

  boot(): void {
    if (this.life || !this.stays) return
    const { network, defect } = this.#world
    const life = new Life(this.#world, this)
    this.life = life
    network.listen(this.address, life.listener)
    // In an event of its own: whatever begins in it belongs to it.
    life.process.schedule(1, 'boot', () => {
      life.assembly.start().then(
        () => {
          life.serving = true
        },
        error => {
          // What is stopped while it joins says so.
          if (!life.leaving && life.process.state !== 'crashed') defect(`${this.name} does not start: ${error.stack}`)
        },
      )
    })
  }

  /** `vanish`: its machine goes too, and nobody is told. */
  crash(vanish = false): void {
    const { life } = this
    if (!life) return
    this.life = null
    if (vanish) this.#world.network.vanish(this.address)
    life.process.crash()
  }

  freeze(monotonicHalts: boolean): void {
    const { life } = this
    if (!life) return
    life.process.freeze({ monotonicHalts })
    life.heartbeat.thread.freeze({ monotonicHalts })
  }

  /** The loop hangs; the thread of the heartbeat goes on. */
  hang(): void {
    this.life?.process.freeze()
  }

  resume(): void {
    this.life?.heartbeat.thread.resume()
    this.life?.process.resume()
  }

  /** As SIGTERM does. */
  leave(life = this.life): void {
    if (!life || life.leaving || life.process.state === 'crashed') return
    life.leaving = true
    life.process.schedule(0, 'leave', () => {
      this.#leave(life).then(
        () => this.#ended(life),
        error => {
          this.#world.defect(`${this.name} does not leave: ${error.stack}`)
          this.#ended(life)
        },
      )
    })
  }

  /** It cannot go on, and its process ends with an error. */
  exit(life: Life, error: Error): void {
    this.fatal = error
    this.#world.scheduler.schedule(0, 'exit', () => this.#ended(life))
  }

  async #leave(life: Life): Promise<void> {
    const { assembly, process } = life
    const { clock } = process
    await assembly.handOverAll(20)
    const untilMs = clock.monotonic() + lastAnswersMs
    while (life.requests > 0 && clock.monotonic() < untilMs) await clock.sleep(20)
    this.#world.network.close(this.address, life.listener)
    await assembly.leaveCluster()
    await assembly.close()
  }

  #ended(life: Life): void {
    if (this.life !== life) return
    this.life = null
    // What is left of it would run on in memory; a process takes it along.
    this.#world.scheduler.schedule(0, 'exit', () => life.process.crash())
    this.#world.scheduler.schedule(this.restartMs, 'boot', () => this.boot())
  }
}

/**
 * The composition root: builds every service of a node from its configuration, starts them in order, and takes them down so
 * that nobody notices.
 *
 *     listening (identity, health) ─▶ store open ─▶ engines ─▶ joined ─▶ serving ─▶ draining ─▶ left
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { ApiServer } from './api/index.ts'
import { Assembly } from './assembly.ts'
import { type Clock, deferred, type Random, systemClock, systemRandom } from './async/index.ts'
import { type ClusterCount, periodsOf } from './cluster/index.ts'
import { type Config, withPort } from './config/index.ts'
import { openEngines } from './engines/index.ts'
import { createLogger, createMetrics, type Logger, type Metrics } from './observability/index.ts'
import { leaseModuleOf, openStore } from './store/index.ts'

export interface NodeDependencies {
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
  /** It cannot go on: another live process took its name. Ends the process unless given. */
  readonly onFatal?: (error: Error) => void
}

export interface RunningNode {
  readonly url: string
  readonly nodeId: string
  /** Resolves when the node has left, whoever asked for it. */
  readonly left: Promise<void>
  /** Drains and leaves; resolves when the last request has its answer and everything is closed. Safe twice. */
  stop(): Promise<void>
}

/** After the hand-over: how long requests that are under way may still take. */
const lastAnswersMs = 10_000
/** How long clients have to close the connections on which they were told `Connection: close`. */
const shedMs = 1_000

export function softwareVersion(): string {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version
}

/** Starts a node; resolves when it serves. While the database is away it waits, and `/readyz` says so. */
export async function runNode(given: Config, dependencies: NodeDependencies = {}): Promise<RunningNode> {
  const config = given.node.port === 0 ? withPort(given, await freePort(given.node.host)) : given
  const node = new Node(config, dependencies)
  await node.start()
  return node
}

class Node implements RunningNode {
  readonly url: string
  readonly nodeId: string
  readonly left: Promise<void>
  readonly #config: Config
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #assembly: Assembly
  readonly #api: ApiServer
  readonly #left = deferred()
  #stopping: Promise<void> | null = null

  constructor(config: Config, dependencies: NodeDependencies) {
    const { clock = systemClock, random = systemRandom } = dependencies
    const { node, store: storeConfig } = config
    this.#config = config
    this.url = node.advertiseUrl
    this.nodeId = node.id
    this.left = this.#left.promise
    this.#logger = dependencies.logger ?? createLogger({ level: config.log.level, context: { node: node.id } })
    this.#metrics = createMetrics()
    const logger = this.#logger
    const { url, connectionsMax, retryMs } = storeConfig
    const store = openStore({ url, connectionsMax, retryMs, clock, random, logger: logger.child({ part: 'store' }) })
    const engines = openEngines(
      { engines: config.engines },
      { clock, random, logger: logger.child({ part: 'engines' }) },
    )
    this.#assembly = new Assembly({
      config,
      softwareVersion: softwareVersion(),
      clock,
      random,
      logger,
      store,
      engines,
      cluster: {
        lease: leaseModuleOf({ url, attemptMs: periodsOf(config.cluster).attemptMs }),
        count: name => countInto(this.#metrics, name),
      },
      onCommitted: steps => {
        for (const { event, snapshot } of steps) {
          this.#metrics.transitions.inc({ machine: 'query', event })
          if (snapshot.context.finishedAt !== null)
            this.#metrics.queriesFinished.inc({ outcome: snapshot.value as string })
        }
      },
      onDrainRequested: () => {
        logger.info({}, 'asked to drain')
        void this.stop()
      },
      onFatal: dependencies.onFatal ?? (error => this.#endProcess(error)),
    })
    const { cluster, gateway } = this.#assembly
    this.#api = new ApiServer({
      gateway,
      config,
      logger: logger.child({ part: 'api' }),
      metrics: this.#metrics,
      identity: () => cluster.identity,
      upgrades: { busHandleUpgrade: (request, socket, head) => cluster.handleUpgrade(request, socket, head) },
      clock,
      random,
    })
  }

  async start(): Promise<void> {
    const { host, port } = this.#config.node
    await this.#api.start()
    this.#logger.info({ host, port, advertised: this.url }, 'listening')
    await this.#assembly.start()
    this.#logger.info({ incarnation: this.#assembly.cluster.incarnation(), url: this.url }, 'the node serves')
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#leave().finally(() => this.#left.resolve())
    return this.#stopping
  }

  /**
   * Readiness first, while the listener stays open for as long as proxies and peers need to notice; work is handed over
   * meanwhile; every answer says `Connection: close`; then the listener, once nobody comes any more, then what is idle.
   */
  async #leave(): Promise<void> {
    const { readinessMs, graceMs } = this.#config.drain
    this.#logger.info({ readinessMs, graceMs }, 'leaving: handing work over')
    this.#api.announceLeaving()
    await this.#assembly.handOverAll(readinessMs)
    await this.#api.untilAnswered(lastAnswersMs)
    await this.#api.untilUnsought()
    this.#api.closeListener()
    await this.#api.shedConnections(shedMs, lastAnswersMs)
    await this.#assembly.leaveCluster()
    await this.#api.stop()
    await this.#assembly.close()
    this.#metrics.close()
    this.#logger.info({}, 'left')
  }

  #endProcess(error: Error): void {
    this.#logger.fatal({ err: error }, 'this node cannot go on')
    process.exit(1)
  }
}

const counted: Partial<Record<ClusterCount, (metrics: Metrics) => void>> = {
  beatsRenewed: metrics => metrics.leaseRenewals.inc({ outcome: 'renewed' }),
  beatsFailed: metrics => metrics.leaseRenewals.inc({ outcome: 'failed' }),
  beatsSkipped: metrics => metrics.leaseRenewals.inc({ outcome: 'late' }),
  incarnationsLost: metrics => metrics.fenced.inc(),
  termsGained: metrics => metrics.leader.set(1),
  termsLost: metrics => metrics.leader.set(0),
}

function countInto(metrics: Metrics, name: ClusterCount): void {
  counted[name]?.(metrics)
}

/** The port that `0` becomes is part of the advertised address, so it is chosen before anything is built. */
async function freePort(host: string): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, host, resolve)
  })
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

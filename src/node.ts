/**
 * The composition root: builds every service of a node from its configuration, starts them in order, and takes them down so
 * that nobody notices.
 *
 *     listening (identity, health) ─▶ store open ─▶ engines ─▶ joined ─▶ serving ─▶ draining ─▶ left
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { type ActorEnvironment, QueryHost, SessionHost } from './actors/index.ts'
import { ApiServer } from './api/index.ts'
import { backoffDelayMs, type Clock, deferred, type Random, systemClock, systemRandom } from './async/index.ts'
import { Cluster, type ClusterCount, periodsOf } from './cluster/index.ts'
import { type Config, withPort } from './config/index.ts'
import { LensError, lanes, queryMachineVersion } from './domain/index.ts'
import { openEngines } from './engines/index.ts'
import { LensGateway } from './gateway/index.ts'
import { HandOverNews } from './hand-over-news.ts'
import { createLogger, createMetrics, type Logger, type Metrics } from './observability/index.ts'
import { ResultReader, removeResultFiles } from './results/index.ts'
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

const storeBackoff = { firstMs: 100, limitMs: 2_000 }
/** A departing node that cannot read the members within this time goes by what it read last. */
const membersReadMs = 500
/** After the hand-over: how long requests that are under way may still take. */
const lastAnswersMs = 10_000
/** How long clients have to close the connections on which they were told `Connection: close`. */
const shedMs = 1_000
const progressMs = 500
const journalFlightsMax = 4
const journalBatchMax = 128

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
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #store: ReturnType<typeof openStore>
  readonly #engines: ReturnType<typeof openEngines>
  readonly #host: QueryHost
  readonly #sessions: SessionHost
  readonly #cluster: Cluster
  readonly #gateway: LensGateway
  readonly #api: ApiServer
  readonly #left = deferred()
  #stopping: Promise<void> | null = null

  constructor(config: Config, dependencies: NodeDependencies) {
    const { clock = systemClock, random = systemRandom } = dependencies
    const { node, store: storeConfig, results } = config
    this.#config = config
    this.url = node.advertiseUrl
    this.nodeId = node.id
    this.left = this.#left.promise
    this.#clock = clock
    this.#random = random
    this.#logger = dependencies.logger ?? createLogger({ level: config.log.level, context: { node: node.id } })
    this.#metrics = createMetrics()
    const logger = this.#logger
    const { url, connectionsMax, retryMs } = storeConfig
    this.#store = openStore({ url, connectionsMax, retryMs, clock, random, logger: logger.child({ part: 'store' }) })
    this.#engines = openEngines(
      { engines: config.engines },
      { clock, random, logger: logger.child({ part: 'engines' }) },
    )
    const resultDirectory = results.directory ?? null
    const removeFiles = async (handle: string) => {
      if (resultDirectory !== null) await removeResultFiles(resultDirectory, handle)
    }

    this.#host = new QueryHost(this.#environment(), (engine, lane) => this.#cluster.budgetOf(engine, lane))
    const { passivateMs, idleMs, revalidateMs } = config.sessions
    this.#sessions = new SessionHost({ sessions: this.#store.sessions, clock, random, nodeId: node.id, passivateMs })
    this.#cluster = new Cluster({
      settings: {
        node: node.id,
        address: node.advertiseUrl,
        softwareVersion: softwareVersion(),
        snapshotVersion: queryMachineVersion,
        ...config.cluster,
        drainGraceMs: config.drain.graceMs,
      },
      stores: this.#store,
      lease: leaseModuleOf({ url, attemptMs: periodsOf(config.cluster).attemptMs }),
      work: this.#host,
      lanes: this.#engines.drivers.flatMap(({ name, slots }) =>
        lanes.map(lane => ({ engine: name, lane, slots: slots[lane] })),
      ),
      clock,
      random,
      log: logger.child({ part: 'cluster' }),
      count: name => countInto(this.#metrics, name),
      queryRetentionMs: config.queries.retentionMs,
      runningPerUser: config.limits.runningPerUser,
      onResultExpired: removeFiles,
      onSessionsEnded: ids => this.#gateway.sessionClosed(ids),
      onCutOff: () => {
        logger.error({}, 'cut off from the database and from every peer: ending what the engines run')
        void this.#host.abandon()
      },
      onDrainRequested: () => {
        logger.info({}, 'asked to drain')
        void this.stop()
      },
      onFatal: dependencies.onFatal ?? (error => this.#endProcess(error)),
    })
    this.#gateway = new LensGateway({
      store: this.#store,
      host: this.#host,
      sessions: this.#sessions,
      engines: this.#engines,
      results: new ResultReader({ pages: this.#store.pages, directory: resultDirectory }),
      peers: this.#cluster.peerPort,
      cluster: this.#cluster,
      settings: {
        admins: config.auth.admins,
        sessionIdleMs: idleMs,
        sessionsPerUser: config.limits.sessionsPerUser,
        sqlBytesMax: config.limits.sqlBytesMax,
        propertiesBytesMax: config.limits.propertiesBytesMax,
        pageRowsMax: config.limits.pageRowsMax,
        revalidateMs,
      },
      clock,
      random,
      logger: logger.child({ part: 'gateway' }),
      nodeId: node.id,
      tokenSecret: config.cluster.secret,
      databaseNow: () => this.#cluster.databaseNow(),
      deleteResultFiles: removeFiles,
    })
    this.#api = new ApiServer({
      gateway: this.#gateway,
      config,
      logger: logger.child({ part: 'api' }),
      metrics: this.#metrics,
      identity: () => this.#cluster.identity,
      upgrades: { busHandleUpgrade: (request, socket, head) => this.#cluster.handleUpgrade(request, socket, head) },
      clock,
      random,
    })
    this.#cluster.bus.listen(message => {
      if (message.type === 'frames') this.#gateway.deliver(message.frames)
      else if (message.type === 'progress') this.#gateway.deliverProgress(message.frames)
      else if (message.type === 'session-closed') this.#gateway.sessionClosed(message.ids)
    })
    this.#cluster.onOwnership((change, users) => this.#gateway.ownershipChanged(change, users))
  }

  /** What the actors are given. The host is the cluster's work and the cluster the host's membership: asked, never held. */
  #environment(): ActorEnvironment {
    const { queries, limits, lanes: laneConfig, results, node } = this.#config
    const news = new HandOverNews(this.#clock, node.id, (target, change, users) => {
      this.#cluster.tellToLook(target)
      this.#cluster.announceOwnership(change, users)
    })
    return {
      clock: this.#clock,
      random: this.#random,
      logger: this.#logger.child({ part: 'actors' }),
      store: this.#store,
      pages: this.#store.pages,
      engines: this.#engines,
      membership: {
        nodeId: node.id,
        incarnation: () => this.#cluster.incarnation(),
        leaseValid: () => this.#cluster.leaseValid(),
        doubt: () => void this.#cluster.membership.confirm().catch(() => undefined),
        databaseNow: () => this.#cluster.databaseNow(),
      },
      settings: {
        heavyFromCost: laneConfig.heavyFromCost,
        failurePolicy: queries,
        limits: {
          queuedPerUser: limits.queuedPerUser,
          runningPerUser: limits.runningPerUser,
          queuedPerLane: laneConfig.queuedMax,
        },
        resultBytesMax: limits.resultBytesMax,
        resultRetentionMs: results.retentionMs,
        resultDirectory: results.directory ?? null,
        progressMs,
        journalFlightsMax,
        journalBatchMax,
      },
      events: {
        committed: steps => {
          for (const { event, snapshot } of steps) {
            this.#metrics.transitions.inc({ machine: 'query', event })
            if (snapshot.context.finishedAt !== null)
              this.#metrics.queriesFinished.inc({ outcome: snapshot.value as string })
          }
          this.#gateway.committed(steps)
        },
        progressed: ({ handle, sessionId }, progress) => this.#gateway.progressed({ handle, sessionId, progress }),
        handedOver: changes => news.add(changes, new Date(this.#cluster.databaseNow()).toISOString()),
      },
    }
  }

  async start(): Promise<void> {
    const { host, port } = this.#config.node
    await this.#api.start()
    this.#logger.info({ host, port, advertised: this.url }, 'listening')
    await this.#openStore()
    await this.#engines.start()
    this.#gateway.start()
    await this.#cluster.start()
    this.#host.budgetsChanged()
    await this.#host.look()
    this.#logger.info({ incarnation: this.#cluster.incarnation(), url: this.url }, 'the node serves')
  }

  /** A store that cannot be reached is waited for; the log says so, and so does `/readyz`. */
  async #openStore(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#store.open()
        return
      } catch (error) {
        if (!(error instanceof LensError) || error.code !== 'STORE_UNAVAILABLE') throw error
        this.#logger.warn({ err: error, attempt }, 'the store cannot be reached, waiting for it')
        await this.#clock.sleep(backoffDelayMs(storeBackoff, attempt, this.#random))
      }
    }
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
    // Subscribers are sent to who is there now, not to who was there when the members were last read.
    await Promise.race([this.#cluster.watch.refresh().catch(() => undefined), this.#clock.sleep(membersReadMs)])
    this.#gateway.beginDrain()
    await Promise.all([
      this.#clock.sleep(readinessMs),
      this.#cluster
        .drainSelf()
        .catch(error => this.#logger.error({ err: error }, 'not everything could be handed over')),
    ])
    await this.#api.untilAnswered(lastAnswersMs)
    await this.#api.untilUnsought()
    this.#api.closeListener()
    await this.#api.shedConnections(shedMs, lastAnswersMs)
    await this.#cluster.stop()
    this.#gateway.stop()
    await this.#api.stop()
    this.#host.stop()
    this.#sessions.stop()
    await this.#engines.stop()
    await this.#store.close()
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

/**
 * The composition root: builds every service of a node from its configuration, starts them in order, and takes them down so
 * that nobody notices.
 *
 *     listening (identity, health) ─▶ store open ─▶ engines ─▶ joined ─▶ serving ─▶ draining ─▶ left
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { ApiServer } from './api/index.ts'
import { Assembly, webhookInterests } from './assembly.ts'
import { type Clock, deferred, type Random, systemClock, systemRandom } from './async/index.ts'
import { Authentication, RequestRates } from './auth/index.ts'
import { type ClusterCount, periodsOf, slotKey } from './cluster/index.ts'
import { type Config, withPort } from './config/index.ts'
import { lanes } from './domain/index.ts'
import { type Engines, openEngines } from './engines/index.ts'
import {
  type AuditLog,
  createLogger,
  createMetrics,
  type LevelledLogger,
  type LogContext,
  LogLevelControl,
  type Metrics,
  openAuditLog,
} from './observability/index.ts'
import { type Backlog, leaseModuleOf, openStore, type Store } from './store/index.ts'
import { NodeTls } from './tls/index.ts'
import { openTracing, type Tracing } from './tracing/index.ts'

export interface NodeDependencies {
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: LevelledLogger
  /** It cannot go on: another live process took its name. Ends the process unless given. */
  readonly onFatal?: (error: Error) => void
}

export interface RunningNode {
  readonly url: string
  readonly nodeId: string
  /** Resolves when the node has left, whoever asked for it. */
  readonly left: Promise<void>
  /** Files that others move away or change are opened anew, certificates included: what SIGHUP asks for. */
  reopenFiles(): void
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
  const tracing = await openTracing(process.env, {
    node: config.node.id,
    version: softwareVersion(),
    clock: dependencies.clock ?? systemClock,
  })
  const node = new Node(config, dependencies, tracing)
  await node.start()
  return node
}

class Node implements RunningNode {
  readonly url: string
  readonly nodeId: string
  readonly left: Promise<void>
  readonly #config: Config
  readonly #logger: LevelledLogger
  readonly #logLevel: LogLevelControl
  readonly #metrics: Metrics
  readonly #assembly: Assembly
  readonly #api: ApiServer
  readonly #authentication: Authentication
  readonly #audit: AuditLog | null
  readonly #tls: NodeTls
  readonly #tracing: Tracing | null
  readonly #clock: Clock
  readonly #left = deferred()
  #stopping: Promise<void> | null = null

  constructor(config: Config, dependencies: NodeDependencies, tracing: Tracing | null) {
    const { clock = systemClock, random = systemRandom } = dependencies
    const { node, store: storeConfig } = config
    this.#config = config
    this.#clock = clock
    this.#tls = new NodeTls(config)
    this.#tracing = tracing
    this.url = node.advertiseUrl
    this.nodeId = node.id
    this.left = this.#left.promise
    this.#logger =
      dependencies.logger ??
      createLogger({ level: config.log.level, context: { node: node.id }, facts: () => this.#facts() })
    this.#logLevel = new LogLevelControl(this.#logger, config.log.level, clock)
    this.#metrics = createMetrics()
    this.#metrics.build.set({ version: softwareVersion() }, 1)
    const logger = this.#logger
    const { url, connectionsMax, retryMs } = storeConfig
    const storeTls = { mode: storeConfig.tls.mode, credentials: this.#tls.towardsStore }
    const storeLogger = logger.child({ part: 'store' })
    const webhooks = webhookInterests(config.webhooks)
    // From the start on: the first increase of a series that was not there is none to Prometheus.
    for (const { name: webhook } of webhooks)
      for (const outcome of ['delivered', 'failed', 'dead'])
        this.#metrics.webhookDeliveries.inc({ webhook, outcome }, 0)
    const store = openStore({
      ...{ url, tls: storeTls, connectionsMax, retryMs, clock, random, logger: storeLogger, webhooks },
      onCall: (kind, seconds) => this.#metrics.storeSeconds.observe({ kind }, seconds),
    })
    const engines = openEngines(
      { engines: config.engines },
      {
        ...{ clock, random, logger: logger.child({ part: 'engines' }) },
        onProcessDeath: engine => this.#metrics.engineProcessDeaths.inc({ engine }),
      },
    )
    this.#audit = config.audit.file === undefined ? null : openAuditLog(config.audit.file, node.id, () => clock.now())
    const { rates } = store
    this.#authentication = new Authentication({
      auth: config.auth,
      rates,
      clock,
      random,
      log: logger.child({ part: 'auth' }),
    })
    const { requestsPerUser: perUser, requestsPerAddress: perAddress } = config.limits
    const requestRates = new RequestRates({ rates, clock, perUser, perAddress })
    this.#assembly = new Assembly({
      ...(this.#audit ? { audit: this.#audit } : {}),
      ...(requestRates.limitsUsers ? { admit: (user: string) => requestRates.ofUser(user) } : {}),
      config,
      softwareVersion: softwareVersion(),
      clock,
      random,
      logger,
      logLevel: this.#logLevel,
      store,
      engines,
      cluster: {
        lease: leaseModuleOf({ url, tls: storeConfig.tls, attemptMs: periodsOf(config.cluster).attemptMs }),
        credentials: this.#tls.towardsPeers,
        count: (name, by) => countInto(this.#metrics, name, by),
        onRecovered: ({ cause, queries, seconds }) => {
          this.#metrics.takeovers.inc({ cause })
          this.#metrics.takeoverQueries.inc({ cause }, queries)
          if (seconds !== null) this.#metrics.takeoverSeconds.observe({ cause }, seconds)
          tracing?.takeover(cause, queries, seconds ?? 0)
        },
      },
      onCommitted: steps => {
        tracing?.steps(steps)
        for (const { event, snapshot } of steps) {
          this.#metrics.transitions.inc({ machine: 'query', event: event.type })
          if (snapshot.context.finishedAt !== null)
            this.#metrics.queriesFinished.inc({ outcome: snapshot.value as string })
        }
      },
      onBatch: (queries, seconds) => {
        this.#metrics.journalBatchSize.observe(queries)
        this.#metrics.journalCommitSeconds.observe(seconds)
      },
      deliveries: {
        onAttempt: (webhook, outcome) => this.#metrics.webhookDeliveries.inc({ webhook, outcome }),
        onBacklog: backlog => backlogInto(this.#metrics, backlog, clock.now()),
      },
      onDrainRequested: () => {
        logger.info({}, 'asked to drain')
        void this.stop()
      },
      onFatal: dependencies.onFatal ?? (error => this.#endProcess(error)),
    })
    const { cluster, door } = this.#assembly
    this.#metrics.onReading(() => readInto(this.#metrics, this.#assembly, store, engines))
    this.#api = new ApiServer({
      gateway: door,
      authenticator: this.#authentication,
      admitAddress: requestRates.limitsAddresses ? address => requestRates.ofAddress(address) : null,
      onRefused: ({ user = null, code, origin }) =>
        this.#audit?.record({ event: 'session.opened', outcome: code, user, ...origin }),
      config,
      logger: logger.child({ part: 'api' }),
      metrics: this.#metrics,
      identity: () => cluster.identity,
      tracing,
      tls: this.#tls.listener,
      upgrades: { busHandleUpgrade: (request, socket, head) => cluster.handleUpgrade(request, socket, head) },
      clock,
      random,
    })
  }

  /** Of every line of the log. Lines are written before there is a cluster, too. */
  #facts(): LogContext {
    if (!this.#assembly) return {}
    const { identity, watch } = this.#assembly.cluster
    const term = watch.snapshot.lease?.term
    return { incarnation: identity.incarnation, ...(term === undefined ? {} : { term }) }
  }

  async start(): Promise<void> {
    const { host, port } = this.#config.node
    await this.#authentication.start()
    await this.#api.start()
    await this.#tls.start({
      clock: this.#clock,
      log: this.#logger.child({ part: 'tls' }),
      onListener: () => this.#api.renewCertificates(),
      onLook: (use, outcome, endsAtMs) => {
        this.#metrics.certificateReloads.inc({ use, outcome })
        if (endsAtMs !== null) this.#metrics.certificateExpiry.set({ use }, endsAtMs / 1000)
      },
    })
    this.#logger.info({ host, port, address: this.url }, 'listening')
    await this.#assembly.start()
    this.#logger.info({ address: this.url }, 'the node serves')
  }

  reopenFiles(): void {
    this.#audit?.reopen()
    this.#tls.look()
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
    await this.#tls.stop()
    await this.#tracing?.close()
    this.#metrics.close()
    this.#audit?.close()
    this.#logLevel.stop()
    this.#logger.info({}, 'left')
  }

  #endProcess(error: Error): void {
    this.#logger.fatal({ err: error }, 'this node cannot go on')
    process.exit(1)
  }
}

const counted: Partial<Record<ClusterCount, (metrics: Metrics, by: number) => void>> = {
  beatsRenewed: metrics => metrics.leaseRenewals.inc({ outcome: 'renewed' }),
  beatsFailed: metrics => metrics.leaseRenewals.inc({ outcome: 'failed' }),
  beatsSkipped: metrics => metrics.leaseRenewals.inc({ outcome: 'late' }),
  incarnationsLost: metrics => metrics.fenced.inc(),
  termsGained: metrics => metrics.leader.set(1),
  termsLost: metrics => metrics.leader.set(0),
  queriesRebalanced: (metrics, by) => metrics.rebalanced.inc(by),
  peersCut: (metrics, by) => metrics.peersCut.inc(by),
  peerFramesMalformed: (metrics, by) => metrics.peerFramesMalformed.inc(by),
}

function countInto(metrics: Metrics, name: ClusterCount, by = 1): void {
  counted[name]?.(metrics, by)
}

/** What is not counted as it happens, but read when somebody asks. */
function readInto(metrics: Metrics, { cluster, host }: Assembly, store: Store, engines: Engines): void {
  const { members, lease } = cluster.watch.snapshot
  if (lease) metrics.term.set(lease.term)
  // Left ones vanish, and with them the series of a state that nobody is in.
  metrics.members.reset()
  for (const { state } of members) metrics.members.inc({ state })
  metrics.peers.set(cluster.peers.length)
  metrics.storeStatements.reset()
  metrics.storeStatements.inc(store.statementCount)
  metrics.storePending.set(store.pending)
  metrics.leaseRemaining.set(Math.max(0, cluster.membership.leaseLeftMs()) / 1000)
  const inUse = host.lanes.inUse()
  for (const driver of engines.drivers) {
    const engine = driver.name
    metrics.engineHealthy.set({ engine }, driver.healthy() ? 1 : 0)
    for (const lane of lanes) {
      metrics.running.set({ engine, lane }, inUse.get(slotKey(engine, lane)) ?? 0)
      metrics.queued.set({ engine, lane }, host.lanes.waiting(engine, lane))
      metrics.slots.set({ engine, lane }, cluster.budgetOf(engine, lane))
    }
  }
}

/** Of the leader alone: on others and on who led before there is nothing. */
function backlogInto(metrics: Metrics, backlog: readonly Backlog[], nowMs: number): void {
  for (const gauge of [metrics.webhookPending, metrics.webhookDead, metrics.webhookOldest]) gauge.reset()
  for (const { webhook, pending, dead, oldestPendingAt } of backlog) {
    metrics.webhookPending.set({ webhook }, pending)
    metrics.webhookDead.set({ webhook }, dead)
    metrics.webhookOldest.set({ webhook }, oldestPendingAt === null ? 0 : (nowMs - Date.parse(oldestPendingAt)) / 1000)
  }
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

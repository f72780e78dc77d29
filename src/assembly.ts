/**
 * What makes a node, without its doors: actors, cluster and gateway over a store and engines that are given, wired to each
 * other. `node.ts` puts HTTP, a file or server for a store, and a process around it; a simulation puts its own world there.
 *
 *     built ──start──▶ serving ──handOverAll──▶ draining ──leaveCluster──▶ left ──close──▶ closed
 */
import { type ActorEnvironment, OwedEnds, QueryHost, SessionHost } from './actors/index.ts'
import { backoffDelayMs, type Clock, type Random } from './async/index.ts'
import { Cluster, type ClusterOptions, LogLevels, type OwnLogLevel } from './cluster/index.ts'
import type { Config, WebhookConfig } from './config/index.ts'
import { LensError, lanes, queryMachineVersion } from './domain/index.ts'
import type { Engines } from './engines/index.ts'
import { audited, type Gateway, type GatewayOptions, LensGateway, viewOfRow, WebhookDesk } from './gateway/index.ts'
import { HandOverNews } from './hand-over-news.ts'
import type { AuditLog, Logger } from './observability/index.ts'
import { ResultReader, removeLeftovers, removeResultFiles } from './results/index.ts'
import type { Store, WebhookInterest } from './store/index.ts'
import { type ChannelSettings, WebhookDuty, type WebhookDutyOptions } from './webhooks/index.ts'

/** The groups of the configuration that matter behind the doors. */
export type AssemblyConfig = Pick<
  Config,
  'node' | 'cluster' | 'drain' | 'lanes' | 'limits' | 'sessions' | 'results' | 'queries' | 'webhooks' | 'auth'
>

export interface AssemblyOptions {
  readonly config: AssemblyConfig
  readonly softwareVersion: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly logLevel: OwnLogLevel
  readonly store: Store
  readonly engines: Engines
  /** How it renews its lease, asks who is there, and speaks to peers. */
  readonly cluster: Pick<ClusterOptions, 'lease' | 'probe' | 'bus' | 'count' | 'credentials' | 'onRecovered'>
  /** Whether a user may send one more request. */
  readonly admit?: GatewayOptions['admit']
  /** Where deeds are written down before they are answered. */
  readonly audit?: Pick<AuditLog, 'record'>
  /** Told of every committed step, before the gateway is. */
  readonly onCommitted?: (steps: Parameters<ActorEnvironment['events']['committed']>[0]) => void
  /** Told of every commit of the journal. */
  readonly onBatch?: ActorEnvironment['events']['batched']
  /** What becomes of deliveries to webhooks. */
  readonly deliveries?: Pick<WebhookDutyOptions, 'onAttempt' | 'onBacklog'>
  /** Somebody asks this node to leave. */
  readonly onDrainRequested: () => void
  /** It cannot go on: another live process took its name. */
  readonly onFatal: (error: Error) => void
}

const storeBackoff = { firstMs: 100, limitMs: 2_000 }
/** A departing node that cannot read the members within this time goes by what it read last. */
const membersReadMs = 500
const progressMs = 500
const journalFlightsMax = 4
const journalBatchMax = 128
/** How soon the leader finds what another node's query owes to a webhook. */
const webhookPollMs = 500

export class Assembly {
  readonly host: QueryHost
  readonly sessions: SessionHost
  readonly cluster: Cluster
  readonly gateway: LensGateway
  /** The gateway as front doors are given it. */
  readonly door: Gateway
  readonly #options: AssemblyOptions
  readonly #webhooks: WebhookDuty

  constructor(options: AssemblyOptions) {
    this.#options = options
    const { config, clock, random, logger, store, engines } = options
    const { node, results } = config
    const resultDirectory = results.directory ?? null
    const removeFiles = async (handle: string) => {
      if (resultDirectory !== null) await removeResultFiles(resultDirectory, handle)
    }

    this.#webhooks = new WebhookDuty({
      store: store.webhooks,
      webhooks: Object.entries(config.webhooks).map(channelOf),
      views: async handles => (await store.queries.read(handles)).filter(row => row.finished).map(viewOfRow),
      ...{ clock, random, log: logger.child({ part: 'webhooks' }), pollMs: webhookPollMs },
      databaseNow: () => this.cluster.databaseNow(),
      onAttempt: options.deliveries?.onAttempt ?? (() => undefined),
      onBacklog: options.deliveries?.onBacklog ?? (() => undefined),
    })
    const environment = this.#environment()
    const owedEnds = new OwedEnds(environment)
    this.host = new QueryHost(environment, (engine, lane) => this.cluster.budgetOf(engine, lane))
    const { passivateMs, idleMs, revalidateMs } = config.sessions
    this.sessions = new SessionHost({ sessions: store.sessions, clock, nodeId: node.id, passivateMs })
    this.cluster = new Cluster({
      ...options.cluster,
      settings: {
        node: node.id,
        address: node.advertiseUrl,
        softwareVersion: options.softwareVersion,
        snapshotVersion: queryMachineVersion,
        ...config.cluster,
        drainGraceMs: config.drain.graceMs,
      },
      stores: store,
      work: this.host,
      lanes: engines.drivers.flatMap(({ name, slots }) =>
        lanes.map(lane => ({ engine: name, lane, slots: slots[lane] })),
      ),
      clock,
      random,
      log: logger.child({ part: 'cluster' }),
      retention: {
        queryMs: config.queries.retentionMs,
        finishedMax: config.queries.finishedMax,
        resultBytesMax: config.results.bytesMax,
      },
      runningPerUser: config.limits.runningPerUser,
      onResultExpired: removeFiles,
      onLeftovers: async goesOn => {
        if (resultDirectory === null) return
        const removed = await removeLeftovers(resultDirectory, store.retention, goesOn)
        if (removed > 0) logger.info({ removed }, 'removed what was left of results that are gone')
      },
      onOwedEnds: goesOn => owedEnds.settle(goesOn),
      duties: [this.#webhooks],
      onSessionsEnded: ids => this.gateway.sessionClosed(ids),
      onCutOff: () => {
        logger.error({}, 'cut off from the database and from every peer: ending what the engines run')
        void this.host.abandon()
      },
      onDrainRequested: options.onDrainRequested,
      onFatal: options.onFatal,
    })
    this.gateway = new LensGateway({
      store,
      host: this.host,
      sessions: this.sessions,
      engines,
      results: new ResultReader({ pages: store.pages, directory: resultDirectory }),
      peers: this.cluster.peerPort,
      cluster: this.cluster,
      logLevels: new LogLevels({
        ...{ node: node.id, own: options.logLevel, clock, random },
        ...{ bus: this.cluster.bus, watch: this.cluster.watch },
      }),
      webhooks: new WebhookDesk(store.webhooks, knownWebhooks(config.webhooks), () => this.#webhooks.wake()),
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
      tokenSecrets: [config.cluster.secret, config.cluster.secretAccepted].filter(secret => secret !== undefined),
      databaseNow: () => this.cluster.databaseNow(),
      deleteResultFiles: removeFiles,
      ...(options.admit ? { admit: options.admit } : {}),
    })
    this.door = options.audit ? audited(this.gateway, options.audit) : this.gateway
    this.cluster.bus.listen(message => {
      if (message.type === 'frames') this.gateway.deliver(message.frames)
      else if (message.type === 'progress') this.gateway.deliverProgress(message.frames)
      else if (message.type === 'session-closed') this.gateway.sessionsSaidClosed(message.ids)
    })
    this.cluster.onOwnership((change, users) => this.gateway.ownershipChanged(change, users))
  }

  /** What the actors are given. The host is the cluster's work and the cluster the host's membership: asked, never held. */
  #environment(): ActorEnvironment {
    const { config, clock, random, logger, store, engines, onCommitted, onBatch } = this.#options
    const { queries, limits, lanes: laneConfig, results, node } = config
    const news = new HandOverNews(clock, node.id, (target, change, users) => {
      this.cluster.tellToLook(target, change.handles)
      this.cluster.announceOwnership(change, users)
    })
    return {
      clock,
      random,
      logger: logger.child({ part: 'actors' }),
      store,
      pages: store.pages,
      engines,
      membership: {
        nodeId: node.id,
        incarnation: () => this.cluster.incarnation(),
        leaseValid: () => this.cluster.leaseValid(),
        doubt: () => void this.cluster.membership.confirm().catch(() => undefined),
        databaseNow: () => this.cluster.databaseNow(),
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
          onCommitted?.(steps)
          this.gateway.committed(steps)
          if (steps.some(({ snapshot }) => snapshot.context.finishedAt !== null)) this.#webhooks.wake()
        },
        ...(onBatch ? { batched: onBatch } : {}),
        revived: states => this.gateway.committed(states),
        progressed: ({ handle, sessionId }, progress) => this.gateway.progressed({ handle, sessionId, progress }),
        handedOver: changes => news.add(changes, new Date(this.cluster.databaseNow()).toISOString()),
      },
      changeSession: (id, change) =>
        this.sessions.change(id, change, new Date(this.cluster.databaseNow()).toISOString()),
    }
  }

  /** Resolves when it has joined and serves; waits for the database as long as it takes. */
  async start(): Promise<void> {
    await this.#openStore()
    await this.#options.engines.start()
    this.gateway.start()
    await this.cluster.start()
    this.host.budgetsChanged()
    // A database that goes away just now is waited for as at any other time: the cluster looks again once per lease.
    await this.host.look().catch(error => this.#options.logger.debug({ err: error }, 'the own rows cannot be read yet'))
  }

  /** A store that cannot be reached is waited for; the log says so, and so does `/readyz`. */
  async #openStore(): Promise<void> {
    const { store, clock, random, logger } = this.#options
    for (let attempt = 0; ; attempt++) {
      try {
        await store.open()
        return
      } catch (error) {
        if (!(error instanceof LensError) || error.code !== 'STORE_UNAVAILABLE') throw error
        logger.warn({ err: error, attempt }, 'the store cannot be reached, waiting for it')
        await clock.sleep(backoffDelayMs(storeBackoff, attempt, random))
      }
    }
  }

  /** Sends subscribers and work elsewhere; resolves when all work is given away, and readiness was false for `readinessMs`. */
  async handOverAll(readinessMs: number): Promise<void> {
    const { clock, logger } = this.#options
    // Subscribers are sent to who is there now, not to who was there when the members were last read.
    await Promise.race([this.cluster.watch.refresh().catch(() => undefined), clock.sleep(membersReadMs)])
    this.gateway.beginDrain()
    await Promise.all([
      clock.sleep(readinessMs),
      this.cluster.drainSelf().catch(error => logger.error({ err: error }, 'not everything could be handed over')),
    ])
  }

  /** Nobody asks here any more. */
  async leaveCluster(): Promise<void> {
    await this.cluster.stop()
    this.gateway.stop()
  }

  /** Safe only after `leaveCluster`. */
  async close(): Promise<void> {
    this.host.stop()
    this.sessions.stop()
    await this.#options.engines.stop()
    await this.#options.store.close()
  }
}

function channelOf([name, webhook]: readonly [string, WebhookConfig]): ChannelSettings {
  const { url = '', secret, secretBefore, ...rest } = webhook
  return { ...rest, name, url, secrets: [secret, secretBefore].filter(one => one !== undefined) }
}

function knownWebhooks(webhooks: AssemblyConfig['webhooks']) {
  return webhookInterests(webhooks).map(interest => ({ ...interest, url: webhooks[interest.name]?.url ?? '' }))
}

/** Which ends the store notes for which webhook. */
export function webhookInterests(webhooks: AssemblyConfig['webhooks']): WebhookInterest[] {
  return Object.entries(webhooks).map(([name, { outcomes, users }]) => ({
    ...{ name, outcomes },
    users: users.length > 0 ? users : null,
  }))
}

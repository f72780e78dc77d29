/** Builds the parts of a node's cluster, each given just what it needs of the others. */
import type { Clock, Random } from '../async/index.ts'
import type { OwnershipChangeView } from '../domain/index.ts'
import type { MemberRow } from '../store/contract.ts'
import type { LaneSlots } from './budget-plan.ts'
import type { ConnectedBus, PeerBusOptions } from './bus-contract.ts'
import type { TowardsPeers } from './certificates.ts'
import type { RetentionLimits } from './duties/sweeps.ts'
import { FailureDetector } from './failure-detector.ts'
import { type Heartbeat, type LeaseModule, ThreadHeartbeat } from './heartbeat.ts'
import { Isolation } from './isolation.ts'
import type { LeaderDuty } from './leader-duty.ts'
import { createLeadership, type Leadership } from './leadership.ts'
import { MemberWatch } from './member-watch.ts'
import { Membership } from './membership.ts'
import { WebSocketPeerBus } from './peer-bus.ts'
import type { ClusterLog, ClusterStores, CountUp, OwnedWork, Recovered } from './ports.ts'
import { httpProbe, type Probe } from './probe.ts'
import { type ClusterPeriods, type ClusterSettings, periodsOf } from './settings.ts'
import { SlotBudgets } from './slot-budgets.ts'
import { StoreHealth } from './store-health.ts'
import { StoreReach } from './store-reach.ts'

export interface ClusterOptions {
  readonly settings: ClusterSettings
  /** A `Store` is one. */
  readonly stores: ClusterStores
  /** Where the heartbeat's thread finds its store; or a heartbeat made elsewhere (simulations). */
  readonly lease: LeaseModule | Heartbeat
  readonly work: OwnedWork
  /** Slots of every engine and lane in the whole cluster; the same on all nodes. */
  readonly lanes: readonly LaneSlots[]
  readonly clock: Clock
  readonly random: Random
  readonly log: ClusterLog
  readonly count?: CountUp
  /** As leader: all queries of a dead member have been given to others. */
  readonly onRecovered?: (recovered: Recovered) => void
  /** Certificates towards other nodes, where their addresses are `https`. */
  readonly credentials?: TowardsPeers
  /** How an address is asked who is there; over HTTP unless given. */
  readonly probe?: Probe
  /** How nodes speak to each other; over WebSocket unless given. */
  readonly bus?: (options: PeerBusOptions) => ConnectedBus
  /** What is kept of finished queries; everything unless given. */
  readonly retention?: RetentionLimits
  /** Running queries of one user in the cluster; 0 = unlimited, unless set. */
  readonly runningPerUser?: number
  /** As leader: deletes what lies outside the store of an expired result. */
  readonly onResultExpired?: (handle: string, attempt: number) => Promise<void>
  /** As leader: deletes what lies outside the store and belongs to no result. */
  readonly onLeftovers?: (goesOn: () => boolean) => Promise<void>
  /** As leader: asks engines once for the ends that they still owe. */
  readonly onOwedEnds?: (goesOn: () => boolean) => Promise<void>
  /** What else the leader does. */
  readonly duties?: readonly LeaderDuty[]
  /** As leader: these sessions were expired or removed. (Peers are told by the bus.) */
  readonly onSessionsEnded?: (ids: readonly string[]) => void
  /** Neither database nor peers answer for three leases: end the engine processes. */
  readonly onCutOff?: () => void
  /** Somebody asks this node to drain: its row says so, or `drain` was called with its name. */
  readonly onDrainRequested?: () => void
  /** It cannot go on: another live process took its name while it was fenced. */
  readonly onFatal?: (error: Error) => void
}

/** What the parts ask of the whole. */
export interface PartHooks {
  readonly fenced: (member: MemberRow) => void
  readonly granted: () => void
  readonly slotsReturned: () => void
  readonly changedHands: (targetIncarnation: string, change: OwnershipChangeView, users: readonly string[]) => void
  readonly tellToLook: (incarnation: string) => void
  readonly sessionsEnded: (ids: readonly string[]) => void
  readonly hasPeers: () => boolean
}

export interface ClusterParts {
  readonly periods: ClusterPeriods
  readonly health: StoreHealth
  readonly heartbeat: Heartbeat
  readonly membership: Membership
  readonly bus: ConnectedBus
  readonly reach: StoreReach
  readonly watch: MemberWatch
  readonly detector: FailureDetector
  readonly budgets: SlotBudgets
  readonly leadership: Leadership
  readonly isolation: Isolation
}

export function createParts(options: ClusterOptions, hooks: PartHooks): ClusterParts {
  const { settings, stores, clock, random, log, work, lease, lanes } = options
  const count: CountUp = options.count ?? (() => undefined)
  const periods = periodsOf(settings)
  const probe = options.probe ?? httpProbe(clock, periods.probeMs, options.credentials)
  const health = new StoreHealth(periods)
  const heartbeat = 'moduleUrl' in lease ? new ThreadHeartbeat({ lease, ...periods, clock, random, log }) : lease
  // First, so that whoever acts on a beat finds the health that goes with it.
  heartbeat.onBeat(beat => health.observe(beat))
  const membership = new Membership({ settings, periods, stores, heartbeat, probe, clock, random, log, count })
  const { secret, secretAccepted } = settings
  const { credentials } = options
  const makeBus = options.bus ?? (wiring => new WebSocketPeerBus({ ...wiring, secret, secretAccepted, credentials }))
  const bus = makeBus({ ...periods, self: () => membership.identity, clock, random, log, count })
  const watch = new MemberWatch({ store: stores.cluster, clock, periods, health, log })
  const ownIncarnation = () => membership.incarnation
  const detector = new FailureDetector({ probe, watch, ownIncarnation, clock, periods, log })
  const leadership = createLeadership({
    settings,
    periods,
    stores,
    membership,
    heartbeat,
    watch,
    health,
    lanes,
    clock,
    log,
    count,
    databaseNow: () => health.databaseNowMs(clock.monotonic()) ?? clock.now(),
    suspect: (incarnation, cause) => void detector.suspect(incarnation, cause),
    retention: options.retention ?? { queryMs: 0, finishedMax: 0, resultBytesMax: 0 },
    runningPerUser: options.runningPerUser ?? 0,
    onFenced: hooks.fenced,
    onGranted: hooks.granted,
    onRecovered: options.onRecovered ?? (() => undefined),
    announce: hooks.changedHands,
    tellToLook: hooks.tellToLook,
    onResultExpired: options.onResultExpired ?? (async () => undefined),
    onLeftovers: options.onLeftovers ?? (async () => undefined),
    onOwedEnds: options.onOwedEnds ?? (async () => undefined),
    onSessionsEnded: hooks.sessionsEnded,
    duties: options.duties ?? [],
  })
  const budgets = new SlotBudgets({
    store: stores.cluster,
    membership,
    work,
    clock,
    periods,
    log,
    onReturned: hooks.slotsReturned,
  })
  const isolation = new Isolation({
    clock,
    periods,
    log,
    databaseHeardAtMs: () => health.lastAnswerMs,
    peersHeardAtMs: () => bus.heardAtMs,
    hasPeers: hooks.hasPeers,
    onCutOff: () => options.onCutOff?.(),
  })
  return {
    periods,
    health,
    heartbeat,
    membership,
    bus,
    reach: new StoreReach(bus),
    watch,
    detector,
    budgets,
    leadership,
    isolation,
  }
}

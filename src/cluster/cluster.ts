/**
 * A node's part in the cluster: membership, heartbeat, elector, failure detection, peer bus, budgets, drain; built and wired
 * here, and shown to the rest of the node as one service.
 *
 *     new ──start──▶ joining ──▶ member ──(fenced)──▶ abandoning ──▶ joining …
 *                                  └──drain──▶ draining ──stop──▶ left
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { CancelTimer, Clock, Random, Service } from '../async/index.ts'
import type { ClusterView, Interest, OwnershipChangeView, ProgressFrame, QueryFrame } from '../domain/index.ts'
import type { ClusterPort, PeerPort } from '../gateway/index.ts'
import type { MemberRow } from '../store/contract.ts'
import type { LaneSlots } from './budget-plan.ts'
import type { PeerBus, PeerMessage } from './bus-contract.ts'
import { clusterViewOf } from './cluster-view.ts'
import { FailureDetector } from './failure-detector.ts'
import { type Heartbeat, type LeaseModule, ThreadHeartbeat } from './heartbeat.ts'
import { Isolation } from './isolation.ts'
import { createLeadership, type Leadership } from './leadership.ts'
import { Listeners } from './listeners.ts'
import { type MemberSnapshot, MemberWatch } from './member-watch.ts'
import { Membership } from './membership.ts'
import { WebSocketPeerBus } from './peer-bus.ts'
import type { ClusterLog, ClusterStores, CountUp, HandOverTarget, OwnedWork } from './ports.ts'
import { httpProbe, type NodeIdentity, type Probe } from './probe.ts'
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
  /** How an address is asked who is there; over HTTP unless given. */
  readonly probe?: Probe
  /** As leader: deletes what lies outside the store of an expired result. */
  readonly onResultExpired?: (handle: string, attempt: number) => Promise<void>
  /** As leader: these sessions were expired or removed. (Peers are told by the bus.) */
  readonly onSessionsEnded?: (ids: readonly string[]) => void
  /** Neither database nor peers answer for three leases: end the engine processes. */
  readonly onCutOff?: () => void
  /** Somebody asks this node to drain: its row says so, or `drain` was called with its name. */
  readonly onDrainRequested?: () => void
  /** It cannot go on: another live process took its name while it was fenced. */
  readonly onFatal?: (error: Error) => void
}

export class Cluster implements Service, ClusterPort, PeerPort {
  readonly membership: Membership
  readonly health: StoreHealth
  readonly watch: MemberWatch
  readonly budgets: SlotBudgets
  readonly detector: FailureDetector
  readonly #options: ClusterOptions
  readonly #periods: ClusterPeriods
  readonly #heartbeat: Heartbeat
  readonly #bus: WebSocketPeerBus
  readonly #reach: StoreReach
  readonly #leadership: Leadership
  readonly #isolation: Isolation
  readonly #changes: Listeners<[]>
  readonly #ownership: Listeners<[OwnershipChangeView, readonly string[]]>
  readonly #timers: CancelTimer[] = []
  readonly #ended = new AbortController()
  #rejoining: Promise<void> = Promise.resolve()
  #draining: Promise<void> | undefined
  #drainRequested = false
  #stopping: Promise<void> | undefined
  #started = false
  #databaseAnswers = true

  constructor(options: ClusterOptions) {
    const { settings, stores, clock, random, log, work, lease } = options
    const count: CountUp = options.count ?? (() => undefined)
    const periods = periodsOf(settings)
    const probe = options.probe ?? httpProbe(clock, periods.probeMs)
    this.#options = options
    this.#periods = periods
    this.#changes = new Listeners(log)
    this.#ownership = new Listeners(log)
    this.health = new StoreHealth(periods)
    this.#heartbeat = 'moduleUrl' in lease ? new ThreadHeartbeat({ lease, ...periods, clock, random, log }) : lease
    this.#heartbeat.onBeat(beat => {
      this.health.observe(beat)
      if (beat.outcome === 'skipped') count('beatsSkipped')
      else count(beat.databaseNowMs === null ? 'beatsFailed' : 'beatsRenewed')
      if (beat.outcome !== 'skipped') this.#noteDatabase(beat.databaseNowMs !== null, beat.error)
    })
    this.membership = new Membership({
      settings,
      periods,
      stores,
      heartbeat: this.#heartbeat,
      probe,
      clock,
      random,
      log,
      count,
    })
    const { membership } = this
    const self = () => membership.identity
    this.#bus = new WebSocketPeerBus({ secret: settings.secret, self, clock, random, log, count, ...periods })
    this.#reach = new StoreReach(this.#bus)
    this.watch = new MemberWatch({ store: stores.cluster, clock, periods, health: this.health, log })
    const { watch, health } = this
    this.detector = new FailureDetector({
      probe,
      watch,
      ownIncarnation: () => membership.incarnation,
      clock,
      periods,
      log,
    })
    this.#leadership = createLeadership({
      settings,
      periods,
      stores,
      membership,
      heartbeat: this.#heartbeat,
      watch,
      health,
      lanes: options.lanes,
      clock,
      log,
      count,
      databaseNow: () => this.databaseNow(),
      suspect: (incarnation, cause) => void this.detector.suspect(incarnation, cause),
      onFenced: member => this.#fenced(member),
      onGranted: () => this.#clusterChanged(),
      announce: (target, change, users) => {
        this.tellToLook(target)
        this.announceOwnership(change, users)
      },
      tellToLook: incarnation => this.tellToLook(incarnation),
      onResultExpired: options.onResultExpired ?? (async () => undefined),
      onSessionsEnded: ids => {
        this.sessionClosed(ids)
        options.onSessionsEnded?.(ids)
      },
    })
    this.budgets = new SlotBudgets({
      store: stores.cluster,
      membership,
      work,
      clock,
      periods,
      log,
      onReturned: () => {
        this.#leadership.budgets.hint()
        this.#bus.broadcast({ type: 'cluster-changed' })
      },
    })
    this.#isolation = new Isolation({
      clock,
      periods,
      log,
      databaseHeardAtMs: () => health.lastAnswerMs,
      peersHeardAtMs: () => this.#bus.heardAtMs,
      hasPeers: () => this.#others().length > 0,
      onCutOff: () => options.onCutOff?.(),
    })
    this.#listen()
  }

  // ------------------------------------------------------------ facts

  get nodeId(): string {
    return this.#options.settings.node
  }
  get bus(): PeerBus {
    return this.#bus
  }
  /** What `GET /cluster/v1/identity` answers, from before the start on. */
  get identity(): NodeIdentity {
    return this.membership.identity
  }
  /** The term that this node leads in; null: it does not lead. */
  get term(): number | null {
    return this.#leadership.elector.term
  }
  get isLeader(): boolean {
    return this.term !== null
  }
  get draining(): boolean {
    return this.#draining !== undefined
  }
  /** Incarnations of the peers that this node can speak to now. */
  get peers(): readonly string[] {
    return this.#bus.connected()
  }

  incarnation(): string {
    return this.membership.incarnation
  }
  leaseValid(): boolean {
    return this.membership.leaseValid()
  }
  budgetOf(engine: string, lane: string): number {
    return this.budgets.budgetOf(engine, lane)
  }
  /** The database's clock, in milliseconds since 1970; this machine's until the database has answered once. */
  databaseNow(): number {
    const { clock } = this.#options
    return this.health.databaseNowMs(clock.monotonic()) ?? clock.now()
  }

  async view(): Promise<ClusterView> {
    return clusterViewOf(this.watch.snapshot, this.#options.clock.monotonic())
  }

  otherNodes(): readonly string[] {
    return this.#others()
      .filter(member => member.state === 'alive')
      .map(member => member.address)
  }

  /** Told when members, their states or the leader changed. */
  onChange(listener: () => void): () => void {
    return this.#changes.add(listener)
  }

  onOwnership(listener: (change: OwnershipChangeView, users: readonly string[]) => void): () => void {
    return this.#ownership.add(listener)
  }

  notReady(): string | null {
    if (this.#draining || this.#stopping) return 'the node is leaving the cluster'
    if (!this.#started || !this.membership.joined) return 'the node is joining the cluster'
    if (!this.membership.leaseValid() && this.#reach.byPeers) return 'the node does not reach the database, others do'
    return null
  }

  // ------------------------------------------------------------ hints

  publish(frames: readonly QueryFrame[]): void {
    this.#bus.publish(frames)
  }
  publishProgress(frame: ProgressFrame): void {
    this.#bus.publishProgress(frame)
  }
  want(interest: Interest): void {
    this.#bus.want(interest)
  }
  release(interest: Interest): void {
    this.#bus.release(interest)
  }
  cancelRequested(handles: readonly string[]): void {
    this.#bus.broadcast({ type: 'cancel', handles })
  }
  sessionClosed(ids: readonly string[]): void {
    this.#bus.broadcast({ type: 'session-closed', ids })
  }

  /** Some rows were given to this incarnation, or taken from it. */
  tellToLook(incarnation: string): void {
    if (incarnation === this.membership.incarnation) this.#look()
    else this.#bus.send(incarnation, { type: 'look' })
  }

  /** Shows a change of ownership to the subscribers of all nodes; `users` in the order of `change.handles`. */
  announceOwnership(change: OwnershipChangeView, users: readonly string[]): void {
    this.#bus.broadcast({ type: 'ownership', change, users })
    this.#ownership.tell(change, users)
  }

  /** For the HTTP server's `upgrade` event on `busPath`. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#bus.handleUpgrade(request, socket, head)
  }

  // ------------------------------------------------------------ life

  /**
   * Joins. The HTTP server should answer already (identity), or nobody takes over early from this node until it does. Waits
   * for the database as long as it takes; rejects with `NodeNameTaken`, or when `stop` is called meanwhile.
   */
  async start(): Promise<void> {
    if (this.#started) return
    this.#started = true
    const { clock } = this.#options
    await this.#heartbeat.start()
    await this.#bus.start()
    this.#timers.push(
      clock.every(this.#periods.heartbeatMs / 2, () => this.#publishLoad()),
      clock.every(this.#periods.lookMs, () => this.#look()),
    )
    await this.#join()
    this.watch.start()
    await this.budgets.start()
    this.#isolation.start()
  }

  /** Leaves. Without a `drain` before, what this node owns is taken over by others. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopNow()
    return this.#stopping
  }

  /** Begins the drain of a node by name; false: no such living node. */
  async drain(node: string): Promise<boolean> {
    const member = (await this.watch.refresh()).members.findLast(
      row => row.nodeId === node && this.watch.leaseLeftMs(row) > 0,
    )
    if (!member) return false
    if (member.incarnation === this.membership.incarnation) this.#askToDrain()
    else {
      await this.#options.stores.cluster.setState(member.incarnation, 'draining')
      this.#clusterChanged()
    }
    return true
  }

  /**
   * Hands all work over. Readiness is false from the call on; when it resolves this incarnation owns nothing (unless nobody
   * could take it), and `stop` leaves without anyone noticing. Safe twice.
   */
  drainSelf(): Promise<void> {
    this.#draining ??= this.#drainNow()
    return this.#draining
  }

  /** Ends everything at once and tells nobody, as the death of the process would; for tests and simulations. */
  async crash(): Promise<void> {
    this.#ended.abort(new Error('crashed'))
    this.#stopping ??= Promise.resolve()
    this.#endTimers()
    this.#heartbeat.act(null)
    this.#leadership.elector.stepDown('crashed')
    await Promise.all([this.#bus.stop(), this.#heartbeat.stop(), this.watch.stop(), this.budgets.stop()])
  }

  async #join(): Promise<void> {
    const { elector } = this.#leadership
    const { term } = await this.membership.join(this.#ended.signal)
    if (!this.#draining) await elector.start()
    if (term) elector.adopt(term.number, term.acquiredAtMs)
    await this.watch.refresh().catch(() => this.watch.hint())
    this.budgets.hint()
  }

  async #stopNow(): Promise<void> {
    const { log } = this.#options
    this.#ended.abort(new Error('the node is stopping'))
    this.#endTimers()
    if (!this.#started) return
    await this.#rejoining
    await this.#leadership.elector.stop()
    await this.budgets.stop()
    const left = await this.membership.leave().catch(error => {
      log.debug({ err: error }, 'could not leave: the lease runs out by itself')
      return false
    })
    if (!left) log.warn({}, 'left with unfinished queries: other members take them over')
    this.#bus.broadcast({ type: 'goodbye', reason: this.#draining ? 'draining' : 'stopping' })
    await this.#bus.stop()
    await this.watch.stop()
    await this.#heartbeat.stop()
  }

  #endTimers(): void {
    for (const cancel of this.#timers.splice(0)) cancel()
    this.#isolation.stop()
  }

  async #drainNow(): Promise<void> {
    const { stores, work, settings, log } = this.#options
    log.info({ node: settings.node }, 'draining')
    await stores.cluster.setState(this.membership.incarnation, 'draining').catch(error => {
      log.warn({ err: error }, 'could not publish the drain; going on')
    })
    await this.watch.refresh().catch(() => undefined)
    // Somebody who stays leads from now on; alone, it goes on with what it leads.
    if (this.#targets().length > 0) await this.#leadership.elector.resign()
    this.#clusterChanged()
    await work.handOver(() => this.#targets(), settings.drainGraceMs)
    log.info({ node: settings.node }, 'drained')
  }

  #askToDrain(): void {
    if (this.#drainRequested || this.#draining) return
    this.#drainRequested = true
    this.#options.onDrainRequested?.()
  }

  // ------------------------------------------------------------ wiring

  #listen(): void {
    const { membership, watch, detector } = this
    const { elector, fencing } = this.#leadership
    membership.onLost(incarnation => {
      this.#rejoining = this.#rejoining.then(() => this.#rejoin(incarnation))
    })
    watch.onRead(snapshot => {
      elector.consider(snapshot)
      this.#judgeOwnRow(snapshot)
    })
    watch.onChange(() => {
      this.#bus.connectTo(this.#others().map(member => ({ ...member, node: member.nodeId })))
      this.#changes.tell()
    })
    elector.onChange(term => {
      if (term !== null) this.#clusterChanged()
      else this.#changes.tell()
    })
    detector.onDead((member, cause) => {
      fencing.provedDead(member, cause)
      const { lease } = watch.snapshot
      if (lease?.holderIncarnation === member.incarnation) {
        void elector.takeFromDead(member.incarnation, lease.term).finally(() => watch.hint())
      } else if (lease && !this.isLeader) {
        this.#bus.send(lease.holderIncarnation, { type: 'suspected', incarnation: member.incarnation })
      }
    })
    this.#bus.onSuspicion(incarnation => void detector.suspect(incarnation))
    this.#bus.onArrival(incarnation => {
      if (!watch.member(incarnation)) watch.hint()
    })
    this.#bus.listen((message, from) => this.#receive(message, from))
  }

  #receive(message: PeerMessage, from: string): void {
    const { work, log } = this.#options
    switch (message.type) {
      case 'look':
        this.#look()
        break
      case 'cancel':
        if (work.cancel) work.cancel(message.handles)
        else this.#look()
        break
      case 'ownership':
        this.#ownership.tell(message.change, message.users)
        break
      case 'cluster-changed':
        this.watch.hint()
        this.budgets.hint()
        this.#leadership.budgets.hint()
        break
      case 'goodbye':
        log.debug({ from, reason: message.reason }, 'a peer says goodbye')
        this.watch.hint()
        break
      case 'suspected':
        if (message.incarnation !== this.membership.incarnation) void this.detector.suspect(message.incarnation)
        else this.membership.confirm().catch(error => log.debug({ err: error }, 'the own row cannot be read'))
    }
  }

  /** Its row tells a node two things that nobody else may have: it is dead, or it is asked to leave. */
  #judgeOwnRow({ members }: MemberSnapshot): void {
    if (!this.membership.joined) return
    const own = members.find(member => member.incarnation === this.membership.incarnation)
    if (own?.state === 'draining') this.#askToDrain()
    else if (!own) this.membership.confirm().catch(() => undefined)
  }

  async #rejoin(lost: string): Promise<void> {
    const { work, log, onFatal } = this.#options
    this.#bus.disconnect()
    try {
      await work
        .abandon()
        .catch(error => log.error({ err: error }, 'not all that a fenced incarnation ran could be ended'))
      if (this.#ended.signal.aborted) return
      await this.membership
        .inquireLoss(lost)
        .catch(error => log.debug({ err: error }, 'the cause of the loss cannot be read'))
      await this.#join()
      this.#bus.connectTo(this.#others().map(member => ({ ...member, node: member.nodeId })))
      work.budgetsChanged()
    } catch (error) {
      if (this.#ended.signal.aborted) return
      log.error({ err: error }, 'cannot join the cluster again')
      onFatal?.(error as Error)
    }
  }

  #fenced(member: MemberRow): void {
    this.#bus.send(member.incarnation, { type: 'suspected', incarnation: member.incarnation })
    this.#clusterChanged()
  }

  #clusterChanged(): void {
    this.#bus.broadcast({ type: 'cluster-changed' })
    this.watch.hint()
    this.budgets.hint()
  }

  #look(): void {
    if (!this.membership.joined || this.#ended.signal.aborted) return
    this.#options.work
      .look()
      .catch(error => this.#options.log.debug({ err: error }, 'the own rows could not be compared'))
  }

  #publishLoad(): void {
    const { running, queued } = this.#options.work.load()
    this.#heartbeat.publishLoad(running, queued)
    this.#reach.set(this.membership.leaseValid())
  }

  #noteDatabase(answers: boolean, error: string | null): void {
    if (answers === this.#databaseAnswers) return
    this.#databaseAnswers = answers
    const { log } = this.#options
    if (answers) {
      log.info({}, 'the database answers again')
      this.watch.hint()
    } else log.warn({ error }, 'the database does not answer')
  }

  /** The other members, by the last reading. */
  #others(): readonly MemberRow[] {
    return this.watch.snapshot.members.filter(member => member.incarnation !== this.membership.incarnation)
  }

  #targets(): readonly HandOverTarget[] {
    return this.#others()
      .filter(member => member.state === 'alive' && this.watch.leaseLeftMs(member) > 0)
      .map(member => ({ incarnation: member.incarnation, node: member.nodeId }))
  }
}

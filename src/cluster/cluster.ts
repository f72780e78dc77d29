/**
 * A node's part in the cluster: membership, heartbeat, elector, failure detection, peer bus, budgets, drain; wired here, and
 * shown to the rest of the node as one service.
 *
 *     new ──start──▶ joining ──▶ member ──(fenced)──▶ abandoning ──▶ joining …
 *                                  └──drainSelf──▶ draining ──stop──▶ left
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { CancelTimer, Service } from '../async/index.ts'
import type { ClusterView, OwnershipChangeView } from '../domain/index.ts'
import type { ClusterPort, PeerPort } from '../gateway/index.ts'
import type { MemberRow } from '../store/contract.ts'
import type { PeerBus } from './bus-contract.ts'
import { clusterViewOf } from './cluster-view.ts'
import { DatabaseNotice } from './database-notice.ts'
import type { FailureDetector } from './failure-detector.ts'
import { Listeners } from './listeners.ts'
import type { MemberSnapshot, MemberWatch } from './member-watch.ts'
import type { Membership } from './membership.ts'
import { type ClusterOptions, type ClusterParts, createParts } from './parts.ts'
import { peerPortOf } from './peer-port.ts'
import type { HandOverTarget } from './ports.ts'
import type { NodeIdentity } from './probe.ts'
import { receive } from './reception.ts'

export class Cluster implements Service, ClusterPort {
  readonly #options: ClusterOptions
  readonly #parts: ClusterParts
  readonly #peerPort: PeerPort
  readonly #changes: Listeners<[]>
  readonly #ownership: Listeners<[OwnershipChangeView, readonly string[]]>
  readonly #timers: CancelTimer[] = []
  readonly #ended = new AbortController()
  #rejoining: Promise<void> = Promise.resolve()
  #draining: Promise<void> | undefined
  #drainRequested = false
  #stopping: Promise<void> | undefined
  #started = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#changes = new Listeners(options.log)
    this.#ownership = new Listeners(options.log)
    this.#parts = createParts(options, {
      fenced: member => {
        this.#parts.bus.send(member.incarnation, { type: 'suspected', incarnation: member.incarnation })
        this.#clusterChanged()
      },
      granted: () => this.#clusterChanged(),
      slotsReturned: () => {
        this.#parts.leadership.budgets.hint()
        this.#parts.bus.broadcast({ type: 'cluster-changed' })
      },
      changedHands: (target, change, users) => {
        this.tellToLook(target, change.handles)
        this.announceOwnership(change, users)
      },
      tellToLook: incarnation => this.tellToLook(incarnation),
      sessionsEnded: ids => {
        this.#peerPort.sessionClosed(ids)
        options.onSessionsEnded?.(ids)
      },
      hasPeers: () => this.#others().length > 0,
    })
    this.#peerPort = peerPortOf(this.#parts.bus)
    this.#listen()
  }

  // ------------------------------------------------------------ facts

  get bus(): PeerBus {
    return this.#parts.bus
  }
  get membership(): Membership {
    return this.#parts.membership
  }
  /** Members and lease as last read. */
  get watch(): MemberWatch {
    return this.#parts.watch
  }
  /** Follows suspicions; asked, it probes. */
  get detector(): FailureDetector {
    return this.#parts.detector
  }
  /** What `GET /cluster/v1/identity` answers, from before the start on. */
  get identity(): NodeIdentity {
    return this.membership.identity
  }
  /** The term that this node leads in; null: it does not lead. */
  get term(): number | null {
    return this.#parts.leadership.elector.term
  }
  get isLeader(): boolean {
    return this.term !== null
  }
  /** Incarnations of the peers that this node can speak to now. */
  get peers(): readonly string[] {
    return this.#parts.bus.connected()
  }

  readonly incarnation = (): string => this.membership.incarnation
  readonly leaseValid = (): boolean => this.membership.leaseValid()
  budgetOf(engine: string, lane: string): number {
    return this.#parts.budgets.budgetOf(engine, lane)
  }
  /** The database's clock, in milliseconds since 1970; this machine's until the database has answered once. */
  databaseNow(): number {
    const { clock } = this.#options
    return this.#parts.health.databaseNowMs(clock.monotonic()) ?? clock.now()
  }

  async view(): Promise<ClusterView> {
    const { clock, settings } = this.#options
    const snapshot = await this.watch.recent(settings.heartbeatMs / 2)
    return clusterViewOf(snapshot, clock.monotonic(), this.databaseNow())
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
    if (!this.membership.leaseValid() && this.#parts.reach.byPeers)
      return 'the node does not reach the database, others do'
    return null
  }

  // ------------------------------------------------------------ hints

  /** The bus for the gateway. */
  get peerPort(): PeerPort {
    return this.#peerPort
  }

  /** Some rows, those of `handles`, were given to this incarnation; or, without them, taken from it. */
  tellToLook(incarnation: string, handles?: readonly string[]): void {
    if (incarnation === this.membership.incarnation) this.#look(handles)
    else this.#parts.bus.send(incarnation, { type: 'look', handles })
  }

  /** Shows a change of ownership to the subscribers of all nodes; `users` in the order of `change.handles`. */
  announceOwnership(change: OwnershipChangeView, users: readonly string[]): void {
    this.#parts.bus.broadcast({ type: 'ownership', change, users })
    this.#ownership.tell(change, users)
  }

  /** For the HTTP server's `upgrade` event on `busPath`. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#parts.bus.handleUpgrade?.(request, socket, head)
  }

  // ------------------------------------------------------------ life

  /**
   * Joins. The HTTP server should answer already (identity), or nobody takes over early from this node until it does. Waits
   * for the database as long as it takes; rejects with `NodeNameTaken` or `SoftwareTooOld`, or when `stop` is called meanwhile.
   */
  async start(): Promise<void> {
    if (this.#started) return
    this.#started = true
    const { clock } = this.#options
    await this.#parts.heartbeat.start()
    await this.#parts.bus.start()
    this.#timers.push(
      clock.every(this.#parts.periods.heartbeatMs / 2, () => this.#publishLoad()),
      clock.every(this.#parts.periods.lookMs, () => this.#look()),
    )
    await this.#join()
    this.watch.start()
    await this.#parts.budgets.start()
    this.#parts.isolation.start()
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
    this.#parts.heartbeat.act(null)
    await Promise.all([
      this.#parts.bus.stop(),
      this.#parts.heartbeat.stop(),
      this.watch.stop(),
      this.#parts.budgets.stop(),
      this.#parts.leadership.elector.abandon(),
    ])
  }

  async #join(): Promise<void> {
    const { elector } = this.#parts.leadership
    await this.membership.join(this.#ended.signal)
    if (!this.#draining) await elector.start()
    await this.watch.refresh().catch(() => this.watch.hint())
    this.#parts.budgets.hint()
  }

  async #stopNow(): Promise<void> {
    const { log } = this.#options
    this.#ended.abort(new Error('the node is stopping'))
    this.#endTimers()
    if (!this.#started) return
    await this.#rejoining
    await this.#parts.leadership.elector.stop()
    await this.#parts.budgets.stop()
    const left = await this.membership.leave().catch(error => {
      log.debug({ err: error }, 'could not leave: the lease runs out by itself')
      return false
    })
    if (!left) log.warn({}, 'left with unfinished queries: other members take them over')
    this.#parts.bus.broadcast({ type: 'goodbye', reason: this.#draining ? 'draining' : 'stopping' })
    await this.#parts.bus.stop()
    await this.watch.stop()
    await this.#parts.heartbeat.stop()
  }

  #endTimers(): void {
    for (const cancel of this.#timers.splice(0)) cancel()
    this.#parts.isolation.stop()
  }

  async #drainNow(): Promise<void> {
    const { stores, work, settings, log } = this.#options
    log.info({}, 'draining')
    await stores.cluster.setState(this.membership.incarnation, 'draining').catch(error => {
      log.warn({ err: error }, 'could not publish the drain; going on')
    })
    await this.watch.refresh().catch(() => undefined)
    // Somebody who stays leads from now on; alone, it goes on with what it leads.
    if (this.#targets().length > 0) await this.#parts.leadership.elector.resign()
    this.#clusterChanged()
    await Promise.all([
      work.handOver(() => this.#targets(), settings.drainGraceMs),
      // By then every other member has read that this one leaves, whether a hint reached it or not, and lists it no more as alive.
      this.#others().length > 0 ? this.#options.clock.sleep(this.#parts.periods.membersMs) : undefined,
    ])
    log.info({}, 'drained')
  }

  #askToDrain(): void {
    if (this.#drainRequested || this.#draining) return
    this.#drainRequested = true
    this.#options.onDrainRequested?.()
  }

  // ------------------------------------------------------------ wiring

  #listen(): void {
    const { membership, watch, detector, heartbeat, leadership } = this.#parts
    const { elector, fencing } = leadership
    const { work, log, count } = this.#options
    const notice = new DatabaseNotice(log, count, () => watch.hint())
    heartbeat.onBeat(beat => notice.note(beat))
    membership.onLost(incarnation => {
      this.#rejoining = this.#rejoining.then(() => this.#rejoin(incarnation))
    })
    membership.onReachable(() => this.#clusterChanged())
    watch.onRead(snapshot => {
      elector.consider(snapshot)
      this.#judgeOwnRow(snapshot)
    })
    watch.onChange(() => {
      this.#parts.bus.connectTo(this.#others().map(member => ({ ...member, node: member.nodeId })))
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
        this.#parts.bus.send(lease.holderIncarnation, { type: 'suspected', incarnation: member.incarnation })
      }
    })
    this.#parts.bus.onSuspicion(incarnation => void detector.suspect(incarnation))
    this.#parts.bus.onArrival(incarnation => {
      if (!watch.member(incarnation)) watch.hint()
      // What the peer said before it could speak to this node was lost.
      this.#parts.budgets.hint()
    })
    const reception = {
      ...{ parts: this.#parts, work, log, look: (handles?: readonly string[]) => this.#look(handles) },
      ownership: (change: OwnershipChangeView, users: readonly string[]) => this.#ownership.tell(change, users),
    }
    this.#parts.bus.listen((message, from) => receive(message, from, reception))
  }

  /** Its row tells a node two things that nobody else may have: it is dead, or it is asked to leave. */
  #judgeOwnRow({ members }: MemberSnapshot): void {
    if (!this.membership.joined) return
    const own = members.find(member => member.incarnation === this.membership.incarnation)
    if (own?.state === 'draining') this.#askToDrain()
    else if (!own) this.membership.confirm().catch(() => undefined)
    // The process before this one, at the same address: this one's answer is the proof.
    for (const older of members)
      if (own && older !== own && older.nodeId === own.nodeId && older.startedAt <= own.startedAt)
        void this.#parts.detector.suspect(older.incarnation, 'superseded')
  }

  async #rejoin(lost: string): Promise<void> {
    const { work, log, onFatal } = this.#options
    this.#parts.bus.disconnect()
    try {
      await work
        .abandon()
        .catch(error => log.error({ err: error }, 'not all that a fenced incarnation ran could be ended'))
      if (this.#ended.signal.aborted || this.#draining) return
      await this.membership
        .inquireLoss(lost)
        .catch(error => log.debug({ err: error }, 'the cause of the loss cannot be read'))
      await this.#join()
      this.#parts.bus.connectTo(this.#others().map(member => ({ ...member, node: member.nodeId })))
      work.budgetsChanged()
    } catch (error) {
      if (this.#ended.signal.aborted) return
      log.error({ err: error }, 'cannot join the cluster again')
      onFatal?.(error as Error)
    }
  }

  #clusterChanged(): void {
    this.#parts.bus.broadcast({ type: 'cluster-changed' })
    this.watch.hint()
    this.#parts.budgets.hint()
  }

  #look(handles?: readonly string[]): void {
    if (!this.membership.joined || this.#ended.signal.aborted) return
    this.#options.work
      .look(handles)
      .catch(error => this.#options.log.debug({ err: error }, 'the own rows could not be compared'))
  }

  #publishLoad(): void {
    const { running, queued } = this.#options.work.load()
    this.#parts.heartbeat.publishLoad(running, queued)
    this.#parts.reach.set(this.membership.leaseValid())
  }

  /** The other members, by the last reading. */
  #others(): readonly MemberRow[] {
    return this.watch.snapshot.members.filter(member => member.incarnation !== this.membership.incarnation)
  }

  /**
   * Who can be given work. By the leases as they were read: on a busy machine the last reading may be older than they are long, and
   * a drain that believes itself alone leaves its queries behind.
   */
  #targets(): readonly HandOverTarget[] {
    return this.#others()
      .filter(member => member.state === 'alive' && member.leaseLeftMs > 0)
      .map(member => ({ incarnation: member.incarnation, node: member.nodeId }))
  }
}

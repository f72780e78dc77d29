/**
 * This node's place in the cluster: joins as a new incarnation, knows until when its lease can be trusted, and notices when
 * it was fenced.
 *
 *     outside ──join──▶ joined ──(row dead)──▶ lost ──join, as a new incarnation──▶ joined
 *                         └──leave──▶ outside
 *
 * The lease is trusted until `attempt start + leaseMs − marginMs` on the monotonic clock and on the wall clock: the first
 * halts in a suspended machine, the second may be set. Trust is an optimisation; the epoch of every write is the safety.
 */
import { type Backoff, backoffDelayMs, type CancelTimer, type Clock, type Random } from '../async/index.ts'
import type { MemberRow, NewMember } from '../store/contract.ts'
import type { BeatReport } from './beat-loop.ts'
import type { Heartbeat } from './heartbeat.ts'
import { Listeners } from './listeners.ts'
import type { ClusterLog, ClusterStores, CountUp } from './ports.ts'
import type { NodeIdentity, Probe } from './probe.ts'
import type { ClusterPeriods, ClusterSettings } from './settings.ts'

/** Another process lives under this node's name: a mistake in the configuration that only people can mend. */
export class NodeNameTaken extends Error {
  constructor(node: string, by: MemberRow) {
    super(
      `Another live process is the node "${node}" (incarnation ${by.incarnation} at ${by.address}). ` +
        'Give each node its own LENS_NODE_ID, or stop the other process.',
    )
    this.name = 'NodeNameTaken'
  }
}

/** The cluster has gone on to snapshots that this version of the program does not read. */
export class SoftwareTooOld extends Error {
  constructor(node: string, reads: number, written: number) {
    super(
      `The node "${node}" reads snapshots up to version ${reads}, and the cluster writes version ${written}: ` +
        'start a version of the program that is as new as those that have run on this database.',
    )
    this.name = 'SoftwareTooOld'
  }
}

export interface MembershipOptions {
  readonly settings: ClusterSettings
  readonly periods: ClusterPeriods
  readonly stores: Pick<ClusterStores, 'cluster' | 'actAs'>
  readonly heartbeat: Heartbeat
  readonly probe: Probe
  readonly clock: Clock
  readonly random: Random
  readonly log: ClusterLog
  readonly count: CountUp
}

const joinRetry: Backoff = { firstMs: 50, limitMs: 250 }
const selfProbeRetry: Backoff = { firstMs: 100, limitMs: 5000 }

export class Membership {
  readonly #options: MembershipOptions
  readonly #lost: Listeners<[string]>
  readonly #reachable: Listeners<[]>
  #incarnation: string
  /** It was a member once: the next join needs a new one. */
  #used = false
  #state: 'outside' | 'joined' | 'lost' = 'outside'
  #trusted: { readonly monotonicMs: number; readonly wallMs: number } | null = null
  /** Monotonic; until then nobody may take over early. */
  #noEarlyTakeoverUntilMs = 0
  #cancelSelfProbe: CancelTimer | undefined

  constructor(options: MembershipOptions) {
    this.#options = options
    this.#incarnation = options.random.uuid()
    this.#lost = new Listeners(options.log)
    this.#reachable = new Listeners(options.log)
    options.heartbeat.onBeat(report => this.#observe(report))
  }

  /** The present one, or while outside the one that the next `join` uses: probes are answered with it at once. */
  get incarnation(): string {
    return this.#incarnation
  }

  get identity(): NodeIdentity {
    return { node: this.#options.settings.node, incarnation: this.#incarnation }
  }

  get joined(): boolean {
    return this.#state === 'joined'
  }

  leaseValid(): boolean {
    return this.leaseLeftMs() > 0
  }

  /** For how long the lease may still be trusted, in milliseconds; 0 or less: not at all. */
  leaseLeftMs(): number {
    return this.#state === 'joined' && this.#trusted ? this.#trustLeftMs(this.#trusted) : 0
  }

  #trustLeftMs(since: { readonly monotonicMs: number; readonly wallMs: number }): number {
    const { clock, periods } = this.#options
    const ageMs = Math.max(clock.monotonic() - since.monotonicMs, clock.now() - since.wallMs)
    return periods.leaseMs - periods.marginMs - ageMs
  }

  /** Told once per incarnation when it was fenced: its work is to be abandoned, then `join` again. */
  onLost(listener: (incarnation: string) => void): () => void {
    return this.#lost.add(listener)
  }

  /** Told when, after the join, the advertised address was seen to lead here. */
  onReachable(listener: () => void): () => void {
    return this.#reachable.add(listener)
  }

  /**
   * Becomes a member as a new incarnation. Waits for the database as long as it takes, and for a predecessor of the same
   * name until its lease has run out, unless it is proved dead. Rejects with `NodeNameTaken`, with `SoftwareTooOld`, or with the
   * signal's reason.
   */
  async join(signal: AbortSignal): Promise<void> {
    const { clock, random, settings, periods, log } = this.#options
    if (this.#used) this.#incarnation = random.uuid()
    this.#used = false
    /** Who is in the way, until when to wait for the end of the lease that it was met with. */
    let predecessor: { readonly met: MemberRow; readonly waitUntilMs: number } | null = null
    let saidUnavailable = false
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted()
      try {
        const by = await this.#tryJoin()
        if (!by) return
        if (predecessor?.met.incarnation !== by.incarnation) {
          predecessor = { met: by, waitUntilMs: clock.monotonic() + periods.leaseMs }
          log.info({ memberIncarnation: by.incarnation }, 'a member of the same name has a lease; waiting for its end')
        }
        // One lease has passed, and it was renewed meanwhile: whoever renews it lives.
        const renewed = by.leaseExpiresAt > predecessor.met.leaseExpiresAt
        if (renewed && clock.monotonic() >= predecessor.waitUntilMs) throw new NodeNameTaken(settings.node, by)
      } catch (error) {
        if (error instanceof NodeNameTaken || error instanceof SoftwareTooOld) throw error
        if (!saidUnavailable) log.warn({ err: error }, 'cannot join the cluster yet; trying again')
        saidUnavailable = true
      }
      await clock.sleep(backoffDelayMs(joinRetry, attempt, random), signal)
    }
  }

  /** The member that is in the way, or null when joined. */
  async #tryJoin(): Promise<MemberRow | null> {
    const { clock, settings, periods, stores, heartbeat, log } = this.#options
    const reachable = await this.#answersItself()
    const startedAtMs = clock.monotonic()
    const wallMs = clock.now()
    const heldBackMs = Math.max(0, this.#noEarlyTakeoverUntilMs - startedAtMs)
    const member: NewMember = {
      incarnation: this.#incarnation,
      nodeId: settings.node,
      address: settings.address,
      softwareVersion: settings.softwareVersion,
      snapshotVersion: settings.snapshotVersion,
      leaseMs: periods.leaseMs,
      earlyTakeoverAfterMs: reachable ? heldBackMs : null,
    }
    let answer = await stores.cluster.join(member)
    // Its address answers with this incarnation: it does not live there any more. Whoever leads fences it; nobody waits.
    if (!answer.joined && reachable && answer.by?.address === settings.address)
      answer = await stores.cluster.join({ ...member, supersedes: answer.by.incarnation })
    if (!answer.joined && answer.snapshotFormat !== undefined)
      throw new SoftwareTooOld(settings.node, settings.snapshotVersion, answer.snapshotFormat)
    if (!answer.joined) return answer.by ?? this.#discard()
    await stores.actAs(this.#incarnation)
    const trusted = { monotonicMs: startedAtMs, wallMs }
    if (this.#trustLeftMs(trusted) <= 0) return this.#discard()
    heartbeat.act({ incarnation: this.#incarnation, leaseMs: periods.leaseMs })
    this.#trusted = trusted
    this.#state = 'joined'
    this.#used = true
    log.info({ incarnation: this.#incarnation, address: settings.address }, 'joined the cluster')
    if (!reachable) this.#probeSelfLater(this.#incarnation, 0)
    return null
  }

  /**
   * Gives up an incarnation whose lease ran out while it joined (a frozen process, a slow commit): it is fenced, or may be,
   * and whoever is told that it has joined would find out with the first request.
   */
  async #discard(): Promise<never> {
    const incarnation = this.#incarnation
    this.#incarnation = this.#options.random.uuid()
    await this.#options.stores.cluster.leave(incarnation)
    throw new Error(`the lease of ${incarnation} ran out while it joined`)
  }

  async #answersItself(): Promise<boolean> {
    const answer = await this.#options.probe(this.#options.settings.address)
    return answer.kind === 'identity' && answer.identity.incarnation === this.#incarnation
  }

  /** Until the advertised address is seen to lead here, nobody may take what it answers for a proof. */
  #probeSelfLater(incarnation: string, attempt: number): void {
    const { clock, random, stores, log, settings } = this.#options
    if (attempt === 0)
      log.warn(
        { address: settings.address },
        'the advertised address does not answer as this node: no early takeover for now',
      )
    this.#cancelSelfProbe?.()
    this.#cancelSelfProbe = clock.after(backoffDelayMs(selfProbeRetry, attempt, random), async () => {
      const current = () => this.#state === 'joined' && this.#incarnation === incarnation
      if (!current()) return
      try {
        if (clock.monotonic() >= this.#noEarlyTakeoverUntilMs && (await this.#answersItself()) && current()) {
          await stores.cluster.allowEarlyTakeover(incarnation)
          log.info({ address: settings.address }, 'the advertised address answers as this node')
          this.#reachable.tell()
          return
        }
      } catch (error) {
        log.debug({ err: error }, 'cannot allow early takeover yet')
      }
      if (current()) this.#probeSelfLater(incarnation, attempt + 1)
    })
  }

  /** Somebody says that this incarnation is dead: its row decides. */
  async confirm(): Promise<void> {
    if (this.#state !== 'joined') return
    const incarnation = this.#incarnation
    const row = await this.#options.stores.cluster.memberOf(incarnation)
    if (!row || row.state === 'dead') this.#lose(incarnation)
  }

  /** Leaves for good. False: it still owns unfinished queries, and its row stays until its lease runs out. */
  async leave(): Promise<boolean> {
    this.#cancelSelfProbe?.()
    if (this.#state !== 'joined') return true
    this.#state = 'outside'
    this.#options.heartbeat.act(null)
    return await this.#options.stores.cluster.leave(this.#incarnation)
  }

  /** Looks up how a lost incarnation was fenced: one that was taken over early although it lived is not so trusted again. */
  async inquireLoss(incarnation: string): Promise<void> {
    const { stores, clock, periods, log, count } = this.#options
    const failovers = await stores.cluster.failovers(100)
    const failover = failovers.find(row => row.incarnation === incarnation)
    if (!failover || failover.cause === 'lease-expired') return
    this.#noEarlyTakeoverUntilMs = clock.monotonic() + periods.earlyTakeoverAfterMs
    count('earlyTakeoversOfLiving')
    log.warn(
      { incarnation, cause: failover.cause, forMs: periods.earlyTakeoverAfterMs },
      'this process was taken over early although it lives; it allows no early takeover for a while',
    )
  }

  #observe(report: BeatReport): void {
    if (this.#state !== 'joined' || report.incarnation !== this.#incarnation) return
    if (report.outcome === 'refused') this.#lose(report.incarnation)
    if (report.outcome === 'renewed')
      this.#trusted = { monotonicMs: report.startedAtMs, wallMs: report.wallStartedAtMs }
  }

  #lose(incarnation: string): void {
    if (this.#state !== 'joined' || this.#incarnation !== incarnation) return
    this.#state = 'lost'
    this.#trusted = null
    this.#cancelSelfProbe?.()
    this.#options.heartbeat.act(null)
    this.#options.count('incarnationsLost')
    this.#options.log.warn({ incarnation }, 'this incarnation was fenced; its work goes on elsewhere')
    this.#lost.tell(incarnation)
  }
}

/**
 * Who is a member and who leads, as last read from the database. Hints make it read at once; without any it reads rarely,
 * and just when a lease that was not renewed in time is due to run out.
 */
import type { CancelTimer, Clock } from '../async/index.ts'
import type { ClusterStore, LeaseRow, MemberRow } from '../store/contract.ts'
import { Coalesced } from './coalesced.ts'
import { Listeners } from './listeners.ts'
import type { ClusterLog } from './ports.ts'
import type { ClusterPeriods } from './settings.ts'
import type { StoreHealth } from './store-health.ts'

export interface MemberSnapshot {
  /** All but the dead, in the order that all nodes agree on: by start, then incarnation. */
  readonly members: readonly MemberRow[]
  readonly lease: LeaseRow | null
  /** The newest version in which snapshots are written. */
  readonly snapshotFormat: number
  /** On the monotonic clock, when the reading was asked for: `leaseLeftMs` and `leftMs` count from here. */
  readonly readAtMs: number
}

export interface MemberWatchOptions {
  readonly store: Pick<ClusterStore, 'members'>
  readonly clock: Clock
  readonly periods: ClusterPeriods
  readonly health: StoreHealth
  readonly log: ClusterLog
}

/** After a lease was due to run out: the database compares with its own clock, which reads whole milliseconds. */
const afterExpiryMs = 5
const failedReadMs = 200

export class MemberWatch {
  readonly #options: MemberWatchOptions
  readonly #reading: Coalesced
  readonly #read: Listeners<[MemberSnapshot]>
  readonly #changed: Listeners<[MemberSnapshot]>
  #snapshot: MemberSnapshot = { members: [], lease: null, snapshotFormat: 1, readAtMs: 0 }
  #fingerprint = ''
  #cancel: CancelTimer | undefined
  #stopped = true
  #failing = false

  constructor(options: MemberWatchOptions) {
    this.#options = options
    this.#reading = new Coalesced(() => this.#readNow())
    this.#read = new Listeners(options.log)
    this.#changed = new Listeners(options.log)
  }

  get snapshot(): MemberSnapshot {
    return this.#snapshot
  }

  member(incarnation: string): MemberRow | undefined {
    return this.#snapshot.members.find(member => member.incarnation === incarnation)
  }

  /** Milliseconds of the member's lease left now, by the last reading. */
  leaseLeftMs(member: MemberRow): number {
    return member.leaseLeftMs - (this.#options.clock.monotonic() - this.#snapshot.readAtMs)
  }

  /** Told after every reading. */
  onRead(listener: (snapshot: MemberSnapshot) => void): () => void {
    return this.#read.add(listener)
  }

  /** Told when members, their states or the leader differ from the reading before. */
  onChange(listener: (snapshot: MemberSnapshot) => void): () => void {
    return this.#changed.add(listener)
  }

  start(): void {
    this.#stopped = false
    this.hint()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#reading.idle()
  }

  /** Reads; resolves with a reading that began after this call. Rejects when the database does not answer. */
  async refresh(): Promise<MemberSnapshot> {
    await this.#reading.run()
    return this.#snapshot
  }

  /**
   * A reading that is at most so old, or the last one where the database takes as long again to answer. The last one alone may
   * be two beats old, and a lease that was renewed since would seem to be running out.
   */
  async recent(ageMs: number): Promise<MemberSnapshot> {
    const { clock } = this.#options
    if (clock.monotonic() - this.#snapshot.readAtMs <= ageMs) return this.#snapshot
    const enough = new AbortController()
    const soon = clock.sleep(ageMs, enough.signal).catch(() => undefined)
    await Promise.race([this.refresh().catch(() => undefined), soon])
    enough.abort()
    return this.#snapshot
  }

  /** Reads soon; failures are repeated and logged here. */
  hint(): void {
    if (this.#stopped) return
    this.refresh().catch(() => undefined)
  }

  async #readNow(): Promise<void> {
    const { clock, store, health, log } = this.#options
    this.#cancel?.()
    const readAtMs = clock.monotonic()
    try {
      const { members, lease, snapshotFormat, now } = await store.members()
      health.observeClock(Date.parse(now), readAtMs, clock.monotonic())
      const ordered = [...members].sort(
        (a, b) => compare(a.startedAt, b.startedAt) || compare(a.incarnation, b.incarnation),
      )
      this.#snapshot = { members: ordered, lease, snapshotFormat, readAtMs }
      if (this.#failing) log.info({}, 'members can be read again')
      this.#failing = false
    } catch (error) {
      if (!this.#failing) log.warn({ err: error }, 'members cannot be read; trying again')
      this.#failing = true
      this.#schedule(failedReadMs)
      throw error
    }
    this.#schedule(this.#nextReadMs())
    this.#read.tell(this.#snapshot)
    const fingerprint = fingerprintOf(this.#snapshot)
    if (fingerprint === this.#fingerprint) return
    this.#fingerprint = fingerprint
    this.#changed.tell(this.#snapshot)
  }

  #schedule(delayMs: number): void {
    this.#cancel?.()
    if (!this.#stopped) this.#cancel = this.#options.clock.after(delayMs, () => this.hint())
  }

  /** A lease below what a healthy member always has left is watched until it runs out. */
  #nextReadMs(): number {
    const { membersMs, leaseMs, heartbeatMs, marginMs } = this.#options.periods
    const healthyLeftMs = leaseMs - heartbeatMs - marginMs
    const { members, lease } = this.#snapshot
    const leftMs = members.map(member => member.leaseLeftMs)
    if (lease) leftMs.push(lease.leftMs)
    const due = leftMs.filter(left => left > 0 && left < healthyLeftMs).map(left => left + afterExpiryMs)
    return Math.min(membersMs, ...due)
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function fingerprintOf({ members, lease }: MemberSnapshot): string {
  return JSON.stringify([
    members.map(member => [member.incarnation, member.nodeId, member.address, member.state, member.earlyTakeover]),
    lease ? [lease.holderIncarnation, lease.term, lease.leftMs > 0] : null,
  ])
}

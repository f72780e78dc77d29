/**
 * Fences members, and starts the recovery of what they owned. At once who was proved dead; after the end of its lease who
 * let it run out, but only while the database has been serving everyone for a whole lease period: what stalled all of them
 * is nobody's death.
 */

import type { CancelTimer, Clock } from '../../async/index.ts'
import { aboutMember } from '../../observability/index.ts'
import type { ClusterStore, MemberRow } from '../../store/contract.ts'
import type { EarlyCause } from '../failure-detector.ts'
import type { LeaderDuty, Term } from '../leader-duty.ts'
import type { MemberSnapshot, MemberWatch } from '../member-watch.ts'
import type { ClusterLog, CountUp } from '../ports.ts'
import type { ClusterPeriods } from '../settings.ts'
import type { StoreHealth } from '../store-health.ts'
import type { Recovery } from './recovery.ts'

export interface FencingOptions {
  readonly store: Pick<ClusterStore, 'fence'>
  readonly watch: MemberWatch
  readonly health: StoreHealth
  readonly recovery: Recovery
  readonly ownIncarnation: () => string
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'leaseMs'>
  readonly log: ClusterLog
  readonly count: CountUp
  /** Two members of one name: the older one may be superseded. */
  readonly suspect: (incarnation: string, cause: EarlyCause) => void
  /** A member was fenced: tell it, in case it lives, and all others. */
  readonly onFenced: (member: MemberRow) => void
}

export class Fencing implements LeaderDuty {
  readonly #options: FencingOptions
  /** Proofs that came before this node led: for one lease, since it takes that long at most until somebody leads. */
  readonly #proofs = new Map<
    string,
    { readonly member: MemberRow; readonly cause: EarlyCause; readonly atMs: number }
  >()
  readonly #underWay = new Map<string, Promise<void>>()
  #term: Term | undefined
  #endReading: (() => void) | undefined
  #cancelLater: CancelTimer | undefined

  constructor(options: FencingOptions) {
    this.#options = options
  }

  start(term: Term): void {
    const { watch, clock, periods } = this.#options
    this.#term = term
    this.#endReading = watch.onRead(snapshot => this.#judge(snapshot))
    const freshSinceMs = clock.monotonic() - periods.leaseMs
    const proofs = [...this.#proofs.values()].filter(proof => proof.atMs >= freshSinceMs)
    this.#proofs.clear()
    for (const { member, cause } of proofs) void this.#fence(member, cause, null)
    watch.hint()
  }

  async stop(): Promise<void> {
    this.#term = undefined
    this.#endReading?.()
    this.#endReading = undefined
    this.#cancelLater?.()
    await Promise.allSettled(this.#underWay.values())
  }

  /** The detector has proved it; a follower keeps the proof for the case that it leads soon. */
  provedDead(member: MemberRow, cause: EarlyCause): void {
    if (this.#term) void this.#fence(member, cause, null)
    else this.#proofs.set(member.incarnation, { member, cause, atMs: this.#options.clock.monotonic() })
  }

  #judge({ members }: MemberSnapshot): void {
    const { ownIncarnation, health, clock, periods, watch, suspect } = this.#options
    const others = members.filter(member => member.incarnation !== ownIncarnation())
    for (const old of members) {
      const newer = members.some(
        member => member.nodeId === old.nodeId && members.indexOf(member) > members.indexOf(old),
      )
      if (newer && old.incarnation !== ownIncarnation()) suspect(old.incarnation, 'superseded')
    }
    const expired = others.filter(member => member.leaseLeftMs < 0)
    if (expired.length === 0) return
    const graceMs = periods.leaseMs - health.healthyForMs(clock.monotonic())
    if (graceMs > 0) {
      this.#options.log.info(
        { members: expired.map(member => member.nodeId), graceMs },
        'leases have run out, but the database has not served long enough to blame anyone',
      )
      this.#cancelLater?.()
      this.#cancelLater = clock.after(graceMs + 1, () => watch.hint())
      return
    }
    for (const member of expired) void this.#fence(member, 'lease-expired', 0)
  }

  #fence(member: MemberRow, cause: EarlyCause | 'lease-expired', onlyIfExpiredByMs: number | null): Promise<void> {
    const known = this.#underWay.get(member.incarnation)
    if (known) return known
    const fencing = this.#fenceNow(member, cause, onlyIfExpiredByMs)
      .catch(error =>
        this.#options.log.warn({ err: error, ...aboutMember(member) }, 'a member could not be fenced yet'),
      )
      .finally(() => this.#underWay.delete(member.incarnation))
    this.#underWay.set(member.incarnation, fencing)
    return fencing
  }

  async #fenceNow(
    member: MemberRow,
    cause: EarlyCause | 'lease-expired',
    onlyIfExpiredByMs: number | null,
  ): Promise<void> {
    const { store, recovery, log, count, onFenced } = this.#options
    const term = this.#term
    if (!term?.valid()) return
    const failover = await store.fence(term.number, member.incarnation, cause, onlyIfExpiredByMs)
    if (!failover) return
    count('membersFenced')
    log.warn({ ...aboutMember(member), cause, term: term.number }, 'fenced a member')
    onFenced(member)
    const { running, queued } = member
    await recovery.recover(member.incarnation, member.nodeId, failover, { running, inAll: running + queued })
  }
}

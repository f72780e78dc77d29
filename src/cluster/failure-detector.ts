/**
 * From suspicion to proof. A socket that closed without a goodbye, or a refused connection, makes somebody suspect; the
 * probe of that very incarnation decides: refused twice in a row, or answered by another incarnation, is dead. Silence says
 * nothing: the lease decides then.
 *
 *     suspect ──▶ may it be taken over early? ──▶ probe ──▶ itself: lives
 *                                                   ├──▶ another incarnation: dead
 *                                                   ├──▶ refused, and refused again: dead
 *                                                   └──▶ silent: again a few times, then left to the lease
 */

import type { Clock } from '../async/index.ts'
import { aboutMember } from '../observability/index.ts'
import type { MemberRow } from '../store/contract.ts'
import { Listeners } from './listeners.ts'
import type { MemberWatch } from './member-watch.ts'
import type { ClusterLog } from './ports.ts'
import type { Probe } from './probe.ts'
import type { ClusterPeriods } from './settings.ts'

export type Verdict = 'dead' | 'alive' | 'unknown'
/** What is written as the cause of a takeover that did not wait for the lease. */
export type EarlyCause = 'connection-lost' | 'superseded'

export interface FailureDetectorOptions {
  readonly probe: Probe
  readonly watch: MemberWatch
  readonly ownIncarnation: () => string
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'probePauseMs'>
  readonly log: ClusterLog
}

/** Probes of one suspicion; a dying process may reset connections before it refuses them. */
const probesMax = 6

export class FailureDetector {
  readonly #options: FailureDetectorOptions
  readonly #proved: Listeners<[MemberRow, EarlyCause]>
  readonly #underProbe = new Map<string, Promise<Verdict>>()

  constructor(options: FailureDetectorOptions) {
    this.#options = options
    this.#proved = new Listeners(options.log)
  }

  /** Told when a member that allows early takeover was proved dead. */
  onDead(listener: (member: MemberRow, cause: EarlyCause) => void): () => void {
    return this.#proved.add(listener)
  }

  /** Never rejects; suspicions of one incarnation under probe are one. */
  suspect(incarnation: string, cause: EarlyCause = 'connection-lost'): Promise<Verdict> {
    if (incarnation === this.#options.ownIncarnation()) return Promise.resolve('alive')
    const known = this.#underProbe.get(incarnation)
    if (known) return known
    const verdict = this.#decide(incarnation, cause)
      .catch((error): Verdict => {
        this.#options.log.debug({ err: error, memberIncarnation: incarnation }, 'a suspicion could not be followed')
        return 'unknown'
      })
      .finally(() => this.#underProbe.delete(incarnation))
    this.#underProbe.set(incarnation, verdict)
    return verdict
  }

  async #decide(incarnation: string, cause: EarlyCause): Promise<Verdict> {
    const { watch, log } = this.#options
    let member = watch.member(incarnation)
    if (!member?.earlyTakeover) {
      // It may have joined, or have proved its address, since the last reading.
      await watch.refresh()
      member = watch.member(incarnation)
    }
    if (!member?.earlyTakeover) return 'unknown'
    // It closes its listener on purpose, before it has left: that it refuses proves nothing, and its lease decides.
    if (member.state === 'draining') return 'unknown'
    const verdict = await this.#judge(member)
    log.info({ ...aboutMember(member), cause, verdict }, 'probed a suspect')
    if (verdict === 'dead') this.#proved.tell(member, cause)
    return verdict
  }

  async #judge(member: MemberRow): Promise<Verdict> {
    const { probe, clock, periods } = this.#options
    let refusals = 0
    for (let probes = 0; probes < probesMax; probes++) {
      if (probes > 0) await clock.sleep(periods.probePauseMs)
      const answer = await probe(member.address)
      if (answer.kind === 'identity') return answer.identity.incarnation === member.incarnation ? 'alive' : 'dead'
      refusals = answer.kind === 'refused' ? refusals + 1 : 0
      if (refusals === 2) return 'dead'
    }
    return 'unknown'
  }
}

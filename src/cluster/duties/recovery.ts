/**
 * Gives the queries of dead members to living ones: by free capacity, in bounded batches, each claim one statement of the
 * store. The event of a death starts it; the standing query for orphans finds what every event missed (a leader that died in
 * the middle, a claim for a member that died before it looked).
 */
import type { Clock } from '../../async/index.ts'
import type { OwnershipChangeView } from '../../domain/index.ts'
import type { ClaimedQuery, ClusterStore, FailoverRow, MemberRow } from '../../store/contract.ts'
import type { LeaderDuty, Term } from '../leader-duty.ts'
import type { MemberWatch } from '../member-watch.ts'
import type { ClusterLog, CountUp } from '../ports.ts'
import type { ClusterPeriods } from '../settings.ts'

export interface RecoveryOptions {
  readonly store: Pick<ClusterStore, 'claim' | 'failoverDone' | 'failovers' | 'orphanOwners'>
  readonly watch: MemberWatch
  readonly clock: Clock
  readonly periods: Pick<ClusterPeriods, 'orphansMs' | 'claimsMax'>
  readonly log: ClusterLog
  readonly count: CountUp
  readonly databaseNow: () => number
  /** Tells the new owner to look, and everyone what changed. */
  readonly announce: (targetIncarnation: string, change: OwnershipChangeView, users: readonly string[]) => void
  /** The last query of a dead member was claimed: its slots are free. */
  readonly onRecovered: () => void
}

interface Target {
  readonly incarnation: string
  readonly node: string
  load: number
}

/** Rows locked by a frozen transaction are skipped; its connection is being killed. */
const lockedPauseMs = 20
/** Where nothing is known of how many there are. */
const firstBatch = 16

export class Recovery implements LeaderDuty {
  readonly #options: RecoveryOptions
  readonly #underWay = new Map<string, Promise<void>>()
  #term: Term | undefined
  #done: Promise<void> = Promise.resolve()

  constructor(options: RecoveryOptions) {
    this.#options = options
  }

  start(term: Term): void {
    this.#term = term
    this.#done = this.#search(term)
  }

  async stop(): Promise<void> {
    this.#term = undefined
    await Promise.allSettled([this.#done, ...this.#underWay.values()])
  }

  /** Claims everything that `incarnation` owned. Resolves when nothing is left, or the term has ended. */
  recover(incarnation: string, node: string, failover: FailoverRow | null, expected: number): Promise<void> {
    const known = this.#underWay.get(incarnation)
    if (known) return known
    const recovering = this.#claimAll(incarnation, node, failover, expected)
      .catch(error =>
        this.#options.log.warn({ err: error, node, incarnation }, 'the recovery of a member was interrupted'),
      )
      .finally(() => this.#underWay.delete(incarnation))
    this.#underWay.set(incarnation, recovering)
    return recovering
  }

  async #search(term: Term): Promise<void> {
    const { store, clock, periods, log } = this.#options
    let unfinished: readonly FailoverRow[] | undefined
    while (term.valid()) {
      try {
        // What a leader before this one began.
        unfinished ??= (await store.failovers(200)).filter(failover => failover.doneAt === null)
        const orphans = new Map((await store.orphanOwners()).map(owner => [owner.incarnation, owner.count]))
        for (const failover of unfinished) {
          const orphaned = orphans.get(failover.incarnation) ?? 0
          orphans.delete(failover.incarnation)
          await this.recover(failover.incarnation, failover.nodeId, failover, orphaned)
        }
        unfinished = []
        if (orphans.size > 0) await this.#recoverForgotten(orphans)
      } catch (error) {
        log.debug({ err: error }, 'orphans could not be looked for')
      }
      await clock.sleep(periods.orphansMs, term.signal).catch(() => undefined)
    }
  }

  async #recoverForgotten(orphans: ReadonlyMap<string, number>): Promise<void> {
    const names = new Map(
      (await this.#options.store.failovers(1000)).map(failover => [failover.incarnation, failover.nodeId]),
    )
    await Promise.all(
      [...orphans].map(([incarnation, count]) =>
        this.recover(incarnation, names.get(incarnation) ?? incarnation, null, count),
      ),
    )
  }

  async #claimAll(incarnation: string, node: string, failover: FailoverRow | null, expected: number): Promise<void> {
    const { store, watch, clock, periods, log, onRecovered } = this.#options
    const term = this.#term
    let claimedInAll = 0
    let batch = 0
    const loads = new Map<string, number>()
    while (term?.valid()) {
      const targets = this.#targets(incarnation, loads)
      if (targets.length === 0) {
        // The standing query finds them when somebody can take them.
        log.warn({ node, incarnation }, 'there is no member that could take the queries of a dead one')
        return
      }
      batch = Math.min(
        periods.claimsMax,
        Math.max(batch * 2, expected > 0 ? Math.ceil(expected / targets.length) : firstBatch),
      )
      const rounds = await Promise.all(
        targets.map(async target => {
          const answer = await store.claim(term.number, incarnation, target, batch)
          if (answer && answer.claimed.length > 0) {
            loads.set(target.incarnation, (loads.get(target.incarnation) ?? 0) + answer.claimed.length)
            this.#announce(node, target, answer.claimed)
          }
          return answer
        }),
      )
      const claimed = rounds.reduce((sum, round) => sum + (round?.claimed.length ?? 0), 0)
      claimedInAll += claimed
      if (rounds.some(round => round === null)) {
        // The term has ended, or a target has died since the members were read.
        await watch.refresh()
        await clock.sleep(lockedPauseMs, term.signal).catch(() => undefined)
        continue
      }
      // The last statement to be answered saw what all others had left.
      if (rounds.some(round => round?.remaining === false)) {
        if (failover) await store.failoverDone(failover.id, failover.queries + claimedInAll)
        if (claimedInAll > 0 || failover)
          log.info({ node, incarnation, queries: claimedInAll, term: term.number }, 'recovered a member')
        onRecovered()
        return
      }
      if (claimed === 0) await clock.sleep(lockedPauseMs, term.signal).catch(() => undefined)
    }
  }

  /** Living members that accept work, the freest first. */
  #targets(deadIncarnation: string, loads: ReadonlyMap<string, number>): readonly Target[] {
    const { watch } = this.#options
    const living = watch.snapshot.members.filter(
      member =>
        member.incarnation !== deadIncarnation &&
        !this.#underWay.has(member.incarnation) &&
        watch.leaseLeftMs(member) > 0,
    )
    const load = (member: MemberRow) => member.running + member.queued + (loads.get(member.incarnation) ?? 0)
    return living
      .filter(member => member.state === 'alive')
      .map(member => ({ incarnation: member.incarnation, node: member.nodeId, load: load(member) }))
      .sort((a, b) => a.load - b.load)
  }

  #announce(fromNode: string, target: Target, claimed: readonly ClaimedQuery[]): void {
    const { announce, count, databaseNow } = this.#options
    count('queriesClaimed', claimed.length)
    const change: OwnershipChangeView = {
      kind: 'takeover',
      from: fromNode,
      to: target.node,
      count: claimed.length,
      handles: claimed.map(query => query.handle),
      at: new Date(databaseNow()).toISOString(),
    }
    announce(
      target.incarnation,
      change,
      claimed.map(query => query.user),
    )
  }
}

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
import type { ClusterLog, CountUp, Recovered } from '../ports.ts'
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
  readonly onRecovered: (recovered: Recovered) => void
}

interface Target {
  readonly incarnation: string
  readonly node: string
  load: number
}

/** Rows locked by a frozen transaction are skipped; its connection is being killed. */
const lockedPauseMs = 20
/** The new owners of what ran have their hands full; for each of those, and at most in all. */
const queuedPauseMs = { each: 1, most: 250 } as const
/** Where nothing is known of how many there are. */
const firstBatch = 16

/** About how many queries the dead one owned, by its last heartbeat or by counting; null: not known. */
export interface Expected {
  readonly running: number | null
  readonly inAll: number
}

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

  /** Claims everything that `incarnation` owned, what it ran first. Resolves when nothing is left, or the term has ended. */
  recover(incarnation: string, node: string, failover: FailoverRow | null, expected: Expected): Promise<void> {
    const known = this.#underWay.get(incarnation)
    if (known) return known
    const recovering = this.#claimAll(incarnation, node, failover, expected)
      .catch(error =>
        this.#options.log.warn(
          { err: error, member: node, memberIncarnation: incarnation },
          'the recovery of a member was interrupted',
        ),
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
          await this.recover(failover.incarnation, failover.nodeId, failover, { running: null, inAll: orphaned })
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
        this.recover(incarnation, names.get(incarnation) ?? incarnation, null, { running: null, inAll: count }),
      ),
    )
  }

  async #claimAll(incarnation: string, node: string, failover: FailoverRow | null, expected: Expected): Promise<void> {
    const { store, watch, clock, periods, log, onRecovered, databaseNow } = this.#options
    const term = this.#term
    let claimedInAll = 0
    let batch = 0
    // A statement that ran has stopped, and somebody waits for it to go on; what waits in a queue loses nothing by being owned a
    // moment later.
    let launchedOnly = expected.running !== 0
    const loads = new Map<string, number>()
    while (term?.valid()) {
      const targets = this.#targets(incarnation, loads)
      if (targets.length === 0) {
        // The standing query finds them when somebody can take them.
        log.warn(
          { member: node, memberIncarnation: incarnation, term: term.number },
          'there is no member that could take the queries of a dead one',
        )
        return
      }
      const wanted = (launchedOnly && expected.running) || expected.inAll
      batch = Math.min(
        periods.claimsMax,
        Math.max(batch * 2, wanted > 0 ? Math.ceil(wanted / targets.length) : firstBatch),
      )
      const rounds = await Promise.all(
        targets.map(async target => {
          const answer = await store.claim(term.number, incarnation, target, batch, launchedOnly)
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
        if (launchedOnly) {
          launchedOnly = false
          const pauseMs = Math.min(queuedPauseMs.most, queuedPauseMs.each * claimedInAll)
          if (pauseMs > 0) await clock.sleep(pauseMs, term.signal).catch(() => undefined)
          continue
        }
        if (failover) await store.failoverDone(failover.id, failover.queries + claimedInAll)
        if (claimedInAll > 0 || failover)
          log.info(
            { member: node, memberIncarnation: incarnation, queries: claimedInAll, term: term.number },
            'recovered a member',
          )
        onRecovered({
          cause: failover?.cause ?? 'forgotten',
          queries: claimedInAll,
          seconds: failover ? Math.max(0, databaseNow() - Date.parse(failover.detectedAt)) / 1000 : null,
        })
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

/**
 * A process that starts under the name and address of one that died a moment ago need not wait for the dead one's lease:
 * when the address answers with the new incarnation, the old one cannot live there. Whoever leads fences it; when the old
 * one itself led, or nobody does, the newcomer takes the lease to do so.
 */
import type { Clock } from '../async/index.ts'
import type { MemberRow } from '../store/contract.ts'
import type { ClusterLog, ClusterStores } from './ports.ts'
import type { Probe } from './probe.ts'
import type { ClusterPeriods, ClusterSettings } from './settings.ts'

export interface SupersedeOptions {
  readonly settings: ClusterSettings
  readonly periods: ClusterPeriods
  readonly stores: Pick<ClusterStores, 'cluster'>
  readonly probe: Probe
  readonly clock: Clock
  readonly log: ClusterLog
}

/** The term that was taken, or null when none was: then the old one's lease, or the leader, decides. */
export async function supersede(
  options: SupersedeOptions,
  incarnation: string,
  old: MemberRow,
): Promise<{ number: number; acquiredAtMs: number } | null> {
  const { settings, periods, stores, probe, clock, log } = options
  if (old.address !== settings.address) return null
  const answer = await probe(settings.address)
  if (answer.kind !== 'identity' || answer.identity.incarnation !== incarnation) return null
  const { lease } = await stores.cluster.members()
  const dead = lease?.holderIncarnation === old.incarnation ? { incarnation: old.incarnation, term: lease.term } : null
  // Another member leads: it finds out by itself, from the closed socket and the same probe.
  if (lease && !dead && lease.leftMs > 0 && lease.holderIncarnation !== incarnation) return null
  const acquiredAtMs = clock.monotonic()
  const holder = { incarnation, node: settings.node, leaseMs: periods.leaseMs }
  // Taken a moment ago by this very process, in an attempt whose answer was lost.
  const own = lease?.holderIncarnation === incarnation ? { incarnation, term: lease.term } : null
  const term = await stores.cluster.acquireLease(holder, dead ?? own)
  if (term === null) return null
  log.info({ old: old.incarnation, term }, 'fencing the predecessor of this process: its address leads here')
  await stores.cluster.fence(term, old.incarnation, 'superseded', null)
  return { number: term, acquiredAtMs }
}

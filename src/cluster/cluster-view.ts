/** The cluster as clients see it, made from one reading of members and lease. */
import type { ClusterView } from '../domain/index.ts'
import type { MemberSnapshot } from './member-watch.ts'

/** `nowMs` by the database's clock. */
export function clusterViewOf(snapshot: MemberSnapshot, monotonicMs: number, nowMs: number): ClusterView {
  const { members, lease, readAtMs } = snapshot
  const leads = lease && lease.leftMs - (monotonicMs - readAtMs) > 0
  return {
    now: new Date(nowMs).toISOString(),
    leader: leads ? { node: lease.holderNode, term: lease.term, expiresAt: lease.expiresAt } : null,
    nodes: [...members]
      .sort((a, b) => (a.nodeId < b.nodeId ? -1 : a.nodeId > b.nodeId ? 1 : 0))
      .map(member => ({
        node: member.nodeId,
        incarnation: member.incarnation,
        address: member.address,
        state: member.state,
        version: member.softwareVersion,
        startedAt: member.startedAt,
        leaseExpiresAt: member.leaseExpiresAt,
        running: member.running,
        queued: member.queued,
      })),
  }
}

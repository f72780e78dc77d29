/**
 * What this browser has seen of the cluster: its present state, the load of each node over the last minutes, who has gone, and
 * what changed hands.
 */
import type { ClusterView, NodeView, OwnershipChangeView } from '../../client/index.ts'

/** What the charts show at the most, in milliseconds. */
const shownMs = 5 * 60_000
const changesMax = 100
const goneMax = 8

export interface Sample {
  /** In milliseconds of the epoch. */
  readonly at: number
  readonly running: number
  readonly queued: number
}

export interface GoneNode {
  readonly node: string
  readonly incarnation: string
  /** When this page missed it, by the cluster's clock, ISO 8601. */
  readonly at: string
}

export interface ClusterHistory {
  /** null until the first answer. */
  readonly cluster: ClusterView | null
  /** By name of the node: a node that comes back goes on with its line. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>
  /** Members that were here and are no more, the latest first. */
  readonly gone: readonly GoneNode[]
  /** The latest first. */
  readonly changes: readonly OwnershipChangeView[]
  /** The longest that a lease was seen to have left, in milliseconds: about the whole of it. */
  readonly leaseSeenMs: number
  /** Why nothing is known at present; null while answers come. */
  readonly error: unknown
}

export const nothingSeen: ClusterHistory = {
  cluster: null,
  samples: new Map(),
  gone: [],
  changes: [],
  leaseSeenMs: 0,
  error: null,
}

/** With a new state of the cluster as it was known at `now` by its own clock, in milliseconds of the epoch. */
export function withCluster(before: ClusterHistory, cluster: ClusterView, now: number): ClusterHistory {
  const samples = new Map<string, readonly Sample[]>()
  for (const [node, line] of before.samples) {
    const shown = line.filter(({ at }) => at > now - shownMs)
    if (shown.length > 0) samples.set(node, shown)
  }
  for (const { node, running, queued } of cluster.nodes) {
    const line = samples.get(node) ?? []
    // The topic may tell of a change just after a reading: the chart needs one point of it.
    // And whoever answers later may do so with less delay, so that the clock seems to stand or to step back.
    const kept = line.filter(({ at }) => at < now)
    samples.set(node, [...kept, { at: now, running, queued }])
  }
  const present = new Set(cluster.nodes.map(({ node }) => node))
  const left = (before.cluster?.nodes ?? []).filter(({ node }) => !present.has(node))
  const at = new Date(now).toISOString()
  const gone = [
    ...left.map(({ node, incarnation }) => ({ node, incarnation, at })),
    ...before.gone.filter(({ node }) => !present.has(node)),
  ]
  const lefts = cluster.nodes.map(({ leaseExpiresAt }) => Date.parse(leaseExpiresAt) - now)
  return {
    ...before,
    cluster,
    samples,
    gone: gone.slice(0, goneMax),
    leaseSeenMs: Math.max(before.leaseSeenMs, ...lefts),
    error: null,
  }
}

export function withChanges(before: ClusterHistory, changes: readonly OwnershipChangeView[]): ClusterHistory {
  if (changes.length === 0) return before
  // Those of one frame are in the order in which they happened.
  return { ...before, changes: [...[...changes].reverse(), ...before.changes].slice(0, changesMax) }
}

/** How far back a line is drawn: whole minutes, as many as there is something of, in milliseconds. */
export function spanMs(samples: readonly Sample[], now: number): number {
  const seenMs = now - (samples[0]?.at ?? now)
  return Math.min(shownMs, Math.max(1, Math.ceil(seenMs / 60_000)) * 60_000)
}

/** How much of a node's lease is left at `now`: the time, and its part of the whole. */
export function leaseLeft(node: Pick<NodeView, 'leaseExpiresAt'>, leaseSeenMs: number, now: number) {
  const leftMs = Math.max(0, Date.parse(node.leaseExpiresAt) - now)
  return { leftMs, fraction: leaseSeenMs > 0 ? Math.min(1, leftMs / leaseSeenMs) : 0 }
}

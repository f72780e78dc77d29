/**
 * The numbers of the cluster in one place. What is not given follows from lease and heartbeat, so that a test with a short
 * lease keeps all proportions.
 */

export interface ClusterSettings {
  /** The configured name of this node. */
  readonly node: string
  /** How peers and clients reach it: `http://host:port`. */
  readonly address: string
  /** Shared by all nodes; authenticates peers. */
  readonly secret: string
  /** Accepted beside it, while it is being replaced. */
  readonly secretAccepted?: string
  readonly softwareVersion: string
  /** Newest snapshot version that this software reads. */
  readonly snapshotVersion: number
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** How long a drain waits for running work before it is cancelled and given away. */
  readonly drainGraceMs: number
  /** What a node subtracts from its lease; a tenth of the lease unless given. */
  readonly marginMs?: number
  readonly probeMs?: number
  readonly peerConnectMs?: number
  /** Queries in one claim. */
  readonly claimsMax?: number
  /** Between two looks for orphans; never less than the lease. */
  readonly orphansMs?: number
  /** How long a member that was taken over early, and lived, is not taken over early again. */
  readonly earlyTakeoverBanMs?: number
}

export interface ClusterPeriods {
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** What a node subtracts from its lease, for clocks that run at different rates and for its own slowness. */
  readonly marginMs: number
  /** One heartbeat attempt takes no longer. */
  readonly attemptMs: number
  /** An attempt that takes longer than this counts as a stall of the database. */
  readonly stallMs: number
  /** Members and lease are read this often when nothing hints at a change. */
  readonly membersMs: number
  /** Between two looks at the rows that this node owns. */
  readonly lookMs: number
  /** Between two looks for orphans. */
  readonly orphansMs: number
  /** Queries in one claim. */
  readonly claimsMax: number
  /** Budgets are read again this often when nothing hints at a change. */
  readonly budgetsMs: number
  /** A probe that takes longer says nothing. */
  readonly probeMs: number
  /** Between two probes of one suspect. */
  readonly probePauseMs: number
  readonly peerConnectMs: number
  /** Between pings of a peer. */
  readonly pingMs: number
  /** From the last word of database and peers until a node ends its engine processes. */
  readonly cutOffMs: number
  /** How long a member that was taken over early, and lived, is not taken over early again. */
  readonly earlyTakeoverAfterMs: number
  readonly sweepMs: number
  /** Between two looks for runs that engines have still to end. */
  readonly owedEndsMs: number
  readonly recountMs: number
  /** Between two comparisons of what lies outside the store with what it knows. */
  readonly leftoversMs: number
}

type Given =
  | 'leaseMs'
  | 'heartbeatMs'
  | 'marginMs'
  | 'probeMs'
  | 'peerConnectMs'
  | 'claimsMax'
  | 'orphansMs'
  | 'earlyTakeoverBanMs'

export function periodsOf(settings: Pick<ClusterSettings, Given>): ClusterPeriods {
  const { leaseMs, heartbeatMs } = settings
  return {
    leaseMs,
    heartbeatMs,
    marginMs: settings.marginMs ?? leaseMs / 10,
    attemptMs: Math.max(heartbeatMs, leaseMs / 2),
    stallMs: leaseMs / 4,
    membersMs: leaseMs / 2,
    lookMs: leaseMs,
    orphansMs: Math.max(leaseMs, settings.orphansMs ?? 0),
    claimsMax: settings.claimsMax ?? 500,
    budgetsMs: leaseMs * 3,
    probeMs: settings.probeMs ?? Math.min(1000, leaseMs / 4),
    probePauseMs: 5,
    peerConnectMs: settings.peerConnectMs ?? 1000,
    pingMs: Math.max(250, leaseMs / 2),
    cutOffMs: leaseMs * 3,
    earlyTakeoverAfterMs: settings.earlyTakeoverBanMs ?? 3_600_000,
    sweepMs: Math.max(10_000, leaseMs * 5),
    owedEndsMs: Math.max(2_000, leaseMs),
    recountMs: 300_000,
    leftoversMs: 3_600_000,
  }
}

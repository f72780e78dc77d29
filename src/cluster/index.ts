export { type LaneSlots, planBudgets } from './budget-plan.ts'
export type * from './bus-contract.ts'
export { Cluster } from './cluster.ts'
export { type Heartbeat, type LeaseModule, LocalHeartbeat, ThreadHeartbeat } from './heartbeat.ts'
export type { LeaderDuty, Term } from './leader-duty.ts'
export { LogLevels, type OwnLogLevel } from './log-levels.ts'
export { NodeNameTaken, SoftwareTooOld } from './membership.ts'
export type { ClusterOptions } from './parts.ts'
export { busPath } from './peer-auth.ts'
export {
  type ClusterCount,
  type ClusterLog,
  type ClusterStores,
  type CountUp,
  type HandOverTarget,
  type OwnedWork,
  slotKey,
} from './ports.ts'
export { httpProbe, identityPath, type NodeIdentity, type Probe, type ProbeAnswer } from './probe.ts'
export { type ClusterSettings, periodsOf } from './settings.ts'

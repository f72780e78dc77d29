/** Builds the elector with all that a leader does. */
import type { Clock } from '../async/index.ts'
import type { OwnershipChangeView } from '../domain/index.ts'
import type { MemberRow } from '../store/contract.ts'
import type { LaneSlots } from './budget-plan.ts'
import { BudgetDuty } from './duties/budgets.ts'
import { Fencing } from './duties/fencing.ts'
import { Rebalancing } from './duties/rebalancing.ts'
import { Recovery } from './duties/recovery.ts'
import { SnapshotFormatDuty } from './duties/snapshot-format.ts'
import { type RetentionLimits, Sweeps } from './duties/sweeps.ts'
import { Elector } from './elector.ts'
import type { EarlyCause } from './failure-detector.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { LeaderDuty } from './leader-duty.ts'
import type { MemberWatch } from './member-watch.ts'
import type { Membership } from './membership.ts'
import type { ClusterLog, ClusterStores, CountUp, Recovered } from './ports.ts'
import type { ClusterPeriods, ClusterSettings } from './settings.ts'
import type { StoreHealth } from './store-health.ts'

export interface LeadershipOptions {
  readonly settings: ClusterSettings
  readonly periods: ClusterPeriods
  readonly stores: ClusterStores
  readonly membership: Membership
  readonly heartbeat: Heartbeat
  readonly watch: MemberWatch
  readonly health: StoreHealth
  readonly lanes: readonly LaneSlots[]
  readonly clock: Clock
  readonly log: ClusterLog
  readonly count: CountUp
  readonly databaseNow: () => number
  readonly retention: RetentionLimits
  readonly runningPerUser: number
  readonly suspect: (incarnation: string, cause: EarlyCause) => void
  readonly onFenced: (member: MemberRow) => void
  readonly onGranted: () => void
  readonly onRecovered: (recovered: Recovered) => void
  readonly announce: (targetIncarnation: string, change: OwnershipChangeView, users: readonly string[]) => void
  readonly tellToLook: (incarnation: string) => void
  readonly onResultExpired: (handle: string, attempt: number) => Promise<void>
  readonly onLeftovers: (goesOn: () => boolean) => Promise<void>
  readonly onOwedEnds: (goesOn: () => boolean) => Promise<void>
  readonly onSessionsEnded: (ids: readonly string[]) => void
  readonly duties: readonly LeaderDuty[]
}

export interface Leadership {
  readonly elector: Elector
  readonly fencing: Fencing
  readonly budgets: BudgetDuty
}

export function createLeadership(options: LeadershipOptions): Leadership {
  const { stores, membership } = options
  const store = stores.cluster
  const budgets = new BudgetDuty({ ...options, store })
  const onRecovered = (recovered: Recovered) => {
    budgets.hint()
    options.onRecovered(recovered)
  }
  const recovery = new Recovery({ ...options, store, onRecovered })
  const fencing = new Fencing({ ...options, store, recovery, ownIncarnation: () => membership.incarnation })
  const elector = new Elector({ ...options, store })
  elector.addDuty(recovery)
  elector.addDuty(fencing)
  elector.addDuty(budgets)
  elector.addDuty(new Rebalancing({ ...options, store, queries: stores.queries }))
  elector.addDuty(new SnapshotFormatDuty({ ...options, store }))
  elector.addDuty(new Sweeps(options))
  for (const duty of options.duties) elector.addDuty(duty)
  return { elector, fencing, budgets }
}

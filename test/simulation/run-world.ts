/** One world from a seed: what the runner, its workers, the tests and the shrinking all do. */
import { drawPlan, type FaultKind, type OperationKind, type PlanItem } from './plan.ts'
import { World, type WorldOptions, type WorldReport } from './world.ts'

export interface RunSettings {
  /** How long clients ask and faults come, in virtual minutes; becoming quiet comes after it. */
  readonly minutes: number
  readonly operationsPerHour: number
  readonly faultsPerHour: number
  /** Only these kinds, in turns, instead of what is drawn. */
  readonly operations?: readonly OperationKind[]
  readonly faults?: readonly FaultKind[]
}

export const defaultSettings: RunSettings = { minutes: 10, operationsPerHour: 1_500, faultsPerHour: 360 }

export function planOf(seed: string, settings: RunSettings): PlanItem[] {
  const { minutes, operationsPerHour, faultsPerHour, operations, faults } = settings
  return drawPlan({ seed, forMs: minutes * 60_000, operationsPerHour, faultsPerHour }).map(item => {
    const kinds = item.type === 'fault' ? faults : operations
    return kinds ? ({ ...item, kind: kinds[item.number % kinds.length] } as PlanItem) : item
  })
}

/** `keep`: the numbers of the plan's items that are left; all unless given. */
export async function runWorld(
  seed: string,
  settings: RunSettings,
  more: Partial<WorldOptions> = {},
  keep: ReadonlySet<number> | null = null,
): Promise<WorldReport> {
  const plan = planOf(seed, settings).filter(({ number }) => keep === null || keep.has(number))
  const world = await World.make({ seed, plan, forMs: settings.minutes * 60_000, ...more })
  return world.run()
}

/** Faults and queries that an hour must have to count. */
export const hourFaultsMin = 100
export const hourQueriesMin = 1_000

/** Hours of this world that count: all of it, or nothing. */
export function countedHours(report: WorldReport): number {
  const hours = report.virtualMs / 3_600_000
  const faults = Object.values(report.faults).reduce((sum, count) => sum + count, 0)
  return faults >= hourFaultsMin * hours && report.queries >= hourQueriesMin * hours ? hours : 0
}

/**
 * The plan of a world, drawn whole from its seed before anything happens: what clients do and what goes wrong, each with its
 * time and a seed of its own. So a plan can lose items and the others stay what they were, which is how a failure shrinks.
 */
import { SeededRandom } from './random.ts'

export type OperationKind =
  | 'query'
  | 'sync'
  | 'explain'
  | 'estimate'
  | 'prepare'
  | 'session'
  | 'endless'
  | 'list'
  | 'intruder'
  | 'burst'

export type FaultKind =
  | 'crash'
  | 'vanish'
  | 'freeze'
  | 'suspend'
  | 'hang'
  | 'leave'
  | 'rolling-restart'
  | 'all-crash'
  | 'crash-leader'
  | 'wall-jump'
  | 'database-restart'
  | 'database-stall'
  | 'database-failover'
  | 'database-clock'
  | 'database-cut'
  | 'database-connections'
  | 'database-read-only'
  | 'database-errors'
  | 'database-lost-after'
  | 'database-lost-before'
  | 'database-late'
  | 'bus-loss'
  | 'bus-slow'
  | 'bus-one-way'
  | 'bus-partition'
  | 'engine-death'
  | 'engine-unavailable'
  | 'local-engine-death'

export type PlanItem =
  | { readonly number: number; readonly atMs: number; readonly type: 'operation'; readonly kind: OperationKind }
  | { readonly number: number; readonly atMs: number; readonly type: 'fault'; readonly kind: FaultKind }

export interface PlanOptions {
  readonly seed: string
  readonly forMs: number
  /** In one virtual hour. */
  readonly operationsPerHour: number
  readonly faultsPerHour: number
}

const operationWeights: Readonly<Record<OperationKind, number>> = {
  query: 60,
  sync: 12,
  explain: 2,
  estimate: 2,
  prepare: 2,
  session: 6,
  endless: 3,
  list: 3,
  intruder: 4,
  burst: 2,
}

export const faultWeights: Readonly<Record<FaultKind, number>> = {
  crash: 14,
  vanish: 4,
  freeze: 8,
  suspend: 3,
  hang: 4,
  leave: 6,
  'rolling-restart': 2,
  'all-crash': 2,
  'crash-leader': 5,
  'wall-jump': 3,
  'database-restart': 3,
  'database-stall': 4,
  'database-failover': 2,
  'database-clock': 2,
  'database-cut': 5,
  'database-connections': 4,
  'database-read-only': 3,
  'database-errors': 6,
  'database-lost-after': 6,
  'database-lost-before': 3,
  'database-late': 5,
  'bus-loss': 4,
  'bus-slow': 3,
  'bus-one-way': 4,
  'bus-partition': 4,
  'engine-death': 3,
  'engine-unavailable': 4,
  'local-engine-death': 3,
}

/** Nothing goes wrong before this: everybody has joined by then. */
export const calmMs = 8_000

export function drawPlan({ seed, forMs, operationsPerHour, faultsPerHour }: PlanOptions): PlanItem[] {
  const random = new SeededRandom(`${seed}/plan`)
  const items: { atMs: number; type: 'operation' | 'fault'; kind: string }[] = []
  const drawn = (
    perHour: number,
    type: 'operation' | 'fault',
    weights: Readonly<Record<string, number>>,
    fromMs: number,
  ) => {
    const count = Math.round((perHour * forMs) / 3_600_000)
    for (let index = 0; index < count; index++)
      items.push({ atMs: Math.round(random.between(fromMs, forMs)), type, kind: weighted(random, weights) })
  }
  drawn(operationsPerHour, 'operation', operationWeights, 3_000)
  drawn(faultsPerHour, 'fault', faultWeights, calmMs)
  items.sort((a, b) => a.atMs - b.atMs)
  return items.map((item, number) => ({ number, ...item }) as PlanItem)
}

function weighted(random: SeededRandom, weights: Readonly<Record<string, number>>): string {
  const entries = Object.entries(weights)
  let left = random.fraction() * entries.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [kind, weight] of entries) {
    left -= weight
    if (left < 0) return kind
  }
  return (entries[0] as [string, number])[0]
}

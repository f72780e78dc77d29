/** When a node was cut off or frozen, or had just come back: what it answers then, it answers as a possible zombie. */
import type { FaultRecord } from '../history.ts'
import type { Ledger } from './ledger.ts'

const known = new WeakMap<Ledger, ReadonlyMap<string | null, readonly FaultRecord[]>>()

export function wasZombie(ledger: Ledger, node: string | null, atMs: number): boolean {
  let silences = known.get(ledger)
  if (!silences) {
    silences = Map.groupBy(
      ledger.history.faults.filter(({ effect }) => effect === 'silences'),
      fault => fault.node,
    )
    known.set(ledger, silences)
  }
  const { leaseMs } = ledger.history.run
  if (node === null) return false
  return (silences.get(node) ?? []).some(
    ({ beginMs, healMs }) => beginMs <= atMs && atMs <= (healMs ?? Number.POSITIVE_INFINITY) + 3 * leaseMs,
  )
}

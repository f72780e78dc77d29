/**
 * Who is given running queries holds their slots from then on, and does not know of it before it looks. So the transaction that
 * gives them counts them into what their new owner acknowledges: on top of all that it may be filling at this moment.
 */
import { holdsSlot, type Lane, type QueryStatus } from '../domain/index.ts'
import type { Database, SqlValue, Transaction } from './database.ts'

/** A query that changes its owner, as it is in its row. */
export interface Given {
  readonly toIncarnation: string
  readonly status: QueryStatus
  readonly engine: string | null
  readonly lane: Lane
}

/** In the transaction that changes the owner, behind the rows of the queries and before the counters. */
export function acknowledgeGiven(database: Database, transaction: Transaction, given: readonly Given[]): void {
  const slots = new Map<string, { key: readonly [string, string, string]; count: number }>()
  for (const { toIncarnation, status, engine, lane } of given) {
    if (!holdsSlot(status) || engine === null) continue
    const key = [toIncarnation, engine, lane === 'heavy' ? 'heavy' : 'light'] as const
    const name = key.join(' ')
    slots.set(name, { key, count: (slots.get(name)?.count ?? 0) + 1 })
  }
  if (slots.size === 0) return
  const { dialect } = database
  const b = database.tables.budget
  // Everybody takes the rows' locks in the same order.
  const sorted = [...slots].sort(([a], [c]) => (a < c ? -1 : 1)).map(([, slot]) => slot)
  const raised = `${dialect.greatest(b.granted, b.acknowledged)} + ${dialect.proposed(b.acknowledged)}`
  transaction.later(
    `INSERT INTO ${b} (${b.incarnation}, ${b.engine}, ${b.lane}, ${b.granted}, ${b.acknowledged}) VALUES ` +
      `${sorted.map(() => '(?, ?, ?, 0, ?)').join(', ')}${dialect.orSet([b.incarnation, b.engine, b.lane], `${b.acknowledged} = ${raised}`)}`,
    sorted.flatMap<SqlValue>(({ key, count }) => [...key, count]),
  )
}

/** The guard that every transaction of a leader begins with. */
import type { Database, Statements } from './database.ts'

/** Whether `term` is still the lease's, and stays so until the transaction ends. */
export async function isLeader(database: Database, transaction: Statements, term: number): Promise<boolean> {
  const l = database.tables.lease
  const rows = await transaction.rows(
    `SELECT ${l.term} AS term_ FROM ${l} WHERE ${l.id} = 1 AND ${l.term} = ?${database.dialect.lockShared}`,
    [term],
  )
  return rows.length > 0
}

/**
 * The guard of every transaction of a leader. It comes last: the leader's heartbeat renews that very row, and must wait for no
 * longer than a commit takes, however long the statements before it wait for rows, tables or connections.
 */
import { type Database, type Statements, type Transaction, Undo } from './database.ts'

/** Whether `term` is still the lease's, and stays so until the transaction ends; what was put off goes in the same round trip. */
export async function isLeader(database: Database, transaction: Statements, term: number): Promise<boolean> {
  const l = database.tables.lease
  const rows = await transaction.rows(
    `SELECT ${l.term} AS term_ FROM ${l} WHERE ${l.id} = 1 AND ${l.term} = ?${database.dialect.lockShared}`,
    [term],
  )
  return rows.length > 0
}

/** Does `work` in a transaction, which is undone and gives `otherwise` when `term` is not the lease's at its end. */
export async function underTerm<T>(
  database: Database,
  term: number,
  otherwise: T,
  work: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  try {
    return await database.transaction(async transaction => {
      const answer = await work(transaction)
      if (!(await isLeader(database, transaction, term))) throw new Undo(otherwise)
      return answer
    })
  } catch (error) {
    if (error instanceof Undo) return error.value
    throw error
  }
}

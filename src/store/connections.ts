/**
 * What a server with many connections is asked about them: which are whose, to end those of a fenced incarnation with their
 * locks; and its named locks, which end with the connection that holds them.
 */
import type { Connector, SqlValue, Statements } from './database.ts'
import { placeholders } from './names.ts'
import { lockWaitTimeout } from './retry.ts'

type Wired = Pick<Connector, 'statements' | 'tables' | 'dialect'>

/** The statement by which a connection says whose it is, and its values. */
export function registration({ tables, dialect }: Wired, incarnation: string): { sql: string; values: SqlValue[] } {
  const c = tables.memberConnection
  return {
    sql:
      `INSERT INTO ${c} (${c.connectionId}, ${c.incarnation}, ${c.since}) ` +
      `VALUES (CONNECTION_ID(), ?, ${dialect.now})${dialect.overwrite([c.connectionId], [c.incarnation, c.since])}`,
    values: [incarnation],
  }
}

/** Ends the connections to this database that the incarnation registered. */
export async function endConnections(
  { statements, tables }: Wired,
  databaseName: string,
  incarnation: string,
): Promise<void> {
  const c = tables.memberConnection
  const registered = await statements.rows<{ id: number }>(
    `SELECT ${c.connectionId} AS id FROM ${c} WHERE ${c.incarnation} = ? AND ${c.connectionId} <> CONNECTION_ID()`,
    [incarnation],
  )
  if (registered.length === 0) return
  // Ids are reused after a restart of the server: only what is connected to this very database is ours to end. (The table
  // PROCESSLIST cannot be asked: MySQL fails where any connection's statement holds a character of four bytes.)
  const ids = registered.map(({ id }) => Number(id))
  const living = (await statements.rows<{ Id: number; db: string | null }>('SHOW PROCESSLIST')).filter(
    ({ Id, db }) => ids.includes(Number(Id)) && db === databaseName,
  )
  for (const { Id } of living)
    try {
      await statements.run(`KILL ${Number(Id)}`)
    } catch (error) {
      if ((error as { errno?: number }).errno !== 1094) throw error // unknown thread: it has gone by itself
    }
  await statements.run(
    `DELETE FROM ${c} WHERE ${c.connectionId} IN ${placeholders(ids.length)} AND ${c.incarnation} = ?`,
    [...ids, incarnation],
  )
}

/**
 * Runs `work` while a connection that does nothing else holds the server's named lock: its end is the end of the lock.
 * Each attempt waits for a second; rejects, to be repeated, after `attemptsMax`.
 */
export function holdingLock<T>(
  connector: Pick<Connector, 'transaction'>,
  lock: string,
  attemptsMax: number,
  work: () => Promise<T>,
): Promise<T> {
  return connector.transaction(async (holder: Statements) => {
    for (let attempt = 1; ; attempt++) {
      const [row] = await holder.rows<{ got: number }>('SELECT GET_LOCK(?, 1) AS got', [lock])
      if (Number(row?.got) === 1) break
      if (attempt >= attemptsMax)
        throw Object.assign(new Error(`the lock ${lock} is held elsewhere`), { errno: lockWaitTimeout })
    }
    try {
      return await work()
    } finally {
      await holder.rows('SELECT RELEASE_LOCK(?) AS released', [lock])
    }
  })
}

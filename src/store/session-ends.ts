/**
 * How sessions come to their end, and what every move of one leaves behind. Rows are locked before anybody asks whether they are
 * in use: a submission holds a shared lock on its session until its query is there to be seen.
 */
import type { SessionEvent } from '../domain/index.ts'
import type { Database, Statements } from './database.ts'
import { underTerm } from './leadership.ts'
import { placeholders } from './names.ts'
import { databaseNow, insertion, isoOf } from './rows.ts'
import { scopes } from './usage.ts'

export class SessionEnds {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** Lowers the counters of these sessions' users. */
  async release(transaction: Statements, ids: readonly string[]): Promise<void> {
    const { session: s, counter: c } = this.#database.tables
    const { dialect } = this.#database
    const rows = await transaction.rows<{ user_: string }>(
      `SELECT ${s.user} AS user_ FROM ${s} WHERE ${s.id} IN ${placeholders(ids.length)}`,
      ids,
    )
    const counts = new Map<string, number>()
    for (const { user_ } of rows) counts.set(user_, (counts.get(user_) ?? 0) + 1)
    for (const [scope, by] of [...counts].map(([user, by]) => [scopes.sessionsOfUser(user), by] as const).sort())
      await transaction.run(
        `UPDATE ${c} SET ${c.value} = ${dialect.greatest('0', `${c.value} - ?`)} WHERE ${c.scope} = ?`,
        [by, scope],
      )
  }

  async record(
    transaction: Statements,
    moves: readonly { id: string; version: number; event: SessionEvent; from: string; to: string; node: string }[],
  ): Promise<void> {
    const { sql, values } = insertion(
      this.#database.tables.sessionTransition,
      moves.map(({ id, version, event, from, to, node }) => ({
        sessionId: id,
        version,
        event: JSON.stringify(event),
        fromStatus: from,
        toStatus: to,
        node,
        at: databaseNow,
      })),
      this.#database.dialect.now,
    )
    await transaction.run(sql, values)
  }

  async removeClosed(id: string, node: string): Promise<boolean> {
    return this.#database.transaction(async transaction => {
      if ((await this.#removeIn(transaction, 'CLOSING', [id], node)).length > 0) return true
      const s = this.#database.tables.session
      return (await transaction.rows(`SELECT 1 AS one FROM ${s} WHERE ${s.id} = ?`, [id])).length === 0
    })
  }

  /**
   * Ends those of the sessions that still are in this state (for OPEN: and unused for long enough) and have no unfinished query.
   * Their rows are locked first: a submission holds a shared lock on its session until its query is there to be seen.
   */
  async #removeIn(
    transaction: Statements,
    status: 'OPEN' | 'CLOSING',
    ids: readonly string[],
    node: string,
  ): Promise<string[]> {
    const { session: s, current: q } = this.#database.tables
    const { dialect } = this.#database
    if (ids.length === 0) return []
    const idle = status === 'OPEN' ? ` AND ${s.sweepAt} < ${dialect.now}` : ''
    const locked = await transaction.rows<{ id_: string; version_: number; now_: number }>(
      `SELECT ${s.id} AS id_, ${s.version} AS version_, ${dialect.now} AS now_ FROM ${s}${dialect.byPrimary} ` +
        `WHERE ${s.id} IN ${placeholders(ids.length)} AND ${s.status} = '${status}'${idle}${dialect.lockSkipping}`,
      ids,
    )
    if (locked.length === 0) return []
    const busy = new Set(
      (
        await transaction.rows<{ id_: string }>(
          `SELECT DISTINCT ${q.sessionId} AS id_ FROM ${q} WHERE ${q.sessionId} IN ${placeholders(locked.length)}`,
          locked.map(row => row.id_),
        )
      ).map(row => row.id_),
    )
    const free = locked.filter(row => !busy.has(row.id_))
    if (free.length === 0) return []
    const [type, to] = status === 'OPEN' ? (['EXPIRED', 'EXPIRED'] as const) : (['CLOSED', 'CLOSED'] as const)
    await this.record(
      transaction,
      free.map(row => ({
        id: row.id_,
        version: Number(row.version_) + 1,
        event: { type, at: isoOf(row.now_) },
        from: status,
        to,
        node,
      })),
    )
    const freed = free.map(row => row.id_)
    if (status === 'OPEN') await this.release(transaction, freed)
    await transaction.run(`${dialect.deleteFrom(s)} WHERE ${s.id} IN ${placeholders(freed.length)}`, freed)
    await this.#forgetKeys(transaction, freed)
    return freed
  }

  async #forgetKeys(transaction: Statements, ids: readonly string[]): Promise<void> {
    const k = this.#database.tables.key
    await transaction.run(
      `DELETE FROM ${k} WHERE ${k.kind} = 'session' AND ${k.handle} IN ${placeholders(ids.length)}`,
      ids,
    )
  }

  async sweep(
    term: number,
    limit: number,
  ): Promise<{ readonly expired: readonly string[]; readonly closed: readonly string[] }> {
    const s = this.#database.tables.session
    const { dialect } = this.#database
    const { current: q } = this.#database.tables
    const unused = `NOT EXISTS (SELECT 1 FROM ${q} WHERE ${q}.${q.sessionId} = ${s}.${s.id})`
    const candidates = async (condition: string) => {
      const rows = await this.#database.rows<{ id_: string }>(
        `SELECT ${s.id} AS id_ FROM ${s} WHERE ${condition} AND ${unused} LIMIT ${Math.min(Number(limit), dialect.rowsMax)}`,
      )
      return rows.map(row => row.id_).sort()
    }
    const sweepIn = async (status: 'OPEN' | 'CLOSING', ids: readonly string[]) => {
      if (ids.length === 0) return []
      return underTerm<readonly string[]>(this.#database, term, [], async transaction =>
        this.#removeIn(transaction, status, ids, await this.#leaderNode(transaction)),
      )
    }
    const expired = await sweepIn('OPEN', await candidates(`${s.status} = 'OPEN' AND ${s.sweepAt} < ${dialect.now}`))
    const closed = await sweepIn('CLOSING', await candidates(`${s.status} = 'CLOSING'`))
    return { expired, closed }
  }

  async #leaderNode(transaction: Statements): Promise<string> {
    const l = this.#database.tables.lease
    const [row] = await transaction.rows<{ node_: string }>(
      `SELECT ${l.holderNode} AS node_ FROM ${l} WHERE ${l.id} = 1`,
    )
    return row?.node_ ?? ''
  }
}

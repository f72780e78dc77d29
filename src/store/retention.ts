/**
 * What the leader deletes, in transactions so small that nobody waits for them: each finds its rows by a range of an index, without
 * locks, and deletes them by their keys.
 *
 * The bytes of all results are a sum over an index that holds nothing else (`by_result`), made once per sweep and only where a limit is
 * set. A counter would be exact at every instant, but every end of a query in the cluster would wait for its one row.
 */
import type { Finished, Forgotten, RetentionStore } from './contract.ts'
import type { Database } from './database.ts'
import { underTerm } from './leadership.ts'
import { placeholders } from './names.ts'
import { askableIds } from './rows.ts'

/** Each has a dozen transitions, and no transaction should be above 500 rows. */
const queriesPerDeletion = 25
const sessionStepsPerDeletion = 100

const nothing: Forgotten = { queries: 0, waiting: 0, sessionSteps: 0 }

export class Retention implements RetentionStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async forget(term: number, finished: Finished, limit: number): Promise<Forgotten> {
    const { finished: q, transition, failedAttempt, page, key, delivery, sessionTransition: s } = this.#database.tables
    const { dialect } = this.#database
    const byAge = 'agoMs' in finished
    const before = byAge ? `${dialect.now} - ${Math.max(0, Math.round(finished.agoMs))}` : `${Number(finished.before)}`
    return underTerm(this.#database, term, nothing, async transaction => {
      const rows = await transaction.rows<{ handle_: string; pages_: number | null }>(
        `SELECT ${q.handle} AS handle_, ${q.pagesExpireAt} AS pages_ FROM ${q} WHERE ${q.finishedAt} < ${before} ` +
          `ORDER BY ${q.finishedAt} LIMIT ${Math.min(Number(limit), queriesPerDeletion)}`,
      )
      const handles = rows.filter(row => row.pages_ === null).map(row => row.handle_)
      const waiting = rows.filter(row => row.pages_ !== null).map(row => row.handle_)
      if (handles.length > 0)
        for (const table of [q, transition, failedAttempt, page, key, delivery])
          await transaction.run(
            `${table === key ? `DELETE FROM ${key}` : dialect.deleteFrom(table)} WHERE ${table.handle} IN ${placeholders(handles.length)}`,
            handles,
          )
      if (waiting.length > 0)
        await transaction.run(
          `UPDATE ${q} AS q${dialect.byPrimary} SET ${q.pagesExpireAt} = ${dialect.now} WHERE ${q.handle} IN ${placeholders(waiting.length)} AND ${q.pagesExpireAt} > ${dialect.now}`,
          waiting,
        )
      const answer = { queries: handles.length, waiting: waiting.length, sessionSteps: 0 }
      if (!byAge) return answer
      // Each by its own age: a session that stays open and is changed every day would keep its history for ever.
      const steps = await transaction.rows<{ id_: string; version_: number }>(
        `SELECT ${s.sessionId} AS id_, ${s.version} AS version_ FROM ${s} WHERE ${s.toStatus} IN ('OPEN', 'CLOSING', 'CLOSED', 'EXPIRED') AND ${s.at} < ${before} LIMIT ${sessionStepsPerDeletion}`,
      )
      if (steps.length > 0)
        await transaction.run(
          `${dialect.deleteFrom(s)} WHERE ${steps.map(() => `(${s.sessionId} = ? AND ${s.version} = ?)`).join(' OR ')}`,
          steps.flatMap(row => [row.id_, Number(row.version_)]),
        )
      return { ...answer, sessionSteps: steps.length }
    })
  }

  async endOfNewest(max: number): Promise<number | null> {
    const q = this.#database.tables.finished
    const rows = await this.#database.rows<{ at_: number }>(
      `SELECT ${q.finishedAt} AS at_ FROM ${q} ORDER BY ${q.finishedAt} DESC LIMIT 2 OFFSET ${Math.max(0, Number(max) - 1)}`,
    )
    return rows.length < 2 ? null : Number(rows[0]?.at_)
  }

  async excess(bytesMax: number): Promise<number> {
    const q = this.#database.tables.finished
    const [row] = await this.#database.rows<{ bytes_: number | null }>(
      `SELECT SUM(${q.storedBytes}) AS bytes_ FROM ${q} WHERE ${q.pagesExpireAt} > ${this.#database.dialect.now}`,
    )
    return Number(row?.bytes_ ?? 0) - bytesMax
  }

  async expireEarly(term: number, bytes: number, limit: number): Promise<number> {
    const q = this.#database.tables.finished
    const { dialect } = this.#database
    return underTerm(this.#database, term, 0, async transaction => {
      const rows = await transaction.rows<{ handle_: string; bytes_: number }>(
        `SELECT ${q.handle} AS handle_, ${q.storedBytes} AS bytes_ FROM ${q} WHERE ${q.pagesExpireAt} > ${dialect.now} ` +
          `ORDER BY ${q.pagesExpireAt}, ${q.storedBytes} LIMIT ${Number(limit)}`,
      )
      const due: string[] = []
      let freed = 0
      for (const row of rows) {
        if (freed >= bytes) break
        due.push(row.handle_)
        freed += Number(row.bytes_)
      }
      if (due.length > 0)
        await transaction.run(
          `UPDATE ${q} AS q${dialect.byPrimary} SET ${q.pagesExpireAt} = ${dialect.now} WHERE ${q.handle} IN ${placeholders(due.length)} AND ${q.pagesExpireAt} > ${dialect.now}`,
          due,
        )
      return freed
    })
  }
  async withoutRows(handles: readonly string[]): Promise<readonly string[]> {
    const asked = askableIds(handles)
    if (asked.length === 0) return []
    const q = this.#database.tables.finished
    const rows = await this.#database.rows<{ handle_: string }>(
      `SELECT ${q.handle} AS handle_ FROM ${q} WHERE ${q.handle} IN ${placeholders(asked.length)} AND ${q.pagesExpireAt} IS NULL`,
      asked,
    )
    return rows.map(row => row.handle_)
  }
}

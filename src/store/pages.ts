/** Result pages: appended unseen under the epoch, read only for the attempt that succeeded, deleted by the leader's sweep. */
import type { NewPage, PageStore, StoredPage } from './contract.ts'
import type { Database } from './database.ts'
import { underTerm } from './leadership.ts'
import { placeholders } from './names.ts'
import { askableIds, insertion } from './rows.ts'
import { pageValues } from './steps.ts'

/** Pages deleted in one transaction: they may be large. */
const pagesPerDeletion = 10

export class Pages implements PageStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async append(page: NewPage, epoch: number, mayHaveCommitted = false): Promise<boolean> {
    const { current: q, page: p } = this.#database.tables
    const { dialect } = this.#database
    return this.#database.transaction(async (transaction, attempt) => {
      const count = await transaction.run(
        `UPDATE ${q} SET ${q.storedPages} = ${q.storedPages} + 1, ${q.storedRows} = ?, ${q.storedBytes} = ${q.storedBytes} + ? ` +
          `WHERE ${q.handle} = ? AND ${q.epoch} = ? AND ${q.storedPages} = ?`,
        [page.firstRow + page.rowCount, page.bytes, page.handle, epoch, page.page],
      )
      if (count === 0) {
        // Counted by an attempt whose answer was lost, when the row stands right behind this page.
        if (attempt === 0 && !mayHaveCommitted) return false
        const [row] = await transaction.rows<{ pages_: number }>(
          `SELECT ${q.storedPages} AS pages_ FROM ${q} WHERE ${q.handle} = ? AND ${q.epoch} = ?`,
          [page.handle, epoch],
        )
        return row !== undefined && Number(row.pages_) === page.page + 1
      }
      const { sql, values } = insertion(p, [pageValues(page)], dialect.now)
      await transaction.run(
        sql + dialect.overwrite([p.handle, p.attempt, p.page], [p.firstRow, p.rowCount, p.bytes, p.data]),
        values,
      )
      return true
    })
  }

  async reset(handle: string, epoch: number, attempt: number): Promise<boolean> {
    const { current: q, page: p } = this.#database.tables
    return this.#database.transaction(async transaction => {
      const count = await transaction.run(
        `UPDATE ${q} SET ${q.storedPages} = 0, ${q.storedRows} = 0, ${q.storedBytes} = 0 WHERE ${q.handle} = ? AND ${q.epoch} = ?`,
        [handle, epoch],
      )
      if (count === 0) return false
      // Also those of this attempt: it begins again, or a repetition of this call finds it as it was.
      await transaction.run(`DELETE FROM ${p} WHERE ${p.handle} = ? AND ${p.attempt} <= ?`, [handle, attempt])
      return true
    })
  }

  async from(handle: string, attempt: number, row: number, limit: number): Promise<readonly StoredPage[]> {
    const [id] = askableIds([handle])
    if (id === undefined) return []
    const p = this.#database.tables.page
    const rows = await this.#database.rows<Record<string, number> & { data_: Uint8Array | null }>(
      `SELECT ${p.page} AS page_, ${p.firstRow} AS firstRow_, ${p.rowCount} AS rowCount_, ${p.bytes} AS bytes_, ${p.data} AS data_ FROM ${p} ` +
        `WHERE ${p.handle} = ? AND ${p.attempt} = ? AND ${p.page} >= COALESCE((SELECT MAX(b.${p.page}) FROM ${p} AS b ` +
        `WHERE b.${p.handle} = ? AND b.${p.attempt} = ? AND b.${p.firstRow} <= ?), 0) ORDER BY ${p.page} LIMIT ${Number(limit)}`,
      [id, attempt, id, attempt, row],
    )
    return rows
      .map(found => ({
        handle,
        attempt,
        page: Number(found.page_),
        firstRow: Number(found.firstRow_),
        rowCount: Number(found.rowCount_),
        bytes: Number(found.bytes_),
        data: found.data_,
      }))
      .filter(page => page.firstRow + page.rowCount > row || page.rowCount === 0)
  }

  async expire(term: number, limit: number): Promise<readonly { handle: string; attempt: number }[]> {
    const q = this.#database.tables.finished
    const { dialect } = this.#database
    const expired = await this.#database.rows<{ handle_: string; attempt_: number }>(
      `SELECT ${q.handle} AS handle_, ${q.attempt} AS attempt_ FROM ${q} WHERE ${q.pagesExpireAt} <= ${dialect.now} ORDER BY ${q.pagesExpireAt} LIMIT ${Number(limit)}`,
    )
    const done: { handle: string; attempt: number }[] = []
    for (const { handle_: handle, attempt_: attempt } of expired) {
      let left: boolean | null = true
      while (left) left = await this.#deleteSome(term, handle)
      if (left === null) break
      done.push({ handle, attempt: Number(attempt) })
    }
    if (done.length > 0)
      await underTerm(this.#database, term, undefined, async transaction => {
        await transaction.run(
          `UPDATE ${q} AS q${dialect.byPrimary} SET ${q.pagesExpireAt} = NULL, ${q.storedPages} = 0 WHERE ${q.handle} IN ${placeholders(done.length)}`,
          done.map(({ handle }) => handle),
        )
      })
    return done
  }

  /** True while there are more; null when the term is over. */
  async #deleteSome(term: number, handle: string): Promise<boolean | null> {
    const p = this.#database.tables.page
    return underTerm<boolean | null>(this.#database, term, null, async transaction => {
      const rows = await transaction.rows<{ attempt_: number; page_: number }>(
        `SELECT ${p.attempt} AS attempt_, ${p.page} AS page_ FROM ${p} WHERE ${p.handle} = ? ORDER BY ${p.attempt}, ${p.page} LIMIT ${pagesPerDeletion}`,
        [handle],
      )
      const last = rows.at(-1)
      if (!last) return false
      await transaction.run(
        `DELETE FROM ${p} WHERE ${p.handle} = ? AND (${p.attempt} < ? OR (${p.attempt} = ? AND ${p.page} <= ?))`,
        [handle, last.attempt_, last.attempt_, last.page_],
      )
      return rows.length === pagesPerDeletion
    })
  }
}

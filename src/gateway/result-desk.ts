/** Rows of ended queries, from any node, in pages or as a stream. */
import { begun } from '../async/index.ts'
import { type Column, checkSnapshot, LensError } from '../domain/index.ts'
import type { ResultReader } from '../results/index.ts'
import type { QueryRow } from '../store/index.ts'
import type { Download, Principal, ResultFormat, RowsPage } from './contract.ts'
import { type Lookups, mustSee } from './lookups.ts'
import type { Views } from './views.ts'

interface StoredResult {
  readonly handle: string
  readonly attempt: number
  readonly columns: readonly Column[]
  readonly rowCount: number
}

export class ResultDesk {
  readonly #lookups: Lookups
  readonly #views: Views
  readonly #reader: ResultReader
  readonly #databaseNow: () => number

  constructor(lookups: Lookups, views: Views, reader: ResultReader, databaseNow: () => number) {
    this.#lookups = lookups
    this.#views = views
    this.#reader = reader
    this.#databaseNow = databaseNow
  }

  async rows(principal: Principal, handle: string, offset: number, limit: number): Promise<RowsPage> {
    const { columns, rowCount, attempt } = await this.#stored(principal, handle)
    if (offset >= rowCount) return { columns, rows: [], offset, nextOffset: null }
    const rows = await this.#reader.rows(handle, attempt, offset, Math.min(limit, rowCount - offset))
    if (rows.length === 0) throw expired()
    const next = offset + rows.length
    return { columns, rows, offset, nextOffset: next < rowCount ? next : null }
  }

  async download(principal: Principal, handle: string, format: ResultFormat, offset: number): Promise<Download> {
    const { columns, rowCount, attempt } = await this.#stored(principal, handle)
    // Rows may go before their time, when all results together are too large: then there is an answer, and no body that is cut.
    const body = await begun(this.#reader.stream({ handle, attempt, columns, rowCount, format, offset }))
    return { columns, rowCount, body }
  }

  async #stored(principal: Principal, handle: string): Promise<StoredResult> {
    const version = mustSee(principal, await this.#lookups.version(handle))
    if (version.status === 'CLOSED') throw expired()
    if (version.status !== 'SUCCESSFUL')
      throw new LensError('RESULT_NOT_READY', `The query is ${version.status}; rows are there when it is SUCCESSFUL.`, {
        retryable: !version.finished,
        retryAfterMs: 500,
      })
    const view = await this.#views.at(version)
    if (!view) throw new LensError('NOT_FOUND', 'There is no such query.')
    const { result, attempt } = view
    if (!result) {
      // It gave no rows; or nobody can say what rows it gave.
      const row = await this.#views.row(handle)
      if (row) snapshotOf(row)
      return { handle, attempt, columns: [], rowCount: 0 }
    }
    if (result.expiresAt !== null && Date.parse(result.expiresAt) <= this.#databaseNow()) throw expired()
    return { handle, attempt, columns: result.columns, rowCount: result.rowCount }
  }
}

function expired(): LensError {
  return new LensError('RESULT_EXPIRED', 'The rows were dropped, or their retention is over.')
}

/** The snapshot of a row that must be readable. */
export function snapshotOf(row: QueryRow) {
  const check = checkSnapshot(row.snapshot)
  if (!check.ok) throw new LensError('CONFLICT', `The state of the query cannot be read: ${check.reason}.`)
  return check.snapshot
}

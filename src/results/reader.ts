/**
 * Reads the rows of a finished query: a window of values, or the whole as a stream in one of three forms. At any moment a
 * stream holds one page that is being sent and a few compressed ones that were fetched ahead.
 */

import { begun } from '../async/index.ts'
import { type Column, LensError, type WireValue } from '../domain/index.ts'
import type { PageStore, StoredPage } from '../store/index.ts'
import { csvHeader, csvRows } from './csv.ts'
import { readPageFile } from './directory.ts'
import { decodePage, lineStart, parseLines } from './page.ts'

const pagesPerRead = 4

export type StreamFormat = 'ndjson' | 'csv' | 'arrow'

export interface ResultReaderOptions {
  readonly pages: Pick<PageStore, 'from'>
  /** Where pages lie whose rows hold no data. */
  readonly directory?: string | null
}

export interface StreamRequest {
  readonly handle: string
  /** The attempt that succeeded. */
  readonly attempt: number
  readonly columns: readonly Column[]
  /** All rows of the result: a stream that finds fewer fails instead of ending. */
  readonly rowCount: number
  readonly format: StreamFormat
  /** The first row to send. */
  readonly offset: number
}

/** A page as text, from its first wanted row on. */
interface OpenPage {
  readonly text: Buffer
  readonly rowCount: number
}

export class ResultReader {
  readonly #pages: Pick<PageStore, 'from'>
  readonly #directory: string | null

  constructor(options: ResultReaderOptions) {
    this.#pages = options.pages
    this.#directory = options.directory ?? null
  }

  /**
   * Rows from `offset` on, at most `limit`; fewer only where the stored result ends. Fails with `RESULT_EXPIRED` when rows are missing
   * before others. Values follow their column's type.
   */
  async rows(handle: string, attempt: number, offset: number, limit: number): Promise<WireValue[][]> {
    const rows: WireValue[][] = []
    while (rows.length < limit) {
      const next = offset + rows.length
      const pages = await this.#pages.from(handle, attempt, next, pagesPerRead)
      if (pages.length === 0) break
      for (const page of pages) {
        if (rows.length === limit) break
        mustHold(page, offset + rows.length)
        const text = await decodePage(await this.#dataOf(page), page.bytes)
        rows.push(...parseLines(text, offset + rows.length - page.firstRow, limit - rows.length))
      }
      if (offset + rows.length === next) break
    }
    return rows
  }

  /** Fails with `RESULT_EXPIRED` when rows are missing; whoever sends it then cuts the body. */
  async *stream(request: StreamRequest): AsyncGenerator<Uint8Array, void, void> {
    // The first page before any header: rows that are gone are then no body at all.
    const pages = await begun(this.#open(request))
    if (request.format === 'csv') {
      yield csvHeader(request.columns)
      for await (const { text } of pages) yield csvRows(text)
    } else if (request.format === 'arrow') {
      // Fifteen megabytes and a twelfth of a second, which only those pay who ask for this format.
      const { ArrowEncoder } = await import('./arrow.ts')
      const encoder = new ArrowEncoder(request.columns)
      yield encoder.begin()
      for await (const { text, rowCount } of pages) yield encoder.batch(text, rowCount)
      yield encoder.end()
    } else for await (const { text } of pages) yield text
  }

  /** The pages in order; the next one is fetched and opened while the consumer works on the last. */
  async *#open(request: StreamRequest): AsyncGenerator<OpenPage, void, void> {
    const { offset, rowCount } = request
    const stored = this.#stored(request)
    let next = this.#opened(stored, offset)
    try {
      for (let row = offset; row < rowCount; ) {
        const page = await next
        if (!page || page.rowCount === 0) throw new LensError('RESULT_EXPIRED', 'The rows are no longer there.')
        row += page.rowCount
        next = row < rowCount ? this.#opened(stored, row) : Promise.resolve(null)
        // A failure is met at the next turn; until then it must not count as unhandled.
        next.catch(() => {})
        yield page
      }
    } finally {
      await next.catch(() => null)
      await stored.return()
    }
  }

  async #opened(stored: AsyncGenerator<StoredPage, void, void>, row: number): Promise<OpenPage | null> {
    const { value: page } = await stored.next()
    if (!page) return null
    mustHold(page, row)
    const text = await decodePage(await this.#dataOf(page), page.bytes)
    const skipped = row - page.firstRow
    return { text: skipped > 0 ? text.subarray(lineStart(text, skipped)) : text, rowCount: page.rowCount - skipped }
  }

  async *#stored({ handle, attempt, offset, rowCount }: StreamRequest): AsyncGenerator<StoredPage, void, void> {
    let row = offset
    while (row < rowCount) {
      const pages = await this.#pages.from(handle, attempt, row, pagesPerRead)
      const last = pages.at(-1)
      if (!last) return
      yield* pages
      row = last.firstRow + last.rowCount
    }
  }

  async #dataOf(page: StoredPage): Promise<Uint8Array> {
    if (page.data !== null) return page.data
    if (this.#directory === null)
      throw new Error(`page ${page.page} of ${page.handle} lies in a results directory, and none is configured`)
    return readPageFile(this.#directory, page.handle, page.attempt, page.page)
  }
}

/** Pages are deleted from the first one on: behind a gap there may be others, which are not the rows that were asked for. */
function mustHold(page: StoredPage, row: number): void {
  if (page.firstRow > row) throw new LensError('RESULT_EXPIRED', 'The rows are no longer there.')
}

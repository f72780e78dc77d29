/**
 * The rows around what is seen of a result, however large it is: pages are read when somebody looks at them, and the ones
 * not looked at for the longest time are dropped. What scrolled past before it came is not waited for.
 */
import type { LensClient, ResultPage, WireValue } from '../../client/index.ts'

export type Row = readonly WireValue[]

const pageRows = 500
/** 20,000 rows at the most are held. */
const pagesMax = 40

export class RowPages {
  readonly #read: (offset: number, limit: number, signal: AbortSignal) => Promise<ResultPage>
  readonly #rowCount: number
  readonly #changed: () => void
  /** In the order in which they were looked at, the last one last. */
  readonly #pages = new Map<number, readonly Row[]>()
  readonly #reading = new Map<number, AbortController>()
  error: unknown = null

  constructor(client: LensClient, handle: string, rowCount: number, changed: () => void) {
    const path = `/api/v1/queries/${encodeURIComponent(handle)}/results`
    this.#read = (offset, limit, signal) => client.request('GET', `${path}?offset=${offset}&limit=${limit}`, { signal })
    this.#rowCount = rowCount
    this.#changed = changed
  }

  /** A row that is here; null while it is not. */
  row(index: number): Row | null {
    return this.#pages.get(Math.floor(index / pageRows))?.[index % pageRows] ?? null
  }

  /** Says what is looked at: rows from `first` to before `last`. */
  look(first: number, last: number): void {
    if (this.#rowCount === 0) return
    const from = Math.floor(Math.max(0, first) / pageRows)
    const to = Math.floor(Math.min(this.#rowCount - 1, Math.max(first, last - 1)) / pageRows)
    for (const [page, reading] of this.#reading) {
      if (page >= from - 1 && page <= to + 1) continue
      this.#reading.delete(page)
      reading.abort()
    }
    for (let page = from; page <= to; page++) {
      const rows = this.#pages.get(page)
      if (!rows) void this.#load(page)
      else {
        this.#pages.delete(page)
        this.#pages.set(page, rows)
      }
    }
  }

  retry(): void {
    this.error = null
    this.#changed()
  }

  close(): void {
    for (const reading of this.#reading.values()) reading.abort()
    this.#reading.clear()
  }

  async #load(page: number): Promise<void> {
    if (this.#reading.has(page) || this.error !== null) return
    const reading = new AbortController()
    this.#reading.set(page, reading)
    try {
      const rows: Row[] = []
      // A node sends less than a page where its rows are large.
      for (let offset: number | null = page * pageRows; offset !== null && rows.length < pageRows; ) {
        const part: ResultPage = await this.#read(offset, pageRows - rows.length, reading.signal)
        rows.push(...part.rows)
        offset = part.rows.length === 0 ? null : part.nextOffset
      }
      if (reading.signal.aborted) return
      this.#pages.set(page, rows)
      for (const oldest of this.#pages.keys()) {
        if (this.#pages.size <= pagesMax) break
        this.#pages.delete(oldest)
      }
    } catch (error) {
      if (reading.signal.aborted) return
      this.error = error
    } finally {
      if (this.#reading.get(page) === reading) this.#reading.delete(page)
    }
    this.#changed()
  }
}

/** Rows in order, page by page, the next page under way while this one is read; any node serves any page. */
import type { Column, QueryView, ResultPage, WireValue } from '../api/v1/wire.ts'

export type Row = readonly WireValue[]

export type PageReader = (handle: string, offset: number) => Promise<ResultPage>

/** The rows of a query that may still have to be submitted and waited for: that happens at the first use. */
export class Rows implements AsyncIterable<Row> {
  readonly #ended: () => Promise<QueryView>
  readonly #readPage: PageReader
  #query: Promise<QueryView> | null = null
  #first: Promise<ResultPage> | null = null

  /** `ended` resolves with the query once it is SUCCESSFUL, and rejects when it ends otherwise. */
  constructor(ended: () => Promise<QueryView>, readPage: PageReader) {
    this.#ended = ended
    this.#readPage = readPage
  }

  /** The query as it ended. Rejects with its failure. */
  get query(): Promise<QueryView> {
    this.#query ??= this.#ended()
    return this.#query
  }

  get columns(): Promise<readonly Column[]> {
    return this.#firstPage().then(page => page.columns)
  }

  /** Page by page, for who writes many rows at once. */
  async *pages(): AsyncGenerator<ResultPage, void, undefined> {
    const { handle } = await this.query
    let page = await this.#firstPage()
    // Kept only until the reading begins: a result is never held as a whole.
    this.#first = null
    for (;;) {
      const next = page.nextOffset === null ? null : this.#readPage(handle, page.nextOffset)
      // Its failure is met when it is awaited below; nobody awaits it when the reader stops here.
      next?.catch(() => {})
      yield page
      if (next === null) return
      page = await next
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const page of this.pages()) yield* page.rows
  }

  /** Rows as objects by column name; of columns with the same name the last one wins. */
  async *objects(): AsyncGenerator<Record<string, WireValue>, void, undefined> {
    for await (const { columns, rows } of this.pages()) {
      const names = columns.map(column => column.name)
      for (const row of rows) yield Object.fromEntries(names.map((name, index) => [name, row[index] ?? null]))
    }
  }

  #firstPage(): Promise<ResultPage> {
    this.#first ??= this.query.then(query => {
      // A dropped result is asked for all the same: the server says that it is gone.
      const withoutRows = query.status === 'SUCCESSFUL' && (query.result === null || query.result.columns.length === 0)
      return withoutRows ? { columns: [], rows: [], offset: 0, nextOffset: null } : this.#readPage(query.handle, 0)
    })
    return this.#first
  }
}

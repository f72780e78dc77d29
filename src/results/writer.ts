/**
 * Makes the rows of one attempt durable as they arrive: a page per batch, appended under the owner's epoch, unseen until
 * the query has finished. The last page, when it is small, is left to the caller, who commits it with the finish: most
 * results then cost no commit of their own.
 */
import type { RowBatch } from '../engines/index.ts'
import type { NewPage, PageStore } from '../store/index.ts'
import { removeResultFiles, writePageFile } from './directory.ts'

/** A last page of at most this size, compressed, travels with the finishing transaction. */
export const heldBytesMax = 64 * 1024

/** The epoch is over: the query is somebody else's. */
export class FencedError extends Error {
  constructor(handle: string) {
    super(`the query ${handle} is no longer owned here`)
    this.name = 'FencedError'
  }
}

export class ResultTooLargeError extends Error {
  constructor(bytesMax: number) {
    super(`The rows exceed ${bytesMax} bytes as JSON text.`)
    this.name = 'ResultTooLargeError'
  }
}

export interface ResultWriterOptions {
  readonly pages: Pick<PageStore, 'append' | 'reset'>
  readonly handle: string
  readonly epoch: number
  /** From 1. */
  readonly attempt: number
  /** An earlier owner has stored pages of this very attempt, whose rows now come once more from the first one on. */
  readonly again?: boolean
  /** What an earlier owner has stored of this very attempt, behind which the rows now come. */
  readonly stored?: { readonly pages: number; readonly rows: number; readonly bytes: number } | null
  /** JSON text of all rows; 0 = unlimited. */
  readonly bytesMax: number
  /** Pages go there when it is given, and into the database otherwise. */
  readonly directory?: string | null
}

export interface WrittenResult {
  readonly pages: number
  readonly rowCount: number
  readonly bytes: number
  /** Counted in `pages`, but not yet appended: belongs into the finishing transaction. */
  readonly lastPage?: NewPage
}

export class ResultWriter {
  readonly #options: ResultWriterOptions
  #held: NewPage | undefined
  #pages = 0
  #rowCount = 0
  #bytes = 0
  #begun = false

  constructor(options: ResultWriterOptions) {
    this.#options = options
    const { stored } = options
    if (!stored) return
    this.#pages = stored.pages
    this.#rowCount = stored.rows
    this.#bytes = stored.bytes
    this.#begun = true
  }

  /** What the engine goes on behind is durable when this resolves. Throws `FencedError`, `ResultTooLargeError`, or the store's `LensError`. */
  async write(rows: RowBatch): Promise<void> {
    const { handle, attempt, bytesMax } = this.#options
    if (bytesMax > 0 && this.#bytes + rows.bytes > bytesMax) throw new ResultTooLargeError(bytesMax)
    await this.#begin()
    const { rowCount, bytes, data, continues } = rows
    if (rowCount > 0) {
      await this.#flush()
      this.#held = { handle, attempt, page: this.#pages++, firstRow: this.#rowCount, rowCount, bytes, data }
      this.#rowCount += rowCount
      this.#bytes += bytes
    }
    if (continues) await this.#flush()
  }

  /** After the last rows. All pages but `lastPage` are durable then. */
  async finish(): Promise<WrittenResult> {
    await this.#begin()
    const written = { pages: this.#pages, rowCount: this.#rowCount, bytes: this.#bytes }
    const held = this.#held
    this.#held = undefined
    if (!held) return written
    if ((held.data?.length ?? 0) > heldBytesMax) {
      await this.#append(held)
      return written
    }
    return { ...written, lastPage: await this.#placed(held) }
  }

  // An earlier attempt may have left pages; the first one finds none.
  async #begin(): Promise<void> {
    if (this.#begun) return
    this.#begun = true
    const { pages, handle, epoch, attempt, directory, again = false } = this.#options
    if (attempt <= 1 && !again) return
    if (!(await pages.reset(handle, epoch, attempt))) throw new FencedError(handle)
    if (directory) await removeResultFiles(directory, handle, attempt)
  }

  async #flush(): Promise<void> {
    const held = this.#held
    if (!held) return
    await this.#append(held)
    this.#held = undefined
  }

  async #append(page: NewPage): Promise<void> {
    const { pages, epoch, handle } = this.#options
    if (!(await pages.append(await this.#placed(page), epoch))) throw new FencedError(handle)
  }

  async #placed(page: NewPage): Promise<NewPage> {
    const { directory } = this.#options
    if (!directory || page.data === null) return page
    await writePageFile(directory, page.handle, page.attempt, page.page, page.data)
    return { ...page, data: null }
  }
}

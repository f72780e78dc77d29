/** A submitted query: what can be asked of it and done to it, from any node. */
import type { QueryView, TransitionView } from '../api/v1/wire.ts'
import { type ChangesOptions, changesOf } from './changes.ts'
import type { Connection } from './connection.ts'
import { type DownloadFormat, downloadOf, mediaTypes } from './download.ts'
import { failureOf } from './errors.ts'
import { Rows } from './rows.ts'

export interface WaitOptions {
  readonly signal?: AbortSignal
}

export class QueryHandle {
  /** The public id of the query. */
  readonly handle: string
  readonly #connection: Connection
  #latest: QueryView | null

  constructor(connection: Connection, handle: string, latest: QueryView | null = null) {
    this.#connection = connection
    this.handle = handle
    this.#latest = latest
  }

  /** The query as it was last seen; null before anything was asked. */
  get latest(): QueryView | null {
    return this.#latest
  }

  async status(options: WaitOptions = {}): Promise<QueryView> {
    return this.#keep(await this.#connection.query(this.handle, null, options.signal))
  }

  /**
   * Every version above `after` (default 0) exactly once and in order, until the query has ended. Resumes by itself on
   * another node. Leaving the loop ends the subscription.
   */
  async *changes(options: ChangesOptions = {}): AsyncGenerator<QueryView, void, undefined> {
    const { connection, handle } = { connection: this.#connection, handle: this.handle }
    const source = {
      poll: (after: number, signal: AbortSignal) => connection.query(handle, after, signal),
      transitions: (signal: AbortSignal) => connection.transitions(handle, signal),
      pause: (attempt: number, signal: AbortSignal) => connection.pause(attempt, signal),
    }
    for await (const query of changesOf(handle, connection.stream, source, options)) yield this.#keep(query)
  }

  /** Resolves with the query once it has ended, however that was. */
  async wait(options: WaitOptions = {}): Promise<QueryView> {
    let latest = this.#latest
    for (let fruitless = 0; ; ) {
      if (latest && latest.outcome !== null) return latest
      const before: number = latest?.version ?? 0
      const askedAt = this.#connection.now()
      latest = this.#keep(await this.#connection.query(this.handle, before, options.signal))
      if (latest.version > before) fruitless = 0
      // A draining node answers early: without a pause its last clients would spin.
      else if (this.#connection.now() - askedAt < 1_000) await this.#connection.pause(fruitless++, options.signal)
    }
  }

  /** Makes the wish to cancel durable; the query ends CANCELED, or as it did if it was faster. */
  async cancel(): Promise<QueryView> {
    return this.#keep(await this.#connection.cancel(this.handle))
  }

  /** Waits for the end, then gives the rows. Throws the query's failure when it did not end SUCCESSFUL. */
  rows(options: WaitOptions = {}): Rows {
    const ended = async () => {
      const query = await this.wait(options)
      if (query.outcome !== 'SUCCESSFUL') throw failureOf(query)
      return query
    }
    return new Rows(ended, (handle, offset) => this.#connection.page(handle, offset, options.signal))
  }

  /** The whole result as bytes. `ndjson` survives the node that sends it; `csv` and `arrow` fail with it. */
  download(
    format: DownloadFormat,
    options: { readonly offset?: number } = {},
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const open = (offset: number) => this.#connection.body(this.handle, mediaTypes[format], offset)
    return downloadOf(format, open, options.offset ?? 0, attempt => this.#connection.pause(attempt))
  }

  /** All that happened to it, in order of version. */
  transitions(options: WaitOptions = {}): Promise<readonly TransitionView[]> {
    return this.#connection.transitions(this.handle, options.signal)
  }

  /** Drops the result; the status becomes CLOSED. */
  async dropResult(): Promise<void> {
    await this.#connection.dropResult(this.handle)
  }

  #keep(query: QueryView): QueryView {
    if (!this.#latest || query.version >= this.#latest.version) this.#latest = query
    return query
  }
}

/** A prepared query: parsed once, durable, executed from any node with its own parameters. */
import type { PreparedQueryView, WireValue } from '../api/v1/wire.ts'
import type { Connection } from './connection.ts'
import type { QueryHandle } from './handle.ts'
import type { Rows } from './rows.ts'
import { type ExecuteOptions, rowsOf, submitted } from './submission.ts'

export class PreparedQuery {
  readonly handle: string
  readonly #connection: Connection
  #view: PreparedQueryView | null

  constructor(connection: Connection, handle: string, view: PreparedQueryView | null = null) {
    this.#connection = connection
    this.handle = handle
    this.#view = view
  }

  /** Its text, columns and number of parameters. */
  async view(): Promise<PreparedQueryView> {
    this.#view ??= await this.#connection.call<PreparedQueryView>({ method: 'GET', path: this.#path() })
    return this.#view
  }

  submit(parameters: readonly WireValue[] = [], options: ExecuteOptions = {}): Promise<QueryHandle> {
    const { idempotencyKey, signal, ...body } = options
    const path = `${this.#path()}/executions`
    return submitted(this.#connection, path, { ...body, parameters, mode: 'async' }, idempotencyKey, signal)
  }

  query(parameters: readonly WireValue[] = [], options: ExecuteOptions = {}): Rows {
    return rowsOf(this.#connection, () => this.submit(parameters, options), options.signal)
  }

  async remove(): Promise<void> {
    await this.#connection.call({ method: 'DELETE', path: this.#path() })
  }

  #path(): string {
    return `/api/v1/prepared-queries/${encodeURIComponent(this.handle)}`
  }
}

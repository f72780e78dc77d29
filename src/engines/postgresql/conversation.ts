/**
 * One statement in PostgreSQL's extended protocol, in two steps, because between them its identity becomes durable:
 *
 *     describe:  Parse, Describe, Sync            ──▶ types of parameters and columns; nothing runs
 *     execute:   Bind, Execute (all rows), Sync   ──▶ rows as they come
 *
 * Rows are not fetched piece by piece: the server would plan without parallel workers for that. Instead the socket is not read while
 * enough of them wait, and the server waits for the socket.
 */
import type { Client, Connection, Submittable } from 'pg'
import { type Deferred, deferred, WakeUp } from '../../async/index.ts'

/** Name of the prepared statement on its connection; one at a time. */
const statementName = 'lens'

export interface Field {
  readonly name: string
  readonly dataTypeID: number
  readonly dataTypeModifier: number
}

export interface Description {
  /** Type of each parameter. */
  readonly parameters: readonly number[]
  readonly fields: readonly Field[]
}

export type RawRow = readonly (string | null)[]

/** What `pg` asks of a query of one's own; its types name only `submit`. */
interface Answers extends Submittable {
  handleParseComplete?(): void
  handleRowDescription(message: { fields: readonly Field[] }): void
  handleDataRow(message: { fields: RawRow; length: number }): void
  handleCommandComplete(message: { text: string }): void
  handleEmptyQuery(): void
  handlePortalSuspended(): void
  handleCopyInResponse(connection: CopyConnection): void
  handleCopyData(): void
  handleReadyForQuery(): void
  handleError(error: Error): void
}

interface CopyConnection {
  sendCopyFail(message: string): void
  sync(): void
}

/** The types want an argument that the library lost long ago. */
const more = true

/** Resolves once the server has parsed it, and is ready for more. */
export async function describe(client: Client, text: string): Promise<Description> {
  const query = new Describing(text)
  client.query(query)
  return query.described
}

abstract class Conversation implements Answers {
  abstract submit(connection: Connection): void
  abstract handleReadyForQuery(): void
  abstract handleError(error: Error): void
  handleParseComplete(): void {}
  handleRowDescription(_message: { fields: readonly Field[] }): void {}
  handleDataRow(_message: { fields: RawRow; length: number }): void {}
  handleCommandComplete(_message: { text: string }): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFail('COPY from the client is not allowed')
    // The one sent before was taken for a part of the copy.
    connection.sync()
  }
  handleCopyData(): void {}
}

class Describing extends Conversation {
  readonly #text: string
  readonly #result: Deferred<Description> = deferred<Description>()
  #parameters: readonly number[] = []
  #fields: readonly Field[] = []
  #stopListening = () => {}

  constructor(text: string) {
    super()
    this.#text = text
  }

  get described(): Promise<Description> {
    return this.#result.promise
  }

  submit(connection: Connection): void {
    // `pg` hands this message to nobody.
    const take = ({ dataTypeIDs }: { dataTypeIDs: readonly number[] }) => {
      this.#parameters = dataTypeIDs
    }
    connection.once('parameterDescription', take)
    this.#stopListening = () => connection.off('parameterDescription', take)
    connection.parse({ name: statementName, text: this.#text, types: [] }, more)
    connection.describe({ type: 'S', name: statementName }, more)
    connection.sync()
  }

  override handleRowDescription({ fields }: { fields: readonly Field[] }): void {
    this.#fields = fields
  }

  handleReadyForQuery(): void {
    this.#stopListening()
    this.#result.resolve({ parameters: this.#parameters, fields: this.#fields })
  }

  handleError(error: Error): void {
    this.#stopListening()
    this.#result.reject(error)
  }
}

/** Rows that wait before the socket is left unread, in bytes as they came. */
const waitingBytesMax = 512 * 1024

/** A described statement that runs. Rows are taken by `next`, in order. */
export class Execution extends Conversation {
  readonly #client: Client
  readonly #values: readonly (string | null)[]
  readonly #arrived = new WakeUp()
  readonly #settled: Deferred<void> = deferred()
  #rows: RawRow[] = []
  #bytes = 0
  #paused = false
  #discarding = false
  #state: 'running' | 'ended' | 'failed' = 'running'
  #error: Error | undefined

  constructor(client: Client, values: readonly (string | null)[]) {
    super()
    this.#client = client
    this.#values = values
  }

  /** Sends it; a failure is told by `next` and `settled`. */
  start(): void {
    this.#client.query(this)
  }

  submit(connection: Connection): void {
    connection.bind({ statement: statementName, values: [...this.#values] }, more)
    connection.execute({}, more)
    connection.sync()
  }

  /** The rows that have come since the last time, at least one; null when all were taken. Rejects with the server's error. */
  async next(): Promise<readonly RawRow[] | null> {
    for (;;) {
      if (this.#error) throw this.#error
      if (this.#rows.length > 0) {
        const rows = this.#rows
        this.#rows = []
        this.#bytes = 0
        this.#read()
        return rows
      }
      if (this.#state === 'ended') return null
      await this.#arrived.wait()
    }
  }

  /** Resolves when the server has done with it, however it ended, and takes the next statement. Needs somebody who takes the rows, or `discard`. */
  get settled(): Promise<void> {
    return this.#settled.promise
  }

  get isSettled(): boolean {
    return this.#state !== 'running'
  }

  get error(): Error | undefined {
    return this.#error
  }

  /** No rows are wanted any more: what comes is thrown away, so that the server never waits. */
  discard(): void {
    this.#discarding = true
    this.#rows = []
    this.#read()
  }

  override handleDataRow({ fields, length }: { fields: RawRow; length: number }): void {
    if (this.#discarding) return
    this.#rows.push(fields)
    this.#bytes += length
    if (this.#bytes >= waitingBytesMax && !this.#paused) {
      this.#paused = true
      this.#client.connection.stream.pause()
    }
    if (this.#rows.length === 1) this.#arrived.wake()
  }

  handleReadyForQuery(): void {
    this.#end('ended')
  }

  // The Sync is already with the server: it goes on to the next statement by itself.
  handleError(error: Error): void {
    this.#error ??= error
    this.#end('failed')
  }

  #read(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#client.connection.stream.resume()
  }

  #end(state: 'ended' | 'failed'): void {
    if (this.#state !== 'running') return
    this.#state = state
    this.#settled.resolve()
    this.#arrived.wake()
  }
}

/**
 * A statement on its connection, in two steps, because between them its identity becomes durable: `describe` prepares it and runs
 * nothing, `Execution` runs it and gives its rows as they come. While enough of them wait the socket is not read, and the server waits
 * for the socket.
 */
import type { Connection } from 'mysql2'
import { type Deferred, deferred, WakeUp } from '../../async/index.ts'
import type { RowShape } from '../rows/server-run.ts'
import { errorNumbers, numberOf } from './failures.ts'
import { type Field, shapeOf, type Value } from './types.ts'

export interface Description {
  readonly parameterCount: number
  readonly fields: readonly Field[]
  /** False: the server takes it as text alone. */
  readonly isPrepared: boolean
}

/** Of the library's prepared statement, what is read here. */
interface Prepared {
  readonly columns: readonly Field[]
  readonly parameters: readonly unknown[]
}

/** Rejects with the server's error. */
export function describe(client: Connection, sql: string): Promise<Description> {
  return new Promise((resolve, reject) =>
    client.prepare(sql, (error, statement) => {
      if (numberOf(error) === errorNumbers.notPreparable)
        return resolve({ parameterCount: 0, fields: [], isPrepared: false })
      if (error) return reject(error)
      const { columns, parameters } = statement as unknown as Prepared
      resolve({ parameterCount: parameters.length, fields: columns, isPrepared: true })
    }),
  )
}

/** The library's command, whose events are told to nobody else. */
interface Command {
  on(event: 'fields', listener: (fields: readonly Field[] | undefined) => void): this
  on(event: 'result', listener: (row: readonly (Value | null)[], index?: number) => void): this
  on(event: 'error', listener: (error: Error) => void): this
  on(event: 'end', listener: () => void): this
}

/** Rows that wait before the socket is left unread, in bytes about. */
const waitingBytesMax = 512 * 1024
const rowBytes = 32

export class Execution {
  readonly #client: Connection
  readonly #shape: Deferred<RowShape<Value>> = deferred<RowShape<Value>>()
  readonly #settled: Deferred<void> = deferred()
  readonly #arrived = new WakeUp()
  #rows: (readonly (Value | null)[])[] = []
  #bytes = 0
  #paused = false
  #discarding = false
  #state: 'running' | 'ended' | 'failed' = 'running'
  #error: Error | undefined
  /** A procedure may give several results; the first one counts. */
  #hasFields = false
  #results = 0

  constructor(client: Connection) {
    this.#client = client
    this.#shape.promise.catch(() => {})
  }

  /** Sends it; a failure is told by `shape`, `next` and `settled`. */
  start(sql: string, values: readonly unknown[], isPrepared: boolean): void {
    const options = { sql, rowsAsArray: true, values: [...values] }
    // A connection that is lost tells a command without a callback nothing, but whoever listens to itself.
    const lost = (error = new Error('The connection was closed.')) => this.#fail(error)
    this.#client.once('end', lost)
    this.#client.once('error', lost)
    const sent = isPrepared ? this.#client.execute(options) : this.#client.query(options)
    const command = sent as unknown as Command
    command.on('fields', fields => {
      this.#results++
      this.#hasFields = fields !== undefined
      if (this.#results === 1) this.#shape.resolve(shapeOf(fields ?? []))
    })
    command.on('result', row => this.#take(row))
    command.on('error', error => this.#fail(error))
    command.on('end', () => {
      this.#client.off('end', lost)
      this.#client.off('error', lost)
      this.#end('ended')
    })
  }

  shape(): Promise<RowShape<Value>> {
    return this.#shape.promise
  }

  async next(): Promise<readonly (readonly (Value | null)[])[] | null> {
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
    this.#arrived.wake()
    this.#read()
  }

  /** Nothing more of it will come. */
  lost(error: Error): void {
    this.#fail(error)
  }

  #take(row: readonly (Value | null)[]): void {
    if (!this.#hasFields || this.#results > 1 || this.#discarding) return
    this.#rows.push(row)
    let bytes = rowBytes
    for (const value of row)
      if (typeof value === 'string' || Buffer.isBuffer(value)) bytes += value.length
      else bytes += 8
    this.#bytes += bytes
    if (this.#bytes >= waitingBytesMax && !this.#paused) {
      this.#paused = true
      this.#client.pause()
    }
    if (this.#rows.length === 1) this.#arrived.wake()
  }

  #read(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#client.resume()
  }

  #fail(error: Error): void {
    this.#error ??= error
    this.#end('failed')
  }

  #end(state: 'ended' | 'failed'): void {
    if (this.#state !== 'running') return
    this.#state = state
    if (this.#error) this.#shape.reject(this.#error)
    else this.#shape.resolve(shapeOf([]))
    this.#settled.resolve()
    this.#arrived.wake()
  }
}

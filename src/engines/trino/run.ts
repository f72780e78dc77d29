/**
 * One query of Trino, followed from answer to answer.
 *
 *     answer at step N ─▶ its rows ─▶ (they and the address of step N + 1 are durable) ─▶ step N + 1 is asked ─▶ …
 *                                                                                             └─ no further address: ended
 *
 * The server keeps an answer until the next one is asked for, so whoever comes back at the durable address loses no row; rows of that
 * very answer that were stored already are left out.
 */
import { zstdCompressSync } from 'node:zlib'
import { type Clock, deferred } from '../../async/index.ts'
import type { Column, EngineHandle, Progress } from '../../domain/index.ts'
import { EngineError, type RowBatch, type Run, type SessionChange } from '../contract.ts'
import { RowBatches } from '../rows/batches.ts'
import { endOf } from './end.ts'
import { failureOf } from './failures.ts'
import { handleOf, type Position } from './handle.ts'
import { segmentText, type TrinoHttp } from './http.ts'
import { parseLossless } from './json.ts'
import type { QueryResults, Segment, SegmentedData, TrinoRow, TrinoStats, TrinoValue } from './protocol.ts'
import type { SessionChanges } from './session.ts'
import { columnOf, writerOf } from './types.ts'

export interface RunOptions {
  readonly engine: string
  readonly http: TrinoHttp
  readonly clock: Clock
  readonly headers: Readonly<Record<string, string>>
  readonly changes: SessionChanges
  readonly position: Position
  /** Rows that an earlier owner stored; they do not come again. */
  readonly storedRows: number
  /** The answer at `position`, where it was asked for already. */
  readonly first: QueryResults | null
  readonly ended: (run: TrinoRun) => void
  /** Cancelled before it was asked for anything: nobody here has begun it. */
  readonly unbegun: (queryId: string) => void
}

/**
 * A server is waited for that long in the middle of a statement, as long as its own client does: it forgets a query only after five
 * minutes, and a coordinator behind a proxy may be away for one.
 */
const patienceMs = 120_000
const cancelPatienceMs = 3_000

const noRows: RowBatch = { rowCount: 0, bytes: 0, data: zstdCompressSync('') }

export class TrinoRun implements Run {
  readonly engineHandle: EngineHandle
  readonly safeToRepeat = false
  readonly storedRows: number
  readonly #options: RunOptions
  readonly #columns = deferred<readonly Column[]>()
  readonly #leaving = new AbortController()
  #position: Position
  /** Asked for, and not taken yet. */
  #first: QueryResults | null
  #stats: TrinoStats | undefined
  #isAsked: boolean
  #isFollowed = false
  #isOver = false
  #failure: unknown
  #canceling: Promise<void> | undefined

  constructor(options: RunOptions) {
    this.#options = options
    this.#position = options.position
    this.#first = options.first
    this.#isAsked = options.first !== null
    this.storedRows = options.storedRows
    this.engineHandle = handleOf(options.position)
    this.#columns.promise.catch(() => {})
  }

  /** What the headers of an answer say that was asked for elsewhere. */
  note(headers: Readonly<Record<string, string | string[] | undefined>>): void {
    this.#options.changes.note(headers)
  }

  /** Who wants to go on after a takeover takes the rows first: only they say what is to be durable. */
  async columns(): Promise<readonly Column[]> {
    if (this.#failure) throw this.#failure
    if (!this.#isFollowed && !this.#isOver)
      for (;;) {
        this.#first ??= await this.#answer()
        const { columns, nextUri, error } = this.#first
        if (error || columns || nextUri === undefined) break
        this.#position = { ...this.#position, nextUri, step: this.#position.step + 1 }
        this.#first = null
      }
    if (this.#first) this.#noteColumns(this.#first)
    return this.#columns.promise
  }

  async *rows(): AsyncGenerator<RowBatch, void, void> {
    this.#isFollowed = true
    try {
      yield* this.#follow()
      this.#over()
    } catch (error) {
      this.#failure = error
      this.#columns.reject(error)
      if (error instanceof EngineError && error.failure !== 'unavailable') this.#over()
      throw error
    }
  }

  async *#follow(): AsyncGenerator<RowBatch, void, void> {
    let stored = Math.max(0, this.storedRows - this.#position.rows)
    for (;;) {
      const results = this.#first ?? (await this.#answer())
      this.#first = null
      this.#noteColumns(results)
      if (results.error) throw failureOf(results.error)
      const batches = new RowBatches<TrinoValue>((results.columns ?? []).map(writerOf))
      const acknowledged: string[] = []
      let count = 0
      for await (const rows of this.#rowsOf(results, acknowledged))
        for (const row of rows) {
          count++
          if (count <= stored) continue
          batches.add(row)
          if (!batches.isFull) continue
          const batch = batches.take()
          if (batch) yield await batch
        }
      stored = Math.max(0, stored - count)
      const { nextUri } = results
      const rest = await batches.take()
      if (nextUri === undefined) {
        if (rest) yield rest
        return
      }
      const { queryId, step, rows } = this.#position
      const next = { queryId, nextUri, step: step + 1, rows: rows + count }
      yield { ...(rest ?? noRows), continues: handleOf(next) }
      this.#position = next
      // Durable by now: the server need not keep them.
      for (const url of acknowledged) void this.#ask('GET', url, {}).catch(() => {})
    }
  }

  progress(): Progress {
    const { state = 'QUEUED', progressPercentage, processedRows = 0 } = this.#stats ?? {}
    const rows = processedRows > 0 ? `, ${processedRows.toLocaleString('en-US')} rows read` : ''
    const fraction = progressPercentage === undefined ? null : Math.min(1, Math.max(0, progressPercentage / 100))
    return { fraction: this.#isOver ? 1 : fraction, message: `${state.toLowerCase()}${rows}` }
  }

  /** What the statement made of its session; complete when its rows have ended. */
  sessionChange(): SessionChange | null {
    return this.#options.changes.change
  }

  async cancel(): Promise<void> {
    if (this.#isOver) return
    this.#canceling ??= this.#cancel()
    // Asked again, it tries again.
    this.#canceling.catch(() => {
      this.#canceling = undefined
    })
    await this.#canceling
  }

  async detach(): Promise<void> {
    this.#leaving.abort()
    this.#columns.reject(new EngineError('unavailable', 'The statement was let go of.'))
    this.#over()
  }

  /** Asks for the end, and looks until the server says that it has come. */
  async #cancel(): Promise<void> {
    const { http, clock, headers, unbegun } = this.#options
    const { queryId, nextUri, step } = this.#position
    await http.ask({ method: 'DELETE', url: nextUri, headers, patienceMs: cancelPatienceMs })
    if (step === 0 && !this.#isAsked) unbegun(queryId)
    else await endOf(queryId, http, clock, headers)
    this.#over()
  }

  async #answer(): Promise<QueryResults> {
    if (this.#canceling) throw new EngineError('canceled', 'The statement was cancelled.')
    this.#isAsked = true
    const results = await this.#ask('GET', this.#position.nextUri, this.#options.headers)
    if (results) return results
    if (this.#canceling) throw new EngineError('canceled', 'The statement was cancelled.')
    throw new EngineError('unavailable', 'The engine does not know the statement any more.')
  }

  /** null: the server does not know it (any more). */
  async #ask(method: 'GET', url: string, headers: Readonly<Record<string, string>>): Promise<QueryResults | null> {
    const { http, changes } = this.#options
    const { signal } = this.#leaving
    const {
      status,
      headers: answered,
      json,
    } = await http.askJson<QueryResults>({ method, url, headers, signal, patienceMs })
    if (json === null) {
      if (status === 404 || status === 410) return null
      throw new EngineError(
        status === 401 || status === 403 ? 'unavailable' : 'failed',
        `The engine answered HTTP ${status}.`,
      )
    }
    changes.note(answered)
    this.#stats = json.stats ?? this.#stats
    return json
  }

  async *#rowsOf({ data }: QueryResults, acknowledged: string[]): AsyncGenerator<readonly TrinoRow[]> {
    if (data === undefined) return
    if (!('segments' in data)) {
      yield data
      return
    }
    for (const segment of data.segments) {
      yield await this.#segment(data, segment)
      if (segment.ackUri !== undefined) acknowledged.push(segment.ackUri)
    }
  }

  async #segment({ encoding }: SegmentedData, { data, uri, headers = {} }: Segment): Promise<readonly TrinoRow[]> {
    let bytes = Buffer.from(data ?? '', 'base64')
    if (data === undefined && uri !== undefined) {
      const own = Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.join(',')]))
      const { signal } = this.#leaving
      const answer = await this.#options.http.ask({ method: 'GET', url: uri, headers: own, signal, patienceMs })
      if (answer.status >= 300)
        throw new EngineError('failed', `Rows that the engine has laid aside cannot be had: HTTP ${answer.status}.`)
      bytes = answer.body as Buffer<ArrayBuffer>
    }
    // A small segment is not compressed, whatever the encoding's name is.
    const isCompressed = bytes.length >= 4 && bytes.readUInt32LE(0) === 0xfd2fb528
    return parseLossless(await segmentText(isCompressed ? encoding : 'json', bytes)) as TrinoRow[]
  }

  #noteColumns({ columns, nextUri, error }: QueryResults): void {
    if (columns) this.#columns.resolve(columns.map(columnOf))
    else if (error) this.#columns.reject(failureOf(error))
    else if (nextUri === undefined) this.#columns.resolve([])
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#options.ended(this)
  }
}

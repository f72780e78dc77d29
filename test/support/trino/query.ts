/**
 * One query of the server, by Trino's rules: it begins with the first GET; the last answer may be asked for again, one before it is gone,
 * one after the next is unknown; its rows wait for who takes them.
 */
import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import type { DuckDBConnection, DuckDBInstance, DuckDBPreparedStatement } from '@duckdb/node-api'
import type { QueryRecord, TrinoOptions } from './control.ts'
import {
  type ColumnView,
  checkProperty,
  codes,
  failureOf,
  meaningOf,
  queryTypeOf,
  type SessionOfRequest,
  TrinoFailure,
  use,
} from './sql.ts'
import { ruleOf, written } from './types.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Segment {
  readonly data: Buffer
  readonly encoding: string
}

export interface QueryOptions extends TrinoOptions {
  readonly id: string
  readonly sql: string
  readonly user: string
  readonly session: SessionOfRequest
  /** Of spooled rows, as the client and the server both know it; null: rows stand in the answers. */
  readonly encoding: string | null
  readonly instance: DuckDBInstance
  readonly segments: Map<string, Segment>
  readonly base: () => string
}

interface Page {
  readonly rows: readonly string[]
  readonly bytes: number
}

/** Pages that wait to be taken; then the statement waits. */
const pagesAhead = 3
const pageBytes = 1024 * 1024

export class Query {
  readonly id: string
  readonly sql: string
  /** By the wall clock. */
  touchedAt = Date.now()
  readonly #options: QueryOptions
  readonly #secret = crypto.randomUUID()
  readonly #startedAt = Date.now()
  #state = 'QUEUED'
  #began = 0
  #isCancelled = false
  #isDispatched = false
  #isExecuted = false
  #failure: TrinoFailure | null = null
  #updateType: string | null = null
  #updateCount: number | null = null
  #headers: Readonly<Record<string, string>> = {}
  #columns: readonly ColumnView[] | null = null
  #pages: Page[] = []
  #connection: DuckDBConnection | null = null
  #queuedToken = 0
  #lastToken = -1
  #lastAnswer: Answer | null = null
  #isEnded = false
  #pagesServed = 0
  #rowsServed = 0
  #rowsRead = 0
  #answering: Promise<Answer> | null = null
  readonly #watchers = new Set<() => void>()

  constructor(options: QueryOptions) {
    this.#options = options
    this.id = options.id
    this.sql = options.sql
  }

  get record(): QueryRecord {
    const { user, session } = this.#options
    return {
      ...{ id: this.id, sql: this.sql, user, catalog: session.catalog, schema: session.schema, state: this.#state },
      ...{ session: Object.fromEntries(session.properties), began: this.#began, cancelled: this.#isCancelled },
      ...{ pagesServed: this.#pagesServed, error: this.#failure?.message ?? null },
    }
  }

  /** As `GET /v1/query/{id}` says it. */
  get info(): object {
    const failure = this.#failure
    return {
      ...{ queryId: this.id, state: this.#state, query: this.sql, session: { user: this.#options.user } },
      ...{ self: `${this.#options.base()}/v1/query/${this.id}`, finalQueryInfo: this.isDone },
      ...(this.hasBegun ? { queryType: queryTypeOf(this.sql) } : {}),
      ...(this.#updateType === null ? {} : { updateType: this.#updateType }),
      ...(failure === null
        ? {}
        : {
            errorType: failure.errorType,
            errorCode: { code: failure.errorCode, name: failure.errorName, type: failure.errorType },
          }),
    }
  }

  get isDone(): boolean {
    return this.#state === 'FINISHED' || this.#state === 'FAILED'
  }

  get hasBegun(): boolean {
    return this.#began > 0
  }

  posted(): Answer {
    return this.#answer({ nextUri: this.#uri('queued', 1) })
  }

  isSlug(phase: string, slug: string, token: number): boolean {
    return slug === this.#slug(phase, token)
  }

  async queued(token: number, waitMs: number): Promise<Answer> {
    this.touchedAt = Date.now()
    if (token !== this.#queuedToken && token !== this.#queuedToken + 1) return refused(410, 'Invalid token')
    this.#queuedToken = token
    if (!this.#isCancelled && this.#began === 0) {
      this.#began++
      void this.#run()
    }
    await this.#until(() => this.#isDispatched || this.isDone, waitMs)
    if (this.#failure) return this.#answer({}, this.#failure)
    return this.#answer({ nextUri: this.#isDispatched ? this.#uri('executing', 0) : this.#uri('queued', token + 1) })
  }

  async executing(token: number, waitMs: number): Promise<Answer> {
    this.touchedAt = Date.now()
    // Two who ask for the same at once are given the same.
    while (this.#answering) await this.#answering
    const cached = this.#cached(token)
    if (cached) return cached
    this.#answering = this.#next(token, waitMs)
    try {
      return await this.#answering
    } finally {
      this.#answering = null
    }
  }

  cancel(): void {
    if (this.isDone) return
    this.#isCancelled = true
    this.fail(new TrinoFailure(codes.canceled, 'Query was canceled'))
  }

  fail(failure: TrinoFailure): void {
    if (this.isDone) return
    this.#failure = failure
    this.#state = 'FAILED'
    this.#pages = []
    this.#wake()
    const interrupt = () => {
      // It does nothing to one that has not begun.
      if (this.#isExecuted) return
      this.#connection?.interrupt()
      setTimeout(interrupt, 5)
    }
    interrupt()
  }

  #cached(token: number): Answer | null {
    if (this.#lastAnswer === null) return token === 0 ? null : refused(404)
    if (token === this.#lastToken) return this.#lastAnswer
    if (token < this.#lastToken) return refused(410)
    return this.#isEnded || token !== this.#lastToken + 1 ? refused(404) : null
  }

  async #next(token: number, waitMs: number): Promise<Answer> {
    await this.#until(() => this.#pages.length > 0 || this.#isExecuted || this.isDone, waitMs)
    const page = this.#pages.shift() ?? null
    this.#wake()
    const isLast = this.#isExecuted && this.#pages.length === 0 && (page === null || token === 0)
    if (isLast && !this.isDone) this.#state = 'FINISHED'
    this.#isEnded = this.isDone
    this.#lastToken = token
    if (page) this.#pagesServed++
    this.#lastAnswer = this.#answer(
      this.#isEnded ? {} : { nextUri: this.#uri('executing', token + 1) },
      this.#failure,
      page,
    )
    return this.#lastAnswer
  }

  async #run(): Promise<void> {
    const { instance, session, sql } = this.#options
    try {
      const connection = await instance.connect()
      this.#connection = connection
      await connection.run(
        "SET enable_progress_bar=true; SET enable_progress_bar_print=false; SET progress_bar_time=0; SET TimeZone='UTC'",
      )
      if (session.catalog !== null) await use(connection, session.catalog, session.schema)
      for (const property of session.properties.keys()) checkProperty(property)
      const meaning = await meaningOf(sql, session, connection)
      if (this.isDone) return
      this.#isDispatched = true
      this.#state = 'RUNNING'
      this.#wake()
      if ('statement' in meaning) await this.#execute(meaning.statement, meaning.updateType)
      else if ('headers' in meaning) {
        this.#headers = meaning.headers
        this.#updateType = meaning.updateType
      } else {
        this.#columns = meaning.columns
        const rows = meaning.rows.map(row => JSON.stringify(row))
        if (rows.length > 0) this.#pages.push({ rows, bytes: rows.join().length })
      }
    } catch (error) {
      this.fail(failureOf(error))
    } finally {
      this.#isExecuted = true
      if (!this.isDone) this.#state = 'FINISHING'
      this.#connection?.closeSync()
      this.#connection = null
      this.#wake()
    }
  }

  async #execute(statement: DuckDBPreparedStatement, updateType: string | null): Promise<void> {
    const { session, pageRows = 1_000 } = this.#options
    const result = await statement.stream()
    this.#updateType = updateType
    if (updateType !== null) {
      // An INSERT answers with its count alone, by DuckDB as by Trino.
      const [row] = await result.getRows()
      if (row === undefined) return
      this.#updateCount = Number(row[0])
      this.#columns = [{ name: 'rows', type: 'bigint', typeSignature: { rawType: 'bigint', arguments: [] } }]
      this.#pages.push({ rows: [`[${this.#updateCount}]`], bytes: 8 })
      return
    }
    const rules = result.columnTypes().map(type => ruleOf(type, session.fullTimes))
    const names = result.columnNames()
    this.#columns = rules.map(({ name, signature }, index) => ({
      name: names[index] as string,
      type: name,
      typeSignature: signature,
    }))
    let rows: string[] = []
    let bytes = 0
    const push = async () => {
      if (rows.length > 0) this.#pages.push({ rows, bytes })
      rows = []
      bytes = 0
      this.#wake()
      await this.#until(() => this.#pages.length < pagesAhead || this.isDone)
    }
    for (;;) {
      const chunk = await result.fetchChunk()
      if (!chunk || chunk.rowCount === 0 || this.isDone) break
      this.#rowsRead += chunk.rowCount
      const vectors = rules.map((_, index) => chunk.getColumnVector(index))
      for (let at = 0; at < chunk.rowCount; at++) {
        const row = `[${rules.map((rule, index) => written(rule, vectors[index]?.getItem(at) ?? null)).join(',')}]`
        bytes += row.length
        rows.push(row)
        if (rows.length >= pageRows || bytes >= pageBytes) await push()
        if (this.isDone) return
      }
      // What is there is not kept back for what is slow.
      if (rows.length > 0 && this.#pages.length === 0) await push()
    }
    if (rows.length > 0) await push()
  }

  #answer(more: { readonly nextUri?: string }, failure: TrinoFailure | null = null, page: Page | null = null): Answer {
    const { encoding } = this.#options
    const results = {
      ...{ id: this.id, infoUri: `${this.#options.base()}/ui/query.html?${this.id}`, ...more },
      ...(this.#columns === null || this.#state === 'QUEUED' ? {} : { columns: this.#columns }),
      stats: this.#stats(),
      ...(failure === null ? {} : { error: errorOf(failure) }),
      warnings: [],
      ...(this.#updateType === null ? {} : { updateType: this.#updateType }),
      ...(this.#updateCount === null ? {} : { updateCount: this.#updateCount }),
    }
    const data =
      page === null ? '' : `,"data":${encoding === null ? `[${page.rows.join(',')}]` : this.#spooled(encoding, page)}`
    if (page) this.#rowsServed += page.rows.length
    return {
      status: 200,
      headers: {
        ...(failure ? {} : this.#headers),
        ...(encoding === null ? {} : { 'X-Trino-Query-Data-Encoding': encoding }),
      },
      body: `${JSON.stringify(results).slice(0, -1)}${data}}`,
    }
  }

  #spooled(encoding: string, { rows }: Page): string {
    const { spooling, segments, base } = this.#options
    const half = rows.length > 1 ? Math.ceil(rows.length / 2) : 1
    const parts = [rows.slice(0, half), rows.slice(half)].filter(part => part.length > 0)
    let rowOffset = this.#rowsServed
    const list = parts.map((part, index) => {
      const plain = Buffer.from(`[${part.join(',')}]`)
      // As Trino: what is short is not worth it, whatever the encoding's name says.
      const isShort = encoding === 'json' || plain.length < 512
      const data = isShort ? plain : zstdCompressSync(plain)
      const metadata = {
        ...{ rowOffset, rowsCount: part.length, segmentSize: data.length },
        ...(isShort ? {} : { uncompressedSize: plain.length }),
      }
      rowOffset += part.length
      if (spooling === 'inline' || (spooling === 'mixed' && index === 0))
        return { type: 'inline', data: data.toString('base64'), metadata }
      const key = crypto.randomUUID()
      segments.set(key, { data, encoding })
      return {
        ...{ type: 'spooled', uri: `${base()}/v1/spooled/download/${key}`, ackUri: `${base()}/v1/spooled/ack/${key}` },
        ...{ metadata: { ...metadata, expiresAt: new Date(Date.now() + 3_600_000).toISOString() } },
        headers: { 'X-Segment-Key': [key] },
      }
    })
    return JSON.stringify({ encoding, segments: list })
  }

  #stats(): object {
    const elapsed = Date.now() - this.#startedAt
    const percentage = this.isDone
      ? 100
      : this.#connection && this.#state === 'RUNNING'
        ? Math.max(0, this.#connection.progress.percentage)
        : null
    const done = this.#isExecuted ? 8 : Math.floor((percentage ?? 0) * 0.08)
    return {
      ...{ state: this.#state, queued: this.#state === 'QUEUED', scheduled: this.#isDispatched },
      ...(percentage === null
        ? {}
        : { progressPercentage: percentage, runningPercentage: this.isDone ? 0 : 100 - percentage }),
      ...{ nodes: 1, totalSplits: 8, queuedSplits: 0, runningSplits: 8 - done, completedSplits: done },
      ...{ cpuTimeMillis: elapsed, wallTimeMillis: elapsed, queuedTimeMillis: 0, elapsedTimeMillis: elapsed },
      ...{
        processedRows: this.#rowsRead,
        processedBytes: this.#rowsRead * 8,
        physicalInputBytes: 0,
        peakMemoryBytes: 0,
        spilledBytes: 0,
      },
    }
  }

  #uri(phase: 'queued' | 'executing', token: number): string {
    return `${this.#options.base()}/v1/statement/${phase}/${this.id}/${this.#slug(phase, token)}/${token}`
  }

  /** Of each address its own. */
  #slug(phase: string, token: number): string {
    const letter = phase === 'queued' ? 'q' : 'e'
    return `${letter}${createHash('sha1').update(`${this.#secret}${phase}${token}`).digest('hex')}`
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }

  #until(condition: () => boolean, limitMs?: number): Promise<void> {
    return new Promise(resolve => {
      const look = () => {
        if (!condition()) return
        this.#watchers.delete(look)
        clearTimeout(timer)
        resolve()
      }
      const timer =
        limitMs === undefined
          ? undefined
          : setTimeout(() => {
              this.#watchers.delete(look)
              resolve()
            }, limitMs)
      this.#watchers.add(look)
      look()
    })
  }
}

export function refused(status: number, message = ''): Answer {
  return { status, headers: {}, body: message }
}

function errorOf({ message, errorName, errorCode, errorType, location }: TrinoFailure): object {
  return {
    ...{ message, errorCode, errorName, errorType },
    ...(location ? { errorLocation: location } : {}),
    failureInfo: {
      type: 'io.trino.spi.TrinoException',
      message,
      suppressed: [],
      stack: [],
      ...(location ? { errorLocation: location } : {}),
    },
  }
}

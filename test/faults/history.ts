/**
 * What was seen of a cluster from outside, as JSON lines: what clients asked and were answered, what the nemesis did, how
 * often statements took effect, and what the database held when all was over. The checker decides the invariants from this
 * alone, so a history can be kept, sent and judged again.
 *
 * Times are `monotonicMs()`: one clock for all processes of one machine. Records come in any order, from several files; an
 * operation is written when it has ended, or when the run ends without its answer. What a client does not know it leaves out
 * by `null`: an operation whose `answer` is null may have taken effect or not, at any time after its begin.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Outcome, QueryStatus, QueryView } from '../../src/domain/index.ts'

/** Milliseconds with fraction on the machine's monotonic clock, the same in every process of this machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

// ------------------------------------------------------------ the run

/** One per history, the first line. */
export interface RunRecord {
  readonly record: 'run'
  readonly seed: string
  readonly commit: string
  /** The same instant on both clocks: brings the database's times (ms since 1970) onto the monotonic one. */
  readonly clock: { readonly monotonicMs: number; readonly databaseMs: number }
  readonly nodes: readonly string[]
  /** Users who may see everything. */
  readonly admins: readonly string[]
  readonly leaseMs: number
  /** As configured for the cluster; 0 = unlimited. */
  readonly limits: {
    readonly sessionsPerUser: number
    readonly queuedPerUser: number
    readonly queuedPerLane: number
    readonly runningPerUser: number
  }
  /** Slots of the whole cluster, by engine and lane. */
  readonly slots: Readonly<Record<string, Readonly<Record<string, number>>>>
}

/** When the clients had stopped, the faults were healed and every query had ended, or the waiting for that was given up. */
export interface EndRecord {
  readonly record: 'end'
  readonly atMs: number
  /** Nodes whose processes ran then. */
  readonly running: readonly string[]
}

// ------------------------------------------------------------ clients

/** What an answer said of a query; `version` orders what was seen of it. */
export interface SeenQuery {
  readonly handle: string
  readonly user: string
  readonly sessionId: string
  readonly version: number
  readonly status: QueryStatus
  readonly outcome: Outcome | null
  readonly epoch: number
  readonly node: string
  readonly attempt: number
  /** `error.code` of a failed query. */
  readonly error: string | null
}

export interface OperationBase {
  readonly record: 'operation'
  /** Unique in the history. */
  readonly id: string
  /** A client does one operation after the other, apart from its subscriptions. */
  readonly client: string
  readonly user: string
  /** The node that was asked; behind a load balancer null. */
  readonly node: string | null
  /** The session whose token was sent; null where there was none. */
  readonly session: string | null
  readonly beginMs: number
  /** When the answer was complete; null: never. */
  readonly endMs: number | null
}

/** Of a query as the wire has it. */
export function seenQuery(view: QueryView): SeenQuery {
  const { handle, user, sessionId, version, status, outcome, owner, attempt, error } = view
  const { epoch, node } = owner
  return { handle, user, sessionId, version, status, outcome, epoch, node, attempt, error: error?.code ?? null }
}

/** A clear refusal: any status outside 2xx, whatever the operation. `code` from the error catalogue, null when the body was none of ours. */
export interface Refusal {
  readonly status: number
  readonly code: string | null
  readonly retryable?: boolean
  /** What a 503 of an accepted query names. */
  readonly handle?: string | null
}

type Answered<Success> = (Success & { readonly status: 200 | 201 | 202 | 204 }) | Refusal | null

/** `revision`: what the client wrote last into the session's property `revision`, growing; 0 at the opening. */
export type OpenSession = OperationBase & {
  readonly kind: 'open-session'
  readonly key: string | null
  readonly answer: Answered<{ readonly opened: string }>
}
export type ReadSession = OperationBase & {
  readonly kind: 'read-session'
  readonly target: string
  readonly answer: Answered<{ readonly target: string; readonly user: string; readonly revision: number }>
}
export type ChangeSession = OperationBase & {
  readonly kind: 'change-session'
  readonly target: string
  readonly revision: number
  readonly answer: Answered<{ readonly revision: number }>
}
export type CloseSession = OperationBase & {
  readonly kind: 'close-session'
  readonly target: string
  readonly answer: Answered<object>
}
export type Submit = OperationBase & {
  readonly kind: 'submit'
  readonly mode: 'async' | 'sync'
  readonly key: string | null
  /** Which statement: same text, same rows. Names the `expected` record that holds its rows, if there is one. */
  readonly statement: string
  readonly onRecovery: 'auto' | 'rerun' | 'fail'
  /** What each execution of the statement leaves behind once, unique to the submission (all repetitions under one key share it); null: a statement without effect. */
  readonly effect: string | null
  /** sync: the query as it ended, and the rows that came along. */
  readonly answer: Answered<{ readonly query: SeenQuery; readonly rows: RowsSeen | null }>
}
/** A status, `waitMs` > 0 for a long poll. */
export type Poll = OperationBase & {
  readonly kind: 'poll'
  readonly handle: string
  readonly after: number | null
  readonly waitMs: number
  readonly answer: Answered<{ readonly query: SeenQuery }>
}
export type ReadRows = OperationBase & {
  readonly kind: 'rows'
  readonly handle: string
  readonly offset: number
  readonly limit: number | null
  readonly answer: Answered<{ readonly rows: RowsSeen }>
}
export type Cancel = OperationBase & {
  readonly kind: 'cancel'
  readonly handle: string
  readonly answer: Answered<{ readonly query: SeenQuery }>
}
export type Drop = OperationBase & {
  readonly kind: 'drop'
  readonly handle: string
  readonly answer: Answered<object>
}
/** A listing without a filter, from the newest on. */
export type List = OperationBase & {
  readonly kind: 'list'
  /** Whose queries: a user, or `*` for everybody's; one's own unless given. */
  readonly of?: string
  /** `whole`: to the last one, all its pages together. */
  readonly answer: Answered<{ readonly whole: boolean; readonly queries: readonly SeenQuery[] }>
}
/**
 * One subscription on one connection. `endMs`: when connection or subscription ended; null: it was alive at the end of the
 * run. `after`: of topic `query` the versions above which frames were asked for, by handle, or empty for none.
 */
export type Subscribe = OperationBase & {
  readonly kind: 'subscribe'
  readonly topic: 'query' | 'session'
  /** Of topic `query`. */
  readonly handle: string | null
  readonly after: Readonly<Record<string, number>>
  /** When `subscribed` came; null: never. */
  readonly subscribedMs: number | null
  /** Why it ended: an `error` frame's code, `close <code>`, `unsubscribed`; null: it did not. */
  readonly ended: string | null
  readonly answer: null
}

export type Operation =
  | OpenSession
  | ReadSession
  | ChangeSession
  | CloseSession
  | Submit
  | Poll
  | ReadRows
  | Cancel
  | Drop
  | List
  | Subscribe
export type OperationKind = Operation['kind']

/** A `query` frame, in the order of arrival within its subscription: `index` 0, 1, … */
export interface FrameRecord {
  readonly record: 'frame'
  /** The `id` of the `subscribe` operation. */
  readonly subscription: string
  readonly index: number
  readonly atMs: number
  readonly query: SeenQuery
}

// ------------------------------------------------------------ rows

/** Some rows in a row of a result, see `rowsHash`. */
export interface RowsSeen {
  readonly offset: number
  readonly count: number
  readonly nextOffset: number | null
  readonly hash: number
  /** False: the body was cut; what came counts, `nextOffset` means nothing. */
  readonly complete: boolean
}

/** Of a JSON page of a result that came whole. */
export function rowsSeen(page: {
  readonly offset: number
  readonly rows: readonly unknown[]
  readonly nextOffset: number | null
}): RowsSeen {
  const { offset, rows, nextOffset } = page
  return { offset, count: rows.length, nextOffset, hash: rowsHash(offset, rows), complete: true }
}

/** What a statement gives when it runs directly: `prefix[n]` is the hash of its first n rows. */
export interface ExpectedRecord {
  readonly record: 'expected'
  readonly statement: string
  readonly prefix: readonly number[]
}

const hashLimit = 2 ** 48

/** Of one row at its place in the result (the first is 0). */
function rowHash(place: number, row: unknown): number {
  return createHash('sha1')
    .update(`${place} ${JSON.stringify(row)}`)
    .digest()
    .readUIntBE(0, 6)
}

/**
 * The hash of rows `offset`, `offset + 1`, …: the sum of what each gives at its place, so that hashes of adjoining ranges
 * add up to that of both, and a row that is missing, repeated, changed or displaced shows in any range that holds it.
 */
export function rowsHash(offset: number, rows: readonly unknown[]): number {
  let sum = 0
  for (const [index, row] of rows.entries()) sum = (sum + rowHash(offset + index, row)) % hashLimit
  return sum
}

export function addHashes(one: number, other: number): number {
  return (one + other) % hashLimit
}

export function subtractHashes(one: number, other: number): number {
  return (one - other + hashLimit) % hashLimit
}

export function expectedRows(statement: string, rows: readonly unknown[]): ExpectedRecord {
  const prefix = [0]
  for (const [place, row] of rows.entries()) prefix.push(addHashes(prefix[place] as number, rowHash(place, row)))
  return { record: 'expected', statement, prefix }
}

// ------------------------------------------------------------ faults

export interface FaultRecord {
  readonly record: 'fault'
  readonly id: string
  /** The nemesis's word for it, such as `kill`, `freeze`, `block-loop`, `database-freeze`, `cut`, `unplug`, `rolling-restart`. */
  readonly kind: string
  /** The node that it befell; null: none in particular, such as the database. */
  readonly node: string | null
  readonly beginMs: number
  /** When it was taken away; null: never. */
  readonly healMs: number | null
  /**
   * What it makes of a node: `ends` its process (another incarnation follows), `silences` it towards database or peers while
   * it lives (frozen, cut off: a zombie if it lasts longer than its lease), or neither.
   */
  readonly effect: 'ends' | 'silences' | 'other'
  /** From its begin until what it struck was served again (by the target's definition); null: nothing was struck or measured. */
  readonly recoveryMs: number | null
}

// ------------------------------------------------------------ engines

/** A statement took effect once, as the engine's side shows it: one row of a table, one line of a file. */
export interface ExecutionRecord {
  readonly record: 'execution'
  /** `effect` of the submission. */
  readonly effect: string
}

/** What an engine was seen to be doing; at the least once after the last query has ended. */
export interface EngineSampleRecord {
  readonly record: 'engine-sample'
  readonly atMs: number
  readonly engine: string
  readonly node: string | null
  /** Statements of ours that it runs. */
  readonly running: number
  /** Which, where it tells. */
  readonly handles?: readonly string[]
}

// ------------------------------------------------------------ the database

export const tables = [
  'session',
  'session_transition',
  'current_query',
  'finished_query',
  'query_transition',
  'failed_attempt',
  'submission_key',
  'result_page',
  'member',
  'lease',
  'usage_counter',
  'slot_budget',
  'failover',
] as const
export type Table = (typeof tables)[number]

/** A row of the database at the end, under its columns' names; numbers as numbers, JSON columns as text; pages without their `data`. */
export interface RowRecord {
  readonly record: 'row'
  readonly table: Table
  readonly row: Readonly<Record<string, string | number | null>>
}

// ------------------------------------------------------------ the whole

export type HistoryRecord =
  | RunRecord
  | EndRecord
  | Operation
  | FrameRecord
  | ExpectedRecord
  | FaultRecord
  | ExecutionRecord
  | EngineSampleRecord
  | RowRecord

export interface History {
  readonly run: RunRecord
  readonly end: EndRecord | null
  /** By begin. */
  readonly operations: readonly Operation[]
  /** By subscription, each in the order of arrival. */
  readonly frames: ReadonlyMap<string, readonly FrameRecord[]>
  readonly expected: ReadonlyMap<string, readonly number[]>
  /** By begin. */
  readonly faults: readonly FaultRecord[]
  readonly executions: readonly ExecutionRecord[]
  /** By time. */
  readonly engineSamples: readonly EngineSampleRecord[]
  readonly rows: Readonly<Record<Table, readonly RowRecord['row'][]>>
}

export function historyLine(record: HistoryRecord): string {
  return `${JSON.stringify(record)}\n`
}

/** Throws where there is no `run` record, or more than one. */
export function historyOf(records: Iterable<HistoryRecord>): History {
  const gathering = new Gathering()
  for (const record of records) gathering.take(record)
  return gathering.history()
}

/** A line cut off at a file's end, by the death of who wrote it, is left out; any other that is no record throws. */
export async function readHistory(files: readonly string[]): Promise<History> {
  const gathering = new Gathering()
  for (const file of files) {
    let broken: string | null = null
    for await (const line of createInterface({ input: createReadStream(file) })) {
      if (broken !== null) throw new Error(`${file} holds a line that is no record: ${broken.slice(0, 200)}`)
      if (line === '') continue
      let record: HistoryRecord
      try {
        record = JSON.parse(line)
      } catch {
        broken = line
        continue
      }
      gathering.take(record)
    }
  }
  return gathering.history()
}

class Gathering {
  #run: RunRecord | null = null
  #end: EndRecord | null = null
  readonly #operations: Operation[] = []
  readonly #frames: FrameRecord[] = []
  readonly #expected = new Map<string, readonly number[]>()
  readonly #faults: FaultRecord[] = []
  readonly #executions: ExecutionRecord[] = []
  readonly #engineSamples: EngineSampleRecord[] = []
  readonly #rows = Object.fromEntries(tables.map(table => [table, []])) as unknown as Record<Table, RowRecord['row'][]>

  take(record: HistoryRecord): void {
    switch (record.record) {
      case 'run':
        if (this.#run) throw new Error('a history of two runs')
        this.#run = record
        break
      case 'end':
        this.#end = record
        break
      case 'operation':
        this.#operations.push(record)
        break
      case 'frame':
        this.#frames.push(record)
        break
      case 'expected':
        this.#expected.set(record.statement, record.prefix)
        break
      case 'fault':
        this.#faults.push(record)
        break
      case 'execution':
        this.#executions.push(record)
        break
      case 'engine-sample':
        this.#engineSamples.push(record)
        break
      case 'row':
        this.#rows[record.table].push(record.row)
    }
  }

  history(): History {
    if (!this.#run) throw new Error('a history without its run')
    const byBegin = (a: { beginMs: number }, b: { beginMs: number }) => a.beginMs - b.beginMs
    const frames = Map.groupBy(this.#frames, ({ subscription }) => subscription)
    for (const list of frames.values()) list.sort((a, b) => a.index - b.index)
    return {
      run: this.#run,
      end: this.#end,
      operations: this.#operations.sort(byBegin),
      frames,
      expected: this.#expected,
      faults: this.#faults.sort(byBegin),
      executions: this.#executions,
      engineSamples: this.#engineSamples.sort((a, b) => a.atMs - b.atMs),
      rows: this.#rows,
    }
  }
}

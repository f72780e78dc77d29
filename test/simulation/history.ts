/**
 * What the clients of a world asked and were answered, judged as it comes: what one node answered, every node answers from
 * then on (I9), versions come to subscribers without a gap (I3), rows in order and once (I6), and nothing of others (I11).
 * At the end it is compared with the database and with what the engines say they executed.
 */
import { isDeepStrictEqual } from 'node:util'
import { isFinished, LensError, type QueryView, type WireValue } from '../../src/domain/index.ts'
import type { SubmitRequest } from '../../src/gateway/contract.ts'
import { parseStatement, rowOf } from './statement.ts'

export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'I9' | 'I10' | 'I11' | 'defect'

export interface Violation {
  readonly invariant: Invariant
  readonly what: string
  readonly atMs: number
}

export interface SessionRecord {
  readonly id: string
  readonly user: string
  readonly token: string
  /** When the last request that was answered was sent. */
  usedAtMs: number
  /** Somebody asked for its end, or it may have expired: from then on it may be gone. */
  closeAsked: boolean
  /** That somebody asked for the end of its queries too: also of one whose acceptance was not answered yet. */
  endsQueries: boolean
  /** The close was answered: from then on it is gone. */
  closeAnswered: boolean
}

export interface QueryRecord {
  readonly handle: string
  readonly user: string
  readonly session: SessionRecord
  readonly request: SubmitRequest
  readonly keyed: boolean
  cancelAsked: boolean
  /** A cancel was answered before it had finished. */
  cancelAnswered: boolean
  dropAsked: boolean
  dropAnswered: boolean
  /** The greatest version that anybody was answered, with its status. */
  seen: { version: number; status: string }
  readonly statuses: Map<number, string>
}

/** Where an answer may say so although nothing is wrong: the caller tries again, elsewhere. */
const passing = new Set(['STORE_UNAVAILABLE', 'NODE_STOPPING', 'QUEUE_FULL', 'SESSION_LIMIT', 'ENGINE_UNAVAILABLE'])

/** By how much the database's clock may jump, all jumps together. */
const clockSlackMs = 15_000

export class History {
  readonly violations: Violation[] = []
  readonly queries = new Map<string, QueryRecord>()
  /** Submissions whose outcome the client never learned. */
  unknown = 0
  readonly counts = new Map<string, number>()
  readonly #nowMs: () => number
  readonly #idleMs: number

  constructor(nowMs: () => number, idleMs: number) {
    this.#nowMs = nowMs
    this.#idleMs = idleMs
  }

  violated(invariant: Invariant, what: string): void {
    this.violations.push({ invariant, what, atMs: this.#nowMs() })
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  // ------------------------------------------------------------ what was accepted

  accepted(view: QueryView, session: SessionRecord, request: SubmitRequest, keyed: boolean): QueryRecord {
    const known = this.queries.get(view.handle)
    if (known) {
      if (known.user !== session.user) this.violated('I11', `${view.handle} was answered to two users`)
      this.sawView(known, view, 0)
      return known
    }
    const record: QueryRecord = {
      ...{ handle: view.handle, user: session.user, session, request, keyed },
      cancelAsked: false,
      cancelAnswered: false,
      dropAsked: false,
      dropAnswered: false,
      seen: { version: 0, status: '' },
      statuses: new Map(),
    }
    this.queries.set(view.handle, record)
    this.count('queries')
    this.sawView(record, view, 0)
    return record
  }

  // ------------------------------------------------------------ what was seen

  /** `atLeast`: the greatest version that was answered to anybody before this was asked. */
  sawView(record: QueryRecord, view: QueryView, atLeast: number): void {
    const { handle, version, status, user } = view
    if (handle !== record.handle) this.violated('I9', `asked for ${record.handle}, answered ${handle}`)
    if (user !== record.user) this.violated('I11', `${handle} of ${user} was shown to ${record.user}`)
    if (version < atLeast) this.violated('I9', `${handle}: answered version ${version} after version ${atLeast}`)
    const before = record.statuses.get(version)
    if (before !== undefined && before !== status)
      this.violated('I9', `${handle}: version ${version} was ${before}, and is ${status}`)
    record.statuses.set(version, status)
    if (version > record.seen.version) record.seen = { version, status }
  }

  /** A frame of a subscription that has delivered up to `after`. Gives what it has delivered now. */
  sawFrame(record: QueryRecord, view: QueryView, after: number | null): number {
    if (after !== null && view.version !== after + 1)
      this.violated('I3', `${record.handle}: version ${view.version} follows version ${after} at a subscriber`)
    this.sawView(record, view, 0)
    return view.version
  }

  sawRows(record: QueryRecord, offset: number, rows: readonly (readonly WireValue[])[]): void {
    rows.forEach((row, index) => {
      const expected = rowOf(record.request.sql, offset + index)
      if (!isDeepStrictEqual(row, expected))
        this.violated('I6', `${record.handle}: row ${offset + index} is ${JSON.stringify(row)}`)
    })
  }

  /** All pages were read, and no more follow. */
  sawAllRows(record: QueryRecord, count: number): void {
    const owed = parseStatement(record.request.sql)?.rows ?? 0
    if (count !== owed) this.violated('I6', `${record.handle}: ${count} rows of ${owed}`)
  }

  /** A request of the session was served that was sent then. */
  sawUse(session: SessionRecord, sentAtMs: number): void {
    // It had run out, and was served all the same, since its last use is written only so often: whether this one could be written, nobody knows.
    if (sentAtMs - session.usedAtMs > this.#idleMs) session.closeAsked = true
    session.usedAtMs = Math.max(session.usedAtMs, sentAtMs)
  }

  /** An answer that is an error. True: to be tried again. */
  sawError(
    error: unknown,
    asked: string,
    facts: { session?: SessionRecord; record?: QueryRecord; mayEnd?: boolean },
  ): boolean {
    const { session, record } = facts
    if (!(error instanceof LensError)) {
      this.violated('defect', `${asked}: ${error instanceof Error ? error.stack : String(error)}`)
      return false
    }
    const { code } = error
    if (code === 'SESSION_INVALID' && session && this.#nowMs() - session.usedAtMs > this.#idleMs - clockSlackMs)
      session.closeAsked = true
    this.count(`error ${code}`)
    if (passing.has(code)) return true
    if (code === 'SESSION_INVALID' && session && !session.closeAsked)
      this.violated('I9', `${asked}: the session ${session.id}, which nobody closed, is invalid`)
    else if (code === 'NOT_FOUND' && record) this.violated('I9', `${asked}: ${record.handle} is not found`)
    else if (code === 'RESULT_EXPIRED' && record && !record.dropAsked)
      this.violated('I9', `${asked}: the rows of ${record.handle} are gone`)
    else if (code === 'RESULT_NOT_READY' && record?.statuses.get(record.seen.version) === 'SUCCESSFUL' && facts.mayEnd)
      this.violated('I9', `${asked}: ${record.handle} was SUCCESSFUL, and has no rows: ${error.detail}`)
    else if (code === 'INTERNAL' || code === 'FORBIDDEN' || code === 'REQUEST_INVALID' || code === 'TOO_LARGE')
      this.violated('defect', `${asked}: ${error.stack}; ${(error.cause as Error | undefined)?.stack}`)
    else if (code === 'SQL_INVALID' && record && parseStatement(record.request.sql))
      this.violated('I1', `${asked}: ${error.message}`)
    else if (code === 'CONFLICT' && !error.retryable) this.violated('I9', `${asked}: ${error.message}`)
    return code === 'CONFLICT' && error.retryable
  }

  /** Answered to somebody who asked after the close of the session was answered. */
  sawClosedServed(session: SessionRecord, asked: string): void {
    this.violated('I9', `${asked}: the session ${session.id} is served after its close was answered`)
  }

  /** Answered to another user's session. */
  sawForeign(handle: string, asked: string): void {
    this.violated('I11', `${asked}: ${handle} was answered to another user`)
  }

  /** Acknowledged queries that nobody saw the end of. */
  unfinished(): QueryRecord[] {
    return [...this.queries.values()].filter(({ seen }) => !isFinished(seen.status as QueryView['status']))
  }
}

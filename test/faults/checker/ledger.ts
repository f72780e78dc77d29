/** A history in the order in which checks ask for it: queries by handle, sessions by id, the database's times on the clients' clock. */
import type { QueryEvent } from '../../../src/domain/index.ts'
import type { CloseSession, History, Operation, RowRecord, SeenQuery, Submit } from '../history.ts'

export type Row = RowRecord['row']

export interface Transition {
  readonly version: number
  readonly epoch: number
  readonly machineVersion: number
  readonly id: string
  /** Who wrote it. */
  readonly node: string
  readonly event: QueryEvent
  readonly from: string
  readonly to: string
  /** By the database's clock: when the statement that wrote it began, so not after its commit. */
  readonly at: number
}

/** A query that the database holds or that a client was told of. */
export interface Query {
  readonly handle: string
  /** In the order of their versions. */
  readonly transitions: readonly Transition[]
  readonly current: readonly Row[]
  readonly finished: readonly Row[]
  /** The first of its rows, if there is one. */
  readonly row: Row | null
  /** Submissions that were answered with this handle, refusals that named it included. */
  readonly submissions: readonly Submit[]
  /** Who may see it: by the row, else by who was answered with it. */
  readonly user: string | null
}

export interface KnownSession {
  readonly id: string
  readonly user: string
  /** By the first answer that named it. */
  readonly openedMs: number
  readonly closes: readonly CloseSession[]
  /** When it ended by itself, on the clients' clock; Infinity: it did not. */
  readonly expiredMs: number
}

export class Ledger {
  readonly history: History
  readonly queries = new Map<string, Query>()
  readonly sessions = new Map<string, KnownSession>()
  /** From the database's clock to the clients'. */
  readonly #offsetMs: number

  constructor(history: History) {
    this.history = history
    const { monotonicMs, databaseMs } = history.run.clock
    this.#offsetMs = monotonicMs - databaseMs
    this.#gatherQueries()
    this.#gatherSessions()
  }

  monotonic(databaseMs: number): number {
    return databaseMs + this.#offsetMs
  }

  isAdmin(user: string): boolean {
    return this.history.run.admins.includes(user)
  }

  #gatherQueries(): void {
    const { rows, operations } = this.history
    const transitions = new Map<string, Transition[]>()
    for (const row of rows.query_transition) listAt(transitions, row.handle as string).push(transitionOf(row))
    for (const steps of transitions.values()) steps.sort((a, b) => a.version - b.version)
    const current = Map.groupBy(rows.current_query, row => row.handle as string)
    const finished = Map.groupBy(rows.finished_query, row => row.handle as string)
    const submissions = new Map<string, Submit[]>()
    for (const operation of operations) {
      if (operation.kind !== 'submit') continue
      const handle = handleOf(operation)
      if (handle !== null) listAt(submissions, handle).push(operation)
    }
    const handles = new Set([...transitions.keys(), ...current.keys(), ...finished.keys(), ...submissions.keys()])
    for (const handle of handles) {
      const [here, there, asked] = [
        current.get(handle) ?? [],
        finished.get(handle) ?? [],
        submissions.get(handle) ?? [],
      ]
      const row = there[0] ?? here[0] ?? null
      this.queries.set(handle, {
        handle,
        transitions: transitions.get(handle) ?? [],
        current: here,
        finished: there,
        row,
        submissions: asked,
        user: (row?.user as string | undefined) ?? asked[0]?.user ?? null,
      })
    }
  }

  #gatherSessions(): void {
    const { rows, operations } = this.history
    const closes = new Map<string, CloseSession[]>()
    for (const operation of operations)
      if (operation.kind === 'close-session') listAt(closes, operation.target).push(operation)
    const expired = new Map<string, number>()
    for (const { session_id, to_status, at } of rows.session_transition)
      if (to_status === 'EXPIRED') expired.set(session_id as string, this.monotonic(at as number))
    for (const operation of operations) {
      if (operation.kind !== 'open-session' || operation.endMs === null) continue
      const { answer, user, endMs } = operation
      if (!answer || !('opened' in answer)) continue
      const id = answer.opened
      const known = this.sessions.get(id)
      this.sessions.set(id, {
        id,
        user,
        openedMs: Math.min(endMs, known?.openedMs ?? Number.POSITIVE_INFINITY),
        closes: closes.get(id) ?? [],
        expiredMs: expired.get(id) ?? Number.POSITIVE_INFINITY,
      })
    }
  }
}

/** The handle that a submission was told, if any. */
export function handleOf({ answer }: Submit): string | null {
  if (!answer) return null
  if ('query' in answer) return answer.query.handle
  return 'handle' in answer ? (answer.handle ?? null) : null
}

/** What an answered operation said of queries. */
export function queriesSeenBy(operation: Operation): readonly SeenQuery[] {
  const { answer } = operation
  if (!answer) return []
  if ('query' in answer) return [answer.query]
  return 'queries' in answer ? answer.queries : []
}

/** Every answer that is not what was asked for. */
export function refusalOf({ answer }: Operation): { readonly status: number; readonly code: string | null } | null {
  return answer && 'code' in answer ? answer : null
}

export function succeeded({ answer }: Operation): boolean {
  return answer !== null && !('code' in answer)
}

function transitionOf(row: Row): Transition {
  return {
    version: Number(row.version),
    epoch: Number(row.epoch),
    machineVersion: Number(row.machine_version),
    id: row.id as string,
    node: row.node as string,
    event: JSON.parse(row.event as string),
    from: row.from_status as string,
    to: row.to_status as string,
    at: Number(row.at),
  }
}

export function listAt<Key, Value>(map: Map<Key, Value[]>, key: Key): Value[] {
  const list = map.get(key)
  if (list) return list
  const made: Value[] = []
  map.set(key, made)
  return made
}

export const terminal: ReadonlySet<string> = new Set(['SUCCESSFUL', 'FAILED', 'CANCELED'])

export function changesOwner({ event }: Transition): boolean {
  return event.type === 'CLAIMED' || event.type === 'HANDED_OVER'
}

/** Views of queries as of a version, from whatever has that version: the live actor, this node's memory, or the row. */
import type { CommittedStep, QueryHost } from '../actors/index.ts'
import { Batcher, type Clock } from '../async/index.ts'
import {
  checkSnapshot,
  outcomeOf,
  type QueryFrame,
  type QueryView,
  queryView,
  type StoredSnapshot,
  statusOf,
} from '../domain/index.ts'
import type { QueryRow, QuerySpecificationRow, QueryStore, QueryVersion } from '../store/index.ts'
import { ViewMemory } from './view-memory.ts'

/** Views kept in memory take no more than this. */
const keptCharactersMax = 8_000_000

export class Views {
  readonly #host: QueryHost
  readonly #kept = new ViewMemory(keptCharactersMax)
  readonly #rows: Batcher<string, QueryRow | null>

  constructor(queries: QueryStore, host: QueryHost, clock: Clock) {
    this.#host = host
    this.#rows = new Batcher({
      run: async handles => {
        const rows = new Map((await queries.read([...new Set(handles)])).map(row => [row.handle, row]))
        return handles.map(handle => rows.get(handle) ?? null)
      },
      clock,
      flightsMax: 2,
      sizeMax: 100,
    })
  }

  /** The query as the database has it at this moment; null when it is gone meanwhile. Memory answers only for that very version. */
  async at(version: QueryVersion): Promise<QueryView | null> {
    const live = this.#host.find(version.handle)
    if (live?.committed && live.epoch === version.epoch && live.committed.context.version === version.version)
      return {
        ...viewOfSnapshot(live.specification, live.committed),
        progress: live.progress,
        queuePosition: version.status === 'QUEUED' ? this.#host.lanes.positionOf(version.handle) : null,
      }
    return this.#kept.at(version) ?? this.read(version.handle)
  }

  /** From the row, whatever is in memory. */
  async read(handle: string): Promise<QueryView | null> {
    const row = await this.#rows.add(handle)
    if (!row) return null
    const view = viewOfRow(row)
    this.keep(view, row.epoch)
    return view
  }

  row(handle: string): Promise<QueryRow | null> {
    return this.#rows.add(handle)
  }

  /** Remembers what is known to be durable. */
  keep(view: QueryView, epoch: number): void {
    this.#kept.keep(view, epoch)
  }

  forget(handle: string): void {
    this.#kept.forget(handle)
  }
}

export function viewOfSnapshot(specification: QuerySpecificationRow, snapshot: StoredSnapshot): QueryView {
  return queryView(specification, snapshot.value, snapshot.context)
}

export function viewOfRow(row: QueryRow): QueryView {
  const check = checkSnapshot(row.snapshot)
  if (check.ok && statusOf(check.snapshot.value) === row.status) {
    const view = queryView(row, check.snapshot.value, check.snapshot.context)
    return row.status === 'CLOSED'
      ? { ...view, outcome: row.outcome ?? outcomeOf(row.status, check.snapshot.context) }
      : view
  }
  // A snapshot that cannot be read hides nothing that stands in columns.
  const {
    handle,
    sessionId,
    user,
    name,
    sql,
    operation,
    mode,
    lane,
    priority,
    engine,
    status,
    outcome,
    version,
    attempt,
  } = row
  return {
    ...{
      handle,
      sessionId,
      user,
      name,
      sql,
      operation,
      mode,
      lane,
      priority,
      engine,
      status,
      outcome,
      version,
      attempt,
    },
    progress: { fraction: null, message: '' },
    queuePosition: null,
    owner: { node: row.ownerNode, epoch: row.epoch },
    failedAttempts: [],
    error: null,
    result: null,
    estimate: null,
    plan: null,
    submittedAt: row.submittedAt,
    launchedAt: null,
    startedAt: null,
    finishedAt: row.finishedAt,
  }
}

/** A committed step as a frame; its view is made when somebody reads it, and once for all who do. */
export function frameOf({ specification, epoch, snapshot }: Omit<CommittedStep, 'event'>): QueryFrame {
  let view: QueryView | undefined
  const { handle, sessionId, user } = specification
  return {
    ...{ handle, sessionId, user, version: snapshot.context.version, epoch },
    get query() {
      view ??= viewOfSnapshot(specification, snapshot)
      return view
    },
  }
}

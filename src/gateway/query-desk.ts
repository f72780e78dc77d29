/** Queries that exist: read, waited for, listed, cancelled, and let go of. */
import type { CommittedStep, QueryHost } from '../actors/index.ts'
import type { Random } from '../async/index.ts'
import {
  LensError,
  outcomeOf,
  type QueryEvent,
  type QueryView,
  queryMachineVersion,
  replay,
  type TransitionView,
} from '../domain/index.ts'
import type { QueryRow, Store } from '../store/index.ts'
import type { ListQueriesRequest, Principal } from './contract.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { type Lookups, mustSee } from './lookups.ts'
import type { PeerPort } from './ports.ts'
import { snapshotOf } from './result-desk.ts'
import { type Views, viewOfRow } from './views.ts'
import type { Waits } from './waits.ts'

export interface QueryDeskOptions {
  readonly store: Store
  readonly host: QueryHost
  readonly lookups: Lookups
  readonly views: Views
  readonly waits: Waits
  readonly peers: PeerPort
  readonly random: Random
  readonly nodeId: string
  readonly databaseNow: () => number
  readonly committed: (steps: readonly CommittedStep[]) => void
  readonly deleteResultFiles: (handle: string) => Promise<void>
}

const rowsAtOnceMax = 200

export class QueryDesk {
  readonly #options: QueryDeskOptions

  constructor(options: QueryDeskOptions) {
    this.#options = options
  }

  async query(principal: Principal, handle: string): Promise<QueryView> {
    return this.#seen(await this.#options.lookups.visible(principal, handle))
  }

  async properties(principal: Principal, handles: readonly string[]) {
    const rows: QueryRow[] = []
    for (let index = 0; index < handles.length; index += rowsAtOnceMax)
      rows.push(...(await this.#options.store.queries.read(handles.slice(index, index + rowsAtOnceMax))))
    const seen = rows.filter(({ user }) => principal.admin || user === principal.user)
    return new Map(seen.map(({ handle, properties }) => [handle, properties]))
  }

  async poll(
    token: string,
    handle: string,
    wait: { after: number; waitMs: number } | null,
    signal: AbortSignal,
  ): Promise<QueryView> {
    const { principal, query } = await this.#options.lookups.validate(token, handle)
    const version = mustSee(principal, query)
    if (wait === null || version.version > wait.after || wait.waitMs <= 0) return this.#seen(version)
    await this.#options.waits.until(principal, handle, view => view.version > wait.after, wait.waitMs, signal)
    // Read again: the answer is never older than what another node has answered meanwhile.
    return this.#seen(await this.#options.lookups.visible(principal, handle))
  }

  async #seen(version: Parameters<Views['at']>[0]): Promise<QueryView> {
    const view = await this.#options.views.at(version)
    if (!view) throw new LensError('NOT_FOUND', 'There is no such query.')
    return view
  }

  async list(principal: Principal, request: ListQueriesRequest) {
    const { limit, cursor, user, statuses, engine, name, from, to } = request
    if (user !== undefined && user !== principal.user && !principal.admin)
      throw new LensError('FORBIDDEN', "user: only admins may list other users' queries.")
    const filter = {
      user: user === '*' ? null : (user ?? principal.user),
      ...(statuses && { statuses }),
      ...(engine !== undefined && { engine }),
      ...(name !== undefined && { name }),
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
    }
    const rows = await this.#options.store.queries.list(
      filter,
      limit + 1,
      decodeCursor(cursor, 'submittedAt', 'handle'),
    )
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    const nextCursor =
      rows.length > limit && last ? encodeCursor({ submittedAt: last.submittedAt, handle: last.handle }) : null
    return { queries: page.map(viewOfRow), nextCursor }
  }

  async transitions(principal: Principal, handle: string): Promise<readonly TransitionView[]> {
    await this.#options.lookups.visible(principal, handle)
    const transitions = await this.#options.store.queries.transitions(handle, 0)
    return transitions.map(({ version, event, from, to, node, epoch, at }) => ({
      version,
      event: event.type,
      from,
      to,
      node,
      epoch,
      at,
    }))
  }

  /** The wish is durable before it is answered, whoever owns the query. */
  async cancel(principal: Principal, handle: string): Promise<{ query: QueryView; finished: boolean }> {
    const version = await this.#options.lookups.visible(principal, handle)
    const requested = !version.finished && (await this.#options.store.queries.requestCancel(handle))
    if (requested) this.tellCancelled([handle])
    return { query: await this.query(principal, handle), finished: !requested }
  }

  tellCancelled(handles: readonly string[]): void {
    this.#options.host.cancel(handles)
    const elsewhere = handles.filter(handle => !this.#options.host.find(handle))
    if (elsewhere.length > 0) this.#options.peers.cancelRequested(elsewhere)
  }

  /** No node owns what has ended: any may close it, by compare-and-set on its version. */
  async dropResult(principal: Principal, handle: string): Promise<void> {
    const { store, databaseNow, nodeId, random } = this.#options
    const version = await this.#options.lookups.visible(principal, handle)
    if (version.status === 'CLOSED') return
    if (!version.finished)
      throw new LensError('RESULT_NOT_READY', `The query is ${version.status}; cancel it first.`, { retryAfterMs: 500 })
    const row = await this.#options.views.row(handle)
    if (!row) throw new LensError('NOT_FOUND', 'There is no such query.')
    // Another node was first, after we had looked: what was asked for is done.
    if (row.status === 'CLOSED') return
    const snapshot = snapshotOf(row)
    const event: QueryEvent = { type: 'RESULT_DROPPED', at: new Date(databaseNow()).toISOString() }
    const outcome = row.outcome ?? outcomeOf(row.status, snapshot.context) ?? 'FAILED'
    const { lane, engine } = snapshot.context
    const [closed] = replay({ handle, lane, engine }, [event], snapshot)
    if (!closed || closed.context.version !== row.version + 1)
      throw new LensError('CONFLICT', 'The query changed meanwhile.')
    const dropped = { machineVersion: queryMachineVersion, ...closed }
    const record = {
      ...{ id: random.uuid(), handle, version: row.version + 1, epoch: row.epoch, machineVersion: queryMachineVersion },
      ...{ node: nodeId, event, from: row.status, to: 'CLOSED' as const },
    }
    if (!(await store.queries.dropResult(record, dropped, outcome))) {
      const now = await this.#options.lookups.version(handle)
      if (now?.status === 'CLOSED') return
      throw new LensError('CONFLICT', 'The query changed meanwhile.', { retryable: true })
    }
    this.#options.committed([{ specification: row, event, epoch: row.epoch, snapshot: dropped }])
    await this.#options.deleteResultFiles(handle)
  }
}

/**
 * Every version of a query, made by replaying its transitions: what a subscriber missed is computed, not stored. Requests for
 * the same query that come before its reading has begun share it.
 */
import type { Clock } from '../async/index.ts'
import { type QueryEvent, type QueryView, queryView, replay } from '../domain/index.ts'
import type { QueryStore } from '../store/index.ts'
import { type Views, viewOfRow } from './views.ts'

export class History {
  readonly #queries: QueryStore
  readonly #views: Views
  readonly #clock: Clock
  readonly #coming = new Map<string, Promise<readonly QueryView[]>>()

  constructor(queries: QueryStore, views: Views, clock: Clock) {
    this.#queries = queries
    this.#views = views
    this.#clock = clock
  }

  current(handle: string): Promise<QueryView | null> {
    return this.#views.read(handle)
  }

  /** The views of all versions above `after`, in order. Where the transitions are no longer kept: the last state alone. */
  async above(handle: string, after: number): Promise<readonly QueryView[]> {
    return (await this.#all(handle)).filter(view => view.version > after)
  }

  #all(handle: string): Promise<readonly QueryView[]> {
    const coming = this.#coming.get(handle)
    if (coming) return coming
    const reading = new Promise<void>(resolve => this.#clock.soon(resolve)).then(() => {
      this.#coming.delete(handle)
      return this.#read(handle)
    })
    this.#coming.set(handle, reading)
    return reading
  }

  async #read(handle: string): Promise<readonly QueryView[]> {
    const [row, transitions] = await Promise.all([this.#views.row(handle), this.#queries.transitions(handle, 0)])
    if (!row) return []
    const gapFree = transitions.every((transition, index) => transition.version === index + 1)
    if (!gapFree || transitions.length === 0) return [viewOfRow(row)]
    const input = { handle, lane: row.requestedLane, engine: row.requestedEngine }
    const views: QueryView[] = []
    for (const { value, context } of replay(
      input,
      transitions.map(({ event }) => event as QueryEvent),
    ))
      views.push(queryView(row, value, context))
    // A row whose state could not be restored was failed beside its machine: its last word is the row's.
    const last = views.at(-1)
    if (last && last.version < transitions.length) return [viewOfRow(row)]
    return views
  }
}

/**
 * Every version of a query, made by replaying its transitions: what a subscriber missed is computed, not stored. Subscribers come
 * back by the hundred when their node has died, each to a query that has moved meanwhile: the queries whose transitions are asked
 * for while others are being read are read together.
 */
import { Batcher, type Clock } from '../async/index.ts'
import { type QueryEvent, type QueryView, queryView, replay } from '../domain/index.ts'
import type { QueryRow, QueryStore, QueryVersion, StoredTransition } from '../store/index.ts'
import { type Views, viewOfRow } from './views.ts'

export class History {
  readonly #views: Views
  readonly #transitions: Batcher<string, readonly StoredTransition[]>
  /** Readings that are under way or wait: a thousand subscribers of one query share one. */
  readonly #coming = new Map<string, Promise<readonly QueryView[]>>()

  constructor(queries: QueryStore, views: Views, clock: Clock) {
    this.#views = views
    this.#transitions = new Batcher({
      run: async handles => {
        // Whoever asks from now on might miss what this statement does not see.
        for (const handle of handles) this.#coming.delete(handle)
        const found = await queries.transitionsOf(handles)
        return handles.map(handle => found.get(handle) ?? [])
      },
      clock,
      flightsMax: 2,
      sizeMax: 50,
    })
  }

  /**
   * The views of all versions above `after` up to what was just found; of the last one alone where `after` is undefined. What memory has
   * needs no reading, and has the present progress too.
   */
  async upTo(found: QueryVersion, after: number | undefined): Promise<readonly QueryView[]> {
    if (after !== undefined && found.version <= after) return []
    if (after !== undefined && found.version > after + 1) return this.above(found.handle, after)
    const view = await this.#views.at(found)
    if (!view) return []
    // The row has moved on since: what is between is read.
    return after !== undefined && view.version > after + 1 ? this.above(found.handle, after) : [view]
  }

  /** The views of all versions above `after`, in order. Where the transitions are no longer kept: the last state alone. */
  async above(handle: string, after: number): Promise<readonly QueryView[]> {
    // Rows are read many at once, and a single step needs no more: ten thousand queries that were taken over are one step ahead.
    const row = await this.#views.row(handle)
    if (!row || row.version <= after) return []
    if (row.version === after + 1) return [viewOfRow(row)]
    return (await this.#all(row)).filter(view => view.version > after)
  }

  #all(row: QueryRow): Promise<readonly QueryView[]> {
    const { handle } = row
    const known = this.#coming.get(handle)
    if (known) return known
    const coming = this.#transitions.add(handle).then(transitions => viewsOf(row, transitions))
    this.#coming.set(handle, coming)
    return coming
  }
}

function viewsOf(row: QueryRow, transitions: readonly StoredTransition[]): readonly QueryView[] {
  const gapFree = transitions.every((transition, index) => transition.version === index + 1)
  if (!gapFree || transitions.length === 0) return [viewOfRow(row)]
  const input = { handle: row.handle, lane: row.requestedLane, engine: row.requestedEngine }
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

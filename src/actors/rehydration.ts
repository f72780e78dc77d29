/**
 * Brings the queries to life that this node owns and has no actor for: those of the dead, those that were given, and its own after their
 * rows turned out to be another version than it thought.
 */

import { checkSnapshot, holdsSlot, type QueryMachine, type StoredSnapshot, statusOf } from '../domain/index.ts'
import { aboutQuery } from '../observability/index.ts'
import type { QueryRow } from '../store/index.ts'
import type { ActorEnvironment, CommittedStep } from './environment.ts'
import type { Lanes } from './lanes.ts'
import { LiveQuery } from './live-query.ts'
import type { Restoration } from './restoration.ts'
import { Returning } from './returning.ts'

export interface RehydrationOptions {
  readonly environment: ActorEnvironment
  readonly machine: QueryMachine
  readonly lanes: Lanes
  readonly lives: Map<string, LiveQuery>
  readonly restoration: Restoration
  /** Steps of `live` wait to be committed. */
  readonly ready: (live: LiveQuery) => void
  readonly drop: (live: LiveQuery) => void
}

const readAtOnceMax = 200
/** Then the steps of these can be on their way while the next ones come to life, and whoever else waits for the processor has a turn. */
const revivedAtOnceMax = 48

export class Rehydration {
  readonly #options: RehydrationOptions
  readonly #returning: Returning
  /** Restorations that failed for a passing reason, by handle. */
  readonly #unreadable = new Set<string>()
  /** Whose rows are being read: read twice, the older answer could bring back to life what has ended by the newer one. */
  readonly #reading = new Set<string>()

  constructor(options: RehydrationOptions) {
    this.#options = options
    this.#returning = new Returning(options.lanes, options.environment.clock)
  }

  /** What of these has no actor; all that `incarnation` owns. */
  async missing(handles: readonly string[], incarnation: string): Promise<void> {
    const isMissing = (handle: string) =>
      !this.#options.lives.has(handle) && !this.#unreadable.has(handle) && !this.#reading.has(handle)
    const missing = handles.filter(isMissing)
    for (let index = 0; index < missing.length; index += readAtOnceMax) {
      const some = missing.slice(index, index + readAtOnceMax).filter(isMissing)
      for (const handle of some) this.#reading.add(handle)
      try {
        await this.#read(some, incarnation)
      } finally {
        for (const handle of some) this.#reading.delete(handle)
      }
    }
  }

  /** It is not brought to life again under this incarnation. */
  leave(handle: string): void {
    this.#unreadable.add(handle)
  }

  /** Nothing that was here is any more. */
  reset(): void {
    this.#unreadable.clear()
    this.#returning.stop()
  }

  async #read(handles: readonly string[], incarnation: string): Promise<void> {
    const { environment } = this.#options
    const { store, events, clock } = environment
    const rows = await store.queries.read(handles)
    for (let index = 0; index < rows.length; index += revivedAtOnceMax) {
      if (index > 0) await new Promise<void>(resolve => clock.soon(resolve))
      const revived: Omit<CommittedStep, 'event'>[] = []
      for (const row of rows.slice(index, index + revivedAtOnceMax)) {
        const snapshot = await this.#revive(row, incarnation)
        if (snapshot) revived.push({ specification: row, epoch: row.epoch, snapshot })
      }
      this.#returning.add(revived.filter(({ snapshot }) => holdsSlot(statusOf(snapshot.value))).length)
      // The leader that claimed them made no frames: it knows rows. Without these every subscriber would have to ask for each.
      if (revived.length > 0) events.revived(revived)
    }
  }

  /** In which it lives from now on; null when it does not. */
  async #revive(row: QueryRow, incarnation: string): Promise<StoredSnapshot | null> {
    const { environment, lives, restoration } = this.#options
    const { membership, logger } = environment
    if (row.finished || row.ownerIncarnation !== incarnation || incarnation !== membership.incarnation()) return null
    if (lives.has(row.handle)) return null
    const check = checkSnapshot(row.snapshot)
    if (!check.ok && check.tooNew) {
      logger.warn({ ...aboutQuery(row), reason: check.reason }, 'a query is left for a newer node')
      // Should it not succeed, the next look finds it again.
      await environment.store.queries
        .release(row.handle, incarnation, row.epoch)
        .catch(error => logger.debug({ err: error, ...aboutQuery(row) }, 'a query could not be released yet'))
      return null
    }
    const reason = check.ok ? this.#live(row, check.snapshot) : check.reason
    if (reason !== null) await restoration.fail(row, reason)
    return check.ok && reason === null ? check.snapshot : null
  }

  /** Gives the reason when the snapshot cannot be lived in. */
  #live(row: QueryRow, snapshot: StoredSnapshot): string | null {
    const { environment, machine, lanes, lives, ready, drop } = this.#options
    const { context } = snapshot
    if (context.version !== row.version || context.owner.epoch !== row.epoch || statusOf(snapshot.value) !== row.status)
      return `the snapshot (${statusOf(snapshot.value)}, version ${context.version}, epoch ${context.owner.epoch}) does not belong to its row (${row.status}, version ${row.version}, epoch ${row.epoch})`
    const live = LiveQuery.rehydrated(environment, machine, row, snapshot, ready)
    lives.set(live.handle, live)
    // At once: who has looked knows all the slots that its rows hold.
    if (holdsSlot(row.status) && context.engine !== null)
      live.slot = lanes.occupy(context.engine, context.lane === 'heavy' ? 'heavy' : 'light')
    try {
      live.start()
      return null
    } catch (error) {
      drop(live)
      return error instanceof Error ? error.message : String(error)
    }
  }
}

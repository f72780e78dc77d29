/**
 * Who is told when a query moves. Hints (commits here, frames of peers) make it fast; the comparison with the database every
 * `revalidateMs` makes it certain: a subscriber gets every version once and in order, whatever was lost on the way.
 *
 *     subscribe ─▶ registered for hints ─▶ read ─▶ first state delivered ─▶ following
 *                                                        │  frame = next version: delivered
 *                                                        │  frame beyond it: the missing ones are read, then delivered
 *                                                        └─ session gone, or closed by its reader: ended
 */

import type { CancelTimer, Clock } from '../async/index.ts'
import { isFinished, LensError, type ProgressFrame, type QueryFrame, type QueryView } from '../domain/index.ts'
import type { Logger } from '../observability/index.ts'
import type { QueryVersion, Store } from '../store/index.ts'
import type { Principal, Subscription, SubscriptionListener } from './contract.ts'
import type { History } from './history.ts'
import { type Lookups, sessionInvalid } from './lookups.ts'
import type { PeerPort } from './ports.ts'

/** One query as one subscriber has seen it. */
interface Tracker {
  readonly handle: string
  /** The last version that was delivered. */
  delivered: number
  /** Nothing comes after it but the dropping of its result. */
  finished: boolean
  /** When its result was seen dropped: nothing comes after it. Milliseconds of the monotonic clock. */
  closedAt: number | null
  catchingUp: boolean
}

/**
 * An end is visible at most this long after the time that it bears: its owner may try to commit it for as long as its lease
 * lasts and the database keeps it waiting.
 */
const lateEndsMs = 10_000
/** Nearly all are visible within this time; the others are looked for only so often, since all that ended since then is read. */
const usualEndsMs = 1_000
const lateEndsEveryMs = 5_000

function newTracker(handle: string, delivered = 0): Tracker {
  return { handle, delivered, finished: false, closedAt: null, catchingUp: false }
}

class QuerySubscription implements Subscription {
  readonly trackers = new Map<string, Tracker>()
  readonly principal: Principal
  readonly listener: SubscriptionListener
  readonly handle: string | null
  /** Frames that came before the first state was read. */
  early: QueryFrame[] | null = []
  closed = false
  /** Of a session: what ended after this is told in full, by the database's clock in ms since 1970. */
  endsSince = Number.NEGATIVE_INFINITY
  ready: Promise<void> = Promise.resolve()
  readonly #onClose: (subscription: QuerySubscription) => void

  constructor(
    principal: Principal,
    handle: string | null,
    listener: SubscriptionListener,
    onClose: (subscription: QuerySubscription) => void,
  ) {
    this.principal = principal
    this.handle = handle
    this.listener = listener
    this.#onClose = onClose
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.#onClose(this)
  }

  end(error: Error): void {
    if (this.closed) return
    this.close()
    this.listener.ended(error)
  }
}

export interface FeedOptions {
  readonly store: Store
  readonly lookups: Lookups
  readonly history: History
  readonly peers: PeerPort
  readonly clock: Clock
  readonly logger: Logger
  readonly revalidateMs: number
  /** Milliseconds since 1970. */
  readonly databaseNow: () => number
}

export class Feed {
  readonly #options: FeedOptions
  readonly #byHandle = new Map<string, Set<QuerySubscription>>()
  readonly #bySession = new Map<string, Set<QuerySubscription>>()
  readonly #texts = new WeakMap<QueryView, string>()
  #timer: CancelTimer | null = null
  #revalidating = false
  /** When the last comparison with the database that succeeded was begun, and the last that looked for late ends, on the monotonic clock. */
  #comparedAt: number
  #comparedLateAt: number

  constructor(options: FeedOptions) {
    this.#options = options
    this.#comparedAt = this.#comparedLateAt = options.clock.monotonic()
  }

  get size(): number {
    let size = 0
    for (const set of this.#byHandle.values()) size += set.size
    for (const set of this.#bySession.values()) size += set.size
    return size
  }

  start(): void {
    this.#timer = this.#options.clock.every(this.#options.revalidateMs, () => void this.#revalidate())
  }

  stop(): void {
    this.#timer?.()
    for (const subscription of [...this.#all()])
      subscription.end(new LensError('NODE_STOPPING', 'The node is stopping.'))
  }

  /** A query of the caller, which exists and may be seen. */
  subscribeQuery(
    principal: Principal,
    handle: string,
    after: number | undefined,
    listener: SubscriptionListener,
  ): Subscription {
    const subscription = this.#register(principal, handle, listener)
    subscription.ready = this.#begin(subscription, async () => {
      await this.#open(subscription, await this.#options.lookups.visible(principal, handle), after)
    })
    return subscription
  }

  /** All queries of the caller's session, those to come too. */
  subscribeSession(
    principal: Principal,
    after: Readonly<Record<string, number>>,
    listener: SubscriptionListener,
  ): Subscription {
    const subscription = this.#register(principal, null, listener)
    subscription.ready = this.#begin(subscription, async () => {
      const named = Object.keys(after)
      const { store, databaseNow } = this.#options
      subscription.endsSince = databaseNow() - this.#uncomparedMs()
      const [ofSession, known] = await Promise.all([
        store.queries.versionsOfSessions([principal.sessionId], iso(subscription.endsSince)),
        named.length > 0 ? store.queries.versions(named) : [],
      ])
      const mine = known.filter(version => version.user === principal.user || principal.admin)
      for (const found of mine) await this.#open(subscription, found, after[found.handle])
      for (const found of ofSession) {
        const { handle, version, status, finished } = found
        if (Object.hasOwn(after, handle)) continue
        if (!finished) await this.#open(subscription, found, undefined)
        else if (!subscription.early?.some(({ handle: moved, query }) => moved === handle && query.status !== 'CLOSED'))
          subscription.trackers.set(handle, this.#endedBefore(handle, version, status === 'CLOSED'))
      }
    })
    return subscription
  }

  /** Steps that were committed, here or elsewhere. */
  deliver(frames: readonly QueryFrame[]): void {
    for (const frame of frames) {
      for (const subscription of this.#byHandle.get(frame.handle) ?? []) this.#offer(subscription, frame)
      for (const subscription of this.#bySession.get(frame.sessionId) ?? []) this.#offer(subscription, frame)
    }
  }

  /** Is anybody here interested? Spares the making of views that nobody reads. */
  wants(handle: string, sessionId: string): boolean {
    return this.#byHandle.has(handle) || this.#bySession.has(sessionId)
  }

  progress({ handle, sessionId, progress }: ProgressFrame): void {
    for (const subscriptions of [this.#byHandle.get(handle), this.#bySession.get(sessionId)])
      for (const subscription of subscriptions ?? [])
        if (subscription.early === null) subscription.listener.frame({ type: 'progress', handle, progress }, null)
  }

  /** A session was closed: its subscriptions end now, not at the next comparison. */
  sessionClosed(ids: readonly string[]): void {
    const closed = new Set(ids)
    for (const subscription of [...this.#all()])
      if (closed.has(subscription.principal.sessionId)) subscription.end(sessionInvalid())
  }

  // ------------------------------------------------------------ registration

  #register(principal: Principal, handle: string | null, listener: SubscriptionListener): QuerySubscription {
    const index = handle === null ? this.#bySession : this.#byHandle
    const key = handle ?? principal.sessionId
    const interest = { kind: handle === null ? ('session' as const) : ('query' as const), id: key }
    const subscription = new QuerySubscription(principal, handle, listener, gone => {
      const set = index.get(key)
      set?.delete(gone)
      if (set?.size === 0) index.delete(key)
      this.#options.peers.release(interest)
    })
    const set = index.get(key)
    if (set) set.add(subscription)
    else index.set(key, new Set([subscription]))
    this.#options.peers.want(interest)
    return subscription
  }

  async #begin(subscription: QuerySubscription, first: () => Promise<void>): Promise<void> {
    try {
      await first()
    } catch (error) {
      subscription.close()
      throw error
    }
    const early = subscription.early ?? []
    subscription.early = null
    for (const frame of early) this.#offer(subscription, frame)
  }

  /**
   * Delivers the first state, or every version above `after`. `found` was read after the registration for hints: what it does not
   * know yet comes as a hint, so that a thousand who come back to queries that have not moved read nothing more.
   */
  async #open(subscription: QuerySubscription, found: QueryVersion, after: number | undefined): Promise<void> {
    const views = await this.#options.history.upTo(found, after)
    const tracker = newTracker(found.handle, after)
    subscription.trackers.set(found.handle, tracker)
    for (const view of views) this.#hand(subscription, tracker, view)
  }

  // ------------------------------------------------------------ delivery

  #offer(subscription: QuerySubscription, frame: QueryFrame): void {
    if (subscription.closed) return
    if (subscription.early) {
      subscription.early.push(frame)
      return
    }
    let tracker = subscription.trackers.get(frame.handle)
    if (!tracker) {
      // A query of the session that is new here. One that ended before the subscription moves only by dropping its result.
      const { status, finishedAt } = frame.query
      const isOld = status === 'CLOSED' && finishedAt !== null && Date.parse(finishedAt) <= subscription.endsSince
      tracker = newTracker(frame.handle, isOld ? frame.version - 1 : 0)
      subscription.trackers.set(frame.handle, tracker)
    }
    if (frame.version <= tracker.delivered || tracker.catchingUp) return
    if (frame.version === tracker.delivered + 1) this.#hand(subscription, tracker, frame.query)
    else void this.#catchUp(subscription, tracker)
  }

  #hand(subscription: QuerySubscription, tracker: Tracker, view: QueryView): void {
    if (subscription.closed) return
    tracker.delivered = view.version
    tracker.finished = isFinished(view.status)
    let text = this.#texts.get(view)
    if (text === undefined) {
      text = JSON.stringify(view)
      this.#texts.set(view, text)
    }
    subscription.listener.frame({ type: 'query', query: view }, text)
    if (view.status === 'CLOSED') tracker.closedAt = this.#options.clock.monotonic()
  }

  async #catchUp(subscription: QuerySubscription, tracker: Tracker): Promise<void> {
    if (tracker.catchingUp || subscription.closed) return
    tracker.catchingUp = true
    try {
      for (const view of await this.#options.history.above(tracker.handle, tracker.delivered))
        this.#hand(subscription, tracker, view)
    } catch (error) {
      // The next comparison with the database tries again.
      this.#options.logger.debug(
        { err: error, handle: tracker.handle, session: subscription.principal.sessionId },
        'a subscriber could not catch up yet',
      )
    } finally {
      tracker.catchingUp = false
    }
  }

  // ------------------------------------------------------------ certainty

  *#all(): Generator<QuerySubscription> {
    for (const set of this.#byHandle.values()) yield* set
    for (const set of this.#bySession.values()) yield* set
  }

  async #revalidate(): Promise<void> {
    if (this.#revalidating) return
    if (this.#byHandle.size === 0 && this.#bySession.size === 0) {
      this.#comparedAt = this.#comparedLateAt = this.#options.clock.monotonic()
      return
    }
    this.#revalidating = true
    try {
      await Promise.all([this.#revalidateSessions(), this.#revalidateQueries()])
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'subscriptions could not be compared with the database')
    } finally {
      this.#revalidating = false
    }
  }

  async #revalidateSessions(): Promise<void> {
    const ids = new Set([...this.#all()].map(subscription => subscription.principal.sessionId))
    const closed: string[] = []
    await Promise.all(
      [...ids].map(async id => {
        if (!(await this.#options.lookups.stillOpen(id))) closed.push(id)
      }),
    )
    if (closed.length > 0) this.sessionClosed(closed)
  }

  /**
   * A query of a session may begin and end between two comparisons while no hint gets through: then only its end tells of
   * it, so that the ends since the last comparison are read too.
   */
  #uncomparedMs(): number {
    return this.#options.clock.monotonic() - this.#comparedLateAt + lateEndsMs
  }

  /** Not told any more, but recognised when the comparison finds it. */
  #endedBefore(handle: string, version: number, closed: boolean): Tracker {
    const closedAt = closed ? this.#options.clock.monotonic() : null
    return { ...newTracker(handle, version), finished: true, closedAt }
  }

  async #revalidateQueries(): Promise<void> {
    const { store, clock, databaseNow } = this.#options
    const begunAt = clock.monotonic()
    const uncomparedMs = this.#uncomparedMs()
    const isLate = begunAt - this.#comparedLateAt >= lateEndsEveryMs
    const readMs = isLate ? uncomparedMs : begunAt - this.#comparedAt + usualEndsMs
    const followed = new Map<string, [QuerySubscription, Tracker][]>()
    for (const subscription of this.#all()) {
      if (subscription.early !== null) continue
      for (const tracker of subscription.trackers.values()) {
        // What has ended is forgotten when its last word is said, and no comparison finds its end any more; a session
        // that lives for days holds no trace of it.
        if (
          subscription.handle === null &&
          tracker.closedAt !== null &&
          begunAt - tracker.closedAt > 2 * uncomparedMs
        ) {
          subscription.trackers.delete(tracker.handle)
          continue
        }
        // Of a session's queries, the ended ones are left out: only the dropping of their result can follow, and a hint tells it.
        if (tracker.finished && subscription.handle === null) continue
        const followers = followed.get(tracker.handle)
        if (followers) followers.push([subscription, tracker])
        else followed.set(tracker.handle, [[subscription, tracker]])
      }
    }
    const [versions, ofSessions] = await Promise.all([
      followed.size > 0 ? store.queries.versions([...followed.keys()]) : [],
      this.#bySession.size > 0
        ? store.queries.versionsOfSessions([...this.#bySession.keys()], iso(databaseNow() - readMs))
        : [],
    ])
    for (const { handle, version } of versions)
      for (const [subscription, tracker] of followed.get(handle) ?? [])
        if (version > tracker.delivered) void this.#catchUp(subscription, tracker)
    for (const { handle, sessionId } of ofSessions)
      for (const subscription of this.#bySession.get(sessionId) ?? []) {
        if (subscription.early !== null || subscription.trackers.has(handle)) continue
        const tracker = newTracker(handle)
        subscription.trackers.set(handle, tracker)
        void this.#catchUp(subscription, tracker)
      }
    this.#comparedAt = begunAt
    if (isLate) this.#comparedLateAt = begunAt
  }
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString()
}

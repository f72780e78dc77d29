/** The application service: puts the desks together behind the one contract that front doors call. */

import type { CommittedStep, QueryHost, SessionHost } from '../actors/index.ts'
import type { CancelTimer, Clock, Random } from '../async/index.ts'
import { LensError, type OwnershipChangeView, type ProgressFrame, type QueryFrame } from '../domain/index.ts'
import type { Engines } from '../engines/index.ts'
import type { Logger } from '../observability/index.ts'
import type { ResultReader } from '../results/index.ts'
import type { SessionRow, Store } from '../store/index.ts'
import { ClusterTopics } from './cluster-topics.ts'
import type {
  Gateway,
  ListQueriesRequest,
  OpenSessionRequest,
  Principal,
  SubmitOutcome,
  SubmitRequest,
  Subscription,
  SubscriptionListener,
  Topic,
} from './contract.ts'
import { Feed } from './feed.ts'
import { History } from './history.ts'
import { Lookups } from './lookups.ts'
import type { ClusterPort, PeerPort } from './ports.ts'
import { PreparedDesk } from './prepared-desk.ts'
import { QueryDesk } from './query-desk.ts'
import { ResultDesk } from './result-desk.ts'
import { SessionDesk, viewOfSession } from './session-desk.ts'
import type { GatewaySettings } from './settings.ts'
import { SubmissionDesk } from './submission.ts'
import { frameOf, Views } from './views.ts'
import { Waits } from './waits.ts'

export interface GatewayOptions {
  readonly store: Store
  readonly host: QueryHost
  readonly sessions: SessionHost
  readonly engines: Engines
  readonly results: ResultReader
  readonly peers: PeerPort
  readonly cluster: ClusterPort
  readonly settings: GatewaySettings
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly nodeId: string
  readonly tokenSecret: string
  readonly databaseNow: () => number
  /** Deletes what of a dropped result lies outside the store. */
  readonly deleteResultFiles: (handle: string) => Promise<void>
}

const passivateEveryMs = 60_000

export class LensGateway implements Gateway {
  readonly #options: GatewayOptions
  readonly #lookups: Lookups
  readonly #views: Views
  readonly #feed: Feed
  readonly #waits: Waits
  readonly #queries: QueryDesk
  readonly #sessionDesk: SessionDesk
  readonly #submissions: SubmissionDesk
  readonly #resultDesk: ResultDesk
  readonly #preparedDesk: PreparedDesk
  readonly #topics: ClusterTopics
  readonly #drainListeners = new Set<(reconnectTo: readonly string[]) => void>()
  #accepting = true
  #passivation: CancelTimer | null = null

  constructor(options: GatewayOptions) {
    this.#options = options
    const { store, host, sessions, engines, settings, clock, random, logger, peers, nodeId, databaseNow } = options
    this.#lookups = new Lookups(store, sessions, settings.admins, clock)
    this.#views = new Views(store.queries, host, clock)
    const history = new History(store.queries, this.#views, clock)
    this.#feed = new Feed({
      store,
      lookups: this.#lookups,
      history,
      peers,
      clock,
      logger,
      revalidateMs: settings.revalidateMs,
      databaseNow,
    })
    this.#waits = new Waits(this.#feed, clock)
    this.#queries = new QueryDesk({
      store,
      host,
      lookups: this.#lookups,
      views: this.#views,
      waits: this.#waits,
      peers,
      random,
      nodeId,
      databaseNow,
      committed: steps => this.committed(steps),
      deleteResultFiles: options.deleteResultFiles,
    })
    this.#resultDesk = new ResultDesk(this.#lookups, this.#views, options.results, databaseNow)
    this.#sessionDesk = new SessionDesk({
      store,
      sessions,
      settings,
      peers,
      random,
      nodeId,
      tokenSecret: options.tokenSecret,
      now: () => new Date(databaseNow()).toISOString(),
      sessionClosed: ids => this.sessionClosed(ids),
      cancelled: handles => this.#queries.tellCancelled(handles),
    })
    this.#submissions = new SubmissionDesk({
      store,
      host,
      engines,
      views: this.#views,
      waits: this.#waits,
      results: this.#resultDesk,
      settings,
      random,
      databaseNow,
      cancel: (principal, handle) => this.#queries.cancel(principal, handle),
    })
    this.#preparedDesk = new PreparedDesk({
      store,
      engines,
      settings,
      random,
      databaseNow,
      submissions: this.#submissions,
    })
    this.#topics = new ClusterTopics({
      store,
      cluster: options.cluster,
      clock,
      logger,
      lookups: this.#lookups,
      revalidateMs: settings.revalidateMs,
    })
  }

  start(): void {
    this.#feed.start()
    this.#passivation = this.#options.clock.every(passivateEveryMs, () => this.#options.sessions.passivate())
  }

  stop(): void {
    this.#passivation?.()
    this.#topics.stop()
    this.#feed.stop()
  }

  // ------------------------------------------------------------ what the actors and the peers tell

  /** Steps are durable: subscribers here and interested peers are told. Views are made only if somebody reads them. */
  committed(steps: readonly Omit<CommittedStep, 'event'>[]): void {
    const frames = steps.map(frameOf)
    for (const [index, frame] of frames.entries()) {
      // What has ended is asked for next, and its actor is gone.
      if (steps[index]?.snapshot.context.finishedAt) this.#views.keep(frame.query, frame.epoch)
      else this.#views.forget(frame.handle)
    }
    this.#feed.deliver(frames)
    this.#options.peers.publish(frames)
  }

  progressed(frame: ProgressFrame): void {
    this.#feed.progress(frame)
    this.#options.peers.publishProgress(frame)
  }

  /** Frames that peers committed. */
  deliver(frames: readonly QueryFrame[]): void {
    this.#feed.deliver(frames)
  }

  deliverProgress(frames: readonly ProgressFrame[]): void {
    for (const frame of frames) this.#feed.progress(frame)
  }

  sessionClosed(ids: readonly string[]): void {
    for (const id of ids) this.#options.sessions.drop(id)
    this.#feed.sessionClosed(ids)
    this.#topics.sessionClosed(ids)
  }

  // ------------------------------------------------------------ the node's own state

  get accepting(): boolean {
    return this.#accepting
  }

  notReady(): string | null {
    return this.#accepting ? this.#options.cluster.notReady() : 'draining'
  }

  get subscriptions(): number {
    return this.#feed.size + this.#topics.size
  }
  get waiting(): number {
    return this.#waits.size
  }

  /** The node begins to leave: long polls are answered, subscribers are sent elsewhere. */
  beginDrain(): void {
    if (!this.#accepting) return
    this.#accepting = false
    this.#waits.drain()
    for (const listener of [...this.#drainListeners]) listener(this.otherNodes())
  }

  onDraining(listener: (reconnectTo: readonly string[]) => void): () => void {
    this.#drainListeners.add(listener)
    return () => this.#drainListeners.delete(listener)
  }

  otherNodes(): readonly string[] {
    return this.#options.cluster.otherNodes()
  }

  // ------------------------------------------------------------ sessions

  openSession(request: OpenSessionRequest, idempotencyKey: string | null) {
    return this.#sessionDesk.open(request, idempotencyKey)
  }

  async authenticate(token: string): Promise<Principal> {
    return (await this.#lookups.validate(token)).principal
  }

  listSessions(principal: Principal, limit: number, cursor?: string) {
    return this.#sessionDesk.list(principal, limit, cursor)
  }

  async session(principal: Principal, id: string) {
    return viewOfSession(await this.#sessionDesk.read(principal, id))
  }

  changeSession(
    principal: Principal,
    id: string,
    change: { database?: string | null; properties?: Readonly<Record<string, string | null>> },
  ) {
    return this.#sessionDesk.change(principal, id, change)
  }

  closeSession(principal: Principal, id: string, cancelQueries: boolean) {
    return this.#sessionDesk.close(principal, id, cancelQueries)
  }

  // ------------------------------------------------------------ queries

  async submit(
    principal: Principal,
    request: SubmitRequest,
    idempotencyKey: string | null,
    signal: AbortSignal,
  ): Promise<SubmitOutcome> {
    return this.#submissions.submit(principal, await this.#sessionOf(principal), request, idempotencyKey, signal)
  }

  /** The caller was validated for this very request, so what is in memory is what the row had then. */
  async #sessionOf(principal: Principal): Promise<SessionRow> {
    return (
      this.#options.sessions.known(principal.sessionId) ??
      (await this.#sessionDesk.read(principal, principal.sessionId))
    )
  }

  query(principal: Principal, handle: string) {
    return this.#queries.query(principal, handle)
  }

  poll(token: string, handle: string, wait: { after: number; waitMs: number } | null, signal: AbortSignal) {
    return this.#queries.poll(token, handle, wait, signal)
  }

  listQueries(principal: Principal, request: ListQueriesRequest) {
    return this.#queries.list(principal, request)
  }

  transitions(principal: Principal, handle: string) {
    return this.#queries.transitions(principal, handle)
  }

  cancel(principal: Principal, handle: string) {
    return this.#queries.cancel(principal, handle)
  }

  dropResult(principal: Principal, handle: string) {
    return this.#queries.dropResult(principal, handle)
  }

  rows(principal: Principal, handle: string, offset: number, limit: number) {
    return this.#resultDesk.rows(principal, handle, offset, Math.min(limit, this.#options.settings.pageRowsMax))
  }

  download(principal: Principal, handle: string, format: 'ndjson' | 'csv' | 'arrow', offset: number) {
    return this.#resultDesk.download(principal, handle, format, offset)
  }

  // ------------------------------------------------------------ prepared queries

  async prepare(principal: Principal, request: { sql: string; name?: string | null; engine?: string | null }) {
    const session = await this.#sessionOf(principal)
    return this.#preparedDesk.prepare(principal, session, request)
  }
  listPrepared(principal: Principal, limit: number, cursor?: string) {
    return this.#preparedDesk.list(principal, limit, cursor)
  }
  prepared(principal: Principal, handle: string) {
    return this.#preparedDesk.view(principal, handle)
  }
  removePrepared(principal: Principal, handle: string) {
    return this.#preparedDesk.remove(principal, handle)
  }
  async executePrepared(
    principal: Principal,
    handle: string,
    request: Omit<SubmitRequest, 'sql' | 'engine'>,
    idempotencyKey: string | null,
    signal: AbortSignal,
  ) {
    const session = await this.#sessionOf(principal)
    return this.#preparedDesk.execute(principal, session, handle, request, idempotencyKey, signal)
  }

  // ------------------------------------------------------------ subscriptions

  subscribe(principal: Principal, topic: Topic, listener: SubscriptionListener): Subscription {
    switch (topic.topic) {
      case 'query':
        return this.#feed.subscribeQuery(principal, topic.handle, topic.after, listener)
      case 'session':
        return this.#feed.subscribeSession(principal, topic.after ?? {}, listener)
      case 'cluster':
      case 'machines':
        return this.#topics.subscribe(principal, topic.topic, listener)
    }
  }

  // ------------------------------------------------------------ cluster

  cluster(_principal: Principal) {
    return this.#options.cluster.view()
  }

  async failovers(_principal: Principal) {
    const rows = await this.#options.store.cluster.failovers(100)
    return rows.map(({ nodeId: node, incarnation, cause, detectedAt, doneAt, queries }) => ({
      node,
      incarnation,
      cause,
      detectedAt,
      doneAt,
      queries,
    }))
  }

  async drain(principal: Principal, node: string): Promise<void> {
    if (!principal.admin) throw new LensError('FORBIDDEN', 'Only admins may drain a node.')
    if (!(await this.#options.cluster.drain(node))) throw new LensError('NOT_FOUND', 'There is no such living node.')
  }

  async engines(_principal: Principal) {
    const { engines, host } = this.#options
    return engines.drivers.map(driver => {
      const inUse = host.lanes.inUse()
      let running = 0
      for (const [key, count] of inUse) if (key.startsWith(`${driver.name} `)) running += count
      const queued = host.lanes.waiting(driver.name, 'light') + host.lanes.waiting(driver.name, 'heavy')
      return {
        name: driver.name,
        driver: driver.driver,
        group: driver.group,
        healthy: driver.healthy(),
        running,
        queued,
      }
    })
  }

  async tables(_principal: Principal, engine: string) {
    const driver = this.#options.engines.drivers.find(({ name }) => name === engine)
    if (!driver) throw new LensError('NOT_FOUND', 'There is no such engine.')
    return driver.tables()
  }

  /** Ownership changed: those who watch the cluster are told. */
  ownershipChanged(change: OwnershipChangeView, users: readonly string[]): void {
    this.#topics.ownershipChanged(change, users)
  }
}

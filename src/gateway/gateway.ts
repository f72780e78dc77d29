/** The application service: puts the desks together behind the one contract that front doors call. */

import type { CancelTimer } from '../async/index.ts'
import {
  LensError,
  type LogLevelChange,
  type OwnershipChangeView,
  type ProgressFrame,
  type QueryFrame,
} from '../domain/index.ts'
import { ClusterTopics } from './cluster-topics.ts'
import type {
  Gateway,
  InspectionListener,
  ListQueriesRequest,
  OpenSessionRequest,
  Origin,
  Principal,
  SubmitOutcome,
  SubmitRequest,
  Subscription,
  SubscriptionListener,
  Topic,
} from './contract.ts'
import { engineViews, tablesOf } from './engine-views.ts'
import { failoverViews } from './failover-views.ts'
import { Feed } from './feed.ts'
import { History } from './history.ts'
import { type InspectedStep, Inspections } from './inspection.ts'
import { Lookups } from './lookups.ts'
import { MachineDesk } from './machine-desk.ts'
import type { GatewayOptions } from './options.ts'
import { PreparedDesk } from './prepared-desk.ts'
import { QueryDesk } from './query-desk.ts'
import { ResultDesk } from './result-desk.ts'
import { SessionDesk, viewOfSession } from './session-desk.ts'
import { StatementChecks } from './statement-checks.ts'
import { SubmissionDesk } from './submission.ts'
import { frameOf, Views } from './views.ts'
import { Waits } from './waits.ts'
import type { WebhookDesk } from './webhook-desk.ts'

const passivateEveryMs = 60_000

export class LensGateway implements Gateway {
  readonly webhooks: WebhookDesk
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
  readonly #machines: MachineDesk
  readonly #topics: ClusterTopics
  readonly #inspections: Inspections
  readonly #drainListeners = new Set<(reconnectTo: readonly string[]) => void>()
  #accepting = true
  #passivation: CancelTimer | null = null

  constructor(options: GatewayOptions) {
    this.#options = options
    this.webhooks = options.webhooks
    const { store, host, sessions, engines, settings, clock, random, logger, peers, nodeId, databaseNow } = options
    this.#lookups = new Lookups(store, sessions, settings.admins, clock, options.admit)
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
    const checks = new StatementChecks({ engines, clock, random, databaseNow })
    this.#sessionDesk = new SessionDesk({
      checks,
      store,
      sessions,
      settings,
      peers,
      random,
      nodeId,
      tokenSecrets: options.tokenSecrets,
      now: () => new Date(databaseNow()).toISOString(),
      sessionClosed: ids => this.sessionClosed(ids),
      cancelled: handles => this.#queries.tellCancelled(handles),
    })
    this.#machines = new MachineDesk({
      queries: store.queries,
      lookups: this.#lookups,
      views: this.#views,
      sessions: this.#sessionDesk,
      sessionStore: store.sessions,
    })
    this.#submissions = new SubmissionDesk({
      checks,
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
    this.#preparedDesk = new PreparedDesk({ ...options, submissions: this.#submissions })
    this.#inspections = new Inspections({ ...options, lookups: this.#lookups })
    const { revalidateMs } = settings
    this.#topics = new ClusterTopics({ ...options, lookups: this.#lookups, revalidateMs })
  }

  start(): void {
    this.#feed.start()
    this.#passivation = this.#options.clock.every(passivateEveryMs, () => this.#options.sessions.passivate())
  }

  stop(): void {
    this.#passivation?.()
    this.#topics.stop()
    this.#inspections.stop()
    this.#feed.stop()
  }

  // ------------------------------------------------------------ what the actors and the peers tell

  /** Steps are durable: subscribers here and interested peers are told. Views are made only if somebody reads them. */
  committed(steps: readonly InspectedStep[]): void {
    const frames = steps.map(frameOf)
    for (const [index, frame] of frames.entries()) {
      // What has ended is asked for next, and its actor is gone.
      if (steps[index]?.snapshot.context.finishedAt) this.#views.keep(frame.query, frame.epoch)
      else this.#views.forget(frame.handle)
    }
    this.#feed.deliver(frames)
    this.#options.peers.publish(frames)
    this.#inspections.committed(steps)
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

  /** Another node says so, which proves nothing: the database is asked. */
  sessionsSaidClosed(ids: readonly string[]): void {
    for (const id of ids)
      if (this.#options.sessions.known(id))
        this.#lookups.stillOpen(id).then(
          open => open || this.sessionClosed([id]),
          // While the database is away nobody is sent away; open connections are checked again and again anyhow.
          () => undefined,
        )
  }

  sessionClosed(ids: readonly string[]): void {
    for (const id of ids) this.#options.sessions.drop(id)
    this.#feed.sessionClosed(ids)
    this.#topics.sessionClosed(ids)
    this.#inspections.sessionClosed(ids)
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

  onOtherNodes(listener: () => void): () => void {
    return this.#options.cluster.onChange(listener)
  }

  // ------------------------------------------------------------ sessions

  openSession(request: OpenSessionRequest, idempotencyKey: string | null) {
    return this.#sessionDesk.open(request, idempotencyKey)
  }

  async authenticate(token: string, origin?: Origin): Promise<Principal> {
    return { ...(await this.#lookups.validate(token)).principal, origin }
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
    const session = await this.#sessionDesk.ofCaller(principal)
    return this.#submissions.submit(principal, session, request, idempotencyKey, signal)
  }

  queryProperties(principal: Principal, handles: readonly string[]) {
    return this.#queries.properties(principal, handles)
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

  queryMachine(principal: Principal, handle: string, version: number | null) {
    return this.#machines.ofQuery(principal, handle, version)
  }

  sessionMachine(principal: Principal, id: string, version: number | null) {
    return this.#machines.ofSession(principal, id, version)
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
    const session = await this.#sessionDesk.ofCaller(principal)
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
    const session = await this.#sessionDesk.ofCaller(principal)
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

  inspect(principal: Principal, listener: InspectionListener) {
    return this.#inspections.open(principal, listener)
  }

  // ------------------------------------------------------------ cluster

  cluster(_principal: Principal) {
    return this.#options.cluster.view()
  }

  failovers(_principal: Principal) {
    return failoverViews(this.#options.store.cluster)
  }

  async drain(principal: Principal, node: string): Promise<void> {
    if (!principal.admin) throw new LensError('FORBIDDEN', 'Only admins may drain a node.')
    if (!(await this.#options.cluster.drain(node))) throw new LensError('NOT_FOUND', 'There is no such living node.')
  }

  async logLevels(principal: Principal, node: string | null, change: LogLevelChange | null) {
    if (!principal.admin) throw new LensError('FORBIDDEN', 'Only admins may see or change what a node logs.')
    const levels = await this.#options.logLevels.ask(node, change)
    if (!levels) throw new LensError('NOT_FOUND', 'There is no such living node.')
    return levels
  }

  async engines(_principal: Principal) {
    return engineViews(this.#options.engines, this.#options.host)
  }

  async tables(_principal: Principal, engine: string) {
    return tablesOf(this.#options.engines, engine)
  }

  /** Ownership changed: those who watch the cluster are told. */
  ownershipChanged(change: OwnershipChangeView, users: readonly string[]): void {
    this.#topics.ownershipChanged(change, users)
  }
}

/** Subscriptions to the cluster (members, leader, changes of ownership) and to the machines (how many in each state). */

import type { CancelTimer, Clock } from '../async/index.ts'
import { LensError, type MachineCounts, type OwnershipChangeView } from '../domain/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Store } from '../store/index.ts'
import type { Principal, Subscription, SubscriptionListener } from './contract.ts'
import { type Lookups, sessionInvalid } from './lookups.ts'
import type { ClusterPort } from './ports.ts'

interface Follower {
  readonly topic: 'cluster' | 'machines'
  readonly principal: Principal
  readonly listener: SubscriptionListener
  /** What was sent last: an unchanged state is not sent again. */
  last: string
}

export interface ClusterTopicsOptions {
  readonly store: Store
  readonly cluster: ClusterPort
  readonly lookups: Lookups
  readonly clock: Clock
  readonly logger: Logger
  readonly revalidateMs: number
}

export class ClusterTopics {
  readonly #options: ClusterTopicsOptions
  readonly #followers = new Set<Follower>()
  readonly #stopListening: () => void
  #timer: CancelTimer | null = null
  #busy = false

  constructor(options: ClusterTopicsOptions) {
    this.#options = options
    this.#stopListening = options.cluster.onChange(() => void this.#refresh('cluster'))
  }

  get size(): number {
    return this.#followers.size
  }

  subscribe(principal: Principal, topic: 'cluster' | 'machines', listener: SubscriptionListener): Subscription {
    const follower: Follower = { topic, principal, listener, last: '' }
    this.#followers.add(follower)
    this.#timer ??= this.#options.clock.every(this.#options.revalidateMs, () => void this.#tick())
    return {
      ready: topic === 'cluster' ? this.#sendCluster([follower]) : this.#sendMachines([follower]),
      close: () => this.#remove(follower),
    }
  }

  sessionClosed(ids: readonly string[]): void {
    const closed = new Set(ids)
    for (const follower of [...this.#followers])
      if (closed.has(follower.principal.sessionId)) this.#end(follower, sessionInvalid())
  }

  ownershipChanged(change: OwnershipChangeView, users: readonly string[]): void {
    const followers = this.#of('cluster')
    if (followers.length > 0) void this.#sendCluster(followers, { change, users })
  }

  stop(): void {
    this.#stopListening()
    for (const follower of [...this.#followers])
      this.#end(follower, new LensError('NODE_STOPPING', 'The node is stopping.'))
  }

  #of(topic: Follower['topic']): Follower[] {
    return [...this.#followers].filter(follower => follower.topic === topic)
  }

  #remove(follower: Follower): void {
    this.#followers.delete(follower)
    if (this.#followers.size > 0) return
    this.#timer?.()
    this.#timer = null
  }

  #end(follower: Follower, error: Error): void {
    this.#remove(follower)
    follower.listener.ended(error)
  }

  async #tick(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    try {
      const open = new Map<string, Promise<boolean>>()
      for (const follower of [...this.#followers]) {
        const { sessionId } = follower.principal
        const still = open.get(sessionId) ?? this.#options.lookups.stillOpen(sessionId)
        open.set(sessionId, still)
        if (!(await still)) this.#end(follower, sessionInvalid())
      }
      await this.#refresh('machines')
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'subscriptions to the cluster could not be compared with the database')
    } finally {
      this.#busy = false
    }
  }

  async #refresh(topic: Follower['topic']): Promise<void> {
    const followers = this.#of(topic)
    if (followers.length === 0) return
    try {
      await (topic === 'cluster' ? this.#sendCluster(followers) : this.#sendMachines(followers))
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'the state of the cluster could not be read')
    }
  }

  async #sendCluster(
    followers: readonly Follower[],
    news?: { change: OwnershipChangeView; users: readonly string[] },
  ): Promise<void> {
    const cluster = await this.#options.cluster.view()
    for (const follower of followers) {
      const changes = news ? [forReader(news.change, news.users, follower.principal)] : []
      this.#send(follower, JSON.stringify([cluster.leader?.node, cluster.nodes, changes]), () =>
        follower.listener.frame({ type: 'cluster', cluster: { ...cluster, changes } }, null),
      )
    }
  }

  async #sendMachines(followers: readonly Follower[]): Promise<void> {
    const counts = await this.#options.store.queries.countUnfinished()
    const sessionCounts = new Map<string | null, Readonly<Record<string, number>>>()
    for (const follower of followers) {
      const user = follower.principal.admin ? null : follower.principal.user
      const sessions = sessionCounts.get(user) ?? (await this.#options.store.sessions.count(user))
      sessionCounts.set(user, sessions)
      const queries: Record<string, number> = {}
      for (const row of counts)
        if (user === null || row.user === user) queries[row.status] = (queries[row.status] ?? 0) + row.count
      const machines: MachineCounts = { sessions, queries }
      this.#send(follower, JSON.stringify(machines), () =>
        follower.listener.frame({ type: 'machines', machines }, null),
      )
    }
  }

  #send(follower: Follower, state: string, send: () => void): void {
    if (!this.#followers.has(follower) || follower.last === state) return
    follower.last = state
    send()
  }
}

/** Handles only of the reader's own queries, counts of all others. */
function forReader(
  change: OwnershipChangeView,
  users: readonly string[],
  { user, admin }: Principal,
): OwnershipChangeView {
  return admin ? change : { ...change, handles: change.handles.filter((_, index) => users[index] === user) }
}

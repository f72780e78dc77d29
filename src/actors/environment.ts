/** What the actors of a node are given: services and facts, all of them arguments. */

import type { Clock, Random } from '../async/index.ts'
import type { FailurePolicy, Progress, QueryEvent, StoredSnapshot } from '../domain/index.ts'
import type { Engines, SessionChange } from '../engines/index.ts'
import type { Logger } from '../observability/index.ts'
import type { PageStore, QueryLimits, QuerySpecificationRow, Store } from '../store/index.ts'

export interface ActorSettings {
  /** Estimated cost from which on a query goes to the heavy lane. */
  readonly heavyFromCost: number
  readonly failurePolicy: FailurePolicy
  readonly limits: QueryLimits
  /** Stored rows of one query as JSON text; 0 = unlimited. */
  readonly resultBytesMax: number
  /** How long rows are kept after the end; 0 = as long as the query. */
  readonly resultRetentionMs: number
  /** Where rows lie, if not in the store. */
  readonly resultDirectory: string | null
  /** How often a running statement is asked for its progress. */
  readonly progressMs: number
  /** Commits of the journal under way at once, and steps in one. */
  readonly journalFlightsMax: number
  readonly journalBatchMax: number
}

/** Facts of the cluster that actors need; the cluster knows them. */
export interface Membership {
  readonly nodeId: string
  /** This process's current incarnation. */
  incarnation(): string
  /** False from the moment on when the lease may have run out: then nothing is submitted to an engine. */
  leaseValid(): boolean
  /** A write was refused: this incarnation may have been fenced, and should find out. */
  doubt(): void
  /** The database's clock, as far as it is known here; milliseconds since 1970. */
  databaseNow(): number
}

/** One committed step, as the journal reports it: enough to build the view that belongs to the version. */
export interface CommittedStep {
  readonly event: QueryEvent
  readonly specification: QuerySpecificationRow
  readonly epoch: number
  readonly snapshot: StoredSnapshot
}

export interface ActorEvents {
  /** After a commit: its steps in order, and never before. */
  committed(steps: readonly CommittedStep[]): void
  /** The store answered a commit of the journal: how many queries' steps were in it, and how long it took. */
  batched?(queries: number, seconds: number): void
  /** Actors were brought to life from their rows: what they are now was made durable by whoever gave them to this node. */
  revived(states: readonly Omit<CommittedStep, 'event'>[]): void
  progressed(specification: QuerySpecificationRow, progress: Progress): void
  /** Queries were given to other members: tell them to look. */
  handedOver(changes: readonly { handle: string; user: string; toIncarnation: string; toNode: string }[]): void
}

export interface ActorEnvironment {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly store: Store
  readonly pages: PageStore
  readonly engines: Engines
  readonly membership: Membership
  readonly settings: ActorSettings
  readonly events: ActorEvents
  /** What a statement made of its session. Safe twice; nothing happens where the session is closed. */
  changeSession(sessionId: string, change: SessionChange): Promise<void>
}

export function isoNow(environment: ActorEnvironment): string {
  return new Date(environment.membership.databaseNow()).toISOString()
}

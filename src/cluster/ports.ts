/**
 * What the cluster asks of the rest of the node: the work that this incarnation owns, a log, counters, and the parts of the
 * store that the leader sweeps. Implemented elsewhere; the cluster knows no actor, no engine and no HTTP.
 */
import type { ClusterStore, PageStore, QueryStore, RateStore, RetentionStore, SessionStore } from '../store/contract.ts'

/** The queries that this incarnation owns. */
export interface OwnedWork {
  /**
   * Compares the rows it owns with its live actors, rehydrates what is missing, delivers cancels. With `handles`, a hint, only
   * those of them that are missing are rehydrated, if their rows are its own: what was given to it is alive sooner than all its rows are read.
   */
  look(handles?: readonly string[]): Promise<void>
  /** Delivers the cancels of the named queries; without it, a hint to cancel ends in `look`. */
  cancel?(handles: readonly string[]): void
  /** Fenced: stops every actor without writing, ends on the engines what this node ran. */
  abandon(): Promise<void>
  /** Hands everything over: queued at once, running after graceMs; resolves when this incarnation owns nothing. */
  handOver(targets: () => readonly HandOverTarget[], graceMs: number): Promise<void>
  /** Slots in use per engine and lane (key: `slotKey`), and the queue, for load and budgets. */
  load(): { running: number; queued: number; slots: ReadonlyMap<string, number> }
  /** Budgets changed: schedule again. */
  budgetsChanged(): void
}

export interface HandOverTarget {
  readonly incarnation: string
  readonly node: string
}

/** The key of an engine's lane in maps: neither part contains a space. */
export function slotKey(engine: string, lane: string): string {
  return `${engine} ${lane}`
}

/** The shape of pino's methods. */
export interface ClusterLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What is counted since the process started; `observability` gives the names to the world. */
export type ClusterCount =
  | 'beatsRenewed'
  | 'beatsFailed'
  | 'beatsSkipped'
  | 'termsGained'
  | 'termsLost'
  | 'membersFenced'
  | 'queriesClaimed'
  | 'queriesRebalanced'
  | 'incarnationsLost'
  | 'earlyTakeoversOfLiving'
  | 'peerFramesMalformed'
  | 'peersCut'

/** A dead member of whose queries the last was claimed. */
export interface Recovered {
  /** As it was fenced for; `forgotten`: its queries were found without a failover that was under way. */
  readonly cause: string
  /** Queries claimed by this leader. */
  readonly queries: number
  /** From the detection of the death; null where it is not known. */
  readonly seconds: number | null
}

export type CountUp = (name: ClusterCount, by?: number) => void

/** The parts of the store that the cluster uses; a `Store` is one. */
export interface ClusterStores {
  readonly cluster: ClusterStore
  readonly sessions: Pick<SessionStore, 'sweep'>
  readonly pages: Pick<PageStore, 'expire'>
  readonly queries: Pick<QueryStore, 'countUnfinished'>
  readonly retention: RetentionStore
  readonly rates: Pick<RateStore, 'sweep'>
  actAs(incarnation: string): Promise<void>
}

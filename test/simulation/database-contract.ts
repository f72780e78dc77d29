/**
 * A database of a simulated world, as the rest of the world sees it: one server that many simulated processes reach, with the
 * store's real statements on SQLite below, MySQL's transactions on top, and every failure that a server and the way to it can have.
 *
 * Each statement, BEGIN and COMMIT of a process travels to the server (an event of the world), is executed there (row locks are
 * waited for), and its answer travels back (an event of the process). So a process that crashes between the two leaves a
 * statement that is executed and answered to nobody.
 */
import type { Heartbeat } from '../../src/cluster/index.ts'
import type { snapshotDowngrades } from '../../src/domain/index.ts'
import type { LeaseStore } from '../../src/store/contract.ts'
import type { Store, StoreLogger, WebhookInterest } from '../../src/store/index.ts'
import type { SimulatedProcess } from './process.ts'

/** What a fault does to a statement, BEGIN or COMMIT that it hits. */
export type DatabaseFaultKind =
  /** Error 1213: the transaction is rolled back by the server. */
  | 'deadlock'
  /** Error 1205: the statement is undone, the transaction stays. */
  | 'lock-timeout'
  /** Error 1047: no majority; the transaction is rolled back. */
  | 'no-majority'
  /** Error 1290 for what would write, the commit of what has written included; nothing else is hit. */
  | 'read-only'
  /** The connection breaks before the server has it: nothing is executed. */
  | 'lost-before'
  /** The connection breaks after it was executed: a commit whose outcome the client does not know. */
  | 'lost-after'
  /** The answer comes `delayMs` late; executed at its time, locks held meanwhile. */
  | 'answer-late'
  /** It reaches the server `delayMs` late. */
  | 'request-late'

export type StatementKind = 'read' | 'locking-read' | 'write' | 'begin' | 'commit' | 'rollback' | 'connect' | 'beat'

export interface DatabaseFault {
  readonly kind: DatabaseFaultKind
  /** Processes of these names; of all unless given. */
  readonly processes?: readonly string[]
  /** All kinds but `rollback` unless given. */
  readonly statements?: readonly StatementKind[]
  /** Only what contains this text. */
  readonly containing?: string
  /** Hits at the most; unlimited unless given. */
  readonly times?: number
  /** Ends after this time; never unless given. */
  readonly forMs?: number
  /** Each statement is hit with this chance; always unless given. */
  readonly chance?: number
  /** For the kinds that are late. */
  readonly delayMs?: number
}

export interface InjectedFault {
  /** Statements that it has hit. */
  readonly hits: number
  end(): void
}

export interface DatabaseFaults {
  inject(fault: DatabaseFault): InjectedFault
  /** Breaks the open connections of these processes, or all; each process hears of it a moment later. Gives their number. */
  breakConnections(processes?: readonly string[]): number
  /** All connections break, open transactions are undone, and nobody can connect for this time. */
  restart(downMs: number): void
  /** The server executes nothing for this time; then everything that came. */
  stall(forMs: number): void
  /**
   * Nothing passes between these processes and the server for this time, in silence: what is sent meanwhile comes when the
   * line heals (the network sends it again), also what the process has given up by then. Locks that they hold stay.
   */
  cutOff(processes: readonly string[], forMs: number): void
  /** Another server answers from now on, without losing anything: its identity changes, all connections break. */
  failOver(downMs: number): void
  /** The database's clock jumps by this much. */
  jumpClock(byMs: number): void
  /** Ends all that were injected. */
  clear(): void
}

export interface SimulatedStoreOptions {
  readonly connectionsMax?: number
  readonly retryMs?: number
  readonly logger?: StoreLogger
  readonly downgrades?: typeof snapshotDowngrades
  readonly webhooks?: readonly WebhookInterest[]
}

export interface SimulatedHeartbeatOptions {
  readonly heartbeatMs: number
  readonly attemptMs: number
  readonly log: {
    debug(fields: object, message: string): void
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
    error(fields: object, message: string): void
  }
}

export interface SimulatedDatabase {
  readonly faults: DatabaseFaults
  /** The real store of a process, not opened yet. */
  storeOf(process: SimulatedProcess, options?: SimulatedStoreOptions): Store
  /** What the real heartbeat of a process renews its lease by. */
  leasesOf(process: SimulatedProcess, attemptMs: number): LeaseStore
  /**
   * The real beat loop, in a thread (a process of its own, named `${process.name}.heartbeat`) that crashes with the process.
   * Freeze both for a stopped process; freeze the process alone for a main loop that hangs: then the thread skips its beats.
   */
  heartbeatOf(process: SimulatedProcess, options: SimulatedHeartbeatOptions): SimulatedHeartbeat
  /** Rows of the committed state, at once and outside of the world: for invariants. The SQL is SQLite's. */
  committed<Row extends object>(sql: string, ...values: (string | number | null)[]): Row[]
  /** Counts every commit that changed something: nothing changed while it stays. */
  readonly commits: number
  /** The database's clock, in milliseconds since 1970. */
  readonly nowMs: number
  /** Statements that were executed. */
  readonly statements: number
  close(): void
}

export interface SimulatedHeartbeat extends Heartbeat {
  /** The process in which its thread lives. */
  readonly thread: SimulatedProcess
}

/** Sessions and prepared queries, as the store keeps them. The rules of `contract.ts` hold for every method. */
import type { Column, SessionEvent, SessionStatus } from '../domain/index.ts'

export interface SessionRow {
  readonly id: string
  readonly user: string
  /** SHA-256 (hex) of the token's secret part. */
  readonly secretHash: string
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly status: SessionStatus
  readonly version: number
  readonly createdAt: string
  readonly lastUsedAt: string
  readonly idleMs: number
  /** By the word of who authenticated the user. */
  readonly admin: boolean
}

/** What becomes of a session. */
export type SessionMove = Pick<SessionRow, 'database' | 'properties' | 'status'>

/** What every request compares. */
export interface SessionCheck {
  readonly id: string
  readonly user: string
  readonly secretHash: string
  readonly status: SessionStatus
  readonly version: number
  /** Since the stored last use, by the database's clock. */
  readonly unusedMs: number
  readonly idleMs: number
  /**
   * Unused for longer than `idleMs` and the slack with which the last use is written, by the database's clock, and without an
   * unfinished query: counts as absent, whatever `status` says. The sweep deletes under the same condition.
   */
  readonly expired: boolean
}

export interface NewSession {
  readonly id: string
  readonly user: string
  readonly secretHash: string
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly idleMs: number
  /** Not unless said. */
  readonly admin?: boolean
  readonly node: string
  readonly idempotencyKey: string | null
  readonly requestHash: string | null
}

export type OpenAnswer =
  | { readonly kind: 'opened'; readonly session: SessionRow }
  | { readonly kind: 'duplicate'; readonly session: SessionRow | null; readonly sameRequest: boolean }
  | { readonly kind: 'limit'; readonly limit: number }

export interface SessionStore {
  /** Rows first: this is the first thing that opening a session does. `sessionsPerUser` 0 = unlimited. */
  open(session: NewSession, sessionsPerUser: number): Promise<OpenAnswer>
  /** Batched validation. Missing ids are left out. */
  check(ids: readonly string[]): Promise<readonly SessionCheck[]>
  read(id: string): Promise<SessionRow | null>
  /** Newest first. `user` null: everybody's. Only OPEN ones. */
  list(
    user: string | null,
    limit: number,
    cursor: { createdAt: string; id: string } | null,
  ): Promise<readonly SessionRow[]>
  /**
   * Makes of an OPEN session what `next` says of its row, which nobody else can move meanwhile, and writes the `session_transition`.
   * Gives the row as it is then; null where it is not OPEN, or `next` wants nothing. `next` may be asked again, of a newer row.
   */
  move(
    id: string,
    event: SessionEvent,
    node: string,
    next: (row: SessionRow) => SessionMove | null,
  ): Promise<SessionRow | null>
  /** Deletes the row of a CLOSING session that has no unfinished query. True when it is gone. */
  removeClosed(id: string, node: string): Promise<boolean>
  /** Sets `last_used_at` to now for those whose stored value is older than their threshold. */
  touch(ids: readonly string[]): Promise<void>
  /**
   * The leader's sweep, term-guarded, at most `limit`: deletes OPEN sessions idle past `idleMs + slack` (slack = min(60 s, idleMs / 10))
   * without unfinished queries, in one conditional delete; and CLOSING ones whose queries have all ended. Gives the ids.
   */
  sweep(
    term: number,
    limit: number,
  ): Promise<{ readonly expired: readonly string[]; readonly closed: readonly string[] }>
  /** Open sessions, by state: for metrics and `machines`. */
  count(user: string | null): Promise<Readonly<Record<string, number>>>
  /** The session's transitions, in order; kept for `queries.retentionMs`. */
  transitions(
    id: string,
  ): Promise<readonly { version: number; event: SessionEvent; from: string; to: string; node: string; at: string }[]>
}

// ---------------------------------------------------------------- prepared queries

export interface PreparedRow {
  readonly handle: string
  readonly user: string
  readonly sessionId: string
  readonly name: string | null
  readonly sql: string
  readonly engine: string
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly parameterCount: number
  readonly columns: readonly Column[]
  readonly createdAt: string
}

export interface PreparedStore {
  insert(row: Omit<PreparedRow, 'createdAt'>): Promise<PreparedRow>
  read(handle: string): Promise<PreparedRow | null>
  list(
    user: string | null,
    limit: number,
    cursor: { createdAt: string; handle: string } | null,
  ): Promise<readonly PreparedRow[]>
  remove(handle: string, user: string): Promise<boolean>
}

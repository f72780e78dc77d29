/**
 * What is durable of a statement before it is sent, and what a later owner does with it: find the backend that runs it, end it, and
 * wait until it is gone.
 *
 * A backend is the pair of its process id and its start, since ids are used again; our name on it tells whether it still
 * runs that very statement, or has gone on to another one of ours.
 */
import type { Clock } from '../../async/index.ts'
import type { EngineHandle } from '../../domain/index.ts'
import { EngineError } from '../contract.ts'
import { type Backend, type Connections, idleName } from './connections.ts'
import { type Mode, modes } from './modes.ts'

export interface StatementIdentity extends Backend {
  /** `application_name` while the statement has the connection. */
  readonly name: string
  readonly mode: Mode
  /** Where the row is that commits with it, as SQL names it; null where there is none. */
  readonly outcomeTable: string | null
  /** The transaction's number where there is no such row, else null. */
  readonly transaction: string | null
  /** When its transaction began, seconds since 1970 by the server's clock. */
  readonly begunAt: number
}

/** How long an orphan's end is waited for before the question is asked again. */
const goneMs = 10_000
const lookMs = 20
/** The server cuts longer names. */
const nameBytesMax = 63

export function nameOf(handle: string, attempt: number): string {
  return `${idleName} ${handle}/${attempt}`.slice(0, nameBytesMax)
}

export function handleOf(identity: StatementIdentity): EngineHandle {
  return { ...identity }
}

/** Null for what no version of this driver wrote. */
export function identityOf(handle: EngineHandle | null): StatementIdentity | null {
  if (handle === null) return null
  const { pid, started, system, name, mode, outcomeTable, transaction, begunAt } = handle
  const isWhole =
    typeof pid === 'number' &&
    typeof started === 'string' &&
    (system === null || typeof system === 'string') &&
    typeof name === 'string' &&
    modes.some(known => known === mode) &&
    (outcomeTable === null || typeof outcomeTable === 'string') &&
    (transaction === null || typeof transaction === 'string') &&
    typeof begunAt === 'number'
  if (!isWhole) return null
  return { pid, started, system, name, mode: mode as Mode, outcomeTable, transaction, begunAt } as StatementIdentity
}

/**
 * The backend, unless it has gone on to nothing or to another statement of ours. A name that is not ours was set by the
 * statement itself, and so was any other one while the transaction still is the same.
 */
const stillRuns = `pid = $1 AND EXTRACT(epoch FROM backend_start)::text = $2
  AND (application_name = $3 OR application_name NOT LIKE '${idleName}%'
       OR EXTRACT(epoch FROM xact_start)::float8 = $4::float8)`
const endSql = `SELECT pg_catalog.pg_terminate_backend(pid) AS told FROM pg_catalog.pg_stat_activity WHERE ${stillRuns}`
const cancelSql = `SELECT pg_catalog.pg_cancel_backend(pid) AS told FROM pg_catalog.pg_stat_activity WHERE ${stillRuns}`
const lookSql = `SELECT 1 AS found FROM pg_catalog.pg_stat_activity WHERE ${stillRuns}`

function keyOf({ pid, started, name, begunAt }: StatementIdentity): readonly unknown[] {
  return [pid, started, name, begunAt]
}

/** Asks the server to stop what the backend does now. */
export async function cancelBackend(connections: Connections, identity: StatementIdentity): Promise<void> {
  await connections.query(cancelSql, keyOf(identity))
}

/**
 * Ends the backend and waits until it is gone, with all that it had open. Rejects with `unavailable` when the server cannot be
 * asked, or the backend does not end.
 */
export async function endBackend(connections: Connections, identity: StatementIdentity, clock: Clock): Promise<void> {
  const until = clock.monotonic() + goneMs
  await connections.query(endSql, keyOf(identity))
  while ((await connections.query(lookSql, keyOf(identity))).length > 0) {
    if (clock.monotonic() > until)
      throw new EngineError('unavailable', `The backend ${identity.pid} was told to end, and has not ended yet.`)
    await clock.sleep(lookMs)
  }
}

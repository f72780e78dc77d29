/**
 * What is durable of a statement before it is sent, and what a later owner does with it: find the connection that runs it, end it,
 * and wait until it is gone.
 *
 * Numbers of connections begin anew when a server does. So a statement's connection holds a lock of the server's whose name is given
 * once: who holds that lock is the very connection, and when nobody does, it is gone with all that it had open, since the server rolls
 * back before it gives up the locks of a connection.
 */
import type { Clock } from '../../async/index.ts'
import type { EngineHandle } from '../../domain/index.ts'
import { EngineError } from '../contract.ts'
import type { Backend, Connections, Lease } from './connections.ts'
import { errorNumbers, numberOf } from './failures.ts'
import { type Mode, modes } from './modes.ts'

export interface StatementIdentity extends Pick<Backend, 'connection' | 'server'> {
  /** Name of the lock that its connection holds. */
  readonly lock: string
  readonly mode: Mode
  /** Where the row is that commits with it, as SQL names it; null where there is none. */
  readonly outcomeTable: string | null
  /** When it was begun, seconds since 1970 by the server's clock. */
  readonly begunAt: number
}

const goneMs = 10_000
const lookMs = 20
/** The server takes no longer names. */
const lockLengthMax = 64

export function lockName(handle: string, attempt: number, unique: string): string {
  return `lens-ha ${unique} ${handle}/${attempt}`.slice(0, lockLengthMax)
}

export function handleOf(identity: StatementIdentity): EngineHandle {
  return { ...identity }
}

/** Null for what no version of this driver wrote. */
export function identityOf(handle: EngineHandle | null): StatementIdentity | null {
  if (handle === null) return null
  const { connection, server, lock, mode, outcomeTable, begunAt } = handle
  const isWhole =
    typeof connection === 'number' &&
    typeof server === 'string' &&
    typeof lock === 'string' &&
    modes.some(known => known === mode) &&
    (outcomeTable === null || typeof outcomeTable === 'string') &&
    typeof begunAt === 'number'
  return isWhole ? ({ connection, server, lock, mode, outcomeTable, begunAt } as StatementIdentity) : null
}

/** Asks the server to stop what the connection does now. */
export async function cancelStatement(connections: Connections, identity: StatementIdentity): Promise<void> {
  await connections.ask(async lease => {
    const holder = await holderOf(lease, identity)
    if (holder !== null) await kill(lease, 'QUERY', holder)
  }, true)
}

/**
 * Ends the connection and waits until it is gone, with all that it had open. Rejects with `unavailable` when the server cannot be
 * asked, or the connection does not end.
 */
export async function endConnection(
  connections: Connections,
  identity: StatementIdentity,
  clock: Clock,
): Promise<void> {
  const until = clock.monotonic() + goneMs
  for (;;) {
    const isGone = await connections.ask(async lease => {
      const holder = await holderOf(lease, identity)
      if (holder !== null) await kill(lease, 'CONNECTION', holder)
      return holder === null
    }, true)
    if (isGone) return
    if (clock.monotonic() > until)
      throw new EngineError(
        'unavailable',
        `The connection ${identity.connection} was told to end, and has not ended yet.`,
      )
    await clock.sleep(lookMs)
  }
}

/** Null when it is gone, or this is another server than its own: there, nobody has such a lock. */
async function holderOf(lease: Lease, { lock }: StatementIdentity): Promise<number | null> {
  const [row] = await lease.query('SELECT IS_USED_LOCK(?) AS holder', [lock])
  return row?.holder === null || row?.holder === undefined ? null : Number(row.holder)
}

async function kill(lease: Lease, what: 'QUERY' | 'CONNECTION', connection: number): Promise<void> {
  try {
    await lease.query(`KILL ${what} ${connection}`)
  } catch (error) {
    if (numberOf(error) !== errorNumbers.unknownThread) throw error
  }
}

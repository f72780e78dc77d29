/**
 * Whether a writing statement committed: a row of its own, inserted first in its transaction, with the query's handle as key. It
 * is there for good exactly if the statement is, and since the key is the handle, no two attempts of a query can both
 * commit, whatever either of them believes: the later one waits at the row for the end of the earlier one.
 *
 * Where the table may not be made, the transaction's number tells at least that it did not commit.
 */
import type { Client } from 'pg'
import type { Clock } from '../../async/index.ts'
import type { EngineAnswer } from '../../domain/index.ts'
import type { EngineLogger } from '../contract.ts'
import type { Connections, Lease } from './connections.ts'
import { isServerError, stateOf, unavailable } from './failures.ts'
import type { StatementIdentity } from './identity.ts'

/** In the first schema of the connection's own search path. */
export const outcomeTable = 'lens_outcome'

/** For as long as this the absence of a row is proof. */
const keptSeconds = 7 * 24 * 3600
/** Rows are removed a day later: clocks and long statements lie in between. */
const removedSeconds = keptSeconds + 24 * 3600

/**
 * The handle of a row that says since when the table tells everything: of what began before it was made, or emptied, the absence of
 * a row proves nothing.
 */
const birthHandle = ''

const duplicate = '23505'
const noTable = '42P01'
const tableExists = '42P07'
const readOnly = '25006'
const triesMax = 5

const createSql = `CREATE TABLE IF NOT EXISTS ${outcomeTable} (
  handle text PRIMARY KEY,
  attempt integer NOT NULL,
  owes_rows boolean NOT NULL,
  begun_at timestamptz NOT NULL DEFAULT now())`

/** Rows of before there was such a row tell how long the table has been there at least. */
function birthSql(table: string): string {
  return `INSERT INTO ${table} (handle, attempt, owes_rows, begun_at)
    SELECT '${birthHandle}', 0, false, COALESCE((SELECT min(begun_at) FROM ${table}), pg_catalog.now())
    WHERE NOT EXISTS (SELECT FROM ${table} WHERE handle = '${birthHandle}')
    ON CONFLICT DO NOTHING`
}

/** Where the table may not be made it is tried again after this long: rights change. */
const deniedMs = 60_000

interface Facts {
  /** Of the statement's transaction, in seconds. */
  readonly age: number
  readonly in_recovery: boolean
}

interface OutcomeRow {
  readonly handle: string
  readonly owes_rows: boolean
  /** Seconds since 1970. */
  readonly begun_at: number
}

export interface OutcomesOptions {
  readonly engine: string
  readonly connections: Connections
  readonly clock: Clock
  readonly logger: EngineLogger
}

export class Outcomes {
  readonly #options: OutcomesOptions
  #table: string | null = null
  #deniedUntil = Number.NEGATIVE_INFINITY

  constructor(options: OutcomesOptions) {
    this.#options = options
  }

  /** The table with its schema, made if need be; null where it may not be. Rejects with `unavailable`. */
  async table(): Promise<string | null> {
    const { connections, clock } = this.#options
    if (this.#table !== null || clock.monotonic() < this.#deniedUntil) return this.#table
    this.#table = await connections.ask(lease => this.#make(lease), true)
    if (this.#table === null) this.#deniedUntil = clock.monotonic() + deniedMs
    return this.#table
  }

  /** Somebody dropped it. */
  forgetTable(): void {
    this.#table = null
  }

  /** Removes rows that nobody asks for any more. Rejects with `EngineError`. */
  async removeOld(): Promise<void> {
    const table = await this.table()
    if (table === null) return
    await this.#options.connections.query(birthSql(table))
    await this.#options.connections.query(
      `DELETE FROM ${table} WHERE handle <> '${birthHandle}' AND begun_at < pg_catalog.now() - pg_catalog.make_interval(secs => ${removedSeconds})`,
    )
  }

  /** What became of a statement whose backend is gone. Rejects with `unavailable`. */
  async of(handle: string, identity: StatementIdentity): Promise<EngineAnswer> {
    // The server refused whatever it would have changed.
    if (identity.mode === 'read-only') return 'ended'
    if (identity.mode === 'none') return 'unknown'
    return this.#options.connections.ask(lease => this.#ask(lease, handle, identity), true)
  }

  async #ask({ client, backend }: Lease, handle: string, identity: StatementIdentity): Promise<EngineAnswer> {
    // Another server than the one that ran it has nothing to say about it.
    if (backend.system !== identity.system) return 'unknown'
    const { rows } = await client.query<Facts>(
      `SELECT EXTRACT(epoch FROM pg_catalog.now())::float8 - $1::float8 AS age, pg_catalog.pg_is_in_recovery() AS in_recovery`,
      [identity.begunAt],
    )
    const facts = rows[0] as Facts
    // It may not have heard of it yet.
    if (facts.in_recovery) throw unavailable(this.#options.engine)
    return this.#recorded(client, handle, identity, facts)
  }

  async #recorded(client: Client, handle: string, identity: StatementIdentity, { age }: Facts): Promise<EngineAnswer> {
    const { outcomeTable: table } = identity
    if (table === null) return this.#transaction(client, identity)
    try {
      const { rows } = await client.query<OutcomeRow>(
        `SELECT handle, owes_rows, EXTRACT(epoch FROM begun_at)::float8 AS begun_at FROM ${table} WHERE handle IN ($1, $2)`,
        [handle, birthHandle],
      )
      const row = rows.find(found => found.handle === handle)
      if (row) return row.owes_rows ? 'committed-with-rows' : 'committed'
      const birth = rows.find(found => found.handle === birthHandle)
      if (!birth || birth.begun_at > identity.begunAt) return 'unknown'
    } catch (error) {
      if (lacksTable(error)) return 'unknown'
      throw error
    }
    return age < keptSeconds ? 'ended' : 'unknown'
  }

  /**
   * That it committed this cannot prove: a server that crashed may give the number of a transaction that left no trace to another
   * one. That it did not, it can.
   */
  async #transaction(client: Client, { transaction }: StatementIdentity): Promise<EngineAnswer> {
    if (transaction === null) return 'unknown'
    const { rows } = await client.query<{ status: string | null }>(
      'SELECT pg_catalog.pg_xact_status($1::xid8) AS status',
      [transaction],
    )
    return rows[0]?.status === 'aborted' ? 'ended' : 'unknown'
  }

  async #make({ client }: Lease): Promise<string | null> {
    let denied: unknown
    for (let attempt = 0; attempt < triesMax; attempt++)
      try {
        const found = await this.#find(client)
        if (found !== null) {
          await client.query(birthSql(found)).catch(passReadOnly)
          return found
        }
        await client.query(createSql)
      } catch (error) {
        if (!isServerError(error)) throw error
        denied = error
        // Of two nodes at once one makes it, and the other one is refused.
        if (error.code !== duplicate && error.code !== tableExists) break
      }
    const { engine, logger } = this.#options
    logger.warn(
      { engine, err: denied },
      `the table ${outcomeTable} may not be made or used: what became of a writing statement whose node died may stay unknown`,
    )
    return null
  }

  /** The one that is found by the connection's own search path, if it may be used. */
  async #find(client: Client): Promise<string | null> {
    const { rows } = await client.query<{ name: string }>(
      `SELECT pg_catalog.quote_ident(n.nspname) || '.${outcomeTable}' AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE c.oid = pg_catalog.to_regclass('${outcomeTable}')
         AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'INSERT')`,
    )
    return rows[0]?.name ?? null
  }
}

/** A standby that is not promoted yet: it has the row of its primary, or will be given one by the next tidying. */
function passReadOnly(error: unknown): void {
  if (stateOf(error) !== readOnly) throw error
}

/** First in the statement's transaction. */
export function outcomeSql(table: string): string {
  return `INSERT INTO ${table} (handle, attempt, owes_rows) VALUES ($1, $2, $3)`
}

/** The refusal of that row says that an earlier attempt committed. */
export function isOutcomeOf(error: unknown): boolean {
  return isServerError(error) && error.code === duplicate && error.table === outcomeTable
}

export function lacksTable(error: unknown): boolean {
  return stateOf(error) === noTable
}

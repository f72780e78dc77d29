/**
 * Whether a writing statement committed: a row of its own, inserted first in its transaction, with the query's handle as key. It
 * is there for good exactly if the statement is, and since the key is the handle, no two attempts of a query can both
 * commit, whatever either of them believes: the later one waits at the row for the end of the earlier one.
 */
import type { Clock } from '../../async/index.ts'
import type { EngineAnswer } from '../../domain/index.ts'
import type { EngineLogger } from '../contract.ts'
import type { Connections, Lease } from './connections.ts'
import { errorNumbers, isAway, numberOf, takesNoWrites, unavailable } from './failures.ts'
import type { StatementIdentity } from './identity.ts'

/** In the database that the engine's URL names. */
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
/** Where the table may not be made it is tried again after this long: rights change. */
const deniedMs = 60_000

const columns = `(
  handle varchar(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  attempt integer NOT NULL,
  owes_rows tinyint NOT NULL,
  begun_at bigint NOT NULL,
  KEY (begun_at)
) ENGINE = InnoDB`

export interface OutcomesOptions {
  readonly engine: string
  /** Of the URL. */
  readonly database: string
  readonly connections: Connections
  readonly clock: Clock
  readonly logger: EngineLogger
}

export class Outcomes {
  readonly #options: OutcomesOptions
  readonly #name: string
  #isMade = false
  #deniedUntil = Number.NEGATIVE_INFINITY

  constructor(options: OutcomesOptions) {
    this.#options = options
    this.#name = `\`${options.database.replaceAll('`', '``')}\`.\`${outcomeTable}\``
  }

  /** The table with its database, made if need be; null where it may not be. Rejects with `unavailable`. */
  async table(): Promise<string | null> {
    const { connections, clock } = this.#options
    if (this.#isMade) return this.#name
    if (clock.monotonic() < this.#deniedUntil) return null
    this.#isMade = await connections.ask(lease => this.#make(lease), true)
    if (!this.#isMade) this.#deniedUntil = clock.monotonic() + deniedMs
    return this.#isMade ? this.#name : null
  }

  /** Somebody dropped it. */
  forgetTable(): void {
    this.#isMade = false
  }

  /** Removes rows that nobody asks for any more. Rejects with `EngineError`. */
  async removeOld(): Promise<void> {
    const { connections } = this.#options
    const [found] = await connections.query(
      'SELECT 1 AS found FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
      [this.#options.database, outcomeTable],
    )
    if (!found) return
    await connections.ask(lease => this.#bear(lease), true)
    await connections.query(
      `DELETE FROM ${this.#name} WHERE begun_at < UNIX_TIMESTAMP() - ${removedSeconds} AND handle <> '${birthHandle}'`,
    )
  }

  /**
   * What became of a statement whose connection is gone. Rejects with `unavailable`. A row that is not committed yet is waited for:
   * whatever may still be open of an earlier attempt, it is over before the answer.
   */
  async of(handle: string, identity: StatementIdentity): Promise<EngineAnswer> {
    const { mode, outcomeTable: table, begunAt, server } = identity
    // The server refused whatever it would have changed.
    if (mode === 'read-only') return 'ended'
    if (mode === 'none' || table === null) return 'unknown'
    return this.#options.connections.ask(async lease => {
      try {
        const [row] = await lease.query(`SELECT owes_rows FROM ${table} WHERE handle = ? LOCK IN SHARE MODE`, [handle])
        if (row) return Number(row.owes_rows) > 0 ? 'committed-with-rows' : 'committed'
      } catch (error) {
        if (numberOf(error) === errorNumbers.noTable || numberOf(error) === errorNumbers.unknownDatabase)
          return 'unknown'
        // An earlier attempt has not ended yet.
        if (numberOf(error) === errorNumbers.lockWait) throw unavailable(this.#options.engine, error)
        throw error
      }
      // Another server than the one that ran it may not have heard of it.
      if (lease.backend.server !== server) return 'unknown'
      const [known] = await lease.query(
        `SELECT UNIX_TIMESTAMP() AS now, (SELECT begun_at FROM ${table} WHERE handle = '${birthHandle}') AS born`,
      )
      const { now, born } = known ?? {}
      if (born === null || born === undefined || Number(born) > begunAt) return 'unknown'
      return Number(now) - begunAt < keptSeconds ? 'ended' : 'unknown'
    }, true)
  }

  /** Rows of before there was such a row tell how long the table has been there at least. */
  async #bear(lease: Lease): Promise<void> {
    const [row] = await lease.query(
      `SELECT COALESCE((SELECT MIN(begun_at) FROM ${this.#name}), UNIX_TIMESTAMP()) AS first,
              EXISTS (SELECT 1 FROM ${this.#name} WHERE handle = '${birthHandle}') AS isBorn`,
    )
    if (Number(row?.isBorn) > 0) return
    const insert = `INSERT IGNORE INTO ${this.#name} (handle, attempt, owes_rows, begun_at) VALUES (?, 0, 0, ?)`
    await lease.query(insert, [birthHandle, Number(row?.first)])
  }

  async #make(lease: Lease): Promise<boolean> {
    try {
      await lease.query(`CREATE TABLE IF NOT EXISTS ${this.#name} ${columns}`)
    } catch (error) {
      if (isAway(error) || takesNoWrites(error, this.#options.engine)) throw error
      // Who may not make it may still use one that is there.
    }
    try {
      const [found] = await lease.query(
        `SELECT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
        [this.#options.database, outcomeTable],
      )
      if (found?.engine !== 'InnoDB') throw new NotUsable(`${outcomeTable} is not a table of InnoDB`)
      // Changes nothing, and is refused where rows may not be inserted.
      await lease.query(
        `INSERT INTO ${this.#name} (handle, attempt, owes_rows, begun_at) SELECT '', 0, 0, 0 FROM DUAL WHERE FALSE`,
      )
      await this.#bear(lease)
      return true
    } catch (error) {
      if (error instanceof Error && !(error instanceof NotUsable) && isAway(error)) throw error
      const { engine, logger } = this.#options
      // For now: asked again, it may be had.
      if (takesNoWrites(error, engine)) throw error
      logger.warn(
        { engine, err: error },
        `the table ${outcomeTable} may not be made or used: what became of a writing statement whose node died may stay unknown`,
      )
      return false
    }
  }
}

class NotUsable extends Error {}

/** First in the statement's transaction. */
export function recordOutcome(
  lease: Lease,
  table: string,
  handle: string,
  attempt: number,
  owesRows: boolean,
  /** By the server's clock: the statement's own may have been set. */
  begunAt: number,
): Promise<unknown> {
  return lease.query(`INSERT INTO ${table} (handle, attempt, owes_rows, begun_at) VALUES (?, ?, ?, ?)`, [
    handle,
    attempt,
    owesRows ? 1 : 0,
    begunAt,
  ])
}

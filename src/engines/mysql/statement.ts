/**
 * A statement on its connection before the server hears of it: the database and the properties of its session are set, its
 * connection holds the lock by which it is found, and its transaction is begun. None of this waits for anybody.
 */
import { EngineError, type StatementRequest } from '../contract.ts'
import type { Lease } from './connections.ts'
import { errorNumbers, numberOf } from './failures.ts'
import { type Mode, modeOf, modeProperty } from './modes.ts'
import { type StatementWords, wordsOf } from './words.ts'

export interface CheckedStatement {
  readonly sql: string
  readonly words: StatementWords
  readonly mode: Mode
  readonly settings: Readonly<Record<string, string>>
}

/** Variables that belong to the driver: by them values are read, or the kind of transaction is made. */
const ownVariables =
  /^(character_set_\w+|collation_connection|time_zone|autocommit|(tx|transaction)_read_only|completion_type|net_write_timeout|wait_timeout|pseudo_\w+|sql_log_bin)$/
/** As MariaDB calls it. */
const olderNames: Readonly<Record<string, string>> = { transaction_isolation: 'tx_isolation' }
const number = /^-?\d+(?:\.\d+)?$/

/** Throws `sql-invalid`. `known`: lower-case names of the server's variables; properties that are none are for other engines. */
export function checkStatement(
  { sql, properties }: StatementRequest,
  known: ReadonlySet<string>,
  readOnlyEngine: boolean,
): CheckedStatement {
  if (sql.includes('\0')) throw new EngineError('sql-invalid', 'The statement holds a NUL character.')
  const words = wordsOf(sql)
  if (words.isEmpty) throw new EngineError('sql-invalid', 'There is no statement in the text.')
  let asked: string | null = null
  const settings: Record<string, string> = {}
  for (const [property, value] of Object.entries(properties)) {
    const lower = property.toLowerCase()
    const name = known.has(lower) ? lower : (olderNames[lower] ?? lower)
    if (name === modeProperty) asked = value
    else if (known.has(name)) {
      if (ownVariables.test(name))
        throw new EngineError('sql-invalid', `The variable ${property} cannot be changed by a property.`)
      settings[name] = value
    }
  }
  return { sql, words, mode: modeOf(words, asked, readOnlyEngine), settings }
}

export interface Beginning {
  readonly lease: Lease
  readonly request: StatementRequest
  readonly settings: Readonly<Record<string, string>>
  readonly mode: Mode
  /** Name of the lock to be held; null for what only asks. */
  readonly lock: string | null
}

/** Gives the server's clock, in seconds since 1970. Rejects with the server's error, or `sql-invalid`. */
export async function beginStatement({ lease, request, settings, mode, lock }: Beginning): Promise<number> {
  if (request.database !== null) await use(lease, request.database)
  // Before the properties, some of which would change what this says.
  const held = lock === null ? '1' : `GET_LOCK(${lease.client.escape(lock)}, 0)`
  const [row] = await lease.query(`SELECT UNIX_TIMESTAMP() AS now, ${held} AS held`)
  if (Number(row?.held) !== 1) throw new EngineError('unavailable', 'The engine gives no lock for the statement.')
  const set = Object.entries(settings).map(
    ([name, value]) => `SESSION ${name} = ${number.test(value) ? value : lease.client.escape(value)}`,
  )
  if (set.length > 0) await lease.query(`SET ${set.join(', ')}`)
  // Whatever mode was set, backslashes escape: words were read so. Within one SET it would be the mode from before.
  if ('sql_mode' in settings)
    await lease.query("SET SESSION sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')")
  if (mode !== 'none') await lease.query(`START TRANSACTION READ ${mode === 'read-only' ? 'ONLY' : 'WRITE'}`)
  return Number(row?.now)
}

async function use(lease: Lease, database: string): Promise<void> {
  try {
    await lease.query(`USE ${quoted(database)}`)
  } catch (error) {
    if (numberOf(error) === errorNumbers.unknownDatabase)
      throw new EngineError('sql-invalid', `Unknown database '${database}'`, { cause: error })
    throw error
  }
}

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}

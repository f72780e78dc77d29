/**
 * A statement before it is sent: what it is, in which transaction it is to run and with which settings, and that transaction begun on
 * its connection. Nothing of the statement itself is with the server yet.
 */
import type { Client } from 'pg'
import { EngineError, type StatementRequest } from '../contract.ts'
import { nameOf } from './identity.ts'
import { type Mode, modeOf, modeProperty } from './modes.ts'
import { type StatementWords, wordsOf } from './words.ts'

export interface CheckedStatement {
  readonly sql: string
  readonly words: StatementWords
  readonly mode: Mode
  /** The client said in which mode it wants it. */
  readonly isChosen: boolean
  readonly isolation: string | null
  readonly settings: Readonly<Record<string, string>>
}

/** A transaction with the settings of its statement; outside one, the settings alone. */
export interface BegunStatement {
  readonly mode: Mode
  readonly transaction: string | null
  /** Seconds since 1970 by the server's clock. */
  readonly begunAt: number
}

const isolationLevels = new Set(['serializable', 'repeatable read', 'read committed', 'read uncommitted'])
const isolationProperties = ['transaction_isolation', 'default_transaction_isolation']
/** Settings that belong to the driver: by some, values are read; the others are `lens.transaction`. */
const ownSettings = new Set([
  ...['application_name', 'bytea_output', 'client_encoding', 'datestyle', 'intervalstyle'],
  ...['transaction_read_only', 'default_transaction_read_only', 'transaction_deferrable'],
])
/** A setting of an extension or of the user's own has a dot in its name, and the server knows none of them beforehand. */
const customName = /^[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)+$/

/** Throws `sql-invalid`. `known`: lower-case names of the server's settings; properties that are none are for other engines. */
export function checkStatement(
  { sql, properties, database }: StatementRequest,
  known: ReadonlySet<string>,
  readOnlyEngine: boolean,
): CheckedStatement {
  if (sql.includes('\0')) throw new EngineError('sql-invalid', 'The statement holds a NUL character.')
  // The server would take the rest of such a text for the end of its message.
  if (database?.includes('\0')) throw new EngineError('sql-invalid', 'The name of the database holds a NUL character.')
  const words = wordsOf(sql)
  if (words.isEmpty) throw new EngineError('sql-invalid', 'There is no statement in the text.')
  let asked: string | null = null
  let isolation: string | null = null
  const settings: Record<string, string> = {}
  for (const [property, value] of Object.entries(properties)) {
    const name = property.toLowerCase()
    if (value.includes('\0')) throw new EngineError('sql-invalid', `The property ${property} holds a NUL character.`)
    if (name === modeProperty) asked = value
    else if (isolationProperties.includes(name)) isolation = isolationOf(property, value)
    else if (ownSettings.has(name))
      throw new EngineError('sql-invalid', `The setting ${property} cannot be changed by a property.`)
    else if (known.has(name) || (customName.test(property) && !name.startsWith('lens.'))) settings[property] = value
  }
  return {
    sql,
    words,
    mode: modeOf(words, asked, readOnlyEngine),
    isChosen: asked !== null || readOnlyEngine,
    isolation,
    settings,
  }
}

function isolationOf(property: string, value: string): string {
  const level = value.toLowerCase()
  if (isolationLevels.has(level)) return level
  throw new EngineError('sql-invalid', `The property ${property} is one of ${[...isolationLevels].join(', ')}.`)
}

/** One row: what is known once the settings are made. */
interface Begun {
  readonly begun_at: number
  readonly schema_exists: boolean
  readonly transaction: string | null
  readonly may_write: boolean
}

export interface Beginning {
  readonly client: Client
  readonly request: StatementRequest
  readonly checked: CheckedStatement
  /** A number is wanted for the transaction: it is all that will tell what became of it. */
  readonly numbered?: boolean
}

/** Rejects with the server's error, or `sql-invalid`; the transaction is then still open. */
export async function beginStatement(beginning: Beginning): Promise<BegunStatement> {
  const { client, request, checked } = beginning
  let { mode } = checked
  let begun = await begin(beginning, mode)
  if (mode === 'read-only' && begun.may_write && !checked.isChosen) {
    await client.query('ROLLBACK')
    mode = 'transaction'
    begun = await begin(beginning, mode)
  }
  if (!begun.schema_exists) throw new EngineError('sql-invalid', `schema "${request.database}" does not exist`)
  return { mode, transaction: begun.transaction, begunAt: begun.begun_at }
}

async function begin({ client, request, checked, numbered }: Beginning, mode: Mode): Promise<Begun> {
  const text = (value: string) => client.escapeLiteral(value)
  // Outside a transaction nothing is local to it: DISCARD ALL ends these settings.
  const isLocal = mode !== 'none'
  const path = request.database === null ? null : `${client.escapeIdentifier(request.database)}, public`
  const set = Object.entries({ ...(path === null ? {} : { search_path: path }), ...checked.settings }).map(
    ([name, value]) => `pg_catalog.set_config(${text(name)}, ${text(value)}, ${isLocal})`,
  )
  const called = [...checked.words.called]
  const columns = [
    'EXTRACT(epoch FROM pg_catalog.now())::float8 AS begun_at',
    `${request.database === null ? 'true' : `EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = ${text(request.database)})`} AS schema_exists`,
    `${numbered && mode === 'transaction' ? 'pg_catalog.pg_current_xact_id()::text' : 'NULL'} AS transaction`,
    `${mode === 'read-only' && called.length > 0 ? mayWrite(called.map(text)) : 'false'} AS may_write`,
    // For the session, not for the transaction: others see it at once, and it stays until the connection is reset.
    `pg_catalog.set_config('application_name', ${text(nameOf(request.handle, request.attempt))}, false)`,
    ...set,
  ]
  const access = mode === 'read-only' ? 'READ ONLY' : 'READ WRITE'
  const level = checked.isolation === null ? '' : ` ISOLATION LEVEL ${checked.isolation}`
  const start = mode === 'none' ? '' : `BEGIN${level} ${access}; `
  const result: unknown = await client.query(`${start}SELECT ${columns.join(', ')}`)
  const last = (Array.isArray(result) ? result.at(-1) : result) as { rows: readonly Begun[] }
  return last.rows[0] as Begun
}

/**
 * Functions that users wrote or extensions brought, and that are not declared to be without effect: some of them write, or reach other
 * servers, which no read-only transaction keeps them from.
 */
function mayWrite(names: readonly string[]): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_proc
    WHERE proname IN (${names.join(', ')}) AND provolatile = 'v' AND oid >= 16384)`
}

/**
 * What a statement is for Trino, before DuckDB sees it: the statements of the session answer by headers, those about statements by rows
 * of their own, and everything else is DuckDB's.
 */
import { type DuckDBConnection, type DuckDBPreparedStatement, DuckDBTypeId } from '@duckdb/node-api'
import { ruleOf } from './types.ts'

export interface SessionOfRequest {
  readonly catalog: string | null
  readonly schema: string | null
  readonly prepared: ReadonlyMap<string, string>
  readonly properties: ReadonlyMap<string, string>
  readonly fullTimes: boolean
}

export interface ColumnView {
  readonly name: string
  readonly type: string
  readonly typeSignature: unknown
}

/** What is known of an answer at once, or a statement that DuckDB runs. */
export type Meaning =
  | { readonly headers: Readonly<Record<string, string>>; readonly updateType: string }
  | { readonly columns: readonly ColumnView[]; readonly rows: readonly (readonly unknown[])[] }
  | { readonly statement: DuckDBPreparedStatement; readonly updateType: string | null }

export class TrinoFailure extends Error {
  readonly errorName: string
  readonly errorCode: number
  readonly errorType: string
  readonly location: { readonly lineNumber: number; readonly columnNumber: number } | null

  constructor(
    [errorName, errorCode, errorType]: readonly [string, number, string],
    message: string,
    location: TrinoFailure['location'] = null,
  ) {
    super(message)
    this.errorName = errorName
    this.errorCode = errorCode
    this.errorType = errorType
    this.location = location
  }
}

export const codes = {
  syntax: ['SYNTAX_ERROR', 1, 'USER_ERROR'],
  user: ['GENERIC_USER_ERROR', 0, 'USER_ERROR'],
  abandoned: ['ABANDONED_QUERY', 2, 'USER_ERROR'],
  canceled: ['USER_CANCELED', 3, 'USER_ERROR'],
  notFound: ['NOT_FOUND', 5, 'USER_ERROR'],
  division: ['DIVISION_BY_ZERO', 8, 'USER_ERROR'],
  cast: ['INVALID_CAST_ARGUMENT', 9, 'USER_ERROR'],
  property: ['INVALID_SESSION_PROPERTY', 24, 'USER_ERROR'],
  parameters: ['INVALID_PARAMETER_USAGE', 50, 'USER_ERROR'],
  catalog: ['CATALOG_NOT_FOUND', 44, 'USER_ERROR'],
  table: ['TABLE_NOT_FOUND', 46, 'USER_ERROR'],
  column: ['COLUMN_NOT_FOUND', 47, 'USER_ERROR'],
  constraint: ['CONSTRAINT_VIOLATION', 68, 'USER_ERROR'],
  internal: ['GENERIC_INTERNAL_ERROR', 65_536, 'INTERNAL_ERROR'],
} as const satisfies Record<string, readonly [string, number, string]>

const name = '("(?:[^"]|"")+"|[A-Za-z_][\\w$]*)'
const patterns = {
  use: new RegExp(`^USE\\s+${name}(?:\\s*\\.\\s*${name})?$`, 'is'),
  setSession: /^SET\s+SESSION\s+([\w.]+)\s*=\s*(.+)$/is,
  resetSession: /^RESET\s+SESSION\s+([\w.]+)$/is,
  setRole: new RegExp(`^SET\\s+ROLE\\s+${name}(?:\\s+IN\\s+${name})?$`, 'is'),
  setPath: /^SET\s+PATH\s+(.+)$/is,
  prepare: new RegExp(`^PREPARE\\s+${name}\\s+FROM\\s+(.+)$`, 'is'),
  deallocate: new RegExp(`^DEALLOCATE\\s+PREPARE\\s+${name}$`, 'is'),
  immediate: /^EXECUTE\s+IMMEDIATE\s+'((?:[^']|'')*)'(?:\s+USING\s+(.+))?$/is,
  execute: new RegExp(`^EXECUTE\\s+${name}(?:\\s+USING\\s+(.+))?$`, 'is'),
  describe: new RegExp(`^DESCRIBE\\s+(INPUT|OUTPUT)\\s+${name}$`, 'is'),
  explain: /^EXPLAIN\s*(?:\(([^)]*)\))?\s*(.+)$/is,
  catalogs: /^SHOW\s+CATALOGS$/is,
} as const

export async function meaningOf(
  sql: string,
  session: SessionOfRequest,
  connection: DuckDBConnection,
): Promise<Meaning> {
  const text = sql.replace(/^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*/, '').trim()
  let found: readonly (string | undefined)[] = []
  const is = (pattern: RegExp): boolean => {
    const match = pattern.exec(text)
    found = match ?? []
    return match !== null
  }
  if (is(patterns.use)) {
    const [, first = '', second] = found
    const [catalog, schema] = second === undefined ? [session.catalog, bare(first)] : [bare(first), bare(second)]
    if (catalog === null)
      throw new TrinoFailure(codes.user, 'line 1:1: Catalog must be specified when session catalog is not set')
    await use(connection, catalog, schema)
    return {
      updateType: 'USE',
      headers: { ...(second === undefined ? {} : { 'X-Trino-Set-Catalog': catalog }), 'X-Trino-Set-Schema': schema },
    }
  }
  if (is(patterns.setSession)) {
    const [, property = '', expression = ''] = found
    checkProperty(property)
    const value = String((await (await connection.runAndReadAll(`SELECT ${expression}`)).getRowsJson())[0]?.[0])
    return { updateType: 'SET SESSION', headers: { 'X-Trino-Set-Session': `${property}=${encodeURIComponent(value)}` } }
  }
  if (is(patterns.resetSession)) {
    checkProperty(found[1] ?? '')
    return { updateType: 'RESET SESSION', headers: { 'X-Trino-Clear-Session': found[1] ?? '' } }
  }
  if (is(patterns.setRole)) {
    const role = /^(ALL|NONE)$/i.test(found[1] ?? '') ? (found[1] ?? '').toUpperCase() : `ROLE{${bare(found[1] ?? '')}}`
    const catalog = found[2] === undefined ? 'system' : bare(found[2])
    return { updateType: 'SET ROLE', headers: { 'X-Trino-Set-Role': `${catalog}=${encodeURIComponent(role)}` } }
  }
  if (is(patterns.setPath)) return { updateType: 'SET PATH', headers: { 'X-Trino-Set-Path': (found[1] ?? '').trim() } }
  if (is(patterns.prepare)) {
    await prepared(connection, found[2] ?? '')
    const added = `${encodeURIComponent(bare(found[1] ?? ''))}=${encodeURIComponent(found[2] ?? '')}`
    return { updateType: 'PREPARE', headers: { 'X-Trino-Added-Prepare': added } }
  }
  if (is(patterns.deallocate)) {
    known(session, found[1] ?? '')
    const header = encodeURIComponent(bare(found[1] ?? ''))
    return { updateType: 'DEALLOCATE', headers: { 'X-Trino-Deallocated-Prepare': header } }
  }
  if (/^START\s+TRANSACTION\b/i.test(text)) {
    const id = `${crypto.randomUUID()}`
    return { updateType: 'START TRANSACTION', headers: { 'X-Trino-Started-Transaction-Id': id } }
  }
  if (/^(COMMIT|ROLLBACK)\b/i.test(text)) {
    const updateType = (/^\w+/.exec(text)?.[0] ?? '').toUpperCase()
    return { updateType, headers: { 'X-Trino-Clear-Transaction-Id': 'true' } }
  }
  if (is(patterns.describe)) return describe(connection, session, found[1] ?? '', found[2] ?? '')
  if (patterns.catalogs.test(text)) {
    const rows = await (
      await connection.runAndReadAll('SELECT database_name FROM duckdb_databases() WHERE NOT internal ORDER BY 1')
    ).getRowsJson()
    return { columns: [varchar('Catalog')], rows: [...rows, ['system']] }
  }
  if (is(patterns.explain)) return explain(connection, session, found[1] ?? '', found[2] ?? '')
  if (is(patterns.immediate)) return bound(connection, session, (found[1] ?? '').replaceAll("''", "'"), found[2])
  if (is(patterns.execute)) return bound(connection, session, known(session, found[1] ?? ''), found[2])
  return bound(connection, session, text, undefined)
}

export async function use(connection: DuckDBConnection, catalog: string, schema: string | null): Promise<void> {
  const reader = await connection.runAndReadAll(
    'SELECT count(*)::INTEGER FROM duckdb_databases() WHERE database_name = $1',
    [catalog],
  )
  if (reader.getRows()[0]?.[0] === 0) throw new TrinoFailure(codes.catalog, `line 1:1: Catalog '${catalog}' not found`)
  try {
    await connection.run(`USE ${quoted(catalog)}.${quoted(schema ?? 'main')}`)
  } catch {
    // As Trino, which says so only when a table is looked for in it.
    if (schema !== null) await connection.run(`USE ${quoted(catalog)}.main`)
  }
}

async function bound(
  connection: DuckDBConnection,
  session: SessionOfRequest,
  text: string,
  using: string | undefined,
): Promise<Meaning> {
  await columnsOfTables(connection, session, text)
  const statement = await prepared(
    connection,
    text.replace(/("?[\w$]+"?\.)?information_schema\.columns/gi, 'temp.trino_columns'),
  )
  const values =
    using === undefined ? [] : ((await connection.runAndReadAll(`SELECT ${trinoText(using)}`)).getRows()[0] ?? [])
  if (values.length !== statement.parameterCount)
    throw new TrinoFailure(
      codes.parameters,
      `line 1:1: Incorrect number of parameters: expected ${statement.parameterCount} but found ${values.length}`,
    )
  if (values.length > 0) statement.bind([...values])
  return { statement, updateType: updateTypeOf(text) }
}

/** Exactly one statement, which DuckDB understands. */
async function prepared(connection: DuckDBConnection, text: string): Promise<DuckDBPreparedStatement> {
  const extracted = await connection.extractStatements(trinoText(text))
  if (extracted.count !== 1)
    throw new TrinoFailure(codes.syntax, "line 1:1: mismatched input ';'. Expecting: <EOF>", {
      lineNumber: 1,
      columnNumber: 1,
    })
  return extracted.prepare(0)
}

/** Words of Trino that DuckDB does not know. */
function trinoText(text: string): string {
  return text
    .replace(/\b(CAST\(.*?\bAS\s+)ROW\(/gis, '$1STRUCT(')
    .replace(/\bDOUBLE\s+('[^']*')/gi, '$1::DOUBLE')
    .replace(/\bJSON\s+('(?:[^']|'')*')/g, '$1::JSON')
}

/** What Trino's analysis calls it, for its record of the query. */
export function queryTypeOf(text: string): string {
  const [, word = ''] = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|\()*([A-Za-z]+)/.exec(text) ?? []
  const known = word.toUpperCase()
  if (['SELECT', 'WITH', 'VALUES', 'TABLE'].includes(known)) return 'SELECT'
  if (['SHOW', 'DESCRIBE'].includes(known)) return 'DESCRIBE'
  return ['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'EXPLAIN'].includes(known) ? known : 'DATA_DEFINITION'
}

function updateTypeOf(text: string): string | null {
  const words =
    /^\s*(?:(INSERT|DELETE|UPDATE|MERGE)\b|(CREATE(?:\s+OR\s+REPLACE)?\s+(?:TABLE|VIEW|SCHEMA))|(DROP\s+\w+)|(ALTER\s+\w+)|(TRUNCATE))/i.exec(
      text,
    )
  return words
    ? (words[0] ?? '')
        .trim()
        .toUpperCase()
        .replace(/ OR REPLACE/, '')
        .replace(/\s+/g, ' ')
    : null
}

async function describe(
  connection: DuckDBConnection,
  session: SessionOfRequest,
  which: string,
  given: string,
): Promise<Meaning> {
  const statement = await prepared(connection, known(session, given))
  if (which.toUpperCase() === 'INPUT') {
    const rows = Array.from({ length: statement.parameterCount }, (_, index) => [index, 'unknown'])
    return {
      columns: [
        { ...varchar('Position'), type: 'bigint', typeSignature: { rawType: 'bigint', arguments: [] } },
        varchar('Type'),
      ],
      rows,
    }
  }
  const names = ['Column Name', 'Catalog', 'Schema', 'Table', 'Type']
  const columns = [
    ...names.map(varchar),
    { name: 'Type Size', type: 'bigint', typeSignature: { rawType: 'bigint', arguments: [] } },
    { name: 'Aliased', type: 'boolean', typeSignature: { rawType: 'boolean', arguments: [] } },
  ]
  if (updateTypeOf(known(session, given)) !== null) return { columns, rows: [['rows', '', '', '', 'bigint', 8, false]] }
  const rows = Array.from({ length: statement.columnCount }, (_, index) => [
    ...[statement.columnName(index), '', '', '', typeOf(statement, index), 0, false],
  ])
  return { columns, rows }
}

/** Of a column that is a parameter as it stands nobody knows the type; DuckDB has none to show then. */
function typeOf(statement: DuckDBPreparedStatement, index: number): string {
  return statement.columnTypeId(index) === DuckDBTypeId.INVALID
    ? 'unknown'
    : ruleOf(statement.columnType(index), true).name
}

/** `TYPE IO` and `FORMAT JSON` are numbers by DuckDB's own planner; else its plan. */
async function explain(
  connection: DuckDBConnection,
  session: SessionOfRequest,
  options: string,
  text: string,
): Promise<Meaning> {
  const immediate = patterns.immediate.exec(text)
  const named = immediate ? null : patterns.execute.exec(text)
  const inner = immediate ? (immediate[1] ?? '').replaceAll("''", "'") : named ? known(session, named[1] ?? '') : text
  const using = (immediate ?? named)?.[2]
  const statement = await prepared(
    connection,
    /^\s*(SELECT|WITH|VALUES|TABLE|INSERT|UPDATE|DELETE|CREATE|MERGE|\()/i.test(inner) ? `EXPLAIN ${inner}` : inner,
  )
  if (using !== undefined)
    statement.bind([...((await connection.runAndReadAll(`SELECT ${trinoText(using)}`)).getRows()[0] ?? [])])
  const plan = (await statement.runAndReadAll())
    .getRows()
    .map(row => String(row[1] ?? ''))
    .join('\n')
  const counts = [...plan.matchAll(/~\s*([\d,]+)\s*row/g)].map(match => Number((match[1] ?? '0').replaceAll(',', '')))
  if (!/\bIO\b|JSON/i.test(options)) return { columns: [varchar('Query Plan')], rows: [[plan]] }
  const estimate = (rows: number) => ({
    outputRowCount: rows,
    outputSizeInBytes: rows * 8,
    cpuCost: rows * 8,
    maxMemory: 0,
    networkCost: 0,
  })
  const all = Math.max(0, ...counts)
  const json = /\bIO\b/i.test(options)
    ? { inputTableColumnInfos: counts.slice(1).map(rows => ({ estimate: estimate(rows) })), estimate: estimate(all) }
    : { '0': { id: '0', name: 'Output', estimates: [estimate(all)], children: [] } }
  return { columns: [varchar('Query Plan')], rows: [[JSON.stringify(json)]] }
}

/** The columns of all tables, by Trino's names of types. */
async function columnsOfTables(connection: DuckDBConnection, session: SessionOfRequest, text: string): Promise<void> {
  const asked = /("?([\w$]+)"?\.)?information_schema\.columns/i.exec(text)
  if (!asked) return
  const catalog = asked[2] ?? session.catalog ?? 'memory'
  const tables = await connection.runAndReadAll(
    'SELECT DISTINCT schema_name, table_name FROM duckdb_columns() WHERE database_name = $1 AND NOT internal',
    [catalog],
  )
  await connection.run(
    'CREATE OR REPLACE TEMP TABLE trino_columns (table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, ordinal_position BIGINT, data_type VARCHAR)',
  )
  for (const [schema, table] of tables.getRows()) {
    const named = `${quoted(catalog)}.${quoted(String(schema))}.${quoted(String(table))}`
    const statement = await connection.prepare(`SELECT * FROM ${named}`)
    for (let index = 0; index < statement.columnCount; index++)
      await connection.run('INSERT INTO temp.trino_columns VALUES ($1, $2, $3, $4, $5, $6)', [
        ...[catalog, String(schema), String(table), statement.columnName(index)],
        ...[BigInt(index + 1), ruleOf(statement.columnType(index), true).name],
      ])
  }
}

function known(session: SessionOfRequest, given: string): string {
  const text = session.prepared.get(bare(given))
  if (text === undefined) throw new TrinoFailure(codes.notFound, `Prepared statement not found: ${bare(given)}`)
  return text
}

export function checkProperty(property: string): void {
  if (/^(unknown|no_such)/.test(property))
    throw new TrinoFailure(codes.property, `line 1:1: Session property '${property}' does not exist`)
}

function varchar(columnName: string): ColumnView {
  const typeSignature = { rawType: 'varchar', arguments: [{ kind: 'LONG', value: 2_147_483_647 }] }
  return { name: columnName, type: 'varchar', typeSignature }
}

function bare(given: string): string {
  return given.startsWith('"') ? given.slice(1, -1).replaceAll('""', '"') : given.toLowerCase()
}

function quoted(given: string): string {
  return `"${given.replaceAll('"', '""')}"`
}

/** DuckDB's failure as Trino tells its own. */
export function failureOf(error: unknown): TrinoFailure {
  if (error instanceof TrinoFailure) return error
  const message = (error instanceof Error ? error.message : String(error)).replace(
    /^Failed to extract statements: /,
    '',
  )
  const place = /LINE (\d+):([^\n]*)\n([^\n]*)\^/.exec(message)
  const location = place
    ? {
        lineNumber: Number(place[1]),
        columnNumber: Math.max(1, (place[3] ?? '').length - `LINE ${place[1]}: `.length + 1),
      }
    : { lineNumber: 1, columnNumber: 1 }
  const first = message.split('\n')[0] ?? message
  const said = `line ${location.lineNumber}:${location.columnNumber}: ${first.replace(/^[A-Za-z ]*Error: /, '')}`
  if (/^Parser Error/.test(message))
    return new TrinoFailure(codes.syntax, said.replace('syntax error at or near', 'mismatched input'), location)
  if (/^Catalog Error: Table/.test(message)) return new TrinoFailure(codes.table, said, location)
  if (/^(Binder|Catalog) Error/.test(message)) return new TrinoFailure(codes.column, said, location)
  if (/division by zero/i.test(message)) return new TrinoFailure(codes.division, 'Division by zero')
  if (/^Constraint Error/.test(message)) return new TrinoFailure(codes.constraint, first)
  if (/^Conversion Error/.test(message)) return new TrinoFailure(codes.cast, first)
  return new TrinoFailure(codes.internal, first)
}

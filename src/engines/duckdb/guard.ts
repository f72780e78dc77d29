/**
 * Decides what a statement is before DuckDB prepares it: preparing alone can already open files or secret stores.
 *
 * DuckDB's own parser gives the tree (`json_serialize_sql`, which serialises nothing but SELECT), and the tree must name only
 * table functions and system relations that are known to be harmless. So nothing depends on how the text is written, and a
 * function that a later DuckDB adds is refused until somebody has looked at it. Locked configuration and closed file access
 * stand behind this as a second wall.
 */
import { EngineError } from '../contract.ts'

/** Table functions that read nothing but their arguments, or list tables, columns, types and functions. */
const tableFunctions = new Set([
  'duckdb_columns',
  'duckdb_functions',
  'duckdb_keywords',
  'duckdb_schemas',
  'duckdb_tables',
  'duckdb_types',
  'generate_series',
  'generate_subscripts',
  'histogram',
  'histogram_values',
  'icu_calendar_names',
  'json_each',
  'json_tree',
  'pg_timezone_names',
  'pragma_collations',
  'pragma_show',
  'pragma_table_info',
  'pragma_version',
  'range',
  'regexp_split_to_table',
  'repeat',
  'repeat_row',
  'summary',
  'test_all_types',
  'test_vector_types',
  'unnest',
])

/** Relations of DuckDB's own catalogues that tell about tables, never about files, settings or secrets. */
const systemRelations = new Set([
  'duckdb_columns',
  'duckdb_schemas',
  'duckdb_tables',
  'duckdb_types',
  'information_schema.character_sets',
  'information_schema.columns',
  'information_schema.schemata',
  'information_schema.table_constraints',
  'information_schema.tables',
  'pg_catalog.pg_attribute',
  'pg_catalog.pg_class',
  'pg_catalog.pg_description',
  'pg_catalog.pg_enum',
  'pg_catalog.pg_namespace',
  'pg_catalog.pg_tables',
  'pg_catalog.pg_type',
])

/** Scalar functions that show settings or leave something behind. */
const refusedFunctions = new Set(['current_setting', 'currval', 'getenv', 'nextval', 'set_config', 'write_log'])

export interface GuardedStatement {
  readonly kind: 'select' | 'explain'
  /** The SELECT itself: for an EXPLAIN what it explains. */
  readonly selectSql: string
  /** What may be executed: the SELECT, or an EXPLAIN of it put together anew. */
  readonly sql: string
  /** Lines of the client's text before the one in which `selectSql` begins. */
  readonly linesBefore: number
}

/**
 * The SELECT of a statement under a prefix of ours. That has a line to itself: the lines that DuckDB quotes in its errors are
 * then the client's own, and only their numbers have to be put right (`linesToAdd`).
 */
export function prefixed(prefix: string, { selectSql }: Pick<GuardedStatement, 'selectSql'>): string {
  return `${prefix}\n${selectSql}`
}

/** What the number of a line in `text`, which was made of the statement, lacks to be that of the client's text. */
export function linesToAdd(text: string, { selectSql, linesBefore }: GuardedStatement): number {
  return text === selectSql ? 0 : linesBefore - 1
}

const rememberedMax = 1000
const rememberedLengthMax = 8192

/** How the guard asks DuckDB's parser; gives the JSON text of `json_serialize_sql`. */
export type Serialize = (sql: string) => Promise<string>

interface Serialized {
  readonly error: boolean
  readonly error_type?: string
  readonly error_message?: string
  readonly position?: string
  readonly statements?: readonly unknown[]
}

/** `systemViews`: names of all of DuckDB's own views, lower case, those outside `main` with their schema. */
export class StatementGuard {
  readonly #systemViews: ReadonlySet<string>
  readonly #systemViewNames: ReadonlySet<string>
  // A statement is estimated, then run, often again: what passed is remembered, oldest forgotten first.
  readonly #passed = new Map<string, GuardedStatement>()

  constructor(systemViews: readonly string[]) {
    this.#systemViews = new Set(systemViews)
    this.#systemViewNames = new Set(systemViews.map(name => name.slice(name.lastIndexOf('.') + 1)))
  }

  /** Rejects with `sql-invalid`. */
  async check(sql: string, serialize: Serialize): Promise<GuardedStatement> {
    const known = this.#passed.get(sql)
    if (known) return known
    const guarded = await this.#decide(sql, serialize)
    if (sql.length <= rememberedLengthMax) {
      this.#passed.set(sql, guarded)
      const oldest = this.#passed.size > rememberedMax ? this.#passed.keys().next().value : undefined
      if (oldest !== undefined) this.#passed.delete(oldest)
    }
    return guarded
  }

  async #decide(sql: string, serialize: Serialize): Promise<GuardedStatement> {
    if (sql.includes('\0')) throw invalid('The statement holds a NUL character.')
    const explain = splitExplain(sql)
    const selectSql = explain?.selectSql ?? sql
    const tree = JSON.parse(await serialize(selectSql)) as Serialized
    if (tree.error) throw invalid(tree.error_type === 'parser' ? syntaxError(tree, sql, selectSql) : refusal)
    const statements = tree.statements ?? []
    if (statements.length === 0) throw invalid('There is no statement in the text.')
    if (statements.length > 1) throw invalid('Several statements in one text are not allowed.')
    this.#walk(statements[0])
    // An EXPLAIN is never run as it was written: comments could hide what it explains from us and not from DuckDB.
    return explain
      ? { kind: 'explain', selectSql, sql: prefixed(explain.prefix, explain), linesBefore: linesBefore(sql, selectSql) }
      : { kind: 'select', selectSql, sql, linesBefore: 0 }
  }

  // A stack of its own: how deep a tree may be is the parser's business.
  #walk(root: unknown): void {
    const open: unknown[] = [root]
    while (open.length > 0) {
      const node = open.pop()
      if (Array.isArray(node)) for (const element of node) open.push(element)
      else if (typeof node === 'object' && node !== null) {
        this.#inspect(node as Record<string, unknown>)
        for (const value of Object.values(node)) if (typeof value === 'object') open.push(value)
      }
    }
  }

  #inspect(node: Record<string, unknown>): void {
    if (node.type === 'BASE_TABLE' || node.type === 'SHOW_REF')
      this.#relation(lower(node.schema_name), lower(node.table_name))
    if (node.type === 'TABLE_FUNCTION') {
      const name = lower((node.function as Record<string, unknown> | undefined)?.function_name)
      if (!tableFunctions.has(name)) throw invalid(`The table function ${name} is not allowed.`)
    }
    // Wherever a function is named: calls, windows, and what later versions add.
    if (typeof node.function_name === 'string') {
      const name = lower(node.function_name)
      if (refusedFunctions.has(name)) throw invalid(`The function ${name} is not allowed.`)
    }
  }

  #relation(schema: string, quotedName: string): void {
    const name = quotedName.replace(/^"(.*)"$/, '$1')
    if (!this.#ofSystem(schema, name)) return
    const unqualified = schema !== 'information_schema' && schema !== 'pg_catalog'
    const candidates = unqualified ? [name, `pg_catalog.${name}`] : [`${schema}.${name}`]
    if (!candidates.some(candidate => systemRelations.has(candidate)))
      throw invalid(`The relation ${schema === '' ? name : `${schema}.${name}`} is not allowed.`)
  }

  // Unqualified, DuckDB also finds the views of pg_catalog; `schema` may be a catalogue's name, which hides the schema.
  #ofSystem(schema: string, name: string): boolean {
    if (schema === '' || schema === 'main')
      return this.#systemViews.has(name) || this.#systemViews.has(`pg_catalog.${name}`)
    return schema === 'information_schema' || schema === 'pg_catalog' || this.#systemViewNames.has(name)
  }
}

const refusal =
  'Only statements that read are allowed: SELECT, VALUES, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE, and EXPLAIN of these.'
const blank = '(?:\\s|--[^\\n]*(?:\\n|$)|/\\*(?:[^*]|\\*(?!/))*\\*/)*'
const explainWord = new RegExp(`^${blank}explain(?![\\w$])${blank}`, 'i')
const analyzeWord = new RegExp(`^analyze(?![\\w$])${blank}`, 'i')
// A bracket with anything else in it opens a SELECT.
const explainOptions = new RegExp(`^\\(((?:\\s|,|\\w|')*)\\)${blank}(?=.)`, 'is')

/** The two halves of a text that begins with EXPLAIN, the first one in our own words; null for any other text. */
function splitExplain(sql: string): { prefix: string; selectSql: string } | null {
  const begin = explainWord.exec(sql)
  if (!begin) return null
  const rest = sql.slice(begin[0].length)
  const options = explainOptions.exec(rest)
  if (options) {
    const words: readonly string[] = (options[1] ?? '').toLowerCase().match(/\w+/g) ?? []
    const format = words[words.indexOf('format') + 1] === 'json' ? 'JSON' : 'TEXT'
    const analyze = words.includes('analyze') ? 'ANALYZE, ' : ''
    return { prefix: `EXPLAIN (${analyze}FORMAT ${format})`, selectSql: rest.slice(options[0].length) }
  }
  const analyze = analyzeWord.exec(rest)
  if (analyze) return { prefix: 'EXPLAIN ANALYZE', selectSql: rest.slice(analyze[0].length) }
  return { prefix: 'EXPLAIN', selectSql: rest }
}

/** As DuckDB itself words it: the message, the line and a mark under the place. */
function syntaxError(tree: Serialized, sql: string, selectSql: string): string {
  const message = `Parser Error: ${tree.error_message ?? 'syntax error'}`
  const offset = Number(tree.position ?? Number.NaN)
  if (!Number.isSafeInteger(offset)) return message
  // The position counts bytes; of the SELECT, with which the client's text ends.
  const before = sql.slice(0, sql.length - selectSql.length) + Buffer.from(selectSql).subarray(0, offset).toString()
  const lineStart = before.lastIndexOf('\n') + 1
  const line = sql.slice(lineStart).split('\n', 1)[0] ?? ''
  const label = `LINE ${before.split('\n').length}: `
  return `${message}\n\n${label}${line}\n${' '.repeat(label.length + before.length - lineStart)}^`
}

function linesBefore(sql: string, selectSql: string): number {
  return sql.slice(0, sql.length - selectSql.length).split('\n').length - 1
}

function lower(name: unknown): string {
  return typeof name === 'string' ? name.toLowerCase() : ''
}

function invalid(message: string): EngineError {
  return new EngineError('sql-invalid', message)
}

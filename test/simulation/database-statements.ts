/**
 * What a statement's text says of the locks that MySQL would take for it, and the texts by which SQLite tells the keys of those
 * rows: `RETURNING` for what writes, a second SELECT of keys for what only locks.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { type SqlDialect, sqliteDialect } from '../../src/store/dialect.ts'

/** SQLite's words, the database's own clock, and marks where MySQL would lock. */
export const simulatedDialect: SqlDialect = {
  ...sqliteDialect,
  now: 'lens_now()',
  lockShared: ' /*share*/',
  lockExclusive: ' /*update*/',
  lockSkipping: ' /*skip*/',
  // As MySQL has it, which locks the row that is there.
  keepExisting: anyColumn => ` ON CONFLICT DO UPDATE SET ${anyColumn} = ${anyColumn}`,
  rowsMax: 200,
  bytesMax: 4 * 2 ** 20,
}

/** How the key of a row stands in the lock table; keys of several columns are joined. */
const separator = '\u001f'

export interface AnalysedStatement {
  readonly kind: 'read' | 'locking-read' | 'write'
  /** Written; empty for a read. */
  readonly table: string
  /** Whose locks are waited for. */
  readonly awaited: readonly string[]
  /** An INSERT looks at a row that is there with a shared lock, unless it would overwrite it. */
  readonly awaits: 'shared' | 'exclusive'
  /** All that the text mentions. */
  readonly tables: readonly string[]
  readonly locks: 'shared' | 'exclusive'
  readonly plain: StatementSync
  /** Rows `{table_, key_}` that a locking read locks, or `{key_}` that a write has written, doing it; null for a plain read. */
  readonly keys: StatementSync | null
}

export interface KeyRow {
  readonly table_?: string
  readonly key_: string
}

const statementsMax = 2000

/**
 * Whether a statement would come by the row of this key, whatever else it asks of it: an index leads it there by the key's parts,
 * which are among its values, or stand in it as a number.
 */
export function leadsTo(sql: string, values: readonly SQLInputValue[]): (key: string) => boolean {
  const among = (part: string) =>
    values.some(value => value === part || (typeof value === 'number' && String(value) === part))
  return key => {
    if (!key.includes(separator)) return among(key) || (/^\d+$/.test(key) && sql.includes(`= ${key}`))
    return key.split(separator).every(among)
  }
}

/** Rows of one table by their keys, in the form that is kept while their transaction is aside. */
export class TableRows {
  readonly #get: StatementSync
  readonly #put: StatementSync
  readonly #remove: StatementSync
  readonly #parts: (key: string) => string[]

  constructor(database: DatabaseSync, table: string, key: readonly string[], columns: number) {
    this.#parts = key.length === 1 ? one => [one] : several => several.split(separator)
    const where = key.map(column => `\`${column}\` = ?`).join(' AND ')
    this.#get = database.prepare(`SELECT * FROM \`${table}\` WHERE ${where}`)
    this.#get.setReturnArrays(true)
    this.#put = database.prepare(`INSERT OR REPLACE INTO \`${table}\` VALUES (${'?, '.repeat(columns - 1)}?)`)
    this.#remove = database.prepare(`DELETE FROM \`${table}\` WHERE ${where}`)
  }

  get(key: string): SQLInputValue[] | null {
    return (this.#get.get(...this.#parts(key)) as unknown as SQLInputValue[] | undefined) ?? null
  }

  put(values: readonly SQLInputValue[]): void {
    this.#put.run(...values)
  }

  remove(key: string): void {
    this.#remove.run(...this.#parts(key))
  }
}

export class AnalysedStatements {
  readonly #database: DatabaseSync
  readonly #known = new Map<string, AnalysedStatement>()
  /** The key of a row as an SQL expression over unqualified columns, by table. */
  readonly #keys = new Map<string, readonly string[]>()
  readonly #columns = new Map<string, number>()
  readonly #rows = new Map<string, TableRows>()
  readonly #mentions: readonly { readonly table: string; readonly pattern: RegExp }[]

  constructor(database: DatabaseSync) {
    this.#database = database
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as { name: string }[]
    for (const { name } of tables) {
      const columns = database.prepare(`PRAGMA table_info(\`${name}\`)`).all() as { name: string; pk: number }[]
      this.#columns.set(name, columns.length)
      const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk)
      this.#keys.set(
        name,
        key.map(column => column.name),
      )
    }
    this.#mentions = tables.map(({ name }) => ({ table: name, pattern: new RegExp(`\\b${name}\\b`) }))
  }

  of(sql: string): AnalysedStatement {
    let statement = this.#known.get(sql)
    if (statement) return statement
    if (this.#known.size >= statementsMax)
      for (const old of [...this.#known.keys()].slice(0, statementsMax / 2)) this.#known.delete(old)
    statement = this.#analyse(sql)
    this.#known.set(sql, statement)
    return statement
  }

  rowsOf(table: string): TableRows {
    let rows = this.#rows.get(table)
    if (!rows) {
      rows = new TableRows(this.#database, table, this.#keys.get(table) ?? [], this.#columns.get(table) ?? 0)
      this.#rows.set(table, rows)
    }
    return rows
  }

  #analyse(sql: string): AnalysedStatement {
    const tables = this.#mentions.filter(({ pattern }) => pattern.test(sql)).map(({ table }) => table)
    const write = /^\s*(?:insert\s+into|update|delete\s+from)\s+[`"]?(\w+)/i.exec(sql)
    if (write) {
      const table = write[1] as string
      return {
        kind: 'write',
        table,
        awaited: [table],
        awaits: /^\s*insert/i.test(sql) && !sql.includes('ON CONFLICT') ? 'shared' : 'exclusive',
        tables,
        locks: 'exclusive',
        plain: this.#database.prepare(sql),
        keys: this.#database.prepare(`${sql} RETURNING ${this.#key(table, '')} AS key_`),
      }
    }
    const mark = /\/\*(share|update|skip)\*\//.exec(sql)
    const text = mark?.[1] === 'skip' ? this.#skipping(sql) : sql
    return {
      kind: mark ? 'locking-read' : 'read',
      table: '',
      awaited: mark && mark[1] !== 'skip' ? text.split(' UNION ALL ').map(select => lockedTable(select).table) : [],
      awaits: mark?.[1] === 'share' ? 'shared' : 'exclusive',
      tables,
      locks: mark?.[1] === 'share' ? 'shared' : 'exclusive',
      plain: this.#database.prepare(text),
      keys: mark ? this.#database.prepare(this.#keysOf(text)) : null,
    }
  }

  /** Without the rows that somebody else has locked. */
  #skipping(sql: string): string {
    const { table, alias } = lockedTable(sql)
    return sql.replace(' WHERE ', ` WHERE lens_free('${table}', ${this.#key(table, alias)}) AND `)
  }

  #keysOf(sql: string): string {
    return sql
      .split(' UNION ALL ')
      .map(select => {
        const { table, alias, list } = lockedTable(select)
        return `SELECT '${table}' AS table_, ${this.#key(table, alias)} AS key_${select.slice(list)}`
      })
      .join(' UNION ALL ')
  }

  #key(table: string, alias: string): string {
    const columns = this.#keys.get(table)
    if (!columns || columns.length === 0) throw new Error(`${table} has no primary key: its rows cannot be locked`)
    const qualified = columns.map(column => `${alias === '' ? '' : `\`${alias}\`.`}\`${column}\``)
    return qualified.length === 1 ? `CAST(${qualified[0]} AS TEXT)` : qualified.join(` || '${separator}' || `)
  }
}

/** The one table of a locking SELECT, how its columns are qualified, and where its list ends. */
function lockedTable(select: string): { table: string; alias: string; list: number } {
  const from = /^SELECT .*?( FROM `(\w+)`(?: AS (\w+))?)/.exec(select)
  if (!from) throw new Error(`not a locking read of one table: ${select}`)
  const table = from[2] as string
  return { table, alias: from[3] ?? table, list: from[0].length - (from[1] as string).length }
}

/** Between the rows of the tables and the shapes of the contract: times, JSON texts, and the lists of columns. */
import type { SqlValue } from './database.ts'

/** ISO 8601 in UTC with milliseconds. */
export function isoOf(timeMs: number): string {
  return new Date(Number(timeMs)).toISOString()
}

export function isoOrNull(timeMs: number | null): string | null {
  return timeMs === null ? null : isoOf(timeMs)
}

/** Milliseconds since 1970, or null. */
export function msOrNull(iso: string | null | undefined): number | null {
  return iso === null || iso === undefined ? null : Date.parse(iso)
}

/** What was stored as JSON text; a text that is none is given as it is, for the reader's own check. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * Ids that can be in an ASCII column at all. Others are not asked for: a text outside ASCII would make the server convert the
 * whole column instead of the value, and read the whole table.
 */
export function askableIds(ids: readonly string[]): string[] {
  return [...new Set(ids)].filter(id => /^[\x21-\x7e]{1,64}$/.test(id))
}

/** `a AS p, b AS q` for the given properties, so that rows come back under the properties' names. */
export function selection<Property extends string>(
  names: { readonly [P in Property]: string },
  properties: readonly Property[],
  alias = '',
): string {
  return properties.map(property => `${alias}${names[property]} AS ${property}_`).join(', ')
}

/** Columns of a row under names that the SQL gave them; the reader says of what type each is. */
// biome-ignore lint/suspicious/noExplicitAny: the statement is the only one to know
export type SelectedRow = Record<string, any>

/** A row of `selection`, with its properties' own names. (In SQL they carry an underscore: some are reserved words.) */
export function unselected<Row extends object>(row: object): Row {
  const result: Record<string, unknown> = {}
  for (const key in row) result[propertyOf(key)] = (row as Record<string, unknown>)[key]
  return result as Row
}

/** The same few names for every row: cut anew each time, they made every row an object of a shape of its own. */
const properties = new Map<string, string>()

function propertyOf(key: string): string {
  let property = properties.get(key)
  if (property === undefined) {
    property = key.slice(0, -1)
    properties.set(key, property)
  }
  return property
}

/** `INSERT INTO t (a, b) VALUES (?, ?), …` with its values; `now` stands where a value is `databaseNow`. */
export const databaseNow = Symbol('the database’s clock')

export function insertion<Property extends string>(
  table: { readonly [P in Property]: string } & { toString(): string },
  rows: readonly Readonly<Record<Property, SqlValue | typeof databaseNow>>[],
  now: string,
): { sql: string; values: SqlValue[] } {
  const properties = Object.keys(rows[0] as object) as Property[]
  const values: SqlValue[] = []
  const tuples: string[] = []
  for (const row of rows) {
    const marks: string[] = []
    for (const property of properties) {
      const value = row[property]
      if (value === databaseNow) marks.push(now)
      else {
        marks.push('?')
        values.push(value as SqlValue)
      }
    }
    tuples.push(`(${marks.join(', ')})`)
  }
  const columns = properties.map(property => table[property]).join(', ')
  return { sql: `INSERT INTO ${table} (${columns}) VALUES ${tuples.join(', ')}`, values }
}

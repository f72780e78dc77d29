/**
 * Statements as MySQL's text protocol wants them: with the values written in.
 *
 * In place of the escaping that comes with the driver, which also escapes what need not be: nearly all that is written here
 * is JSON, where every name and text stands in double quotes, and within single quotes those mean nothing. It holds for
 * connections that `mysql-pool.ts` has set up: in utf8mb4, and in an `sql_mode` where the backslash escapes.
 */
import type { SqlValue } from './database.ts'

/** `sql` with each `?` replaced; a literal one can stand in a value only. */
export function withValues(sql: string, values: readonly SqlValue[]): string {
  if (values.length === 0) return sql
  const pieces = sql.split('?')
  if (pieces.length !== values.length + 1)
    throw new Error(`a statement has ${pieces.length - 1} places for ${values.length} values`)
  let text = pieces[0] as string
  for (let index = 0; index < values.length; index++)
    text += literal(values[index] as SqlValue) + (pieces[index + 1] as string)
  return text
}

function literal(value: SqlValue): string {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'number') return `${value}`
  if (typeof value === 'string') return `'${value.replace(/[\\'\0]/g, escaped)}'`
  return `X'${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}'`
}

function escaped(character: string): string {
  return character === '\0' ? '\\0' : `\\${character}`
}

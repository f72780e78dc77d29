/** How a value of a result is shown: by the column's type, as everywhere on the wire. */
import type { Column, WireValue } from '../../client/index.ts'

const numeric =
  /^(U?(TINY|SMALL|MEDIUM|BIG|HUGE)?INT(EGER)?|INT\d+|DOUBLE( PRECISION)?|FLOAT\d?|REAL|DECIMAL|NUMERIC)\b/i
const temporal = /^(TIMESTAMP|DATETIME)/i

export function isNumeric({ type }: Column): boolean {
  return numeric.test(type) && !type.endsWith(']')
}

/** The text of a value; null stays null, because its look differs. */
export function textOfValue(value: WireValue | undefined, column: Column): string | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return temporal.test(column.type) ? value.replace('T', ' ') : value
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** As spreadsheets take it: tabs between, text with tabs, line ends or quotes in quotes. */
export function tabbed(rows: readonly (readonly WireValue[])[], columns: readonly Column[]): string {
  const cell = (value: WireValue | undefined, column: Column) => {
    const text = textOfValue(value, column) ?? ''
    return /[\t\n\r"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return rows.map(row => columns.map((column, index) => cell(row[index], column)).join('\t')).join('\n')
}

/** Widths in characters, from names and the first rows: wide enough to read, never so wide that one hides the others. */
export function widthsOf(columns: readonly Column[], rows: readonly (readonly WireValue[])[]): number[] {
  return columns.map((column, index) => {
    const longest = rows
      .slice(0, 100)
      .reduce((width, row) => Math.max(width, textOfValue(row[index], column)?.length ?? 4), 0)
    return Math.min(42, Math.max(column.name.length + 1, column.type.length * 0.85 + 1, longest, 5)) + 3
  })
}

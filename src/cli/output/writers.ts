/**
 * Rows as a table, CSV or JSON, page by page: no format holds more than one page, so a result of any size takes the
 * same memory.
 */
import type { Column, ResultPage, Row, WireValue } from '../../client/index.ts'
import { cellText, isNumeric, padded, truncated, widthOf } from './cell.ts'

export const formats = ['table', 'csv', 'json', 'ndjson'] as const
export type Format = (typeof formats)[number]

export interface RowWriter {
  /** The text of one page; the first one brings the head along. */
  page(page: Pick<ResultPage, 'columns' | 'rows'>): string
  /** What comes after the last page. */
  end(): string
}

/** `columns` is the width of the terminal. */
export function rowWriter(format: Format, columns: number): RowWriter {
  if (format === 'csv') return new CsvWriter()
  if (format === 'json') return new JsonWriter()
  if (format === 'ndjson') return new JsonLinesWriter()
  return new TableWriter(columns)
}

const gap = '  '
/** No column is made narrower than this to fit the terminal. */
const columnWidthMin = 6

/** Aligned columns; their widths come from the first page, so that later pages line up without a look ahead. */
class TableWriter implements RowWriter {
  readonly #terminalWidth: number
  #widths: number[] | null = null

  constructor(terminalWidth: number) {
    this.#terminalWidth = terminalWidth
  }

  page({ columns, rows }: Pick<ResultPage, 'columns' | 'rows'>): string {
    const texts = rows.map(row => columns.map((_, index) => cellText(row[index])))
    const lines: string[] = []
    if (this.#widths === null) {
      this.#widths = this.#fitted(columns, texts)
      if (columns.length === 0) return ''
      lines.push(
        this.#line(
          columns.map(column => cellText(column.name)),
          columns,
        ),
      )
      lines.push(this.#widths.map(width => '-'.repeat(width)).join(gap))
    }
    for (const cells of texts) lines.push(this.#line(cells, columns))
    return lines.map(line => `${line}\n`).join('')
  }

  end(): string {
    return ''
  }

  #line(cells: readonly string[], columns: readonly Column[]): string {
    const parts = cells.map((cell, index) => {
      const width = this.#widths?.[index] ?? 0
      // In a pipe nothing is cut: a later, longer value rather breaks the alignment.
      const text = Number.isFinite(this.#terminalWidth) ? truncated(cell, width) : cell
      return padded(text, width, isNumeric(columns[index] as Column))
    })
    return parts.join(gap).trimEnd()
  }

  #fitted(columns: readonly Column[], texts: readonly (readonly string[])[]): number[] {
    const widths = columns.map((column, index) =>
      texts.reduce((width, cells) => Math.max(width, widthOf(cells[index] as string)), widthOf(cellText(column.name))),
    )
    let excess = widths.reduce((sum, width) => sum + width, 0) + gap.length * (widths.length - 1) - this.#terminalWidth
    // The widest column gives first, and numbers are cut last: half a number is worse than half a text.
    while (excess > 0) {
      const yielding = widestOf(widths, index => !isNumeric(columns[index] as Column)) ?? widestOf(widths, () => true)
      if (yielding === null) break
      widths[yielding] = (widths[yielding] as number) - 1
      excess--
    }
    return widths
  }
}

function widestOf(widths: readonly number[], eligible: (index: number) => boolean): number | null {
  let widest: number | null = null
  widths.forEach((width, index) => {
    if (width <= columnWidthMin || !eligible(index)) return
    if (widest === null || width > (widths[widest] as number)) widest = index
  })
  return widest
}

/** RFC 4180 with a header line: NULL is empty, the empty text is quoted. */
class CsvWriter implements RowWriter {
  #begun = false

  page({ columns, rows }: Pick<ResultPage, 'columns' | 'rows'>): string {
    const head = this.#begun ? '' : csvLine(columns.map(column => column.name))
    this.#begun = true
    return head + rows.map(csvLine).join('')
  }

  end(): string {
    return ''
  }
}

function csvLine(values: Row): string {
  return `${values.map(csvField).join(',')}\r\n`
}

function csvField(value: WireValue): string {
  if (value === null) return ''
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** One array of objects, a line each. */
class JsonWriter implements RowWriter {
  #begun = false

  page({ columns, rows }: Pick<ResultPage, 'columns' | 'rows'>): string {
    const names = uniqueNames(columns)
    return rows
      .map(row => {
        const before = this.#begun ? ',\n' : '[\n'
        this.#begun = true
        return before + objectText(names, row)
      })
      .join('')
  }

  end(): string {
    return this.#begun ? '\n]\n' : '[]\n'
  }
}

class JsonLinesWriter implements RowWriter {
  page({ columns, rows }: Pick<ResultPage, 'columns' | 'rows'>): string {
    const names = uniqueNames(columns)
    return rows.map(row => `${objectText(names, row)}\n`).join('')
  }

  end(): string {
    return ''
  }
}

/** By hand, because an object would put names that look like numbers first. */
function objectText(names: readonly string[], row: Row): string {
  return `{${names.map((name, index) => `${JSON.stringify(name)}:${JSON.stringify(row[index] ?? null)}`).join(',')}}`
}

/** A second column `count` becomes `count_2`: no value is lost. */
function uniqueNames(columns: readonly Column[]): string[] {
  const taken = new Set<string>()
  return columns.map(({ name }) => {
    let unique = name
    for (let number = 2; taken.has(unique); number++) unique = `${name}_${number}`
    taken.add(unique)
    return unique
  })
}

/** A table as wide as the screen: columns take what they need, and where that is too much, the least important ones go first. */
import { cellText, padded, truncated, widthOf } from '../output/cell.ts'
import { type Line, line, type Piece, piece, type Tone } from './lines.ts'

export interface TableColumn<T> {
  readonly name: string
  readonly text: (record: T) => string
  readonly tone?: (record: T) => Tone
  readonly numeric?: boolean
  /** The higher, the sooner the column goes where there is no room for it; 0 stays. */
  readonly rank: number
  /** The last column may take all that is left; the others take their content, up to this. */
  readonly widthMax?: number
}

const gap = 2
/** Less than that of a last column tells nothing. */
const restMin = 10

export interface Table {
  readonly head: Line
  readonly lines: readonly Line[]
}

/** `shown` are the records that are drawn; `all` decide the widths, so that scrolling does not move columns. */
export function tableOf<T>(
  columns: readonly TableColumn<T>[],
  all: readonly T[],
  shown: readonly T[],
  width: number,
): Table {
  const last = columns.length - 1
  const wanted = columns.map((column, index) => {
    const content = Math.max(0, ...all.map(record => widthOf(cellText(column.text(record)))))
    if (content === 0) return 0
    const whole = Math.max(widthOf(column.name), content)
    return index === last ? Math.min(whole, restMin) : Math.min(whole, column.widthMax ?? whole)
  })
  // A column that says nothing anywhere is not there.
  const kept = columns.map((_, index) => index).filter(index => wanted[index] !== 0)
  const needed = () => kept.reduce((sum, index) => sum + (wanted[index] ?? 0) + gap, 0)
  while (needed() > width && kept.some(index => (columns[index]?.rank ?? 0) > 0)) {
    const worst = kept.reduce((a, b) => ((columns[b]?.rank ?? 0) >= (columns[a]?.rank ?? 0) ? b : a))
    kept.splice(kept.indexOf(worst), 1)
  }
  // The last one that is left is as wide as the line.
  const pieces = (make: (column: TableColumn<T>) => Piece): Line =>
    line(
      ...kept.flatMap((index, place): Piece[] => {
        const column = columns[index] as TableColumn<T>
        const { text, tone } = make(column)
        const columnWidth = wanted[index] ?? 0
        if (place === kept.length - 1 && !column.numeric) return [piece(text, tone)]
        const cut = truncated(cellText(text), columnWidth)
        return [piece(padded(cut, columnWidth, column.numeric === true), tone), piece(' '.repeat(gap))]
      }),
    )
  return {
    head: pieces(column => piece(column.name, 'dim')),
    lines: shown.map(record => pieces(column => piece(column.text(record), column.tone?.(record) ?? 'plain'))),
  }
}

/** The first of `count` items that is shown in `height` lines, so that the selected one is among them. */
export function scrolledTo(selected: number, count: number, height: number): number {
  if (count <= height) return 0
  return Math.min(Math.max(0, selected - Math.floor(height / 2)), count - height)
}

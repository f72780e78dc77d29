/** One row of the grid, and which of its cells are selected. */
import type { Column } from '../../client/index.ts'
import type { Row } from './row-pages.ts'
import { isNumeric, textOfValue } from './values.ts'

export interface Cell {
  readonly row: number
  readonly column: number
}

/** From the cell where a selection began to the one where it is now. */
export interface Range {
  readonly anchor: Cell
  readonly head: Cell
}

export function isWithin(row: number, { anchor, head }: Range): boolean {
  return row >= Math.min(anchor.row, head.row) && row <= Math.max(anchor.row, head.row)
}

interface Props {
  readonly index: number
  /** null while it is on its way. */
  readonly row: Row | null
  readonly columns: readonly Column[]
  /** null where no cell of this row is selected. */
  readonly range: Range | null
  readonly select: (cell: Cell, extend: boolean) => void
}

export function GridRow({ index, row, columns, range, select }: Props) {
  return (
    <div class={index % 2 ? 'grid-row odd' : 'grid-row'} role="row" aria-rowindex={index + 2}>
      <span class="grid-number" role="rowheader" aria-colindex={1}>
        {index + 1}
      </span>
      {columns.map((column, at) => {
        const text = row ? textOfValue(row[at], column) : ''
        const isSelected =
          range !== null &&
          at >= Math.min(range.anchor.column, range.head.column) &&
          at <= Math.max(range.anchor.column, range.head.column)
        const isHead = range !== null && range.head.row === index && range.head.column === at
        return (
          <span
            key={at}
            id={`cell-${index}-${at}`}
            role="gridcell"
            aria-colindex={at + 2}
            aria-selected={isSelected}
            class={`${isNumeric(column) ? 'number ' : ''}${isHead ? 'head ' : ''}${text === null ? 'null' : ''}`}
            title={text !== null && text.length > 24 ? text : undefined}
            onClick={event => select({ row: index, column: at }, event.shiftKey)}
          >
            {row === null ? '…' : (text ?? 'NULL')}
          </span>
        )
      })}
    </div>
  )
}

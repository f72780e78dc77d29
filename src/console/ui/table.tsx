/**
 * A table of things, one row each. Wide ones scroll within their frame, never the page; one of many columns is a list of cards
 * where the screen is narrow, each value under the title of its column.
 */
import type { ComponentChildren } from 'preact'

export interface Column<T> {
  readonly title: string
  readonly cell: (row: T) => ComponentChildren
  /** Right-aligned, with figures of one width. */
  readonly number?: boolean
}

interface Props<T> {
  readonly columns: readonly Column<T>[]
  readonly rows: readonly T[]
  readonly rowKey: (row: T) => string
  /** Says what the table holds, for those who do not see it. */
  readonly caption: string
  /** Shown in place of rows when there are none. */
  readonly empty?: ComponentChildren
  /** Its rows are cards on narrow screens: no value of a row is out of sight there. */
  readonly stacks?: boolean
}

/** What is laid out as cards is no table to a browser any more, unless it is told. */
const as = <R extends string>(role: R) => ({ role })

export function Table<T>({ columns, rows, rowKey, caption, empty, stacks = false }: Props<T>) {
  return (
    // A frame that scrolls must be reachable by keyboard.
    <section class={stacks ? 'table-frame stacks' : 'table-frame'} tabIndex={0} aria-label={caption}>
      <table {...as('table')}>
        <caption class="visually-hidden">{caption}</caption>
        <thead {...as('rowgroup')}>
          <tr {...as('row')}>
            {columns.map(column => (
              <th key={column.title} {...as('columnheader')} scope="col" class={column.number ? 'number' : undefined}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody {...as('rowgroup')}>
          {rows.map(row => (
            <tr key={rowKey(row)} {...as('row')} data-key={rowKey(row)}>
              {columns.map(column => (
                <td
                  key={column.title}
                  {...as('cell')}
                  class={column.number ? 'number' : undefined}
                  data-title={column.title}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 ? empty : null}
    </section>
  )
}

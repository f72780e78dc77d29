/**
 * Rows of a result, however many: only those that are seen are in the document. One tab stop; arrow keys move a cell, with
 * Shift they extend a range, and copying takes the range as text with tabs.
 */
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks'
import type { Column } from '../../client/index.ts'
import { useClient } from '../session.ts'
import { ErrorNote } from '../ui/index.ts'
import { type Cell, GridRow, isWithin, type Range } from './grid-row.tsx'
import { type Row, RowPages } from './row-pages.ts'
import { heightPx, isScaled, rowPx, scrollTopOf, topMax, topOf, topShowing } from './scroll.ts'
import { isNumeric, tabbed, widthsOf } from './values.ts'

interface Props {
  readonly handle: string
  readonly columns: readonly Column[]
  readonly rowCount: number
}

const overscan = 8
const headPx = 44
/** A copy takes no more rows than this, so that a slip of the hand does not freeze the page. */
const copyRowsMax = 10_000

export function Grid({ handle, columns, rowCount }: Props) {
  const client = useClient()
  const frame = useRef<HTMLDivElement>(null)
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const [pages, setPages] = useState<RowPages | null>(null)
  const [viewPx, setViewPx] = useState(400)
  /** The first row seen, fractional, and where the browser was told to scroll for it. */
  const [top, setTop] = useState(0)
  const told = useRef(0)
  const [range, setRange] = useState<Range>({ anchor: { row: 0, column: 0 }, head: { row: 0, column: 0 } })
  const extent = { rowCount, viewPx }

  useEffect(() => {
    const made = new RowPages(client, handle, rowCount, () => redraw(undefined as never))
    setPages(made)
    return () => made.close()
  }, [client, handle, rowCount])

  useLayoutEffect(() => {
    const element = frame.current
    if (!element) return
    const measure = () => setViewPx(Math.max(rowPx, element.clientHeight - headPx))
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  const first = Math.max(0, Math.floor(top) - overscan)
  const last = Math.min(rowCount, Math.ceil(top + viewPx / rowPx) + overscan)
  useEffect(() => {
    // Who scrolls far passes thousands of rows: only where they rest are rows asked for.
    const timer = setTimeout(() => pages?.look(first, last), pages?.row(first) ? 0 : 60)
    return () => clearTimeout(timer)
  }, [pages, first, last, pages?.error])

  const moveTo = (next: number) => {
    const bounded = Math.min(topMax(extent), Math.max(0, next))
    setTop(bounded)
    const element = frame.current
    if (!element) return
    element.scrollTop = scrollTopOf(bounded, extent)
    told.current = element.scrollTop
  }
  const onScroll = () => {
    const element = frame.current
    // Our own scrolling is told back; it would lose the fraction that the pixels cannot say.
    if (element && Math.abs(element.scrollTop - told.current) > 1) {
      told.current = element.scrollTop
      setTop(topOf(element.scrollTop, extent))
    }
  }
  const wheel = useRef<(event: WheelEvent) => void>(() => {})
  wheel.current = event => {
    if (!isScaled(extent) || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return
    event.preventDefault()
    moveTo(top + (event.deltaMode === 1 ? event.deltaY : event.deltaY / rowPx))
  }
  useEffect(() => {
    const element = frame.current
    const listen = (event: WheelEvent) => wheel.current(event)
    element?.addEventListener('wheel', listen, { passive: false })
    return () => element?.removeEventListener('wheel', listen)
  }, [])

  const select = (head: Cell, extend: boolean) => {
    const bounded = {
      row: Math.min(rowCount - 1, Math.max(0, head.row)),
      column: Math.min(columns.length - 1, Math.max(0, head.column)),
    }
    setRange(before => ({ anchor: extend ? before.anchor : bounded, head: bounded }))
    const next = topShowing(bounded.row, top, extent)
    if (next !== top) moveTo(next)
    document.getElementById(`column-${bounded.column}`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const { row, column } = range.head
    const page = Math.max(1, Math.floor(viewPx / rowPx) - 1)
    const whole = event.ctrlKey || event.metaKey
    const moves: Record<string, Cell> = {
      ArrowUp: { row: row - 1, column },
      ArrowDown: { row: row + 1, column },
      ArrowLeft: { row, column: column - 1 },
      ArrowRight: { row, column: column + 1 },
      PageUp: { row: row - page, column },
      PageDown: { row: row + page, column },
      Home: { row: whole ? 0 : row, column: 0 },
      End: { row: whole ? rowCount - 1 : row, column: columns.length - 1 },
    }
    const move = moves[event.key]
    if (!move) return
    event.preventDefault()
    select(move, event.shiftKey)
  }
  const onCopy = (event: ClipboardEvent) => {
    const columnFrom = Math.min(range.anchor.column, range.head.column)
    const columnTo = Math.max(range.anchor.column, range.head.column) + 1
    const rowFrom = Math.min(range.anchor.row, range.head.row)
    const rowTo = Math.min(Math.max(range.anchor.row, range.head.row) + 1, rowFrom + copyRowsMax)
    const rows: Row[] = []
    for (let index = rowFrom; index < rowTo; index++) {
      const row = pages?.row(index)
      if (row) rows.push(row.slice(columnFrom, columnTo))
    }
    event.clipboardData?.setData('text/plain', tabbed(rows, columns.slice(columnFrom, columnTo)))
    event.preventDefault()
  }

  // Columns grow with what is seen and never shrink: what moves while one reads is no help.
  const known = useRef<readonly number[]>([])
  const seenRows = Array.from({ length: Math.max(0, last - first) }, (_, index) => pages?.row(first + index))
  const needed = widthsOf(
    columns,
    seenRows.filter(row => !!row),
  )
  const widths = needed.map((width, index) => Math.max(width, known.current[index] ?? 0))
  known.current = widths
  const template = `${String(rowCount).length + 3}ch ${widths.map(width => `${width}ch`).join(' ')}`
  const shift = (frame.current?.scrollTop ?? 0) - (top - first) * rowPx
  const shown = Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index)
  return (
    <>
      {pages?.error ? <ErrorNote error={pages.error} retry={() => pages.retry()} /> : null}
      <div
        ref={frame}
        class="grid"
        role="grid"
        aria-label="Rows of the result"
        aria-rowcount={rowCount + 1}
        aria-colcount={columns.length + 1}
        aria-activedescendant={`cell-${range.head.row}-${range.head.column}`}
        tabIndex={0}
        onScroll={onScroll}
        onKeyDown={onKeyDown}
        onCopy={onCopy}
      >
        <div class="grid-inner" style={{ '--columns': template }}>
          <div class="grid-head" role="row" aria-rowindex={1}>
            <span class="grid-corner" role="columnheader" aria-colindex={1}>
              <span class="visually-hidden">Row</span>#
            </span>
            {columns.map((column, index) => (
              <span
                key={index}
                id={`column-${index}`}
                class={isNumeric(column) ? 'number' : ''}
                role="columnheader"
                aria-colindex={index + 2}
              >
                <b>{column.name}</b>
                <small>{column.type}</small>
              </span>
            ))}
          </div>
          <div class="grid-space" role="rowgroup" style={{ height: `${heightPx(extent)}px` }}>
            <div class="grid-rows" role="presentation" style={{ transform: `translateY(${shift}px)` }}>
              {shown.map(index => (
                <GridRow
                  key={index}
                  index={index}
                  row={pages?.row(index) ?? null}
                  columns={columns}
                  range={isWithin(index, range) ? range : null}
                  select={select}
                />
              ))}
            </div>
          </div>
        </div>
      </div>
    </>
  )
}

/**
 * Which rows are seen where the browser scrolls to. Browsers lay out no box of hundreds of millions of pixels, so beyond a
 * limit the scrolled height stands for the rows in proportion; the wheel and the keys then move by rows all the same.
 */
export const rowPx = 26
/** Well below what any browser can lay out (Firefox: 17 million). */
const heightMaxPx = 8_000_000

export interface Extent {
  readonly rowCount: number
  /** What of the frame shows rows. */
  readonly viewPx: number
}

export function heightPx({ rowCount }: Extent): number {
  return Math.min(rowCount * rowPx, heightMaxPx)
}

/** True where a pixel of the scroll bar is not a pixel of rows. */
export function isScaled({ rowCount }: Extent): boolean {
  return rowCount * rowPx > heightMaxPx
}

/** The largest first row, fractional: with it the last row is seen whole. */
export function topMax({ rowCount, viewPx }: Extent): number {
  return Math.max(0, rowCount - viewPx / rowPx)
}

/** The first row seen, fractional, where the browser has scrolled to. */
export function topOf(scrollTop: number, extent: Extent): number {
  if (!isScaled(extent)) return scrollTop / rowPx
  const range = heightPx(extent) - extent.viewPx
  return range <= 0 ? 0 : Math.min(1, scrollTop / range) * topMax(extent)
}

/** Where to scroll so that `top` is the first row seen. */
export function scrollTopOf(top: number, extent: Extent): number {
  if (!isScaled(extent)) return top * rowPx
  const max = topMax(extent)
  return max === 0 ? 0 : (top / max) * (heightPx(extent) - extent.viewPx)
}

/** The first row after a move that makes `index` seen, and changes nothing when it is. */
export function topShowing(index: number, top: number, extent: Extent): number {
  const seen = Math.max(1, Math.floor(extent.viewPx / rowPx))
  if (index < top) return index
  if (index > top + seen - 1) return Math.min(topMax(extent), index - seen + 1)
  return top
}

/** Routes of arrows as paths of SVG: rounded where they bend, with a head where they end. */
interface Point {
  readonly x: number
  readonly y: number
}

const bendPx = 7

export function roundedPath(points: readonly Point[]): string {
  const [first, ...rest] = points
  if (!first) return ''
  const parts = [`M${first.x} ${first.y}`]
  let from = first
  rest.forEach((corner, index) => {
    const next = rest[index + 1]
    if (!next) {
      parts.push(`L${corner.x} ${corner.y}`)
      return
    }
    const before = towards(corner, from)
    const after = towards(corner, next)
    parts.push(`L${before.x} ${before.y}Q${corner.x} ${corner.y} ${after.x} ${after.y}`)
    from = corner
  })
  return parts.join('')
}

/** A point on the way from `corner` to `to`, not beyond its middle. */
function towards(corner: Point, to: Point): Point {
  const length = Math.hypot(to.x - corner.x, to.y - corner.y)
  if (length === 0) return corner
  const share = Math.min(bendPx, length / 2) / length
  return { x: corner.x + (to.x - corner.x) * share, y: corner.y + (to.y - corner.y) * share }
}

/** A filled triangle whose tip is the end of the route. */
export function headPath(points: readonly Point[], lengthPx = 8): string {
  const tip = points.at(-1)
  const before = points.findLast(point => tip && (point.x !== tip.x || point.y !== tip.y))
  if (!tip || !before) return ''
  const length = Math.hypot(tip.x - before.x, tip.y - before.y)
  const x = ((tip.x - before.x) / length) * lengthPx
  const y = ((tip.y - before.y) / length) * lengthPx
  return `M${tip.x} ${tip.y}L${tip.x - x - y / 2} ${tip.y - y + x / 2}L${tip.x - x + y / 2} ${tip.y - y - x / 2}Z`
}

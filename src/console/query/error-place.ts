/** Where in a statement its engine found an error: read from the message, which shows the line and a mark under the place. */
export interface ErrorPlace {
  /** Offsets in the text, `to` exclusive. */
  readonly from: number
  readonly to: number
}

/** null when the message names no place, or one that the text does not have. */
export function errorPlaceOf(message: string, sql: string): ErrorPlace | null {
  const shown = /(?:^|\n)(LINE (\d+): )(.*)\n( *)\^/.exec(message)
  if (!shown) return null
  const [, label = '', number = '', excerpt = '', spaces = ''] = shown
  const lines = sql.split('\n')
  const line = lines[Number(number) - 1]
  if (line === undefined) return null
  // Of a long line only a part is shown, between dots.
  const part = excerpt.replace(/^\.\.\./, '').replace(/\.\.\.$/, '')
  const cut = excerpt.startsWith('...') ? Math.max(0, line.indexOf(part)) - 3 : 0
  const column = Math.min(line.length, Math.max(0, spaces.length - label.length + cut))
  const lineStart = lines.slice(0, Number(number) - 1).reduce((sum, before) => sum + before.length + 1, 0)
  const word = /^\w+|^./.exec(line.slice(column))?.[0] ?? ''
  const from = lineStart + column
  return { from, to: from + Math.max(word.length, 1) }
}

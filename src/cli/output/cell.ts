/** Values as text of a known width: what a terminal shows must neither move its cursor nor break a line. */
import type { Column, WireValue } from '../../client/index.ts'

const numericType = /^(u?(tiny|small|medium|big|huge)?int(eger)?\d*|decimal|numeric|double|float|real|number)\b/i

export function isNumeric(column: Column): boolean {
  return numericType.test(column.type) && !/\[|list|array/i.test(column.type)
}

export function cellText(value: WireValue | undefined): string {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'string') return visible(value)
  return typeof value === 'object' ? visible(JSON.stringify(value)) : String(value)
}

/** Control characters as escapes. */
function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, character => {
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    if (character === '\r') return '\\r'
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

const segmenter = new Intl.Segmenter()
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
const plain = /^[\u0020-\u007e]*$/

/** Columns of a terminal that the text takes. */
export function widthOf(text: string): number {
  if (plain.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += widthOfSegment(segment)
  return width
}

function widthOfSegment(segment: string): number {
  if (/^[\p{Mark}\p{Cf}]+$/u.test(segment)) return 0
  return wide.test(segment) ? 2 : 1
}

/** The text in at most `widthMax` columns; what is left out shows as an ellipsis. */
export function truncated(text: string, widthMax: number): string {
  if (widthOf(text) <= widthMax) return text
  let kept = ''
  let width = 0
  for (const { segment } of segmenter.segment(text)) {
    width += widthOfSegment(segment)
    if (width > widthMax - 1) break
    kept += segment
  }
  return `${kept}…`
}

/** The text as it is shown, in lines of at most `widthMax` columns each (at least 2); breaks between words where there are any. */
export function wrapped(text: string, widthMax: number): string[] {
  const max = Math.max(2, widthMax)
  const lines: string[] = []
  let current = ''
  let width = 0
  const flush = () => {
    lines.push(current.trimEnd())
    current = ''
    width = 0
  }
  for (const word of visible(text).split(/(?<=\s)/)) {
    const needed = widthOf(word.trimEnd())
    if (width + needed > max && current.trim() !== '') flush()
    for (const { segment } of segmenter.segment(word)) {
      const step = widthOfSegment(segment)
      if (width + step > max) {
        if (segment.trim() === '') continue
        flush()
      }
      current += segment
      width += step
    }
  }
  flush()
  return lines
}

export function padded(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)))
  return right ? space + text : text + space
}

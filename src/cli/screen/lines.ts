/**
 * What is drawn, before it is drawn: lines of pieces, each with a tone. Views are functions from state to lines, and know
 * nothing of sequences and colours. Whatever a piece says is made harmless here, once: statements, names and messages come
 * from others, and must not move anybody's cursor.
 */
import { cellText, truncated, widthOf } from '../output/cell.ts'

/** What a piece is, never which colour. Tones only repeat what the text says. */
export type Tone = 'plain' | 'strong' | 'dim' | 'good' | 'waiting' | 'bad' | 'accent'

export interface Piece {
  readonly text: string
  readonly tone: Tone
}

export interface Line {
  readonly pieces: readonly Piece[]
  /** The whole line, to the edge, stands out: what is selected, or a bar. */
  readonly marked?: boolean
}

export function piece(text: string, tone: Tone = 'plain'): Piece {
  return { text, tone }
}

export function line(...pieces: readonly (Piece | string)[]): Line {
  return { pieces: pieces.map(item => (typeof item === 'string' ? piece(item) : item)) }
}

export function marked(of: Line): Line {
  return { ...of, marked: true }
}

const codes: Readonly<Record<Tone, string>> = {
  plain: '',
  strong: '1',
  dim: '2',
  good: '32',
  waiting: '33',
  bad: '31',
  accent: '36',
}

/** The line in at most `columns` columns, with its colours, which are off again at its end. */
export function rendered(of: Line, columns: number, colours: boolean): string {
  let left = columns
  let text = ''
  for (const { text: said, tone } of of.pieces) {
    if (left <= 0) break
    const fitting = truncated(cellText(said), left)
    left -= widthOf(fitting)
    const code = colours ? codes[tone] : ''
    text +=
      code === '' || fitting === ''
        ? fitting
        : `\u001b[${code}m${fitting}\u001b[${tone === 'strong' || tone === 'dim' ? '22' : '39'}m`
  }
  // Standing out is no colour: without it nobody could see what is selected.
  return of.marked ? `\u001b[7m${text}${' '.repeat(Math.max(0, left))}\u001b[27m` : text
}

export function textOf({ pieces }: Line): string {
  return pieces.map(({ text }) => text).join('')
}

export function usesColours(env: Readonly<Record<string, string | undefined>>): boolean {
  return !env.NO_COLOR
}

/** One line at the end of a terminal that is rewritten where it stands, until something is written for good above it. */
import { type Line, rendered } from './lines.ts'

const clear = '\r\u001b[K'

export class LiveLine {
  readonly #write: (text: string) => void
  readonly #columns: () => number
  readonly #colours: boolean
  #standing = ''

  constructor(write: (text: string) => void, columns: () => number, colours: boolean) {
    this.#write = write
    this.#columns = columns
    this.#colours = colours
  }

  /** Rewrites it; cut at the width of the terminal, whose last column stays free, since some break the line there. */
  show(line: Line): void {
    const text = this.#rendered(line)
    if (text === this.#standing) return
    this.#write(clear + text)
    this.#standing = text
  }

  /** Writes a line for good, in the place of the one that is rewritten. */
  keep(line: Line): void {
    this.#write(`${clear}${this.#rendered(line)}\n`)
    this.#standing = ''
  }

  hide(): void {
    if (this.#standing !== '') this.#write(clear)
    this.#standing = ''
  }

  #rendered(line: Line): string {
    const columns = this.#columns()
    return rendered(line, Number.isFinite(columns) ? Math.max(1, columns - 1) : 79, this.#colours)
  }
}

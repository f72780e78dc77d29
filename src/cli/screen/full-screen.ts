/**
 * The whole terminal, as its second screen: what was there before comes back, however the command ends. Only lines that
 * differ from what stands there are written, so that a slow connection and a reader's eye both stay calm.
 */
import type { Terminal } from '../terminal.ts'
import { type Line, rendered, usesColours } from './lines.ts'

const enter = '\u001b[?1049h\u001b[?25l'
const leave = '\u001b[?25h\u001b[?1049l'

export class FullScreen {
  readonly #terminal: Terminal
  readonly #colours: boolean
  readonly #stopWatchingExit: () => void
  readonly #stopWatchingSize: () => void
  #standing: string[] = []
  #left = false

  /** `resized` is called when all has to be drawn anew. */
  constructor(terminal: Terminal, resized: () => void) {
    this.#terminal = terminal
    this.#colours = usesColours(terminal.env)
    this.#stopWatchingExit = terminal.onExit(leave)
    this.#stopWatchingSize = terminal.onResize(() => {
      this.forget()
      resized()
    })
    void terminal.out(enter)
  }

  /** Draws everything at the next time, even what seems to stand there. */
  forget(): void {
    this.#standing = []
  }

  draw(lines: readonly Line[]): void {
    if (this.#left) return
    const { columns, rows } = this.#terminal
    let text = this.#standing.length === 0 ? '\u001b[2J' : ''
    const next: string[] = []
    for (let row = 0; row < rows; row++) {
      const content = lines[row]
      next.push(content ? rendered(content, columns, this.#colours) : '')
      if (next[row] !== (this.#standing[row] ?? '')) text += `\u001b[${row + 1};1H\u001b[K${next[row]}`
    }
    this.#standing = next
    if (text !== '') void this.#terminal.out(text)
  }

  /** Safe twice. */
  leave(): void {
    if (this.#left) return
    this.#left = true
    this.#stopWatchingSize()
    this.#stopWatchingExit()
    void this.#terminal.out(leave)
  }
}

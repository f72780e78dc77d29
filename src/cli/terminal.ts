/** Where a command reads and writes: the process's own streams, with what is known about them. */
import { emitKeypressEvents, type Key } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export type { Key }

export interface Terminal {
  readonly input: Readable
  readonly env: Readonly<Record<string, string | undefined>>
  /** Standard output is a terminal: widths are cut to it, and messages may be mixed in. */
  readonly interactive: boolean
  /** Standard error is a terminal: a line on it may be rewritten. */
  readonly progressive: boolean
  /** Standard output is a terminal on which lines can be rewritten. */
  readonly drawable: boolean
  /** Keys can be read one by one. */
  readonly keyed: boolean
  /** Width of the terminal in columns; no limit in a pipe. */
  readonly columns: number
  /** Height of the terminal in lines. */
  readonly rows: number
  /** Results. Resolves when the reader can take more. */
  out(text: string): Promise<void>
  /** Messages, progress, errors. */
  err(text: string): void
  /** Calls back at every change of the size. Returns how to stop. */
  onResize(listener: () => void): () => void
  /** Takes the keys one by one, Ctrl-C among them, until the returned function is called. */
  onKey(listener: (key: Key) => void): () => void
  /** Writes `text` when the process ends without having come to the returned function: what gives a terminal back. */
  onExit(text: string): () => void
}

/** The terminal of this process. A reader that leaves early (`| head`) ends it quietly. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr, env } = process
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  return {
    input: stdin,
    env,
    get interactive() {
      return stdout.isTTY === true
    },
    get progressive() {
      return stderr.isTTY === true && env.TERM !== 'dumb'
    },
    get drawable() {
      return stdout.isTTY === true && env.TERM !== 'dumb'
    },
    get keyed() {
      return stdin.isTTY === true
    },
    get columns() {
      // Some terminals say that they are 0 columns wide.
      return stdout.isTTY ? stdout.columns || 80 : Number.POSITIVE_INFINITY
    },
    get rows() {
      return (stdout.isTTY && stdout.rows) || 24
    },
    out: text => written(stdout, text),
    err: text => void stderr.write(text),
    onResize(listener) {
      stdout.on('resize', listener)
      return () => stdout.off('resize', listener)
    },
    onKey(listener) {
      const pressed = (_text: string | undefined, key: Key) => listener(key)
      emitKeypressEvents(stdin)
      stdin.on('keypress', pressed)
      stdin.setRawMode(true)
      stdin.resume()
      return () => {
        stdin.off('keypress', pressed)
        stdin.setRawMode(false)
        stdin.pause()
      }
    },
    onExit(text) {
      const write = () => stdout.write(text)
      // Its ordinary effect would leave no time for it. 128 + SIGHUP, as shells have it.
      const hungUp = () => process.exit(129)
      process.on('exit', write)
      process.on('SIGHUP', hungUp)
      return () => {
        process.off('exit', write)
        process.off('SIGHUP', hungUp)
      }
    },
  }
}

function written(stream: Writable, text: string): Promise<void> {
  if (stream.write(text)) return Promise.resolve()
  return new Promise(resolve => stream.once('drain', () => resolve()))
}

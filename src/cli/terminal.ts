/** Where a command reads and writes: the process's own streams, with what is known about them. */
import type { Readable, Writable } from 'node:stream'

export interface Terminal {
  readonly input: Readable
  readonly env: Readonly<Record<string, string | undefined>>
  /** Standard output is a terminal: widths are cut to it, and messages may be mixed in. */
  readonly interactive: boolean
  /** Standard error is a terminal: a line on it may be rewritten. */
  readonly progressive: boolean
  /** Width of the terminal in columns; no limit in a pipe. */
  readonly columns: number
  /** Results. Resolves when the reader can take more. */
  out(text: string): Promise<void>
  /** Messages, progress, errors. */
  err(text: string): void
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
    get columns() {
      // Some terminals say that they are 0 columns wide.
      return stdout.isTTY ? stdout.columns || 80 : Number.POSITIVE_INFINITY
    },
    out: text => written(stdout, text),
    err: text => void stderr.write(text),
  }
}

function written(stream: Writable, text: string): Promise<void> {
  if (stream.write(text)) return Promise.resolve()
  return new Promise(resolve => stream.once('drain', () => resolve()))
}

/** Passwords and tokens: asked for without being shown, or read from where nobody looks over a shoulder. Never from an argument. */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { UsageError } from './exit-codes.ts'
import type { Key, Terminal } from './terminal.ts'

/** What is typed, unseen; or, where nothing is typed, the first line of the input. Rejects when there is none. */
export async function askSecret(terminal: Terminal, question: string): Promise<string> {
  if (!terminal.keyed) return firstLine(terminal)
  terminal.err(question)
  let typed = ''
  try {
    return await new Promise<string>((resolve, reject) => {
      const listen = ({ sequence = '', name, ctrl }: Key) => {
        if (name === 'return' || name === 'enter') end(() => resolve(typed))
        else if (ctrl && (name === 'c' || name === 'd')) end(() => reject(new UsageError('no password was given')))
        else if (name === 'backspace') typed = [...typed].slice(0, -1).join('')
        else if (ctrl && name === 'u') typed = ''
        else if (!/\p{Cc}/u.test(sequence)) typed += sequence
      }
      const stop = terminal.onKey(listen)
      const end = (then: () => void) => {
        stop()
        then()
      }
    })
  } finally {
    terminal.err('\n')
  }
}

async function firstLine(terminal: Terminal): Promise<string> {
  for await (const line of createInterface({ input: terminal.input })) return line
  throw new UsageError('expected the password as the first line of the input')
}

/** A file of one line, as secrets are mounted. */
export function secretOfFile(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new UsageError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** Runs the command line as its users do: a process of its own, its output and its exit code. */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

export const entry = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** A command that does not come to what is waited for in so long, however much it writes, is broken. */
const patienceMs = 90_000

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

/** A running command, whose output can be waited for. */
export class Running {
  readonly child: ChildProcess
  readonly finished: Promise<Finished>
  out = ''
  err = ''
  #waiting: (() => void)[] = []
  #ended = false

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.setEncoding('utf8').on('data', text => {
      this.out += text
      this.#changed()
    })
    child.stderr?.setEncoding('utf8').on('data', text => {
      this.err += text
      this.#changed()
    })
    this.finished = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        this.#ended = true
        this.#changed()
        resolve({ code, signal, out: this.out, err: this.err })
      })
    })
  }

  /** Resolves with what `find` gives once it gives something; fails when the command ends without it. */
  async until<T>(
    what: string,
    find: (output: { out: string; err: string }) => T | null | undefined | false,
  ): Promise<T> {
    const patience = setTimeout(patienceMs, false, { ref: false })
    for (;;) {
      const found = find(this)
      if (found) return found
      if (this.#ended) throw new Error(`ended without ${what}; it wrote:\n${this.out}\n${this.err}`)
      // Said before the runner's own time-out, which would not say what was there instead.
      const waiting = new Promise<boolean>(resolve => this.#waiting.push(() => resolve(true)))
      const changed = await Promise.race([waiting, patience])
      if (!changed) throw new Error(`no ${what}; it wrote:\n${JSON.stringify(this.out.slice(-3000))}\n${this.err}`)
    }
  }

  write(text: string): void {
    this.child.stdin?.write(text)
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#ended) this.child.kill(signal)
  }

  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string
}

export function start(t: ExecutionContext, args: readonly string[], options: StartOptions = {}): Running {
  return launch(t, process.execPath, [entry, ...args], options)
}

/** The command on a terminal of its own (util-linux's `script` makes one); what is written to it is typed. */
export function startOnTerminal(t: ExecutionContext, args: readonly string[], options: StartOptions = {}): Running {
  const command = [process.execPath, entry, ...args].map(word => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const env = { TERM: 'xterm', COLUMNS: '100', ...options.env }
  return launch(t, 'script', ['-qefc', `stty cols 100 rows 40; exec ${command}`, '/dev/null'], { ...options, env })
}

function launch(t: ExecutionContext, file: string, args: readonly string[], options: StartOptions): Running {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const running = new Running(child)
  t.teardown(() => running.kill('SIGKILL'))
  if (options.input !== undefined) child.stdin?.end(options.input)
  return running
}

export async function run(t: ExecutionContext, args: readonly string[], options: StartOptions = {}): Promise<Finished> {
  return start(t, args, { input: '', ...options }).finished
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences are made of them
const sequences = /\u001b\[[0-9;?]*[A-Za-z]/g

// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const rewritten = /[^\n]*\r\u001b\[K/g

/** What a terminal would show in the end, roughly: lines as they were last written, without what moves and colours. */
export function plain(text: string): string {
  return text.replace(rewritten, '').replace(sequences, '').replaceAll('\r', '')
}

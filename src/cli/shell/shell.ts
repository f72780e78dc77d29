/**
 * The interactive shell. Lines are gathered until a semicolon ends the statement, and run one after the other; readline
 * goes on listening meanwhile, so that Ctrl-C reaches the query that runs.
 *
 *     reading ──(;)──▶ running ──(end)──▶ reading
 *        │                └──(Ctrl-C: cancel)──▶ running until it has ended
 *        └──(Ctrl-C: drop what was typed)──▶ reading
 */
import { createInterface } from 'node:readline'
import type { LensClient } from '../../client/index.ts'
import { type ExitCode, exitCodes, reportFailure } from '../exit-codes.ts'
import type { Format } from '../output/writers.ts'
import { runQuery } from '../run-query.ts'
import type { Terminal } from '../terminal.ts'
import { Completion } from './completion.ts'
import { historyFile, readHistory, writeHistory } from './history.ts'
import { metaNames, runMetaCommand, type ShellState } from './meta-commands.ts'
import { splitStatements } from './statements.ts'

const prompt = 'lens> '
const continued = '   -> '

export async function runShell(
  client: LensClient,
  terminal: Terminal,
  format: Format,
  watch: boolean,
): Promise<ExitCode> {
  const session = await client.open()
  const talking = terminal.interactive && (terminal.input as NodeJS.ReadStream).isTTY === true
  const completion = new Completion(metaNames)
  const state: ShellState = { client, terminal, completion, format, watch, leaving: false }
  if (talking) {
    await terminal.out(
      `Connected to ${client.endpoint}${session ? ` as ${session.user}` : ''}. \\? for help, \\q to leave.\n`,
    )
    // The first Tab may come before the tables have: it then completes keywords only.
    completion.load(client).catch(() => {})
  }
  return new Shell(state, talking).run()
}

class Shell {
  readonly #state: ShellState
  readonly #talking: boolean
  #buffer = ''
  #running: AbortController | null = null
  #failed: ExitCode = exitCodes.success

  constructor(state: ShellState, talking: boolean) {
    this.#state = state
    this.#talking = talking
  }

  async run(): Promise<ExitCode> {
    const file = historyFile()
    const history = this.#talking ? await readHistory(file) : []
    const readline = createInterface({
      input: this.#state.terminal.input,
      output: this.#talking ? process.stdout : undefined,
      terminal: this.#talking,
      history,
      historySize: 1000,
      removeHistoryDuplicates: true,
      completer: (line: string) => this.#state.completion.complete(line),
      prompt,
    })
    readline.on('history', (entries: string[]) => history.splice(0, history.length, ...entries))
    readline.on('SIGINT', () =>
      this.#interrupted(() => {
        // What was typed is dropped: to the end of the line, then all before it.
        readline.write(null, { ctrl: true, name: 'e' })
        readline.write(null, { ctrl: true, name: 'u' })
        readline.setPrompt(prompt)
        readline.prompt()
      }),
    )
    // In a pipe Ctrl-C is a signal of the process.
    const signalled = () => this.#interrupted(() => {})
    if (!this.#talking) process.on('SIGINT', signalled)
    const ask = () => {
      if (!this.#talking) return
      readline.setPrompt(this.#buffer === '' ? prompt : continued)
      readline.prompt()
    }
    ask()
    try {
      for await (const line of readline) {
        await this.#take(line)
        if (this.#state.leaving) break
        ask()
      }
      // The end of a file ends its last statement too; at a terminal Ctrl-D drops it.
      if (!this.#talking && !this.#state.leaving && this.#buffer.trim() !== '') await this.#execute(this.#buffer.trim())
    } finally {
      process.off('SIGINT', signalled)
      readline.close()
      if (this.#talking) await writeHistory(file, history)
    }
    if (this.#talking && !this.#state.leaving) await this.#state.terminal.out('\n')
    return this.#talking ? exitCodes.success : this.#failed
  }

  async #take(line: string): Promise<void> {
    const first = this.#buffer === ''
    if (first && /^\s*(quit|exit)\s*;?\s*$/i.test(line)) this.#state.leaving = true
    else if (first && line.trimStart().startsWith('\\')) await this.#attempt(() => this.#meta(line.trim()))
    else {
      const { statements, rest } = splitStatements(`${this.#buffer}${line}\n`)
      this.#buffer = rest
      for (const statement of statements) await this.#execute(statement)
    }
  }

  async #meta(line: string): Promise<ExitCode> {
    await runMetaCommand(this.#state, line)
    return exitCodes.success
  }

  #execute(statement: string): Promise<void> {
    const { client, terminal, format, watch } = this.#state
    const running = new AbortController()
    this.#running = running
    const options = { format, watch, interrupt: running.signal, summary: this.#talking }
    return this.#attempt(() => runQuery(client, terminal, statement, options))
  }

  /** A failure is told, and remembered for the exit code of a script; the shell goes on. */
  async #attempt(task: () => Promise<ExitCode>): Promise<void> {
    try {
      const code = await task()
      if (code !== exitCodes.success) this.#failed = code
    } catch (error) {
      this.#failed = reportFailure(this.#state.terminal, error)
    } finally {
      this.#running = null
    }
  }

  #interrupted(ask: () => void): void {
    if (this.#running) {
      this.#running.abort(new Error('interrupted'))
      return
    }
    this.#buffer = ''
    ask()
  }
}

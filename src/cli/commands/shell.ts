/** `lens shell`: SQL interactively, or a script of statements from standard input. */
import { type Command, Option } from 'commander'
import { type ConnectOptions, withClient, withConnectOptions } from '../connect.ts'
import { type Format, formats } from '../output/writers.ts'
import type { Terminal } from '../terminal.ts'
import { property, type Run } from './query.ts'

interface ShellOptions extends ConnectOptions {
  readonly format: Format
  readonly watch?: boolean
  readonly database?: string
  readonly property?: Record<string, string>
}

export function addShellCommand(program: Command, terminal: Terminal, run: Run): void {
  const shell = program
    .command('shell')
    .description('Work with SQL interactively; reads a script when its input is no terminal.')
    .option('-w, --watch', 'print every change of status of each query')
    .addOption(new Option('-f, --format <format>', 'how rows are written').choices([...formats]).default('table'))
    .option('--database <name>', "the session's database")
    .option('-p, --property <name=value>', 'a property of the session; may be given several times', property)
  withConnectOptions(shell).action((options: ShellOptions) =>
    run(async () => {
      const { runShell } = await import('../shell/shell.ts')
      const { format, watch = false, database, property: properties } = options
      return withClient(terminal, options, client => runShell(client, terminal, format, watch), {
        database,
        properties,
      })
    }),
  )
}

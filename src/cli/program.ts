/** The command line as a whole: every command, the help that explains it, and the exit codes. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { addListCommands } from './commands/lists.ts'
import { addLogLevelCommand } from './commands/log-level.ts'
import { addMaintenanceCommands } from './commands/maintenance.ts'
import { addQueryCommands } from './commands/query.ts'
import { addServeCommand } from './commands/serve.ts'
import { addShellCommand } from './commands/shell.ts'
import { addTopCommand } from './commands/top.ts'
import { addUpCommand } from './commands/up.ts'
import { addUserCommands } from './commands/users.ts'
import { addWatchCommand } from './commands/watch.ts'
import { addWebhookCommands } from './commands/webhooks.ts'
import { type ExitCode, exitCodes, reportFailure } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

const examples = `
Examples:
  $ npx lens up --nodes 3                                  a cluster on this machine, to try it out
  $ npx lens query "select count(*) from flights"          one statement
  $ npx lens query "select * from airports" -f csv > airports.csv
  $ npx lens query "select …" --watch                      see every change of its status
  $ npx lens shell                                         several statements, with history and completion
  $ npx lens queries --status RUNNING,QUEUED               what is going on
  $ npx lens top                                           the same, live, with the nodes
  $ npx lens watch HANDLE                                  one query, step by step
  $ npx lens drain node-2 --user admin                     take a node out of service

Where and who:
  --server, LENS_SERVER    nodes or proxies, separated by commas; the first that answers is used
  --user, LENS_USER        whose session is opened; the command closes it again
  --password-file, LENS_PASSWORD, or a question
                           where nodes ask for a password
  --jwt-file, LENS_JWT     a token of the identity provider, where nodes ask for one
  --token, LENS_TOKEN      a session that is open already; the command leaves it open
  --ca, LENS_CA            authorities of your own, for servers that are reached by https

Exit codes: 0 success, 1 the query failed, 2 wrong usage or configuration, 3 no server reachable, 130 interrupted.`

/** Runs the command that the arguments (without program and script) name. */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let exitCode: ExitCode = exitCodes.success
  const run = async (action: () => Promise<ExitCode>) => {
    exitCode = await action().catch(error => reportFailure(terminal, error))
  }
  const program = new Command('lens')
    .description('Lens HA: a highly available SQL query service. Queries survive the node that runs them.')
    .version(versionOf(), '-V, --version')
    .addHelpText('after', examples)
    .showHelpAfterError('(add --help for what there is)')
    .exitOverride()
    .configureOutput({
      writeOut: text => void terminal.out(text),
      writeErr: text => terminal.err(text),
      getOutHelpWidth: () => (Number.isFinite(terminal.columns) ? terminal.columns : 100),
    })
  addServeCommand(program, terminal, run)
  addUpCommand(program, terminal, run)
  addQueryCommands(program, terminal, run)
  addShellCommand(program, terminal, run)
  addListCommands(program, terminal, run)
  addLogLevelCommand(program, terminal, run)
  addWebhookCommands(program, terminal, run)
  addWatchCommand(program, terminal, run)
  addTopCommand(program, terminal, run)
  addUserCommands(program, terminal, run)
  addMaintenanceCommands(program, terminal, run)
  try {
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? exitCodes.success : exitCodes.usage
  }
  return exitCode
}

function versionOf(): string {
  // Beside src in a clone, and beside the compiled files in the package: one folder up from either.
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (name === 'lens-ha') return version
    } catch {
      // Not there: the other one is.
    }
  }
  return 'unknown'
}

/** `lens serve`: one node, until a signal asks it to leave. */
import { flushCompileCache } from 'node:module'
import { type Command, Option } from 'commander'
import { systemClock } from '../../async/index.ts'
import type { Config } from '../../config/index.ts'
import type { RunningNode } from '../../node.ts'
import { type ExitCode, exitCodes } from '../exit-codes.ts'
import { boundGarbage } from '../garbage.ts'
import type { Terminal } from '../terminal.ts'
import type { Run } from './query.ts'
import { configOf, type ServerOptions, withServerOptions } from './server-options.ts'

export function addServeCommand(program: Command, terminal: Terminal, run: Run): void {
  const serve = program
    .command('serve')
    .description('Run one node. SIGTERM or Ctrl-C drains it; a second one ends it at once.')
    .addOption(new Option('--stop-with-parent', 'leave when the process that started this one has ended').hideHelp())
  withServerOptions(serve).action((options: ServerOptions & { stopWithParent?: boolean }) =>
    run(() => serveNode(terminal, configOf(terminal, options), options.stopWithParent ?? false)),
  )
}

async function serveNode(terminal: Terminal, config: Config, stopWithParent: boolean): Promise<ExitCode> {
  const asked = Promise.withResolvers<void>()
  let started = false
  let leaving = false
  const signalled = (signal: NodeJS.Signals) => {
    // Before it has joined there is nothing to hand over; the second signal says that nobody wants to wait.
    if (!started || leaving) process.exit(signal === 'SIGINT' ? exitCodes.interrupted : 143)
    leaving = true
    terminal.err(`${signal}: handing work over; once more ends at once\n`)
    asked.resolve()
  }
  process.on('SIGINT', signalled)
  process.on('SIGTERM', signalled)
  if (stopWithParent) {
    process.once('disconnect', () => {
      if (!started) process.exit(exitCodes.failed)
      leaving = true
      asked.resolve()
    })
  }
  boundGarbage(systemClock)
  // Loaded only here: the client commands start without a database driver.
  const { runNode } = await import('../../node.ts')
  let node: RunningNode | undefined
  // As log rotation does it, and what renews certificates: files were moved away or replaced, also while this one is starting.
  process.on('SIGHUP', () => node?.reopenFiles())
  node = await runNode(config)
  started = true
  // Written now, not at the end of the process: a node that is killed has no end, and its successor would compile it all again.
  flushCompileCache()
  // It also leaves by itself, when another node was asked to drain it.
  await Promise.race([asked.promise, node.left])
  await node.stop()
  return exitCodes.success
}

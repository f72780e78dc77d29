/** `lens watch`: one query, step by step, as it goes. */
import type { Command } from 'commander'
import { systemClock } from '../../async/index.ts'
import { type ConnectOptions, withClient, withConnectOptions } from '../connect.ts'
import { interruptOf } from '../interrupt.ts'
import type { Terminal } from '../terminal.ts'
import { watchQuery } from '../watch/watch.ts'
import type { Run } from './query.ts'

export function addWatchCommand(program: Command, terminal: Terminal, run: Run): void {
  const watch = program
    .command('watch')
    .description('Follow one query step by step until it has ended: progress, owner, attempts, changes of hands.')
    .argument('<handle>', 'what "lens query --detach" or "lens queries" printed')
    .addHelpText(
      'after',
      '\nCtrl-C ends the looking; the query runs on.\nExit codes: 0 SUCCESSFUL, 1 FAILED or CANCELED, 130 it runs on.\n',
    )
  withConnectOptions(watch).action((handle: string, options: ConnectOptions) =>
    run(async () => {
      const interrupt = interruptOf(process)
      try {
        return await withClient(terminal, options, client =>
          watchQuery(client, terminal, handle, interrupt.signal, systemClock),
        )
      } finally {
        interrupt.stop()
      }
    }),
  )
}

/** `lens top`: the nodes and the unfinished queries, live. */
import type { Command } from 'commander'
import { systemClock } from '../../async/index.ts'
import { type ConnectOptions, withClient, withConnectOptions } from '../connect.ts'
import type { Terminal } from '../terminal.ts'
import { showTop, writeSnapshot } from '../top/top.ts'
import type { Run } from './query.ts'

export function addTopCommand(program: Command, terminal: Terminal, run: Run): void {
  const top = program
    .command('top')
    .description('Show nodes and unfinished queries, live; sort, filter, cancel, drain.')
    .addHelpText('after', '\nAdmins see everybody’s queries. In a pipe: what is going on now, once.\n')
  withConnectOptions(top).action((options: ConnectOptions) =>
    run(() =>
      withClient(terminal, options, client =>
        terminal.drawable && terminal.keyed ? showTop(client, terminal, systemClock) : writeSnapshot(client, terminal),
      ),
    ),
  )
}

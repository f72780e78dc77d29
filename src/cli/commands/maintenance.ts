/** `lens migrate` and `lens config check`: what is done before nodes run. */
import type { Command } from 'commander'
import { systemClock, systemRandom } from '../../async/index.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Terminal } from '../terminal.ts'
import type { Run } from './query.ts'
import { configOf, type ServerOptions, withServerOptions } from './server-options.ts'

export function addMaintenanceCommands(program: Command, terminal: Terminal, run: Run): void {
  const migrate = program
    .command('migrate')
    .description('Create the schema of the store, or bring it up to date. Nodes do so themselves when they start.')
  withServerOptions(migrate).action((options: ServerOptions) =>
    run(async () => {
      const config = configOf(terminal, options)
      const { openStore } = await import('../../store/index.ts')
      const { url, connectionsMax, retryMs } = config.store
      const { NodeTls } = await import('../../tls/index.ts')
      const tls = { mode: config.store.tls.mode, credentials: new NodeTls(config).towardsStore }
      const store = openStore({ url, tls, connectionsMax, retryMs, clock: systemClock, random: systemRandom })
      try {
        await store.open()
      } finally {
        await store.close()
      }
      await terminal.out(`The schema of ${shownUrl(config.store.url)} is up to date.\n`)
      return exitCodes.success
    }),
  )

  const config = program.command('config').description('Look at the configuration.')
  const check = config
    .command('check')
    .description('Check the configuration, from file, environment and flags, without starting anything.')
    .option('--print', 'print it as JSON, secrets left out')
  withServerOptions(check).action((options: ServerOptions & { print?: boolean }) =>
    run(async () => {
      const checked = configOf(terminal, options, false)
      const shown = { ...checked, store: { ...checked.store, url: shownUrl(checked.store.url) } }
      if (options.print) await terminal.out(`${JSON.stringify(shown, redacted, 2)}\n`)
      else await terminal.out(`The configuration is sound: ${checked.node.id} on ${shownUrl(checked.store.url)}.\n`)
      return exitCodes.success
    }),
  )
}

function redacted(key: string, value: unknown): unknown {
  if (/secret|password|token/i.test(key)) return value === undefined ? undefined : '(not shown)'
  return typeof value === 'string' && /^[a-z]+:\/\/[^/]*@/.test(value) ? shownUrl(value) : value
}

/** The URL without its password. */
function shownUrl(text: string): string {
  const url = text.startsWith('sqlite:') ? null : URL.parse(text)
  if (!url) return text
  if (url.password !== '') url.password = '***'
  return url.href
}

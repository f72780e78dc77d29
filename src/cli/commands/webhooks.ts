/** `lens webhooks`, `deliveries`, `redeliver`: who is told of ends of queries, and what became of it. */
import { type Command, Option } from 'commander'
import type { DeliveryFilter, DeliveryView, WebhookView } from '../../client/index.ts'
import { type ConnectOptions, withClient, withConnectOptions } from '../connect.ts'
import { exitCodes } from '../exit-codes.ts'
import { type Field, shortTime, writeRecords } from '../output/records.ts'
import type { Format } from '../output/writers.ts'
import type { Terminal } from '../terminal.ts'
import { positive } from './lists.ts'
import { formatOption, type Run } from './query.ts'

const timeOf = (iso: string | null) => (iso === null ? null : shortTime(iso))

const webhookFields: readonly Field<WebhookView>[] = [
  { name: 'webhook', value: ({ name }) => name },
  { name: 'to', value: ({ url }) => url ?? 'not configured here' },
  { name: 'outcomes', value: ({ outcomes }) => outcomes.join(',') },
  { name: 'users', value: ({ users }) => users?.join(',') ?? 'all' },
  { name: 'pending', value: ({ pending }) => pending, numeric: true },
  { name: 'since', value: ({ oldestPendingAt }) => timeOf(oldestPendingAt) },
  { name: 'dead', value: ({ dead }) => dead, numeric: true },
]

const deliveryFields: readonly Field<DeliveryView>[] = [
  { name: 'handle', value: ({ handle }) => handle },
  { name: 'webhook', value: ({ webhook }) => webhook },
  { name: 'state', value: ({ state }) => state },
  { name: 'attempts', value: ({ attempts }) => attempts, numeric: true },
  { name: 'since', value: ({ createdAt }) => timeOf(createdAt) },
  { name: 'next', value: ({ dueAt }) => timeOf(dueAt) },
  { name: 'error', value: ({ lastError }) => lastError },
]

interface DeliveriesOptions extends ConnectOptions {
  readonly state?: string
  readonly webhook?: string
  readonly handle?: string
  readonly limit: number
  readonly format: Format
}

export function addWebhookCommands(program: Command, terminal: Terminal, run: Run): void {
  const webhooks = program
    .command('webhooks')
    .description('List the webhooks, and how much is owed to each (admins).')
    .addOption(formatOption())
  withConnectOptions(webhooks).action((options: ConnectOptions & { format: Format }) =>
    run(() =>
      withClient(terminal, options, async client => {
        await writeRecords(terminal, options.format, webhookFields, await client.webhooks())
        return exitCodes.success
      }),
    ),
  )

  const deliveries = program
    .command('deliveries')
    .description('List what was owed to webhooks and what became of it, newest query first (admins).')
    .addOption(new Option('--state <state>', 'only these').choices(['pending', 'delivered', 'dead']))
    .option('--webhook <name>', 'only to this one')
    .option('--handle <handle>', 'only of this query')
    .option('-n, --limit <count>', 'at the most so many', positive, 20)
    .addOption(formatOption())
  withConnectOptions(deliveries).action(({ state, webhook, handle, limit, format, ...options }: DeliveriesOptions) =>
    run(() =>
      withClient(terminal, options, async client => {
        const filter = { webhook, handle, limit, state: state?.toUpperCase() as DeliveryFilter['state'] }
        const page = await client.deliveries(filter)
        await writeRecords(terminal, format, deliveryFields, page.deliveries)
        if (page.nextCursor !== null && terminal.interactive) terminal.err(`(the newest ${limit}; more with --limit)\n`)
        return exitCodes.success
      }),
    ),
  )

  const redeliver = program
    .command('redeliver')
    .description('Have a delivery tried again, whatever became of it (admins).')
    .argument('<webhook>', 'its name in "lens webhooks"')
    .argument('<handle>', 'of the query')
  withConnectOptions(redeliver).action((webhook: string, handle: string, options: ConnectOptions) =>
    run(() =>
      withClient(terminal, options, async client => {
        const { state } = await client.repeatDelivery(webhook, handle)
        await terminal.out(`${handle} to ${webhook}: ${state}\n`)
        return exitCodes.success
      }),
    ),
  )
  redeliver.addHelpText('after', '\nExample:\n  $ npx lens deliveries --state dead --user admin\n')
}

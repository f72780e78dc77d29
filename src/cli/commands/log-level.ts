/** `lens log-level`: what nodes write to their logs, while they run. */
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import type { LogLevel, LogLevelView } from '../../client/index.ts'
import { type ConnectOptions, withClient, withConnectOptions } from '../connect.ts'
import { exitCodes, UsageError } from '../exit-codes.ts'
import { type Field, shortTime, writeRecords } from '../output/records.ts'
import type { Format } from '../output/writers.ts'
import type { Terminal } from '../terminal.ts'
import { formatOption, type Run } from './query.ts'

interface LogLevelOptions extends ConnectOptions {
  readonly node?: string
  readonly all?: boolean
  readonly for?: number
  readonly format: Format
}

const fields: readonly Field<LogLevelView>[] = [
  { name: 'node', value: ({ node }) => node },
  { name: 'level', value: ({ level }) => level ?? 'no answer' },
  { name: 'configured', value: ({ configured }) => configured },
  { name: 'until', value: ({ revertsAt }) => (revertsAt === null ? null : shortTime(revertsAt)) },
]

const configured = 'configured'
const choices = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent', configured] as const

export function addLogLevelCommand(program: Command, terminal: Terminal, run: Run): void {
  const command = program
    .command('log-level')
    .description('Show what nodes write to their logs, or change it while they run (admins).')
    .addArgument(new Argument('[level]', 'the least severe that is written').choices([...choices]))
    .addOption(new Option('--node <name>', 'of this node; without it, of the one that answers').conflicts('all'))
    .option('--all', 'of all nodes')
    .option('--for <time>', 'for so long, then as configured: 90s, 10m, 2h', time)
    .addOption(formatOption())
  withConnectOptions(command).action((given: LogLevel | typeof configured | undefined, options: LogLevelOptions) =>
    run(async () => {
      const forMs = options.for
      if (forMs !== undefined && (given === undefined || given === configured))
        throw new UsageError('--for says how long a level holds: name one.')
      return withClient(terminal, options, async client => {
        const node = options.all ? '*' : options.node
        const nodes =
          given === undefined
            ? await client.logLevels(node)
            : await client.setLogLevel(given === configured ? null : given, { node, forMs })
        await writeRecords(terminal, options.format, fields, nodes)
        return nodes.every(({ level }) => level !== null) ? exitCodes.success : exitCodes.failed
      })
    }),
  )
  command.addHelpText('after', '\nExample:\n  $ npx lens log-level debug --all --for 10m --user admin\n')
}

const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function time(value: string): number {
  const [, count = '', unit = ''] = /^(\d{1,6})([smhd])$/.exec(value) ?? []
  const milliseconds = Number(count) * (unitsMs[unit] ?? 0)
  if (milliseconds === 0) throw new InvalidArgumentError('Expected a number and its unit: 90s, 10m, 2h or 1d.')
  return milliseconds
}

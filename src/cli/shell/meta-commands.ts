/** The shell's own commands: they begin with a backslash and end with the line. */
import type { LensClient } from '../../client/index.ts'
import { writeCluster, writeQueries } from '../commands/lists.ts'
import { type Field, writeRecords } from '../output/records.ts'
import { type Format, formats } from '../output/writers.ts'
import type { Terminal } from '../terminal.ts'
import type { Completion } from './completion.ts'

/** What the commands read and change. */
export interface ShellState {
  readonly client: LensClient
  readonly terminal: Terminal
  readonly completion: Completion
  format: Format
  watch: boolean
  leaving: boolean
}

interface MetaCommand {
  readonly name: string
  readonly argument?: string
  readonly does: string
  readonly run: (state: ShellState, argument: string) => Promise<void>
}

interface NamedColumn {
  readonly column: string
  readonly type: string
}

const tableFields: readonly Field<{ name: string; columns: readonly unknown[] }>[] = [
  { name: 'table', value: table => table.name },
  { name: 'columns', value: table => table.columns.length, numeric: true },
]
const columnFields: readonly Field<NamedColumn>[] = [
  { name: 'column', value: column => column.column },
  { name: 'type', value: column => column.type },
]

const metaCommands: readonly MetaCommand[] = [
  {
    name: '\\d',
    argument: '[TABLE]',
    does: 'list the tables, or the columns of one',
    async run({ client, terminal, completion }, name) {
      await completion.load(client)
      if (name === '') return writeRecords(terminal, 'table', tableFields, completion.tables)
      const table = completion.tables.find(candidate => candidate.name.toLowerCase() === name.toLowerCase())
      if (!table) return terminal.err(`There is no table ${name}; \\d lists those that there are.\n`)
      const columns = table.columns.map(column => ({ column: column.name, type: column.type }))
      await writeRecords(terminal, 'table', columnFields, columns)
    },
  },
  {
    name: '\\queries',
    does: 'list the newest queries',
    async run({ client, terminal }) {
      const { queries } = await client.queries({ limit: 20 })
      await writeQueries(terminal, 'table', queries)
    },
  },
  {
    name: '\\cluster',
    does: 'show the nodes and the leader',
    run: async ({ client, terminal }) => writeCluster(terminal, 'table', await client.cluster()),
  },
  {
    name: '\\explain',
    argument: 'SQL',
    does: 'show the plan of a statement',
    run: async ({ client, terminal }, sql) => terminal.out(`${await client.explain(sql.replace(/;\s*$/, ''))}\n`),
  },
  {
    name: '\\estimate',
    argument: 'SQL',
    does: 'show what a statement is expected to cost',
    async run({ client, terminal }, sql) {
      const { cost, rows, lane } = await client.estimate(sql.replace(/;\s*$/, ''))
      await terminal.out(`cost ${cost}, rows ${rows ?? 'unknown'}, lane ${lane}\n`)
    },
  },
  {
    name: '\\use',
    argument: 'DATABASE',
    does: "change the session's database",
    async run({ client, terminal }, database) {
      const session = await client.changeSession({ database: database === '' ? null : database })
      await terminal.out(`database ${session.database ?? 'none'}\n`)
    },
  },
  {
    name: '\\set',
    argument: 'NAME=VALUE',
    does: 'set a property of the session; without a value it is removed',
    async run({ client, terminal }, argument) {
      const [name = '', ...value] = argument.split('=')
      if (name.trim() === '') return terminal.err('Expected \\set NAME=VALUE.\n')
      const text = value.join('=').trim()
      const session = await client.changeSession({ properties: { [name.trim()]: text === '' ? null : text } })
      await terminal.out(`${JSON.stringify(session.properties)}\n`)
    },
  },
  {
    name: '\\format',
    argument: formats.join('|'),
    does: 'choose how rows are written',
    async run(state, format) {
      if (!(formats as readonly string[]).includes(format))
        return state.terminal.err(`Expected one of ${formats.join(', ')}.\n`)
      state.format = format as Format
    },
  },
  {
    name: '\\watch',
    argument: 'on|off',
    does: 'print every change of status of a query',
    async run(state, argument) {
      state.watch = argument === '' ? !state.watch : argument === 'on'
      state.terminal.err(`watch is ${state.watch ? 'on' : 'off'}\n`)
    },
  },
  {
    name: '\\?',
    does: 'this list',
    run: ({ terminal }) => terminal.out(helpText()),
  },
  {
    name: '\\q',
    does: 'leave (also Ctrl-D)',
    async run(state) {
      state.leaving = true
    },
  },
]

export const metaNames: readonly string[] = metaCommands.map(command => command.name)

export async function runMetaCommand(state: ShellState, line: string): Promise<void> {
  const [, name = '', argument = ''] = /^(\\\S*)\s*(.*?);?\s*$/s.exec(line) ?? []
  const command = metaCommands.find(candidate => candidate.name === name)
  if (command) await command.run(state, argument)
  else state.terminal.err(`${name} is not a command; \\? lists those that there are.\n`)
}

function helpText(): string {
  const usages = metaCommands.map(({ name, argument }) => (argument ? `${name} ${argument}` : name))
  const width = Math.max(...usages.map(usage => usage.length))
  const lines = metaCommands.map(({ does }, index) => `  ${(usages[index] as string).padEnd(width)}  ${does}\n`)
  return `A statement may take several lines and ends with a semicolon. Ctrl-C cancels the query that runs.\n${lines.join('')}`
}

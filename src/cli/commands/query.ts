/** `lens query`: one statement from the command line, a file or standard input. */
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { LensClient, SubmitOptions } from '../../client/index.ts'
import { type ConnectOptions, withClient, withConnectOptions } from '../connect.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-codes.ts'
import { interruptOf } from '../interrupt.ts'
import { type Format, formats } from '../output/writers.ts'
import { follow, runQuery } from '../run-query.ts'
import { splitStatements } from '../shell/statements.ts'
import type { Terminal } from '../terminal.ts'

interface QueryOptions extends ConnectOptions {
  readonly file?: string
  readonly watch?: boolean
  readonly detach?: boolean
  readonly format: Format
  readonly estimate?: boolean
  readonly explain?: boolean
  readonly engine?: string
  readonly lane?: 'light' | 'heavy' | 'auto'
  readonly priority?: SubmitOptions['priority']
  readonly name?: string
  readonly deadline?: number
  readonly onRecovery?: SubmitOptions['onRecovery']
  readonly database?: string
  readonly property?: Record<string, string>
  readonly key?: string
}

export type Run = (action: () => Promise<ExitCode>) => Promise<void>

export function formatOption(choices: readonly string[] = formats): Option {
  return new Option('-f, --format <format>', 'how rows are written').choices([...choices]).default('table')
}

export function addQueryCommands(program: Command, terminal: Terminal, run: Run): void {
  const query = program
    .command('query')
    .description('Run one SQL statement and write its rows.')
    .argument('[sql]', 'the statement; - or nothing reads it from standard input')
    .option('--file <path>', 'read the statement from a file')
    .option('-w, --watch', 'print every change of its status, on standard error')
    .option('-d, --detach', 'print its handle and leave; "lens rows HANDLE" fetches the rows later')
    .addOption(formatOption())
    .option('--estimate', 'only ask what it would cost')
    .option('--explain', 'only ask for its plan')
    .option('--engine <name>', 'the engine that runs it')
    .addOption(new Option('--lane <lane>', 'the lane that it waits in').choices(['light', 'heavy', 'auto']))
    .addOption(
      new Option('--priority <priority>', 'before or after others').choices([
        'very_low',
        'low',
        'normal',
        'high',
        'very_high',
      ]),
    )
    .option('--name <name>', 'a name to find it by')
    .option('--deadline <ms>', 'fail it when it takes longer than this, in milliseconds', milliseconds)
    .addOption(
      new Option('--on-recovery <policy>', 'when its node dies: as is safe, run again, or fail').choices([
        'auto',
        'rerun',
        'fail',
      ]),
    )
    .option('--database <name>', "the session's database")
    .option('-p, --property <name=value>', 'a property of the session; may be given several times', property)
    .option('--key <text>', 'idempotency key: the same key gives the same query')
  withConnectOptions(query).action((sql: string | undefined, options: QueryOptions) =>
    run(async () => {
      const statement = await statementOf(terminal, sql, options.file)
      const { database, property: properties } = options
      return withClient(terminal, options, client => perform(client, terminal, statement, options), {
        database,
        properties,
      })
    }),
  )

  const rows = program
    .command('rows')
    .description('Wait for a query that was submitted before and write its rows.')
    .argument('<handle>', 'what "lens query --detach" or "lens queries" printed')
    .option('-w, --watch', 'print every change of its status, on standard error')
    .addOption(formatOption())
  withConnectOptions(rows).action((handle: string, options: QueryOptions) =>
    run(() =>
      withClient(terminal, options, client => {
        const { format, watch = false } = options
        // Somebody else may have submitted it: Ctrl-C stops the looking, not the query.
        return follow(terminal, client.handle(handle), {
          format,
          watch,
          summary: terminal.interactive,
          interrupt: never,
        })
      }),
    ),
  )
}

const never = new AbortController().signal

async function perform(client: LensClient, terminal: Terminal, sql: string, options: QueryOptions): Promise<ExitCode> {
  const { engine, lane, priority, name, deadline: deadlineMs, onRecovery, key: idempotencyKey } = options
  const submit: SubmitOptions = { engine, lane, priority, name, deadlineMs, onRecovery, idempotencyKey }
  if (options.estimate) {
    const { cost, rows, lane } = await client.estimate(sql, submit)
    await terminal.out(`cost ${cost}\nrows ${rows ?? 'unknown'}\nlane ${lane}\n`)
    return exitCodes.success
  }
  if (options.explain) {
    const plan = await client.explain(sql, submit)
    await terminal.out(plan.endsWith('\n') ? plan : `${plan}\n`)
    return exitCodes.success
  }
  if (options.detach) {
    const { handle } = await client.submit(sql, submit)
    await terminal.out(`${handle}\n`)
    return exitCodes.success
  }
  const { format, watch = false } = options
  const interrupt = interruptOf(process)
  try {
    return await runQuery(client, terminal, sql, {
      format,
      watch,
      submit,
      interrupt: interrupt.signal,
      summary: terminal.interactive,
    })
  } finally {
    interrupt.stop()
  }
}

async function statementOf(terminal: Terminal, sql: string | undefined, file: string | undefined): Promise<string> {
  if (sql !== undefined && sql !== '-' && file !== undefined)
    throw new UsageError('Give the statement or --file, not both.')
  const source = await sourceOf(terminal, sql, file)
  const { statements, rest } = splitStatements(source)
  const all = rest.trim() === '' ? statements : [...statements, rest.trim()]
  const [statement] = all
  if (statement === undefined) throw new UsageError('There is no statement to run.')
  if (all.length > 1) throw new UsageError('One statement at a time; "lens shell < FILE" runs several.')
  return statement
}

async function sourceOf(terminal: Terminal, sql: string | undefined, file: string | undefined): Promise<string> {
  if (file !== undefined) {
    return readFile(file, 'utf8').catch(error => {
      throw new UsageError(`--file: ${error.message}`)
    })
  }
  return sql === undefined || sql === '-' ? text(terminal.input) : sql
}

function milliseconds(value: string): number {
  const number = Number(value)
  if (!Number.isInteger(number) || number <= 0)
    throw new InvalidArgumentError('Expected a whole number of milliseconds.')
  return number
}

/** Collects `name=value` options. */
export function property(value: string, before: Record<string, string> = {}): Record<string, string> {
  const at = value.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('Expected name=value.')
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) }
}

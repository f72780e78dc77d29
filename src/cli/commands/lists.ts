/** `lens queries`, `cancel`, `sessions`, `cluster`, `drain`: looking at what is there, and small interventions. */
import { type Command, InvalidArgumentError } from 'commander'
import type {
  ClusterFrameBody,
  ClusterView,
  NodeView,
  QueryStatus,
  QueryView,
  SessionView,
} from '../../client/index.ts'
import { type ConnectOptions, withClient, withConnectOptions } from '../connect.ts'
import { exitCodes } from '../exit-codes.ts'
import { interruptOf } from '../interrupt.ts'
import { type Field, shortTime, writeRecords } from '../output/records.ts'
import type { Format } from '../output/writers.ts'
import type { Terminal } from '../terminal.ts'
import { formatOption, type Run } from './query.ts'

interface ListOptions extends ConnectOptions {
  readonly format: Format
  readonly limit: number
}

interface QueriesOptions extends ListOptions {
  readonly status?: string
  readonly all?: boolean
  readonly name?: string
  readonly engine?: string
}

const queryFields: readonly Field<QueryView>[] = [
  { name: 'handle', value: query => query.handle },
  { name: 'status', value: query => query.status },
  { name: 'user', value: query => query.user },
  { name: 'node', value: query => query.owner.node },
  { name: 'lane', value: query => query.lane },
  { name: 'submitted', value: query => shortTime(query.submittedAt) },
  { name: 'rows', value: query => query.result?.rowCount ?? null, numeric: true },
  { name: 'error', value: query => query.error?.code ?? null },
  { name: 'sql', value: query => query.sql.replace(/\s+/g, ' ').trim() },
]

const sessionFields: readonly Field<SessionView>[] = [
  { name: 'id', value: session => session.id },
  { name: 'user', value: session => session.user },
  { name: 'status', value: session => session.status },
  { name: 'database', value: session => session.database },
  { name: 'created', value: session => shortTime(session.createdAt) },
  { name: 'expires', value: session => shortTime(session.expiresAt) },
]

const nodeFields = (cluster: ClusterView): readonly Field<NodeView>[] => [
  { name: 'node', value: node => node.node },
  { name: 'state', value: node => node.state },
  {
    name: 'role',
    value: node => (cluster.leader?.node === node.node && node.state !== 'dead' ? 'leader' : 'follower'),
  },
  { name: 'running', value: node => node.running, numeric: true },
  { name: 'queued', value: node => node.queued, numeric: true },
  { name: 'address', value: node => node.address },
  { name: 'version', value: node => node.version },
  { name: 'started', value: node => shortTime(node.startedAt) },
]

export async function writeQueries(terminal: Terminal, format: Format, queries: readonly QueryView[]): Promise<void> {
  await writeRecords(terminal, format, queryFields, queries)
}

export async function writeCluster(terminal: Terminal, format: Format, cluster: ClusterView): Promise<void> {
  await writeRecords(terminal, format, nodeFields(cluster), cluster.nodes)
  if (format !== 'table') return
  await terminal.out(cluster.leader ? `leader ${cluster.leader.node}, term ${cluster.leader.term}\n` : 'no leader\n')
}

export function addListCommands(program: Command, terminal: Terminal, run: Run): void {
  const queries = program
    .command('queries')
    .description('List queries, running and finished, newest first.')
    .option('--status <statuses>', 'only these, separated by commas: RUNNING,QUEUED')
    .option('--all', "everybody's, for admins")
    .option('--name <name>', 'only those of this name')
    .option('--engine <name>', 'only those of this engine')
    .option('-n, --limit <count>', 'at the most so many', positive, 20)
    .addOption(formatOption())
  withConnectOptions(queries).action((options: QueriesOptions) =>
    run(() =>
      withClient(terminal, options, async client => {
        const { status, all, name, engine, limit, format } = options
        const statuses = status?.toUpperCase().split(',') as QueryStatus[] | undefined
        const list = await client.queries({ status: statuses, user: all ? '*' : undefined, name, engine, limit })
        await writeQueries(terminal, format, list.queries)
        if (list.nextCursor !== null && terminal.interactive) terminal.err(`(the newest ${limit}; more with --limit)\n`)
        return exitCodes.success
      }),
    ),
  )

  const cancel = program
    .command('cancel')
    .description('Cancel a query, from any node.')
    .argument('<handle>', 'what "lens queries" shows')
    .option('--no-wait', 'return once the wish is durable')
  withConnectOptions(cancel).action((handle: string, options: ConnectOptions & { wait: boolean }) =>
    run(() =>
      withClient(terminal, options, async client => {
        const query = client.handle(handle)
        const wished = await query.cancel()
        const ended = options.wait ? await query.wait() : wished
        const note = ended.outcome !== null || !options.wait ? '' : ', being cancelled'
        await terminal.out(`${handle} ${ended.status}${note}\n`)
        return exitCodes.success
      }),
    ),
  )

  const sessions = program
    .command('sessions')
    .description("List your open sessions (admins: everybody's).")
    .option('-n, --limit <count>', 'at the most so many', positive, 20)
    .addOption(formatOption())
  withConnectOptions(sessions).action((options: ListOptions) =>
    run(() =>
      withClient(terminal, options, async client => {
        const { sessions: list } = await client.sessions({ limit: options.limit })
        await writeRecords(terminal, options.format, sessionFields, list)
        return exitCodes.success
      }),
    ),
  )

  const cluster = program
    .command('cluster')
    .description('Show the nodes and which one leads.')
    .option('-w, --watch', 'go on, and print every change')
    .addOption(formatOption())
  withConnectOptions(cluster).action((options: ListOptions & { watch?: boolean }) =>
    run(() =>
      withClient(terminal, options, async client => {
        if (!options.watch) {
          await writeCluster(terminal, options.format, await client.cluster())
          return exitCodes.success
        }
        const feed = client.subscribeCluster()
        const interrupt = interruptOf(process)
        interrupt.signal.addEventListener('abort', () => void feed.return?.())
        let before: ClusterFrameBody | null = null
        for await (const now of feed) {
          if (before === null) await writeCluster(terminal, options.format, now)
          else await terminal.out(differences(before, now))
          before = now
        }
        interrupt.stop()
        return exitCodes.success
      }),
    ),
  )

  const drain = program
    .command('drain')
    .description('Ask a node to leave the cluster without anyone noticing (admins).')
    .argument('<node>', 'its name in "lens cluster"')
  withConnectOptions(drain).action((node: string, options: ConnectOptions) =>
    run(() =>
      withClient(terminal, options, async client => {
        await client.drain(node)
        await terminal.out(`${node} is draining: it hands its work over, then stops\n`)
        return exitCodes.success
      }),
    ),
  )
  drain.addHelpText('after', '\nExample:\n  $ npx lens drain node-2 --user admin\n')
}

/** What has changed between two states of the cluster, a line each. */
export function differences(before: ClusterFrameBody, now: ClusterFrameBody): string {
  const lines: string[] = []
  const known = new Map(before.nodes.map(node => [node.incarnation, node]))
  for (const node of now.nodes) {
    const old = known.get(node.incarnation)
    if (!old) lines.push(`${node.node} joined (${node.address})`)
    else if (old.state !== node.state) lines.push(`${node.node} ${old.state} -> ${node.state}`)
    known.delete(node.incarnation)
  }
  for (const gone of known.values()) lines.push(`${gone.node} left`)
  if (now.leader && (before.leader?.node !== now.leader.node || before.leader.term !== now.leader.term)) {
    lines.push(`${now.leader.node} leads, term ${now.leader.term}`)
  }
  for (const { kind, from, to, count } of now.changes ?? []) {
    lines.push(`${kind}: ${count} ${count === 1 ? 'query' : 'queries'} from ${from} to ${to}`)
  }
  return lines.map(line => `${line}\n`).join('')
}

export function positive(value: string): number {
  const number = Number(value)
  if (!Number.isInteger(number) || number <= 0) throw new InvalidArgumentError('Expected a whole number above 0.')
  return number
}

/**
 * `lens up`: a whole cluster on this machine, for trying out and for developing. Each node is a process of its own, so
 * that killing one is the real thing.
 */
import { type Command, InvalidArgumentError } from 'commander'
import { systemClock, systemRandom } from '../../async/index.ts'
import { type ExitCode, exitCodes } from '../exit-codes.ts'
import { LocalNode } from '../local-cluster/local-node.ts'
import { freePorts } from '../local-cluster/ports.ts'
import { padded } from '../output/cell.ts'
import { writeRecords } from '../output/records.ts'
import type { Terminal } from '../terminal.ts'
import { trustAlso } from '../trust.ts'
import type { Run } from './query.ts'
import { configOf } from './server-options.ts'

interface UpOptions {
  readonly nodes: number
  readonly port: number
  readonly config?: string
  readonly dataDir?: string
  readonly quiet?: boolean
}

/** How long nodes may take to hand over before they are ended. */
const stopMs = 40_000

export function addUpCommand(program: Command, terminal: Terminal, run: Run): void {
  program
    .command('up')
    .description('Run a cluster on this machine, on the embedded store unless LENS_STORE_URL is set.')
    .option('-n, --nodes <count>', 'how many nodes', between(1, 32), 3)
    .option('--port <port>', 'port of the first node; the others take the next free ones', between(1, 65_535), 9999)
    .option('-c, --config <file>', 'YAML file for all nodes (default: LENS_CONFIG)')
    .option('--data-dir <folder>', 'where store and nodes keep their files (default: ./data)')
    .option('-q, --quiet', 'do not show the logs of the nodes')
    .addHelpText(
      'after',
      `
Ctrl-C stops all nodes in order. A node that is killed stays dead: its queries go on elsewhere.

Example:
  $ npx lens up --nodes 3
  $ npx lens query "select count(*) from flights" --watch      in another terminal
  $ kill -9 PID                                                of the node that runs it`,
    )
    .action((options: UpOptions) => run(() => runCluster(terminal, options)))
}

async function runCluster(terminal: Terminal, options: UpOptions): Promise<ExitCode> {
  const nodes = await nodesOf(terminal, options)
  let signals = 0
  const stopped = Promise.withResolvers<void>()
  const signalled = () => {
    if (++signals > 1) for (const node of nodes) node.kill()
    else terminal.err('Stopping all nodes; once more ends them at once.\n')
    stopped.resolve()
  }
  process.on('SIGINT', signalled)
  process.on('SIGTERM', signalled)
  // A terminal that is closed takes the cluster along.
  process.on('SIGHUP', signalled)
  try {
    for (const node of nodes) {
      node.start()
      void node.ended.then(how => {
        if (signals > 0) return
        const left = nodes.filter(other => other.running).length
        const others = left === 0 ? 'No node is left.' : `It stays down; ${left} of ${nodes.length} nodes go on.`
        terminal.err(`\n*** ${node.name} (pid ${node.pid}) has ended: ${how}. ${others}\n\n`)
      })
    }
    const allEnded = Promise.all(nodes.map(node => node.ended))
    const allReady = Promise.all(nodes.map(node => node.ready()))
    const ready = await Promise.race([allReady.then(states => states.every(Boolean)), stopped.promise.then(() => null)])
    if (ready === false && signals === 0) {
      terminal.err('Not all nodes have started; their logs say why.\n')
      await stopAll(nodes)
      return exitCodes.failed
    }
    if (ready) await introduce(terminal, nodes)
    await Promise.race([stopped.promise, allEnded])
    const stoppedInOrder = signals > 0
    await stopAll(nodes)
    return stoppedInOrder ? exitCodes.success : exitCodes.failed
  } finally {
    for (const node of nodes) node.kill()
  }
}

async function nodesOf(terminal: Terminal, options: UpOptions): Promise<LocalNode[]> {
  // With a database of one's own the secret lives only as long as this cluster, unless one is given.
  const env = { ...terminal.env }
  if (/^mysql:/.test(env.LENS_STORE_URL ?? '')) env.LENS_CLUSTER_SECRET ||= systemRandom.secret(32)
  const config = configOf({ ...terminal, env }, { config: options.config, dataDir: options.dataDir })
  const authorities = config.tls.peers.caFile ?? config.tls.caFile
  if (authorities !== undefined) trustAlso(authorities, 'tls')
  const ports = await freePorts(config.node.host, options.port, options.nodes)
  const width = `node-${options.nodes}`.length
  return ports.map((port, index) => {
    const name = `node-${index + 1}`
    const prefix = `${padded(name, width, false)} | `
    return new LocalNode({
      name,
      host: config.node.host,
      port,
      secure: config.tls.certificateFile !== undefined,
      configFile: options.config,
      // By the environment, where other users of the machine cannot read it.
      env: {
        ...env,
        LENS_STORE_URL: config.store.url,
        LENS_STORE_URL_FILE: undefined,
        LENS_CLUSTER_SECRET: config.cluster.secret,
        LENS_CLUSTER_SECRET_FILE: undefined,
        LENS_DATA_DIR: `${config.dataDir}/${name}`,
        LENS_ADVERTISE_URL: undefined,
        LENS_NODE_ID: undefined,
        LENS_PORT: undefined,
      },
      clock: systemClock,
      onLine: options.quiet ? undefined : line => terminal.err(`${prefix}${line}\n`),
    })
  })
}

async function introduce(terminal: Terminal, nodes: readonly LocalNode[]): Promise<void> {
  const urls = nodes.map(node => node.url).join(',')
  await terminal.out('\n')
  await writeRecords(
    terminal,
    'table',
    [
      { name: 'node', value: node => node.name },
      { name: 'url', value: node => node.url },
      { name: 'pid', value: node => node.pid ?? null, numeric: true },
      { name: 'kill it', value: node => `kill -9 ${node.pid}` },
    ],
    nodes,
  )
  await terminal.out(`
The cluster is up. In another terminal:

  export LENS_SERVER=${urls}
  npx lens query "select origin, count(*) as flights from flights group by origin order by flights desc limit 5" --watch
  npx lens cluster --watch

Then kill a node: its queries go on elsewhere, under their handles. Ctrl-C here stops all.

`)
}

async function stopAll(nodes: readonly LocalNode[]): Promise<void> {
  const cancel = systemClock.after(stopMs, () => {
    for (const node of nodes) node.kill()
  })
  await Promise.all(nodes.map(node => node.stop()))
  cancel()
}

function between(least: number, most: number): (value: string) => number {
  return value => {
    const number = Number(value)
    if (Number.isInteger(number) && number >= least && number <= most) return number
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`)
  }
}

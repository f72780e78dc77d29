/** The flags that say how a node is configured: `serve`, `migrate` and `config check` read the configuration alike. */
import { type Command, InvalidArgumentError } from 'commander'
import { type Config, loadConfig } from '../../config/index.ts'
import type { Terminal } from '../terminal.ts'

export interface ServerOptions {
  readonly config?: string
  readonly nodeId?: string
  readonly host?: string
  readonly port?: string
  readonly advertiseUrl?: string
  readonly storeUrl?: string
  readonly dataDir?: string
  readonly logLevel?: string
  readonly set?: Record<string, string>
}

export function withServerOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'YAML file (default: LENS_CONFIG)')
    .option('--node-id <name>', 'node.id: name of this node')
    .option('--host <address>', 'node.host: address to listen on')
    .option('--port <port>', 'node.port: port to listen on')
    .option('--advertise-url <url>', 'node.advertiseUrl: how peers and clients reach this node')
    .option('--store-url <url>', 'store.url: sqlite:PATH or mysql://user:password@host:port/database')
    .option('--data-dir <folder>', 'dataDir: what this node keeps on its disk')
    .option('--log-level <level>', 'log.level: how much is logged')
    .option('--set <key=value>', 'any other key, by its path; may be given several times', setting)
}

export function configOf(terminal: Terminal, options: ServerOptions, makeSecret = true): Config {
  const overrides = {
    'node.id': options.nodeId,
    'node.host': options.host,
    'node.port': options.port,
    'node.advertiseUrl': options.advertiseUrl,
    'store.url': options.storeUrl,
    dataDir: options.dataDir,
    'log.level': options.logLevel,
    ...options.set,
  }
  const warn = (line: string) => terminal.err(`warning: ${line}\n`)
  return loadConfig({ overrides, env: terminal.env, file: options.config, makeSecret, warn })
}

function setting(value: string, before: Record<string, string> = {}): Record<string, string> {
  const at = value.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('Expected key=value, such as lanes.heavy.slots=2.')
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) }
}

/** Fills in what is derived from other keys, makes paths absolute, and judges keys against each other. */
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join as joinPath, resolve } from 'node:path'
import type { Merge } from './merge.ts'
import type { Config } from './schema.ts'
import { isTree, newTree, type Tree, valueAt } from './tree.ts'

/** Makes a merged tree complete. What cannot be filled in is noted as a fault; then the result is not to be used. */
export function derive(tree: Tree, merge: Merge, cwd: string, sourceOf: (key: string) => string | null): Config {
  const config = tree as unknown as {
    -readonly [Group in keyof Config]: Config[Group] extends string
      ? string
      : { -readonly [Key in keyof Config[Group]]: Config[Group][Key] }
  }
  const fault = (key: string, message: string) => merge.fault(key, message, sourceOf(key))

  config.node.id ??= nodeIdFor(config.node.port)
  config.node.advertiseUrl ??= advertiseUrlFor(config.node.host, config.node.port)
  const url = URL.parse(config.node.advertiseUrl)
  if (
    !url ||
    !/^https?:$/.test(url.protocol) ||
    url.pathname !== '/' ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== ''
  ) {
    fault('node.advertiseUrl', 'expected an http or https URL without path, query and user')
  } else config.node.advertiseUrl = url.origin

  config.cluster.marginMs ??= Math.round(config.cluster.leaseMs / 10)
  config.cluster.probeMs ??= Math.round(Math.min(1000, config.cluster.leaseMs / 4))

  config.dataDir = resolve(cwd, config.dataDir)
  config.store.url =
    config.store.url === undefined
      ? `sqlite:${joinPath(config.dataDir, 'lens.db')}`
      : storeUrl(config.store.url, cwd, fault)
  if (config.results.directory !== undefined) config.results.directory = resolve(cwd, config.results.directory)

  const engines = tree.engines as Tree
  if (Object.keys(engines).length === 0) fault('engines', 'expected at least one engine')
  for (const [name, engine] of Object.entries(engines)) {
    if (isTree(engine)) deriveEngine(name, engine, tree, cwd, fault)
  }
  judge(config as Config, merge, fault)
  return config as Config
}

function deriveEngine(
  name: string,
  engine: Tree,
  tree: Tree,
  cwd: string,
  fault: (key: string, message: string) => void,
): void {
  const slots = isTree(engine.slots) ? engine.slots : newTree()
  engine.slots = slots
  slots.light ??= valueAt(tree, 'lanes.light.slots')
  slots.heavy ??= valueAt(tree, 'lanes.heavy.slots')
  const tables = engine.tables as Record<string, string>
  for (const [table, source] of Object.entries(tables)) {
    const key = `engines.${name}.tables.${table}`
    const file = source.startsWith('package:') ? packageFile(source.slice('package:'.length)) : resolve(cwd, source)
    if (file === undefined) fault(key, `expected a file of an installed package, found "${source}"`)
    else if (!/[*?[]/.test(file) && !existsSync(file)) fault(key, `expected a file or folder, found none at ${file}`)
    else tables[table] = file
  }
}

function judge(config: Config, merge: Merge, fault: (key: string, message: string) => void): void {
  const together = (keys: readonly string[], holds: boolean, message: string) => {
    if (!holds && !keys.some(key => merge.isFaulty(key))) fault(keys[0] as string, message)
  }
  const { cluster, limits, cors } = config
  together(
    ['cluster.heartbeatMs', 'cluster.leaseMs'],
    cluster.heartbeatMs * 2 < cluster.leaseMs,
    `expected less than half of cluster.leaseMs (${cluster.leaseMs}), found ${cluster.heartbeatMs}`,
  )
  together(
    ['cluster.marginMs', 'cluster.leaseMs', 'cluster.heartbeatMs'],
    cluster.marginMs + cluster.heartbeatMs < cluster.leaseMs,
    `expected less than cluster.leaseMs − cluster.heartbeatMs (${cluster.leaseMs - cluster.heartbeatMs}), found ${cluster.marginMs}`,
  )
  together(
    ['limits.bodyBytesMax', 'limits.sqlBytesMax'],
    limits.bodyBytesMax >= limits.sqlBytesMax,
    `expected at least limits.sqlBytesMax (${limits.sqlBytesMax}), found ${limits.bodyBytesMax}`,
  )
  together(
    ['cluster.secret', 'store.url'],
    cluster.secret !== undefined || !config.store.url.startsWith('mysql:'),
    'required with MySQL: expected a text of at least 16 characters, the same on all nodes',
  )
  for (const origin of cors.origins) {
    if (origin !== '*' && URL.parse(origin)?.origin !== origin)
      fault('cors.origins', `expected origins such as https://app.example.com, or *, found "${origin}"`)
  }
}

function storeUrl(text: string, cwd: string, fault: (key: string, message: string) => void): string {
  if (text.startsWith('sqlite:')) {
    const path = text.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '')
    if (path !== '' && path !== ':memory:') return `sqlite:${resolve(cwd, path)}`
    fault('store.url', 'expected the path of a file after sqlite:')
    return text
  }
  const url = URL.parse(text)
  if (url?.protocol === 'mysql:' && url.hostname !== '' && url.pathname.length > 1) return text
  fault('store.url', 'expected sqlite:PATH or mysql://user:password@host:port/database')
  return text
}

/** `NAME/PATH` or `@scope/NAME/PATH` as an absolute path, from the nearest `node_modules` that has the package. */
function packageFile(specifier: string): string | undefined {
  const [, name, path] = /^((?:@[\w.-]+\/)?[\w.-]+)\/(.+)$/.exec(specifier) ?? []
  if (name === undefined || path === undefined || path.split('/').includes('..')) return undefined
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const root = joinPath(folder, 'node_modules', name)
    if (existsSync(root)) return joinPath(root, path)
    if (folder === dirname(folder)) return undefined
  }
}

/** The file of an SQLite store; undefined for another one. */
export function sqliteFile(url: string): string | undefined {
  return url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : undefined
}

function nodeIdFor(port: number): string {
  return `${
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '')
      .slice(0, 50) || 'node'
  }-${port}`
}

function advertiseUrlFor(host: string, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? hostname() : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** The configuration of a node that was told to take any free port, once it has one. */
export function withPort(config: Config, port: number): Config {
  const { node } = config
  if (node.port === port) return config
  return {
    ...config,
    node: {
      ...node,
      port,
      id: node.id === nodeIdFor(node.port) ? nodeIdFor(port) : node.id,
      advertiseUrl:
        node.advertiseUrl === advertiseUrlFor(node.host, node.port)
          ? advertiseUrlFor(node.host, port)
          : node.advertiseUrl,
    },
  }
}

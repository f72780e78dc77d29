/** Fills in what is derived from other keys, makes paths absolute, and judges keys against each other. */
import { existsSync } from 'node:fs'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { dirname, join as joinPath, resolve } from 'node:path'
import { deriveTls, judgeTls } from './derive-tls.ts'
import { driverKeys } from './engine-schema.ts'
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

  deriveTls(config, cwd)
  config.node.id ??= nodeIdFor(config.node.port)
  config.node.advertiseUrl ??= advertiseUrlFor(config as Config, config.node.port)
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
  if (config.auth.usersFile !== undefined)
    config.auth = { ...config.auth, usersFile: resolve(cwd, config.auth.usersFile) }
  const { file } = config.audit
  if (file !== undefined && file !== '-') config.audit = { file: resolve(cwd, file) }
  if (config.results.directory !== undefined) config.results.directory = resolve(cwd, config.results.directory)

  const engines = tree.engines as Tree
  if (Object.keys(engines).length === 0) fault('engines', 'expected at least one engine')
  for (const [name, engine] of Object.entries(engines)) {
    if (isTree(engine)) deriveEngine(name, engine, tree, cwd, fault)
  }
  for (const [name, webhook] of Object.entries(tree.webhooks as Tree))
    if (isTree(webhook)) judgeWebhook(`webhooks.${name}`, webhook, fault)
  judge(config as Config, merge, fault)
  judgeTls(config as Config, merge, fault)
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
  judgeEngine(name, engine, fault)
  const tables = engine.tables as Record<string, string>
  for (const [table, source] of Object.entries(tables)) {
    const key = `engines.${name}.tables.${table}`
    const file = source.startsWith('package:') ? packageFile(source.slice('package:'.length)) : resolve(cwd, source)
    if (file === undefined) fault(key, `expected a file of an installed package, found "${source}"`)
    else if (!/[*?[]/.test(file) && !existsSync(file)) fault(key, `expected a file or folder, found none at ${file}`)
    else tables[table] = file
  }
}

/** Keys that its driver does not have, or needs. */
function judgeEngine(name: string, engine: Tree, fault: (key: string, message: string) => void): void {
  const driver = engine.driver as string
  const { own = [], required = [] } = driverKeys[driver] ?? {}
  const others = Object.values(driverKeys).flatMap(keys => keys.own)
  for (const key of new Set(others)) {
    const value = engine[key]
    const isSet = value !== undefined && !(isTree(value) && Object.keys(value).length === 0)
    if (isSet && !own.includes(key)) fault(`engines.${name}.${key}`, `the driver ${driver} has no such key`)
    if (!isSet && required.includes(key)) fault(`engines.${name}.${key}`, `required with the driver ${driver}`)
  }
  const form = urlForms[driver]
  // The URL may hold a password: it is not shown.
  if (form && typeof engine.url === 'string' && !fits(engine.url, form))
    fault(`engines.${name}.url`, `expected ${form.shown}`)
}

/** Neither the URL nor the secret is shown: both may let their reader in. */
function judgeWebhook(key: string, { url, secret }: Tree, fault: (key: string, message: string) => void): void {
  if (secret === undefined) fault(`${key}.secret`, 'required: expected a text of at least 16 characters')
  const found = typeof url === 'string' ? URL.parse(url) : null
  if (!found || !/^https?:$/.test(found.protocol) || found.username !== '' || found.password !== '')
    fault(`${key}.url`, 'required: expected an http or https URL without user and password')
}

interface UrlForm {
  readonly protocol: RegExp
  readonly needsDatabase: boolean
  readonly shown: string
}

const urlForms: Readonly<Record<string, UrlForm>> = {
  mysql: {
    protocol: /^(mysql|mariadb):$/,
    needsDatabase: true,
    shown: 'mysql://user:password@host:port/database',
  },
  postgresql: {
    protocol: /^postgres(ql)?:$/,
    needsDatabase: true,
    shown: 'postgresql://user:password@host:port/database',
  },
  trino: { protocol: /^https?:$/, needsDatabase: false, shown: 'https://user:password@host:port/catalog/schema' },
}

function fits(text: string, { protocol, needsDatabase }: UrlForm): boolean {
  const url = URL.parse(text)
  if (!url || !protocol.test(url.protocol) || url.hostname === '') return false
  return !needsDatabase || url.pathname.length > 1
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
  judgeSignIn(config.auth, fault)
  for (const network of config.node.trustedProxies)
    if (!isNetwork(network))
      fault('node.trustedProxies', `expected addresses or networks such as 10.0.0.0/8, found "${network}"`)
  for (const origin of cors.origins) {
    if (origin !== '*' && URL.parse(origin)?.origin !== origin)
      fault('cors.origins', `expected origins such as https://app.example.com, or *, found "${origin}"`)
  }
}

function judgeSignIn(auth: Config['auth'], fault: (key: string, message: string) => void): void {
  const { method, usersFile, jwt } = auth
  if (method === 'basic' && usersFile === undefined)
    fault('auth.usersFile', 'required with auth.method basic: expected the path of a file')
  if (method === 'jwt' && jwt.issuer === undefined)
    fault('auth.jwt.issuer', 'required with auth.method jwt: expected an https URL')
  if (method === 'jwt' && jwt.audience === undefined)
    fault('auth.jwt.audience', 'required with auth.method jwt: expected the name that tokens for this service carry')
  for (const key of ['issuer', 'jwksUrl'] as const) {
    const url = jwt[key]
    if (url !== undefined && !isHttps(url))
      fault(`auth.jwt.${key}`, 'expected an https URL (http only of this very machine)')
  }
  if (jwt.adminValues.length > 0 && jwt.adminClaim === undefined)
    fault('auth.jwt.adminClaim', 'required with auth.jwt.adminValues: expected the name of a claim')
}

/** Keys that come over plain HTTP could be anybody's. */
function isHttps(text: string): boolean {
  const url = URL.parse(text)
  return url?.protocol === 'https:' || (url?.protocol === 'http:' && /^(localhost|127\.|\[::1\])/.test(url.hostname))
}

function isNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/')
  const width = { 0: 0, 4: 32, 6: 128 }[isIP(address)] as number
  return width > 0 && more.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= width))
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

function advertiseUrlFor({ node: { host }, tls }: Pick<Config, 'node' | 'tls'>, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? hostname() : host
  const scheme = tls.certificateFile === undefined ? 'http' : 'https'
  return `${scheme}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
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
        node.advertiseUrl === advertiseUrlFor(config, node.port) ? advertiseUrlFor(config, port) : node.advertiseUrl,
    },
  }
}

/**
 * The direction of imports, who owns which package, and that folders are entered by their front door. Broken rules
 * are listed with file and line, all at once.
 */
import { basename } from 'node:path'
import test from 'ava'
import { filesBelow, importsOf, read, target } from './sources.ts'

/** For each part of `src`, the parts that it may import. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  async: [],
  domain: ['async'],
  tls: ['async'],
  config: ['tls', 'async'],
  observability: ['async'],
  store: ['domain', 'config', 'observability', 'tls', 'async'],
  engines: ['domain', 'config', 'observability', 'tls', 'async'],
  results: ['store', 'engines', 'domain', 'config', 'observability', 'async'],
  actors: ['store', 'engines', 'results', 'domain', 'config', 'observability', 'async'],
  gateway: ['actors', 'store', 'engines', 'results', 'domain', 'config', 'observability', 'async'],
  cluster: ['gateway', 'actors', 'store', 'engines', 'results', 'domain', 'config', 'observability', 'tls', 'async'],
  auth: ['store', 'domain', 'config', 'async'],
  tracing: ['domain', 'async'],
  webhooks: ['cluster', 'store', 'domain', 'async'],
  api: [
    'auth',
    'gateway',
    'actors',
    'store',
    'engines',
    'results',
    'domain',
    'config',
    'observability',
    'tls',
    'tracing',
    'async',
  ],
  // Types alone: see below.
  client: ['api'],
  console: ['client', 'api'],
  // Parts of the composition root.
  'hand-over-news': ['domain', 'async'],
  assembly: [
    'hand-over-news',
    'webhooks',
    'cluster',
    'gateway',
    'actors',
    'store',
    'engines',
    'results',
    'domain',
    'config',
    'observability',
    'async',
  ],
  node: [
    'assembly',
    'auth',
    'api',
    'cluster',
    'store',
    'engines',
    'domain',
    'config',
    'observability',
    'tls',
    'tracing',
    'async',
  ],
  cli: ['node', 'auth', 'client', 'api', 'store', 'engines', 'domain', 'config', 'observability', 'tls', 'async'],
  main: ['cli'],
  healthcheck: [],
  bin: ['main'],
}

/**
 * Second front doors: what must be imported without the rest of its folder. The heartbeat's thread loads no ORM, a client
 * no server, and a contract no implementation.
 */
const frontDoor = /^src\/(store\/lease|api\/v1\/wire|\w+\/([\w-]+-)?contract)\.ts$/
/** Of these a client takes types alone, so that a browser loads none of them. */
const wireTypes = 'src/api/v1/wire.ts'

const owners: Readonly<Record<string, readonly string[]>> = {
  '@mikro-orm/': ['store'],
  mysql2: ['store', 'engines'],
  kysely: ['store'],
  'node:sqlite': ['store'],
  fastify: ['api'],
  '@fastify/': ['api'],
  ws: ['cluster', 'api'],
  '@duckdb/': ['engines'],
  pg: ['engines'],
  undici: ['engines'],
  xstate: ['domain', 'actors'],
  'apache-arrow': ['results'],
  jose: ['auth'],
  'prom-client': ['observability'],
  '@opentelemetry/': ['tracing'],
  yaml: ['config'],
  commander: ['cli'],
  preact: ['console'],
  '@codemirror/': ['console'],
  '@lezer/': ['console'],
  elkjs: ['console'],
  uplot: ['console'],
  vite: ['console'],
}

/** Runs in browsers: nothing of Node, and no package. */
const browserParts = new Set(['client'])

const sources = filesBelow('src', ['.ts', '.tsx', '.js'])

/** `src/store/mysql.ts` → `store`; `src/node.ts` → `node`. */
function partOf(path: string): string {
  const [, first = ''] = path.split('/')
  return first.replace(/\.[jt]sx?$/, '')
}

function* imports() {
  for (const path of sources)
    for (const found of importsOf(path)) yield { path, part: partOf(path), ...found, at: `${path}:${found.line}` }
}

test('every part of src has its place in the direction of imports', t => {
  t.deepEqual(
    [...new Set(sources.map(partOf))].filter(part => !(part in mayImport)),
    [],
  )
})

test('imports go in the direction of the house', t => {
  const broken = []
  for (const { path, part, specifier, at } of imports()) {
    if (!specifier.startsWith('.')) continue
    const other = partOf(target(path, specifier))
    if (other !== part && !mayImport[part]?.includes(other)) broken.push(`${at}: ${part} imports ${other}`)
  }
  t.deepEqual(broken, [])
})

test('no import goes past another folder’s index.ts', t => {
  const broken = []
  for (const { path, part, specifier, at } of imports()) {
    if (!specifier.startsWith('.')) continue
    const entry = target(path, specifier)
    const inFolder = entry.split('/').length > 2
    const isFrontDoor = entry === `src/${partOf(entry)}/index.ts` || frontDoor.test(entry)
    if (inFolder && partOf(entry) !== part && !isFrontDoor) broken.push(`${at}: ${specifier}`)
  }
  t.deepEqual(broken, [])
})

test('relative imports name a file with its ending', t => {
  const known = new Set([...sources, ...filesBelow('src', ['.css'])])
  const broken = []
  for (const { path, specifier, at } of imports()) {
    if (specifier.startsWith('.') && !known.has(target(path, specifier))) broken.push(`${at}: ${specifier}`)
  }
  t.deepEqual(broken, [])
})

test('packages are used in their owner’s folder only', t => {
  const broken = []
  for (const { part, specifier, at } of imports()) {
    const owned = Object.entries(owners).find(([name]) =>
      name.endsWith('/') ? specifier.startsWith(name) : specifier === name || specifier.startsWith(`${name}/`),
    )
    if (owned && !owned[1].includes(part)) broken.push(`${at}: ${specifier} belongs to ${owned[1].join(', ')}`)
  }
  t.deepEqual(broken, [])
})

test('what runs in browsers imports nothing of Node and no package', t => {
  const broken = []
  for (const { part, specifier, at } of imports()) {
    if (browserParts.has(part) && !specifier.startsWith('.')) broken.push(`${at}: ${specifier}`)
  }
  t.deepEqual(broken, [])
})

test('the client, the console and the command line take types alone from the API, so that none of them loads a server', t => {
  const broken = sources.filter(path => {
    const values = /^(?:import|export)\s+(?!type\b)[^;']*?from '[./]*\/api\//ms
    return ['client', 'console', 'cli'].includes(partOf(path)) && values.test(read(path))
  })
  t.deepEqual(broken, [])
  const others = [...imports()].filter(({ path, part, specifier }) => {
    return (
      ['client', 'console'].includes(part) &&
      partOf(target(path, specifier)) === 'api' &&
      target(path, specifier) !== wireTypes
    )
  })
  t.deepEqual(
    others.map(found => `${found.at}: ${found.specifier}`),
    [],
  )
})

test('Node’s own modules are imported under node:', t => {
  const builtins = new Set(process.getBuiltinModule('node:module').builtinModules)
  t.deepEqual(
    [...imports()]
      .filter(found => !found.specifier.startsWith('node:') && builtins.has(found.specifier))
      .map(found => `${found.at}: ${found.specifier}`),
    [],
  )
})

test('every package that src imports is a dependency, and every dependency is used', t => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  const nameOf = (specifier: string) =>
    specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/')
  const usedBy = (chosen: (part: string) => boolean) =>
    new Set(
      [...imports()]
        .filter(found => chosen(found.part) && !/^(\.|node:)/.test(found.specifier))
        .map(found => nameOf(found.specifier)),
    )
  const used = usedBy(part => part !== 'console')
  t.deepEqual(
    [...used].filter(name => !(name in (dependencies ?? {}))),
    [],
  )
  // Read by path, not imported: the sample data that the default configuration names.
  used.add('vega-datasets')
  t.deepEqual(
    Object.keys(dependencies ?? {}).filter(name => !used.has(name)),
    [],
  )
  // The console is packed as it was built: what it is made of is needed by nobody who installs the package.
  t.deepEqual(
    [...usedBy(part => part === 'console')].filter(name => !(name in (devDependencies ?? {}))),
    [],
  )
})

test('only entry files are run as threads or processes, and they work compiled too', t => {
  const broken = []
  for (const path of sources) {
    for (const match of read(path).matchAll(/new URL\(\s*(['"`])(\.[^'"`]*?\.ts)\1/g))
      broken.push(`${path}: ${basename(match[2] as string)}`)
  }
  t.deepEqual(
    broken.filter(line => !line.startsWith('src/bin.js')),
    [],
    'take the ending from import.meta.url: compiled files end in .js',
  )
})

/** Where values come from, which source wins, and that every fault is reported at once with its key. */
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type Config, ConfigError, type ConfigSources, loadConfig, withPort } from '../../src/config/index.ts'
import { temporaryFolder } from '../support/folders.ts'

async function load(t: ExecutionContext, sources: ConfigSources = {}, yaml?: string): Promise<Config> {
  const cwd = await temporaryFolder(t, 'config')
  if (yaml !== undefined) writeFileSync(join(cwd, 'lens.yaml'), yaml)
  return loadConfig({ cwd, file: yaml === undefined ? undefined : 'lens.yaml', ...sources })
}

async function faults(t: ExecutionContext, sources: ConfigSources, yaml?: string): Promise<ConfigError> {
  const error = await t.throwsAsync(load(t, sources, yaml), { instanceOf: ConfigError })
  return error as ConfigError
}

test('without any source there are the defaults', async t => {
  const config = await load(t)
  t.is(config.node.port, 9999)
  t.is(config.node.host, '127.0.0.1')
  t.is(config.node.advertiseUrl, 'http://127.0.0.1:9999')
  t.regex(config.node.id, /-9999$/)
  t.is(config.cluster.leaseMs, 2000)
  t.is(config.drain.readinessMs, 0)
  t.deepEqual(config.auth.admins, ['admin'])
  t.deepEqual({ ...config.engines.duckdb?.slots }, { light: config.lanes.light.slots, heavy: config.lanes.heavy.slots })
  t.regex(config.engines.duckdb?.tables.flights ?? '', /^\/.*\/node_modules\/vega-datasets\/data\/flights-3m\.parquet$/)
})

test('flags win over variables, variables over the file, the file over the defaults', async t => {
  const yaml = 'log: {level: error}\nnode: {port: 1111}\nlimits: {listMax: 10}\n'
  const env = { LENS_LOG_LEVEL: 'warn', LENS_PORT: '2222' }
  const config = await load(t, { env, overrides: { 'log.level': 'debug' } }, yaml)
  t.is(config.log.level, 'debug')
  t.is(config.node.port, 2222)
  t.is(config.limits.listMax, 10)
  t.is(config.limits.pageRowsMax, 10_000)
})

test('the variables that deployments use', async t => {
  const env = {
    LENS_NODE_ID: 'n1',
    LENS_HOST: '0.0.0.0',
    LENS_PORT: '7000',
    LENS_ADVERTISE_URL: 'http://n1.example:7000/',
    LENS_STORE_URL: 'mysql://lens:pw@db:3306/lens',
    LENS_CLUSTER_SECRET: 'a secret of twenty',
    LENS_DATA_DIR: '/var/lib/lens',
    LENS_LEASE_MS: '4000',
    LENS_HEARTBEAT_MS: '1000',
    LENS_LOG_LEVEL: 'warn',
  }
  const config = await load(t, { env })
  t.like(config.node, { id: 'n1', host: '0.0.0.0', port: 7000, advertiseUrl: 'http://n1.example:7000' })
  t.is(config.store.url, 'mysql://lens:pw@db:3306/lens')
  t.is(config.cluster.secret, 'a secret of twenty')
  t.is(config.dataDir, '/var/lib/lens')
  t.is(config.cluster.leaseMs, 4000)
  t.is(config.cluster.heartbeatMs, 1000)
  t.is(config.log.level, 'warn')
})

test('any key is a variable by its path, through groups, engines and lists', async t => {
  const env = {
    LENS_LANES_HEAVY_FROM_COST: '5',
    LENS_LANES_HEAVY_SLOTS: '3',
    LENS_ENGINES_DUCKDB_THREADS: '2',
    LENS_ENGINES_DUCKDB_SLOTS_LIGHT: '9',
    LENS_ENGINES_OTHER_GROUP: 'g',
    LENS_AUTH_ADMINS: 'ann, bob',
    LENS_CORS_ORIGINS: '',
    LENS_INSPECTOR_ENABLED: 'false',
  }
  const config = await load(t, { env })
  t.is(config.lanes.heavyFromCost, 5)
  t.is(config.engines.duckdb?.threads, 2)
  t.deepEqual({ ...config.engines.duckdb?.slots }, { light: 9, heavy: 3 })
  t.is(config.engines.other?.group, 'g')
  t.deepEqual(config.auth.admins, ['ann', 'bob'])
  t.deepEqual(config.cors.origins, [])
  t.is(config.inspector.enabled, false)
  t.is((await load(t, { env: { LENS_INSPECTOR_ENABLED: 'true' } })).inspector.enabled, true)
})

test('LENS_CONFIG names the file; --config wins', async t => {
  const cwd = await temporaryFolder(t)
  writeFileSync(join(cwd, 'a.yaml'), 'node: {id: a}')
  writeFileSync(join(cwd, 'b.yaml'), 'node: {id: b}')
  const env = { LENS_CONFIG: 'a.yaml' }
  t.is(loadConfig({ cwd, env }).node.id, 'a')
  t.is(loadConfig({ cwd, env, file: 'b.yaml' }).node.id, 'b')
})

test('two lines add a table of one’s own to those of the default engine', async t => {
  const cwd = await temporaryFolder(t)
  writeFileSync(join(cwd, 'sales.csv'), 'a\n1\n')
  writeFileSync(join(cwd, 'lens.yaml'), 'engines:\n  duckdb: {tables: {sales: ./sales.csv, weather: null}}\n')
  const { engines } = loadConfig({ cwd, file: 'lens.yaml' })
  t.deepEqual(Object.keys(engines), ['duckdb'])
  t.deepEqual(Object.keys(engines.duckdb?.tables ?? {}), ['flights', 'airports', 'sales'])
  t.is(engines.duckdb?.tables.sales, join(cwd, 'sales.csv'))
})

test('an empty file is no fault', async t => {
  t.is((await load(t, {}, '# nothing\n')).node.port, 9999)
})

test('all faults are reported at once, each with its key, what was expected and who said so', async t => {
  const env = {
    LENS_PORT: 'http',
    LENS_LANES_HEAVY_SLOT: '2',
    LENS_ENGINES_DUCKDB_THREADS: '0',
    LENS_INSPECTOR_ENABLED: 'no',
  }
  const error = await faults(
    t,
    { env, overrides: { 'node.prot': 1 } },
    'leaseMs: 5\nlog: {level: loud}\nlimits: {sqlBytesMax: -1, nonsense: 3}\nengines: {"Bad Name": {}}\n',
  )
  const lines = error.message.split('\n')
  t.is(lines[0], 'The configuration has 10 faults:')
  const expected = [
    /^ {2}leaseMs: unknown key; did you mean cluster\.leaseMs\?.*\(lens\.yaml\)$/,
    /^ {2}log\.level: expected one of fatal, .*, found "loud" \(lens\.yaml\)$/,
    /^ {2}limits\.sqlBytesMax: expected an integer from 1 to 67108864 \(bytes\), found -1 \(lens\.yaml\)$/,
    /^ {2}limits\.nonsense: unknown key;.*\(lens\.yaml\)$/,
    /^ {2}engines\.Bad Name: expected a name like/,
    /^ {2}node\.port: expected an integer from 0 to 65535, found "http" \(LENS_PORT\)$/,
    /^ {2}inspector\.enabled: expected true or false, found "no" \(LENS_INSPECTOR_ENABLED\)$/,
    /^ {2}LENS_LANES_HEAVY_SLOT: unknown variable; did you mean LENS_LANES_HEAVY_SLOTS\? \(environment\)$/,
    /^ {2}engines\.duckdb\.threads: expected an integer from 1 to 1024, found 0 \(LENS_ENGINES_DUCKDB_THREADS\)$/,
    /^ {2}node\.prot: unknown key; did you mean node\.port\?.*\(flag\)$/,
  ]
  t.is(error.faults.length, expected.length)
  for (const pattern of expected)
    t.true(
      lines.some(line => pattern.test(line)),
      `${pattern} in\n${error.message}`,
    )
})

const crossChecks: Record<string, [overrides: Record<string, unknown>, key: string]> = {
  'a heartbeat that is not less than half the lease': [{ 'cluster.heartbeatMs': 1000 }, 'cluster.heartbeatMs'],
  'a margin that eats the lease': [{ 'cluster.marginMs': 1500 }, 'cluster.marginMs'],
  'a body limit below the SQL limit': [{ 'limits.bodyBytesMax': 1024 }, 'limits.bodyBytesMax'],
  'MySQL without a cluster secret': [{ 'store.url': 'mysql://a:b@h/d' }, 'cluster.secret'],
  'a short cluster secret': [{ 'cluster.secret': 'short' }, 'cluster.secret'],
  'an unknown store': [{ 'store.url': 'postgres://h/d' }, 'store.url'],
  'MySQL without a database': [{ 'store.url': 'mysql://a:b@h', 'cluster.secret': 'long enough for it' }, 'store.url'],
  'an SQLite store without a file': [{ 'store.url': 'sqlite:' }, 'store.url'],
  'an address with a path': [{ 'node.advertiseUrl': 'http://h:1/x' }, 'node.advertiseUrl'],
  'an address that is none': [{ 'node.advertiseUrl': 'h:1' }, 'node.advertiseUrl'],
  'a node id that no path can hold': [{ 'node.id': 'a/b' }, 'node.id'],
  'an origin with a path': [{ 'cors.origins': 'https://a.example/x' }, 'cors.origins'],
  'a table without its file': [{ 'engines.duckdb.tables.t': './missing.csv' }, 'engines.duckdb.tables.t'],
  'a table of a package that is not there': [
    { 'engines.duckdb.tables.t': 'package:no-such/x' },
    'engines.duckdb.tables.t',
  ],
  'a table that climbs out of its package': [
    { 'engines.duckdb.tables.t': 'package:yaml/../../../../etc/passwd' },
    'engines.duckdb.tables.t',
  ],
  'a database without its URL': [{ 'engines.app.driver': 'postgresql' }, 'engines.app.url'],
  'a URL of another database': [
    { 'engines.app.driver': 'postgresql', 'engines.app.url': 'mysql://h/d' },
    'engines.app.url',
  ],
  'a URL without a database': [
    { 'engines.app.driver': 'postgresql', 'engines.app.url': 'postgresql://h' },
    'engines.app.url',
  ],
  'a key of another driver': [{ 'engines.duckdb.url': 'postgresql://h/d' }, 'engines.duckdb.url'],
  'tables of an engine that has its own': [
    {
      ...{ 'engines.app.driver': 'postgresql', 'engines.app.url': 'postgresql://h/d' },
      'engines.app.tables.t': 'package:yaml/package.json',
    },
    'engines.app.tables',
  ],
  'no engine at all': [{ 'engines.duckdb': null }, 'engines'],
  'a number with a fraction': [{ 'node.port': '99.5' }, 'node.port'],
  'a list where a text is expected': [{ dataDir: ['x'] }, 'dataDir'],
  'a value where a group is expected': [{ lanes: 5 }, 'lanes'],
}
for (const [what, [overrides, key]] of Object.entries(crossChecks)) {
  test(`refuses ${what}`, async t => {
    const error = await faults(t, { overrides })
    t.deepEqual(
      error.faults.map(fault => fault.key),
      [key],
    )
    const isMissing = what === 'MySQL without a cluster secret' || what === 'a database without its URL'
    t.is(error.faults[0]?.source, isMissing ? null : 'flag')
  })
}

test('a database is an engine by its driver and URL, which no message repeats', async t => {
  const url = 'postgresql://lens:secret@db.example:5432/app?sslmode=verify-full'
  const { engines } = await load(t, {
    env: { LENS_ENGINES_APP_DRIVER: 'postgresql', LENS_ENGINES_APP_URL: url, LENS_ENGINES_APP_ACCESS: 'read-only' },
  })
  t.like(engines.app, { driver: 'postgresql', url, access: 'read-only', slots: { light: 32, heavy: 4 } })
  const wrong = { 'engines.app.driver': 'postgresql', 'engines.app.url': 'https://lens:secret@h/d' }
  t.notRegex((await faults(t, { overrides: wrong })).message, /secret@/)
})

test('a webhook needs an address and a secret, which no message repeats', async t => {
  const given = {
    'webhooks.reports.secret': 'a secret of sixteen',
    'webhooks.reports.url': 'https://reports.example/?key=k',
  }
  const { webhooks } = await load(t, { overrides: { ...given, 'webhooks.reports.headers.X-From': 'lens' } })
  t.like(webhooks.reports, {
    outcomes: ['SUCCESSFUL', 'FAILED', 'CANCELED'],
    users: [],
    sql: false,
    headers: { 'X-From': 'lens' },
  })
  for (const [url, keys] of [
    ['ftp://reports.example', ['webhooks.reports.secret', 'webhooks.reports.url']],
    ['https://me:hunter2@reports.example', ['webhooks.reports.secret', 'webhooks.reports.url']],
    ['https://reports.example', ['webhooks.reports.secret']],
  ] as const) {
    const error = await faults(t, { overrides: { 'webhooks.reports.url': url } })
    t.deepEqual(error.faults.map(({ key }) => key).sort(), [...keys])
    t.false(error.message.includes('hunter2'))
  }
})

test('what depends on a faulty key is not judged', async t => {
  const error = await faults(t, { overrides: { 'cluster.leaseMs': 'soon', 'cluster.heartbeatMs': 1900 } })
  t.deepEqual(
    error.faults.map(fault => fault.key),
    ['cluster.leaseMs'],
  )
})

test('a variable set twice, shortly and by its path, must agree', async t => {
  const agreed = await load(t, { env: { LENS_PORT: '5000', LENS_NODE_PORT: '5000' } })
  t.is(agreed.node.port, 5000)
  const error = await faults(t, { env: { LENS_PORT: '5000', LENS_NODE_PORT: '5001' } })
  t.regex(error.message, /node\.port: set twice and differently, by LENS_NODE_PORT and by LENS_PORT/)
})

test('variables of the command line, of tests and of service links are no keys', async t => {
  const env = {
    LENS_SERVER: 'x',
    LENS_TOKEN: 'y',
    LENS_TEST_MYSQL_URL: 'z',
    LENS_SERVICE_HOST: '10.0.0.1',
    LENS_PORT_9999_TCP: 'tcp://10.0.0.1:9999',
  }
  t.is((await load(t, { env })).node.port, 9999)
})

test('files that cannot be read or are no YAML are named', async t => {
  t.regex(
    (await faults(t, { file: 'missing.yaml' })).message,
    /expected a file that can be read: ENOENT.*missing\.yaml/,
  )
  t.regex((await faults(t, {}, 'node: {port: 1')).message, /line 1/)
  t.regex((await faults(t, {}, 'node: {port: 1}\nnode: {port: 2}\n')).message, /unique/)
  t.regex((await faults(t, {}, '- a\n- b\n')).message, /expected a group of keys/)
})

test('keys of a file never reach a prototype', async t => {
  for (const yaml of [
    '__proto__: {polluted: 1}',
    'node: {constructor: {prototype: {polluted: 1}}}',
    'engines: {__proto__: {driver: duckdb}}',
  ]) {
    await faults(t, {}, yaml)
    t.is(({} as Record<string, unknown>).polluted, undefined)
  }
})

test('faults never show a secret', async t => {
  const env = { LENS_CLUSTER_SECRET: 'hunter2', LENS_STORE_URL: 'mysql//lens:hunter2@db/lens' }
  const error = await faults(t, { env })
  t.deepEqual(error.faults.map(fault => fault.key).sort(), ['cluster.secret', 'store.url'])
  t.false(error.message.includes('hunter2'))
})

test('the cluster secret is made once beside an SQLite store, for the user’s eyes only', async t => {
  const cwd = await temporaryFolder(t)
  const load = (env: Record<string, string> = {}) => loadConfig({ cwd, env })
  const first = load()
  t.true(first.cluster.secret.length >= 32)
  t.is(load().cluster.secret, first.cluster.secret)
  t.is(statSync(join(cwd, 'data/cluster.secret')).mode & 0o777, 0o600)
  t.not(load({ LENS_STORE_URL: 'sqlite:./other/lens.db' }).cluster.secret, first.cluster.secret)
  t.is(load({ LENS_CLUSTER_SECRET: 'another secret, given' }).cluster.secret, 'another secret, given')
})

test('looking makes nothing', async t => {
  const cwd = await temporaryFolder(t)
  t.is(loadConfig({ cwd, makeSecret: false }).cluster.secret, '')
  t.throws(() => statSync(join(cwd, 'data')), { code: 'ENOENT' })
})

test('a place where no secret can be kept is a fault, not a crash', async t => {
  const cwd = await temporaryFolder(t)
  writeFileSync(join(cwd, 'data'), 'a file where the folder should be')
  const error = t.throws(() => loadConfig({ cwd }), { instanceOf: ConfigError })
  t.is((error as ConfigError).faults[0]?.key, 'cluster.secret')
})

test('a node on any free port gets its id and address once it listens', async t => {
  const config = await load(t, { overrides: { 'node.port': 0 } })
  const bound = withPort(config, 4711)
  t.is(bound.node.port, 4711)
  t.is(bound.node.advertiseUrl, 'http://127.0.0.1:4711')
  t.regex(bound.node.id, /-4711$/)
  const named = withPort(
    await load(t, { overrides: { 'node.port': 0, 'node.id': 'n', 'node.advertiseUrl': 'http://lb:80' } }),
    4711,
  )
  t.deepEqual([named.node.id, named.node.advertiseUrl], ['n', 'http://lb'])
})

test('IPv6 and wildcard addresses are advertised so that they can be reached', async t => {
  t.is((await load(t, { env: { LENS_HOST: '::1' } })).node.advertiseUrl, 'http://[::1]:9999')
  const wildcard = (await load(t, { env: { LENS_HOST: '0.0.0.0' } })).node.advertiseUrl
  t.false(wildcard.includes('0.0.0.0'))
})

test('a folder and a pattern are tables too', async t => {
  const cwd = await temporaryFolder(t)
  mkdirSync(join(cwd, 'parts'))
  const overrides = { 'engines.duckdb.tables.a': './parts', 'engines.duckdb.tables.b': './parts/*.csv' }
  const { engines } = loadConfig({ cwd, overrides })
  t.is(engines.duckdb?.tables.a, join(cwd, 'parts'))
  t.is(engines.duckdb?.tables.b, join(cwd, 'parts/*.csv'))
})

/** Every client command, run as a process against a real node: its output and its exit code. */
import anyTest, { type ExecutionContext, type TestFn } from 'ava'
import { LensClient } from '../../src/client/index.ts'
import { endlessSql } from '../client/support.ts'
import { temporaryFolder } from '../support/folders.ts'
import { eventually, freePort, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { plain, run, type StartOptions, start, startOnTerminal } from './support.ts'

const test = anyTest as TestFn<{ node: NodeProcess }>
const cluster = new TestCluster(null)

test.before(async t => {
  const [node] = await cluster.startAll(1)
  if (node) t.context.node = node
})
test.after.always(() => cluster.stop())

type Context = ExecutionContext<{ node: NodeProcess }>

function lens(t: Context, args: readonly string[], options: StartOptions = {}) {
  return run(t, args, { ...options, env: { LENS_SERVER: t.context.node.url, LENS_USER: 'ada', ...options.env } })
}

function clientOf(t: Context, user = 'ada') {
  const client = new LensClient({ endpoints: [t.context.node.url], user })
  t.teardown(() => client.close())
  return client
}

const sql =
  "select * from (values ('Atlanta', 414513::bigint), ('Rome', 12::bigint), (null, 7::bigint)) t(city, flights)"

test('query: a table, aligned', async t => {
  const { code, out, err } = await lens(t, ['query', sql])
  t.is(
    out,
    `city     flights
-------  -------
Atlanta   414513
Rome          12
NULL           7
`,
  )
  t.is(err, '')
  t.is(code, 0)
})

test('query: CSV, JSON and JSON lines', async t => {
  t.is((await lens(t, ['query', sql, '-f', 'csv'])).out, 'city,flights\r\nAtlanta,414513\r\nRome,12\r\n,7\r\n')
  const rows = [
    { city: 'Atlanta', flights: '414513' },
    { city: 'Rome', flights: '12' },
    { city: null, flights: '7' },
  ]
  t.deepEqual(JSON.parse((await lens(t, ['query', sql, '--format', 'json'])).out), rows)
  const { out } = await lens(t, ['query', sql, '-f', 'ndjson'])
  t.deepEqual(
    out
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line)),
    rows,
  )
})

test('query: from standard input and from a file, with its semicolon', async t => {
  t.is((await lens(t, ['query', '-f', 'csv'], { input: 'select 1 as a\n;\n' })).out, 'a\r\n1\r\n')
  t.is((await lens(t, ['query', '-', '-f', 'csv'], { input: 'select 2 as a' })).out, 'a\r\n2\r\n')
  const folder = await temporaryFolder(t)
  const { writeFile } = await import('node:fs/promises')
  await writeFile(`${folder}/q.sql`, '-- a comment\nselect 3 as a;\n')
  t.is((await lens(t, ['query', '--file', `${folder}/q.sql`, '-f', 'csv'])).out, 'a\r\n3\r\n')
})

test('query --watch: each change of status, in order, rows apart from it', async t => {
  const { code, out, err } = await lens(t, ['query', 'select 1 as a', '--watch', '-f', 'csv'])
  t.is(code, 0)
  t.is(out, 'a\r\n1\r\n')
  const lines = err.trimEnd().split('\n')
  t.regex(lines[0] ?? '', /^query [0-9a-f-]{36}$/)
  const versions = lines.slice(1).map(line => Number(/^v(\d+) /.exec(line)?.[1]))
  t.deepEqual(
    versions,
    versions.map((_, index) => index + 1),
  )
  t.regex(lines[1] ?? '', /NEW -> QUEUED/)
  t.regex(lines.at(-1) ?? '', /EXECUTED -> SUCCESSFUL/)
})

test('query: a result of many pages is complete and in order', async t => {
  const { code, out } = await lens(t, ['query', 'select i::int as i from range(25000) t(i) order by i', '-f', 'csv'])
  t.is(code, 0)
  t.is(out, `i\r\n${Array.from({ length: 25_000 }, (_, index) => `${index}\r\n`).join('')}`)
})

test('query: one that fails gives 1 and the reason, and no rows', async t => {
  const { code, out, err } = await lens(t, ['query', 'select * from nothing_of_that_name'])
  t.is(code, 1)
  t.is(out, '')
  t.regex(err, /^SQL_INVALID: .*nothing_of_that_name/)
})

test('query: wrong usage gives 2', async t => {
  const cases: [string[], RegExp][] = [
    [['query', '--format', 'xml', 'select 1'], /Allowed choices are table, csv, json, ndjson/],
    [['query', 'select 1; select 2'], /One statement at a time/],
    [['query', ' ; '], /no statement/],
    [['query', 'select 1', '--file', 'x.sql'], /not both/],
    [['query', '--file', '/nowhere/x.sql'], /--file/],
    [['query', 'select 1', '--deadline', 'soon'], /milliseconds/],
    [['query', 'select 1', '--property', 'novalue'], /name=value/],
    [['query', 'select 1', '--server', 'http://'], /--server/],
    [['query', 'select 1', '--token', 'x.y', '--database', 'd'], /--database/],
    [['query', 'select 1', '--nonsense'], /unknown option/],
    [['qurey'], /Did you mean query/],
    [['cancel'], /missing required argument/],
  ]
  for (const [args, expected] of cases) {
    const { code, out, err } = await lens(t, args)
    t.is(code, 2, args.join(' '))
    t.is(out, '')
    t.regex(err, expected)
  }
})

test('no server gives 3 and says what to do', async t => {
  const { code, err } = await run(t, ['query', 'select 1', '--server', `http://127.0.0.1:${await freePort()}`])
  t.is(code, 3)
  t.regex(err, /^No server reachable: .*ECONNREFUSED[\s\S]*LENS_SERVER/)
})

test('a server that is not there is passed over for one that is', async t => {
  const servers = `127.0.0.1:${await freePort()},${t.context.node.url}`
  const { code, out } = await lens(t, ['query', 'select 1 as a', '-f', 'csv', '--server', servers])
  t.deepEqual([code, out], [0, 'a\r\n1\r\n'])
})

test('a session that the command opened is closed; one that was given is left open', async t => {
  const watcher = clientOf(t, 'solo')
  const own = await watcher.open()
  await lens(t, ['query', 'select 1', '--user', 'solo'])
  const listed = await lens(t, ['sessions', '--token', await watcher.token(), '-f', 'ndjson'])
  t.is(listed.code, 0)
  t.deepEqual(
    listed.out
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line).id),
    [own?.id],
  )
  t.is((await watcher.cluster()).nodes.length, 1)
  const wrong = await lens(t, ['sessions'], { env: { LENS_TOKEN: 'not.atoken' } })
  t.is(wrong.code, 1)
  t.regex(wrong.err, /SESSION_INVALID|UNAUTHENTICATED/)
})

test('query --detach, rows, queries, cancel', async t => {
  const detached = await lens(t, ['query', 'select 5 as five', '--detach', '--name', 'detached'])
  const handle = detached.out.trim()
  t.regex(handle, /^[0-9a-f-]{36}$/)
  t.is((await lens(t, ['rows', handle, '-f', 'csv'])).out, 'five\r\n5\r\n')

  const endless = (await lens(t, ['query', endlessSql, '--detach', '--name', 'endless'])).out.trim()
  const client = clientOf(t)
  await eventually('it runs', async () => (await client.handle(endless).status()).status === 'RUNNING')
  const list = await lens(t, ['queries', '--status', 'running', '--name', 'endless', '-f', 'json'])
  t.deepEqual(
    JSON.parse(list.out).map((query: { handle: string }) => query.handle),
    [endless],
  )
  const table = await lens(t, ['queries', '--name', 'endless'])
  t.regex(table.out, new RegExp(`^handle +status +user[\\s\\S]*${endless}  RUNNING +ada +n1 `))

  const canceled = await lens(t, ['cancel', endless])
  t.deepEqual([canceled.code, canceled.out], [0, `${endless} CANCELED\n`])
  const rows = await lens(t, ['rows', endless])
  t.deepEqual([rows.code, rows.err], [1, `CANCELED: query ${endless}\n`])
  const unknown = await lens(t, ['cancel', '00000000-0000-7000-8000-000000000000'])
  t.is(unknown.code, 1)
  t.regex(unknown.err, /^NOT_FOUND/)
})

test('Ctrl-C cancels the query and gives 130', async t => {
  const name = `interrupted-${process.pid}`
  const command = start(t, ['query', endlessSql, '--watch', '--name', name, '--deadline', '60000'], {
    env: { LENS_SERVER: t.context.node.url, LENS_USER: 'ada' },
  })
  await command.until('RUNNING', ({ err }) => /-> RUNNING/.test(err))
  command.kill('SIGINT')
  const { code, err } = await command.finished
  t.is(code, 130)
  t.regex(err, /cancelling[\s\S]*-> CANCELED/)
  const { queries } = await clientOf(t).queries({ name })
  t.deepEqual(
    queries.map(query => query.status),
    ['CANCELED'],
  )
})

test('on a terminal: progress that is gone in the end, a summary, lines as wide as it', async t => {
  const long = "select repeat('x', 500) as long, 12345 as number"
  const command = startOnTerminal(t, ['query', long, '--user', 'ada', '--server', t.context.node.url])
  const { code, out } = await command.finished
  t.is(code, 0)
  t.regex(out, /(QUEUED|LAUNCHED|RUNNING)/)
  t.regex(plain(out), /\(1 row, \d+\.\d\d s, duckdb on n1\)/)
  const shown =
    plain(out)
      .split('\n')
      .find(line => /^x+…/.test(line)) ?? ''
  t.is(shown.length, 100)
  t.true(shown.endsWith('12345'))
})

test('estimate and explain', async t => {
  const estimate = await lens(t, ['query', 'select count(*) from flights', '--estimate'])
  t.is(estimate.code, 0)
  t.regex(estimate.out, /^cost \d+(\.\d+)?\nrows (\d+|unknown)\nlane (light|heavy)\n$/)
  const plan = await lens(t, ['query', 'select origin from flights where distance > 100', '--explain'])
  t.is(plan.code, 0)
  t.regex(plan.out, /distance/i)
  t.is((await lens(t, ['query', 'selekt', '--estimate'])).code, 1)
})

test('cluster, and drain for admins only', async t => {
  const { code, out } = await lens(t, ['cluster'])
  t.is(code, 0)
  t.regex(out, /^node +state +role +running[\s\S]*\nn1 +alive +leader +\d+ +\d+ +http:[\s\S]*\nleader n1, term \d+\n$/)
  const drain = await lens(t, ['drain', 'n1'])
  t.is(drain.code, 1)
  t.regex(drain.err, /^FORBIDDEN[\s\S]*--user/)
  const nobody = await lens(t, ['drain', 'n99', '--user', 'admin'])
  t.is(nobody.code, 1)
  t.regex(nobody.err, /^NOT_FOUND/)
})

test('a pipe whose reader leaves ends the command quietly', async t => {
  const command = start(t, ['query', 'select i from range(1000000) t(i)', '-f', 'csv'], {
    env: { LENS_SERVER: t.context.node.url, LENS_USER: 'ada' },
  })
  await command.until('rows', ({ out }) => out.length > 0)
  command.child.stdout?.destroy()
  const { code, err } = await command.finished
  t.deepEqual([code, err], [0, ''])
})

test('help explains itself, with examples', async t => {
  const { code, out } = await run(t, ['--help'])
  t.is(code, 0)
  for (const command of 'serve up query rows shell queries cancel sessions cluster drain migrate config'.split(' ')) {
    t.regex(out, new RegExp(`^ {2}${command}\\b`, 'm'))
    const help = await run(t, [command, '--help'])
    t.is(help.code, 0)
    t.regex(help.out, /^Usage: lens /)
  }
  t.regex(out, /Examples:[\s\S]*LENS_SERVER[\s\S]*Exit codes/)
  t.regex((await run(t, ['--version'])).out, /^\d+\.\d+\.\d+\n$/)
})

/** The shell, on a terminal of its own and as a reader of scripts. */
import { readFile, stat } from 'node:fs/promises'
import anyTest, { type ExecutionContext, type TestFn } from 'ava'
import { endlessSql } from '../client/support.ts'
import { temporaryFolder } from '../support/folders.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { plain, run, startOnTerminal } from './support.ts'

const test = anyTest as TestFn<{ node: NodeProcess }>
const cluster = new TestCluster(null)

test.before(async t => {
  const [node] = await cluster.startAll(1)
  if (node) t.context.node = node
})
test.after.always(() => cluster.stop())

async function shell(t: ExecutionContext<{ node: NodeProcess }>, HOME?: string) {
  const home = HOME ?? (await temporaryFolder(t, 'home'))
  const running = startOnTerminal(t, ['shell', '--server', t.context.node.url, '--user', 'ada'], {
    env: { HOME: home },
  })
  /** Types, then waits until what came after it matches. */
  const type = async (text: string, expected: RegExp): Promise<string> => {
    const from = running.out.length
    running.write(text)
    return running.until(String(expected), ({ out }) => {
      const answer = plain(out.slice(from))
      return expected.test(answer) && answer
    })
  }
  await running.until('the prompt', ({ out }) => plain(out).includes('lens> '))
  return { running, type, home }
}

test('several lines make a statement; tables are listed; \\q leaves', async t => {
  const { running, type } = await shell(t)
  await type('select 40 + 2\r', /-> $/)
  await type('as answer;\r', /answer\s*\n-+\s*\n\s*42\s*\n\(1 row, .*\)\s*\nlens> $/)
  await type("select ';' as semicolon;\r", /semicolon[\s\S]*\n;\s*\n/)
  await type('\\d\r', /flights[\s\S]*lens> $/)
  await type('\\d airports\r', /column +type[\s\S]*lens> $/)
  await type('\\cluster\r', /n1 +alive +leader[\s\S]*lens> $/)
  await type('\\nonsense\r', /not a command[\s\S]*lens> $/)
  await type('selekt;\r', /SQL_INVALID[\s\S]*lens> $/)
  await type('\\format csv\r', /lens> $/)
  await type('select 1 as a;\r', /a\s*\n1\s*\n[\s\S]*lens> $/)
  running.write('\\q\r')
  t.is((await running.finished).code, 0)
})

test('Ctrl-C cancels the query that runs, and the shell goes on; without one it drops what was typed', async t => {
  const { running, type } = await shell(t)
  await type('\\watch on\r', /watch is on/)
  await type(`${endlessSql};\r`, /-> RUNNING/)
  await type('\u0003', /-> CANCELED[\s\S]*CANCELED: query [\s\S]*lens> $/)
  await type('select 1, \r', /-> $/)
  await type('nonsense', /nonsense/)
  await type('\u0003', /lens> $/)
  await type('select 7 as seven;\r', /seven\s*\n-+\s*\n\s*7\s*\n/)
  running.write('\u0004')
  t.is((await running.finished).code, 0)
})

test('Tab completes keywords, tables and columns', async t => {
  const { running, type } = await shell(t)
  // The list of tables is surely there once \d has shown it.
  await type('\\d\r', /airports[\s\S]*lens> $/)
  await type('sel\t', /select/)
  await type(' count(*) as n fr\t', /from/)
  await type(' airpo\t', /airports/)
  await type(';\r', /\n\s*n\s*\n-+\s*\n\s*\d+\s*\n\(1 row/)
  running.write('\\q\r')
  t.is((await running.finished).code, 0)
})

test('history is kept across runs, readable by its user only', async t => {
  const first = await shell(t)
  await first.type('select 4711 as remembered;\r', /4711\s*\n\(1 row/)
  first.running.write('\\q\r')
  await first.running.finished
  const file = `${first.home}/.lens_history`
  t.regex(await readFile(file, 'utf8'), /select 4711 as remembered;/)
  t.is((await stat(file)).mode & 0o777, 0o600)
  const second = await shell(t, first.home)
  // Up twice: the last entry is the \q.
  await second.type('\u001b[A\u001b[A\r', /4711 as remembered[\s\S]*\(1 row/)
  second.running.write('\\q\r')
  t.is((await second.running.finished).code, 0)
})

test('a script from standard input runs statement by statement, and fails as a whole when one has failed', async t => {
  const env = { LENS_SERVER: t.context.node.url, LENS_USER: 'ada' }
  const good = await run(t, ['shell', '-f', 'csv'], {
    env,
    input: 'select 1 as a; select 2\nas b;\n-- the end\nselect 3 as c',
  })
  t.deepEqual([good.code, good.out, good.err], [0, 'a\r\n1\r\nb\r\n2\r\nc\r\n3\r\n', ''])
  const bad = await run(t, ['shell', '-f', 'csv'], { env, input: 'selekt;\nselect 2 as b;\n' })
  t.deepEqual([bad.code, bad.out], [1, 'b\r\n2\r\n'])
  t.regex(bad.err, /^SQL_INVALID/)
})

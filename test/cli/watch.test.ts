/** `lens watch` as its users run it: in a pipe, on a terminal, and while nodes die. */
import anyTest, { type TestFn } from 'ava'
import { durationText } from '../../src/cli/output/duration.ts'
import { clientOf, clusterOf, endlessSql, slowSql } from '../client/support.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { plain, run, start, startOnTerminal } from './support.ts'

const test = anyTest as TestFn<{ nodes: NodeProcess[] }>
const cluster = new TestCluster(null)

test.before(async t => {
  t.context.nodes = await cluster.startAll(1)
})
test.after.always(() => cluster.stop())

const envOf = (nodes: readonly NodeProcess[]) => ({
  LENS_SERVER: nodes.map(node => node.url).join(),
  LENS_USER: 'ada',
})

test('in a pipe: each version once and in order, from the first on; the outcome decides the exit code', async t => {
  const env = envOf(t.context.nodes)
  const client = clientOf(t, t.context.nodes)
  const good = await client.submit('select 1 as a')
  const watched = await run(t, ['watch', good.handle], { env })
  t.deepEqual([watched.code, watched.err], [0, ''])
  const [head, ...lines] = watched.out.trimEnd().split('\n')
  t.is(head, `query ${good.handle}`)
  const { version } = await good.wait()
  t.deepEqual(
    lines.map(line => Number(/^v(\d+) /.exec(line)?.[1])),
    Array.from({ length: version }, (_, index) => index + 1),
  )
  t.regex(lines[0] ?? '', /NEW -> QUEUED +n1, epoch 1$/)
  t.regex(lines.at(-1) ?? '', /EXECUTED -> SUCCESSFUL +n1, epoch 1$/)

  const bad = await client.submit('select * from nothing_of_that_name')
  const failed = await run(t, ['watch', bad.handle], { env })
  t.is(failed.code, 1)
  t.regex(failed.out, /FAILING -> FAILED/)
  t.regex(failed.err, /^SQL_INVALID: .*nothing_of_that_name/)
  const unknown = await run(t, ['watch', '00000000-0000-7000-8000-000000000000'], { env })
  t.is(unknown.code, 1)
  t.regex(unknown.err, /^NOT_FOUND/)
  const othersEnv = { ...env, LENS_USER: 'eve' }
  t.regex((await run(t, ['watch', good.handle], { env: othersEnv })).err, /^NOT_FOUND/)
})

test('Ctrl-C ends the looking and says that the query runs on, and it does', async t => {
  const client = clientOf(t, t.context.nodes)
  const query = await client.submit(endlessSql)
  const watching = start(t, ['watch', query.handle], { env: envOf(t.context.nodes) })
  await watching.until('RUNNING', ({ out }) => /-> RUNNING/.test(out))
  watching.kill('SIGINT')
  const { code, err } = await watching.finished
  t.is(code, 130)
  t.is(
    err,
    `The query runs on. "lens watch ${query.handle}" follows it again, "lens cancel ${query.handle}" ends it.\n`,
  )
  t.is((await query.status()).status, 'RUNNING')

  const again = startOnTerminal(t, ['watch', query.handle], { env: envOf(t.context.nodes) })
  await again.until('how long it runs', ({ out }) => /● RUNNING.* for \d/.test(plainLine(out)))
  await query.cancel()
  const ended = await again.finished
  t.is(ended.code, 1)
  t.regex(plain(ended.out), /✓ RUNNING .*\n■ CANCELED .*\nCANCELED: query /)
})

test('on a terminal: the death of the owner, and of the node that is spoken to, is one step more', async t => {
  const { nodes } = await clusterOf(t, 2)
  const client = clientOf(t, nodes)
  const query = await client.submit(slowSql)
  const owner = await eventually('it runs', async () => {
    const { status, owner } = await query.status()
    return status === 'RUNNING' && owner.node
  })
  const victim = nodes.find(({ name }) => name === owner) as NodeProcess
  const heir = nodes.find(({ name }) => name !== owner) as NodeProcess
  // The victim is named first: it is the one that the command speaks to.
  const watching = startOnTerminal(t, ['watch', query.handle], { env: envOf([victim, heir]) })
  await watching.until('RUNNING', ({ out }) => /● RUNNING/.test(plainLine(out)))
  await victim.kill()
  const { code, out } = await watching.finished
  t.is(code, 0)
  const shown = plain(out)
  t.regex(shown, new RegExp(`^${query.handle}  ada  select sleep_ms`))
  t.regex(
    shown,
    new RegExp(`✓ RUNNING .*  ${victim.name}\n↷ RUNNING .*  ${victim.name} → ${heir.name}, taken over, epoch 2\n`),
  )
  t.regex(shown, /✗ FAILING .* attempt 1: NODE_LOST\n✓ QUEUED[\s\S]*attempt 2[\s\S]*✓ SUCCESSFUL .* 1 row\n$/)
})

test('durations as people read them', t => {
  t.deepEqual([-5, 0, 412, 12_345, 59_970, 185_000, 7_440_000, 273_600_000].map(durationText), [
    '0.00 s',
    '0.00 s',
    '0.41 s',
    '12.3 s',
    '1 min 00 s',
    '3 min 05 s',
    '2 h 04 min',
    '3 d 04 h',
  ])
})

/** What stands on the line that is drawn anew, at any time so far. */
function plainLine(out: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences are made of them
  return out.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
}

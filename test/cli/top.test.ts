/** `lens top` as its users run it, on a terminal and in a pipe; and what it draws, at any size. */
import anyTest, { type ExecutionContext, type TestFn } from 'ava'
import { systemClock } from '../../src/async/index.ts'
import { widthOf } from '../../src/cli/output/cell.ts'
import { rendered, textOf } from '../../src/cli/screen/lines.ts'
import { TopFeed } from '../../src/cli/top/feed.ts'
import { type Choices, type Facts, firstChoices, press, shownQueries } from '../../src/cli/top/model.ts'
import { screenOf } from '../../src/cli/top/view.ts'
import type { LensClientError, QueryView } from '../../src/client/index.ts'
import { clientOf, clusterOf, endlessSql } from '../client/support.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { type Running, run, startOnTerminal } from './support.ts'

const test = anyTest as TestFn<{ nodes: NodeProcess[] }>
const cluster = new TestCluster(null)

test.before(async t => {
  t.context.nodes = await cluster.startAll(1)
})
test.after.always(() => cluster.stop())

const envOf = (nodes: readonly NodeProcess[], user = 'ada') => ({
  LENS_SERVER: nodes.map(node => node.url).join(),
  LENS_USER: user,
})

const entered = '\u001b[?1049h'
const left = '\u001b[?25h\u001b[?1049l'

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences are made of them
const drawing = /(\u001b\[2J)|\u001b\[(\d+);1H\u001b\[K((?:(?!\u001b\[(?:\d+;1H|2J|\?)).)*)/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const tones = /\u001b\[[0-9;]*m/g

/** What stands on the second screen after all that was written to it. */
function standing(out: string): string {
  const rows: string[] = []
  for (const [, cleared, row, text = ''] of out.slice(out.lastIndexOf(entered)).matchAll(drawing)) {
    if (cleared) rows.length = 0
    else rows[Number(row) - 1] = text.replace(tones, '')
  }
  return Array.from(rows, row => (row ?? '').trimEnd()).join('\n')
}

function shows(top: Running, what: string, form: RegExp): Promise<string> {
  return top.until(what, ({ out }) => {
    const screen = standing(out)
    return form.test(screen) && screen
  })
}

function startTop(t: ExecutionContext, nodes: readonly NodeProcess[], user = 'ada'): Running {
  return startOnTerminal(t, ['top'], { env: envOf(nodes, user) })
}

test('queries and nodes; a filter; a cancel that is confirmed; the terminal as it was before', async t => {
  const { nodes } = t.context
  const client = clientOf(t, nodes)
  const wanted = await client.submit(endlessSql, { name: 'wanted' })
  const other = await client.submit(endlessSql, { name: 'another' })
  const top = startTop(t, nodes)
  const first = await shows(top, 'both queries', /RUNNING.* wanted[\s\S]*RUNNING.* another/)
  t.regex(first, /^Lens HA {2}http:\S+ {2}ada {2}n1 leads, term 1/)
  t.regex(first, /\nn1 +alive +leader +\d+ +\d+ +\d\.\d\d s +/)

  top.write('/wan')
  await shows(top, 'the filter', /only \/wan/)
  top.write('\r')
  const filtered = await shows(top, 'the filtered', /only \/wan(?!▏)/)
  t.notRegex(filtered, /another/)
  top.write('c')
  await shows(top, 'the question', new RegExp(`Cancel query ${wanted.handle}\\? y / n`))
  top.write('n')
  await shows(top, 'the answer', /Nothing was done/)
  t.is((await wanted.status()).outcome, null)
  top.write('c')
  await shows(top, 'the question again', /y \/ n/)
  top.write('y')
  t.is((await wanted.wait()).outcome, 'CANCELED')
  await shows(top, 'that it is gone', /None of them fits/)
  top.write('\u001b')
  await shows(top, 'the other one', /1 unfinished[\s\S]* another/)
  top.write('\r')
  await shows(top, 'its details', new RegExp(`${other.handle}\\n +engine duckdb`))
  top.write('q')
  const { code, out } = await top.finished
  t.is(code, 0)
  t.true(out.endsWith(left))
  t.is((await other.status()).outcome, null)
  await other.cancel()
})

test('only admins drain, and see what is not theirs', async t => {
  const { nodes } = t.context
  const query = await clientOf(t, nodes).submit(endlessSql, { name: 'of ada' })
  const stranger = startTop(t, nodes, 'eve')
  const seen = await shows(stranger, 'that there is nothing', /Nothing runs, nothing waits/)
  t.notRegex(seen, /of ada/)
  stranger.write('\td')
  await shows(stranger, 'the refusal', /Only admins may drain/)
  const admin = startTop(t, nodes, 'admin')
  await shows(admin, 'what is not theirs', /admin \(admin\)[\s\S]*of ada/)
  admin.write('\td')
  await shows(admin, 'the question', /Drain n1\? .* y \/ n/)
  admin.write('n')
  await shows(admin, 'the answer', /Nothing was done/)
  for (const top of [stranger, admin]) {
    // As Ctrl-C, typed.
    top.write('\u0003')
    t.is((await top.finished).code, 0)
    t.true(top.out.endsWith(left))
  }
  await query.cancel()
})

test('the death of the node that it speaks to: it goes on at another, and shows who took over', async t => {
  const { nodes } = await clusterOf(t, 2)
  const client = clientOf(t, nodes)
  const query = await client.submit(endlessSql, { name: 'surviving' })
  const owner = await eventually('it runs', async () => {
    const { status, owner } = await query.status()
    return status === 'RUNNING' && owner.node
  })
  const victim = nodes.find(({ name }) => name === owner) as NodeProcess
  const heir = nodes.find(({ name }) => name !== owner) as NodeProcess
  const top = startTop(t, [victim, heir])
  await shows(top, 'its owner', new RegExp(`RUNNING +\\S+ \\S+ +${victim.name} +ada +surviving`))
  await victim.kill()
  const after = await shows(
    top,
    'its heir, and what became of its owner',
    new RegExp(
      `${victim.name} lost \\(\\S+\\): 1 query taken over in [\\s\\S]*RUNNING .* ${heir.name} +ada +2 +surviving`,
    ),
  )
  t.regex(after, new RegExp(`^Lens HA {2}${heir.url} {2}ada {2}${heir.name} leads`))
  top.kill('SIGTERM')
  await top.finished
  await query.cancel()
})

test('progress of what runs, on whichever node it runs', async t => {
  const { nodes } = await clusterOf(t, 2)
  const client = clientOf(t, nodes)
  // Reads many rows, a little at a time: one that only sleeps has no progress.
  const sql = 'select count(*) as n from flights a join airports b on (a.distance * 31 + length(b.iata)) % 1000003 > 5'
  const query = await client.submit(sql, { name: 'counting' })
  const owner = await eventually('it runs', async () => {
    const { status, owner } = await query.status()
    return status === 'RUNNING' && owner.node
  })
  const others = nodes.filter(({ name }) => name !== owner)
  t.is(others.length, 1)
  const top = startTop(t, others)
  await shows(top, 'its progress', new RegExp(`RUNNING .* ${owner} +ada +\\[[#.]{8}\\] \\d+ % +counting`))
  top.write('q')
  t.is((await top.finished).code, 0)
  await query.cancel()
})

test('when nobody answers for longer than calls are tried, it keeps what it knows and goes on with whoever comes', async t => {
  const { cluster, nodes } = await clusterOf(t, 1)
  const [node] = nodes as [NodeProcess]
  const client = clientOf(t, nodes, { retry: { deadlineMs: 300 } })
  await client.submit(endlessSql, { name: 'before' })
  const failures: unknown[] = []
  const who = { user: 'ada', admin: false }
  const feed = new TopFeed(
    client,
    who,
    systemClock,
    () => {},
    error => failures.push(error),
  )
  t.teardown(() => feed.stop())
  feed.start()
  const shown = () => feed.facts.queries.map(({ name }) => name).join()
  await eventually('the query', () => shown() === 'before' && feed.facts.cluster !== null)
  await node.kill()
  // Whatever the feed had asked by then has failed when the second one has.
  for (let outages = 0; outages < 2; outages++) {
    t.is((await t.throwsAsync<LensClientError>(client.queries()))?.code, 'UNREACHABLE')
    await feed.ask()
  }
  t.is(shown(), 'before')
  await cluster.start({ name: 'n2', port: node.port })
  await eventually('the heir', () => feed.facts.cluster?.leader?.node === 'n2' && feed.facts.failovers.length > 0)
  const heir = clientOf(t, nodes)
  await heir.submit(endlessSql, { name: 'after' })
  await eventually('both', () => shown() === 'after,before')
  t.deepEqual(failures, [])
})

test('in a pipe: what is going on now, once', async t => {
  const { nodes } = t.context
  const query = await clientOf(t, nodes).submit(endlessSql)
  const { code, out, err } = await run(t, ['top'], { env: envOf(nodes) })
  t.deepEqual([code, err], [0, ''])
  t.regex(out, /n1 +alive +leader/)
  t.regex(out, new RegExp(`${query.handle}[^\\n]*ada`))
  await query.cancel()
  t.is((await run(t, ['top', '--server', 'http://127.0.0.1:1'])).code, 3)
})

// ------------------------------------------------------------ what is drawn

const queryAt = (index: number, more: Partial<QueryView> = {}): QueryView => ({
  ...{ handle: `00000000-0000-7000-8000-${String(index).padStart(12, '0')}`, sessionId: 's', user: 'ada', name: null },
  ...{ sql: `select ${index}`, operation: 'execute', mode: 'async', lane: 'light', priority: 'normal', engine: 'main' },
  ...{ status: 'RUNNING', outcome: null, version: 3, progress: { fraction: null, message: '' }, queuePosition: null },
  ...{ owner: { node: 'n1', epoch: 1 }, attempt: 1, failedAttempts: [], error: null, result: null, estimate: null },
  ...{ plan: null, submittedAt: new Date(1e12 + index).toISOString(), launchedAt: null, startedAt: null },
  ...{ finishedAt: null, ...more },
})

const factsOf = (queries: readonly QueryView[]): Facts => ({
  ...{
    endpoint: 'http://n1',
    user: 'ada',
    admin: false,
    clusterAtMs: 0,
    queries,
    more: false,
    queriesAtMs: 0,
    handOvers: [],
    failovers: [],
  },
  cluster: {
    now: new Date(1e12 + 60_000).toISOString(),
    leader: null,
    nodes: [1, 2].map(index => ({
      ...{
        node: `n${index}`,
        incarnation: `i${index}`,
        address: `http://n${index}:9999`,
        state: 'alive',
        version: '1',
      },
      ...{ startedAt: new Date(1e12).toISOString(), leaseExpiresAt: new Date(1e12 + 61_500).toISOString() },
      ...{ running: 1, queued: 0 },
    })),
  },
})

const drawn = (facts: Facts, choices: Choices, columns: number, rows: number) =>
  screenOf(facts, choices, { columns, rows }, 500).map(line => rendered(line, columns, false))

test('no line is longer than the screen is wide, no screen is higher than it is, at any size', t => {
  const facts = factsOf(Array.from({ length: 50 }, (_, index) => queryAt(index, { name: '幅の広い名前'.repeat(5) })))
  for (const details of [false, true])
    for (const columns of [20, 37, 60, 80, 200])
      for (const rows of [5, 12, 40]) {
        const lines = drawn(facts, { ...firstChoices, details }, columns, rows)
        t.true(lines.length <= rows)
        for (const line of lines) t.true(widthOf(line.replace(tones, '')) <= columns, line)
      }
})

test('what a statement says moves nobody’s cursor', t => {
  const evil = 'select \u001b[2J\u001b]0;title\u0007\u202e -- \r'
  const screen = screenOf(
    factsOf([queryAt(1, { sql: evil })]),
    { ...firstChoices, details: true },
    { columns: 150, rows: 20 },
    0,
  )
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  t.false(screen.some(line => /[\u0000-\u001a\u001c-\u001f\u007f-\u009f\u202e]/.test(rendered(line, 150, false))))
  t.true(screen.some(line => rendered(line, 150, false).includes('select \\u001b[2J')))
})

test('the selection stays on its query while others come and go, and moves within the list', t => {
  const many = factsOf(Array.from({ length: 30 }, (_, index) => queryAt(index)))
  const down = { name: 'down', sequence: '\u001b[B' }
  let choices = firstChoices
  for (let presses = 0; presses < 3; presses++) ({ choices } = press(down, many, choices, 10))
  t.is(choices.selected.queries.key, queryAt(3).handle)
  const fewer = factsOf([2, 3, 7].map(index => queryAt(index)))
  ;({ choices } = press(down, fewer, choices, 10))
  t.is(choices.selected.queries.key, queryAt(7).handle)
  ;({ choices } = press({ name: 'pagedown' }, fewer, choices, 10))
  t.is(choices.selected.queries.key, queryAt(7).handle)
  ;({ choices } = press({ name: 'home' }, many, choices, 10))
  t.is(choices.selected.queries.key, queryAt(0).handle)
  const nothing = press({ name: 'c' }, factsOf([]), firstChoices, 10)
  t.is(nothing.choices.mode, 'browsing')
})

test('what is gone leaves its place to the next, and the question names what would be cancelled', t => {
  const many = factsOf([1, 2, 3, 4].map(index => queryAt(index)))
  let { choices } = press({ name: 'down' }, many, firstChoices, 10)
  const fewer = factsOf([1, 3, 4].map(index => queryAt(index)))
  ;({ choices } = press({ name: 'c' }, fewer, choices, 10))
  t.deepEqual(choices.mode, { kind: 'cancel', handle: queryAt(3).handle })
  t.is(drawn(fewer, choices, 120, 20).at(-1), `Cancel query ${queryAt(3).handle}? y / n  ada: select 3`)
  const last = factsOf([queryAt(1)])
  t.is(
    press({ name: 'down' }, last, { ...choices, mode: 'browsing' }, 10).choices.selected.queries.key,
    queryAt(1).handle,
  )
})

test('a filter takes text, and no key that is none', t => {
  const facts = factsOf([queryAt(1)])
  let choices = press({ sequence: '/' }, facts, firstChoices, 10).choices
  const keys = [
    { name: 'a', sequence: 'a' },
    { name: 'up', sequence: '\u001b[A' },
    { name: 'é', sequence: 'é' },
    { name: 'tab', sequence: '\t' },
    { name: 'w', sequence: '\u0017', ctrl: true },
    { name: 'x', sequence: 'x' },
    { name: 'backspace', sequence: '\u007f' },
  ]
  for (const key of keys) ({ choices } = press(key, facts, choices, 10))
  t.is(choices.filter, 'aé')
})

test('a narrow screen keeps what matters: that nobody answers, the progress, the keys, the whole statement', t => {
  const sql = 'select origin, count(*) as flights from flights group by origin order by flights desc limit 5'
  const lines = screenOf(
    factsOf([queryAt(1, { sql, progress: { fraction: 0.25, message: '' } })]),
    { ...firstChoices, details: true },
    { columns: 60, rows: 24 },
    10_000,
  ).map(line => rendered(line, 60, false))
  t.regex(lines[0] ?? '', /no answer for 10\.0 s/)
  t.true(lines.some(text => /RUNNING .*1 min 10 s {2}n1 {4}25 % {2}select origin/.test(text)))
  t.regex(lines.at(-1) ?? '', /c cancel {2}d drain {2}q quit$/)
  t.true(lines.slice(-4).join('').replaceAll(/ +/g, ' ').includes(sql))
})

test('sorted by what is asked for, the oldest first within it', t => {
  const facts = factsOf([
    queryAt(1, { status: 'QUEUED', user: 'zoe' }),
    queryAt(2, { user: 'bob', owner: { node: 'n2', epoch: 1 } }),
    queryAt(3, { user: 'ada' }),
  ])
  const orderOf = (choices: Choices) => shownQueries(facts, choices).map(({ handle }) => Number(handle.slice(-1)))
  const orders: Record<string, number[]> = {}
  let choices = firstChoices
  for (let presses = 0; presses < 4; presses++) {
    orders[choices.sort] = orderOf(choices)
    ;({ choices } = press({ name: 's' }, facts, choices, 10))
  }
  t.deepEqual(orders, { age: [1, 2, 3], status: [2, 3, 1], node: [1, 3, 2], user: [3, 2, 1] })
  t.deepEqual(orderOf({ ...firstChoices, filter: 'N2' }), [2])
  t.is(
    textOf(screenOf(facts, firstChoices, { columns: 80, rows: 20 }, 10_000)[0] as never).includes(
      'no answer for 10.0 s',
    ),
    true,
  )
})

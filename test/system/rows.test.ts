/** The rows of a finished query, from every node, in every form, whatever became of the node that made them. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { tableFromIPC } from 'apache-arrow'
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../support/conditions.ts'
import { directRows } from '../support/flights.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { StreamClient } from '../support/wire.ts'

const short = { LENS_RESULTS_RETENTION_MS: '1000' }
const shared = sharedCluster(test, {
  nodes: 3,
  env: { LENS_LIMITS_RUNNING_PER_USER: '1000' },
  // The owner's settings say how long rows are kept, and how many there may be.
  envOf: { n2: { LENS_LIMITS_RESULT_BYTES_MAX: '100000' }, n3: short },
})
const mysql = mysqlDatabases(test)

/** Several pages of the store; numbers, text, NULL and what CSV has to quote. */
const sql =
  "select origin o, delay::int d, distance::int m, nullif(destination, 'LAX') dest, origin || ',\"' || destination quoted " +
  'from flights where distance > 1400 order by all limit 150000'

const read = (node: NodeProcess, token: string, handle: string, accept: string, offset = 0) =>
  fetch(`${node.url}/api/v1/queries/${handle}/results?offset=${offset}`, {
    headers: { authorization: `Bearer ${token}`, accept },
  })

/** Rows of JSON lines; throws when the text was cut. */
function lines(text: string): unknown[][] {
  if (!text.endsWith('\n')) throw new Error('the last line is cut')
  const values = text
    .slice(0, -1)
    .split('\n')
    .map(line => JSON.parse(line))
  return values.map(value => (Array.isArray(value) ? value : Object.values(value)))
}

/** Many rows: AVA's own comparison would take seconds, and its difference could not be read. */
function isSame(t: ExecutionContext, rows: readonly unknown[], expected: readonly unknown[], what = 'rows'): void {
  t.is(rows.length, expected.length, what)
  const wrong = rows.findIndex((row, index) => !isDeepStrictEqual(row, expected[index]))
  t.is(wrong, -1, `${what}: row ${wrong} is ${JSON.stringify(rows[wrong])}, not ${JSON.stringify(expected[wrong])}`)
}

/** RFC 4180 as `api.md` has it: NULL is empty, text that needs it is quoted. */
function csvOf(names: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cell = (value: unknown) =>
    value === null
      ? ''
      : value === '' || /[",\r\n]/.test(`${value}`)
        ? `"${`${value}`.replaceAll('"', '""')}"`
        : `${value}`
  return [names, ...rows].map(row => `${row.map(cell).join(',')}\r\n`).join('')
}

async function finished(node: NodeProcess, token: string, text = sql): Promise<string> {
  const { handle } = await node.submit(token, { sql: text, lane: 'light' })
  const { status, error } = await node.ended(token, handle)
  if (status !== 'SUCCESSFUL') throw new Error(JSON.stringify(error))
  return handle
}

test.serial('in every form from every node, as DuckDB itself gives them', async t => {
  const direct = await directRows(sql)
  const { token } = await shared.node('n2').session('reader')
  const handle = await finished(shared.node('n1'), token)
  const [stored] = await ask(shared.storeUrl, 'SELECT COUNT(*) AS n FROM result_page WHERE handle = ?', [handle])
  t.true(Number(stored?.n) > 1, 'several pages')
  const names = ['o', 'd', 'm', 'dest', 'quoted']
  for (const node of shared.nodes) {
    const ndjson = await read(node, token, handle, 'application/x-ndjson')
    isSame(t, lines(await ndjson.text()), direct)
    const csv = await read(node, token, handle, 'text/csv')
    t.true((await csv.text()) === csvOf(names, direct), `CSV of ${node.name}`)
    const arrow = await read(node, token, handle, 'application/vnd.apache.arrow.stream')
    const table = tableFromIPC(new Uint8Array(await arrow.arrayBuffer()))
    t.deepEqual(
      table.schema.fields.map(({ name }) => name),
      names,
    )
    const columns = names.map(name => [...(table.getChild(name) ?? [])])
    isSame(
      t,
      direct.map((_, row) => columns.map(column => column[row])),
      direct,
    )
    // A page that begins and ends within stored ones, the end, and beyond it.
    for (const offset of [0, 1, 73_211, direct.length - 2, direct.length + 5]) {
      const { body } = await node.call('GET', `/api/v1/queries/${handle}/results?offset=${offset}&limit=999`, { token })
      isSame(t, body.rows, direct.slice(offset, offset + 999))
      t.is(body.nextOffset, offset + 999 < direct.length ? offset + 999 : null)
    }
  }
})

test.serial(
  'the owner dies between two pages and under a stream from another node: nothing is missing or twice',
  async t => {
    const direct = await directRows(sql)
    const { token } = await shared.node('n2').session('reader')
    const handle = await finished(shared.node('n1'), token)
    const stream = await read(shared.node('n2'), token, handle, 'application/x-ndjson')
    const reader = stream.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>
    const first = await reader.read()
    const rows: unknown[][] = []
    let offset: number | null = 0
    for (let page = 0; offset !== null; page++) {
      if (page === 3) await shared.node('n1').kill()
      const node = page < 3 ? shared.node(`n${page + 1}`) : shared.node(`n${2 + (page % 2)}`)
      const { status, body }: any = await node.call(
        'GET',
        `/api/v1/queries/${handle}/results?offset=${offset}&limit=9999`,
        { token },
      )
      t.is(status, 200, JSON.stringify(body))
      rows.push(...body.rows)
      offset = body.nextOffset
    }
    isSame(t, rows, direct)
    const chunks = [first.value as Uint8Array]
    for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value)
    isSame(t, lines(Buffer.concat(chunks).toString()), direct)
    t.deepEqual(await brokenInvariants(shared.storeUrl, [handle]), [])
  },
)

test.serial('a result that is too large fails, and leaves no rows', async t => {
  await shared.restore()
  const { token } = await shared.node('n1').session('greedy')
  const { handle } = await shared.node('n2').submit(token, { sql, lane: 'light' })
  const { status, error } = await shared.node('n1').ended(token, handle)
  t.is(status, 'FAILED')
  t.is(error.code, 'RESULT_TOO_LARGE')
  for (const node of shared.nodes)
    t.is((await node.call('GET', `/api/v1/queries/${handle}/results`, { token })).body.code, 'RESULT_NOT_READY')
})

async function gone(t: ExecutionContext, nodes: readonly NodeProcess[], token: string, handle: string): Promise<void> {
  for (const node of nodes)
    for (const accept of ['application/json', 'text/csv', 'application/x-ndjson']) {
      const answer = await eventually(
        () => read(node, token, handle, accept),
        ({ status }) => status === 410,
        { what: `the end of the rows on ${node.name}` },
      )
      t.is(((await answer.json()) as { code: string }).code, 'RESULT_EXPIRED')
    }
}

const pagesOf = (storeUrl: string, handle: string) =>
  ask(storeUrl, 'SELECT page FROM result_page WHERE handle = ?', [handle])

test.serial('rows that have expired or were dropped are gone everywhere, and watchers see the drop', async t => {
  const { token } = await shared.node('n1').session('reader')
  const expiring = await finished(shared.node('n3'), token)
  await gone(t, shared.nodes, token, expiring)
  t.is((await shared.node('n1').query(token, expiring)).status, 'SUCCESSFUL', 'the status stays')
  await eventually(
    () => pagesOf(shared.storeUrl, expiring),
    rows => rows.length === 0,
    { what: 'the sweep' },
  )

  const dropped = await finished(shared.node('n1'), token)
  const watcher = await new StreamClient(shared.node('n2').url, { token }).opened()
  t.teardown(() => watcher.terminate())
  watcher.send({ type: 'subscribe', id: 'it', topic: 'query', handle: dropped })
  await watcher.frame('its end', ({ query }) => query?.status === 'SUCCESSFUL')
  const { status } = await shared.node('n3').call('DELETE', `/api/v1/queries/${dropped}/results`, { token })
  t.is(status, 204)
  const { query } = await watcher.frame('its drop', frame => frame.query?.status === 'CLOSED')
  t.is(query.outcome, 'SUCCESSFUL')
  for (const node of shared.nodes) t.is((await node.query(token, dropped)).status, 'CLOSED')
  await gone(t, shared.nodes, token, dropped)
  t.deepEqual(await pagesOf(shared.storeUrl, dropped), [])
})

test.serial('a results directory that the nodes share serves them all, and is emptied', async t => {
  const url = await mysql.create(t)
  const cluster = new TestCluster(url)
  t.teardown(() => cluster.stop())
  const directory = path.join(cluster.folder, 'results')
  const env = { LENS_RESULTS_DIRECTORY: directory }
  const keeper = await cluster.start({ name: 'keeper', env })
  const brief = await cluster.start({ name: 'brief', env: { ...env, ...short } })
  await Promise.all([keeper.ready(), brief.ready()])
  await cluster.settled(2)
  const direct = await directRows(sql)
  const { token } = await brief.session('reader')
  const files = (handle: string) => readdirSync(directory).filter(name => name.includes(handle))

  const handle = await finished(keeper, token)
  t.is(files(handle).length, 1)
  const inStore = await ask(url, 'SELECT page FROM result_page WHERE handle = ? AND data IS NOT NULL', [handle])
  t.deepEqual(inStore, [], 'no rows in the database')
  isSame(t, lines(await (await read(brief, token, handle, 'application/x-ndjson')).text()), direct)
  t.is((await brief.call('DELETE', `/api/v1/queries/${handle}/results`, { token })).status, 204)
  await gone(t, [keeper, brief], token, handle)
  await eventually(() => files(handle).length === 0, Boolean, { what: 'the end of the dropped files' })

  const expiring = await finished(brief, token)
  await gone(t, [keeper, brief], token, expiring)
  await eventually(() => files(expiring).length === 0, Boolean, { what: 'the end of the expired files' })
  // Of a dead owner too.
  const kept = await finished(keeper, token)
  await keeper.kill()
  isSame(t, lines(await (await read(brief, token, kept, 'application/x-ndjson')).text()), direct)

  // Who died before it removed them left files behind: the next leader looks. What the store does not know is not its business.
  const strangers = '01a20915-a71e-7afa-9daa-835122e8a500'
  for (const name of [expiring, strangers]) {
    mkdirSync(path.join(directory, name))
    writeFileSync(path.join(directory, name, '1-0'), 'rows')
  }
  await brief.terminate()
  const next = await cluster.start({ name: 'next', env })
  await next.ready()
  await eventually(() => files(expiring).length === 0, Boolean, { what: 'the end of what was left' })
  t.is(files(strangers).length, 1)
  t.is(files(kept).length, 1)
  isSame(t, lines(await (await read(next, token, kept, 'application/x-ndjson')).text()), direct)
})

/** The rules that the tests' Trino server holds its clients to: without them, tests of the driver would prove nothing. */
import { get } from 'node:https'
import test from 'ava'
import { startTrino, type TrinoServer } from '../support/trino/index.ts'

interface Results {
  readonly id: string
  readonly nextUri?: string
  readonly columns?: readonly { readonly name: string; readonly type: string }[]
  readonly data?: any
  readonly stats: { readonly state: string }
  readonly error?: { readonly errorName: string; readonly errorLocation?: { readonly lineNumber: number } }
  readonly updateType?: string
  readonly updateCount?: number
}

const shared = startTrino({ teardown: test.after.always }, { waitMs: 200 })

async function post(trino: TrinoServer, sql: string, headers: Record<string, string> = {}): Promise<Results> {
  const answer = await fetch(`${trino.url}/v1/statement`, {
    ...{ method: 'POST', body: sql },
    headers: { 'X-Trino-User': 'ada', 'X-Trino-Client-Capabilities': 'PARAMETRIC_DATETIME', ...headers },
  })
  if (answer.status !== 200) throw new Error(`HTTP ${answer.status}`)
  return (await answer.json()) as Results
}

async function all(first: Results) {
  const answers = [first]
  const headers = new Map<string, string>()
  let { nextUri } = first
  while (nextUri !== undefined) {
    const answer = await fetch(nextUri)
    for (const [name, value] of answer.headers) headers.set(name, value)
    const results = (await answer.json()) as Results
    answers.push(results)
    nextUri = results.nextUri
  }
  const rows: unknown[][] = answers.flatMap(({ data }) => data ?? [])
  return { answers, rows, last: answers.at(-1) as Results, headers }
}

/** The first answer of the second phase, and its address. */
async function executing(first: Results): Promise<string> {
  let { nextUri = '' } = first
  while (!nextUri.includes('/executing/'))
    nextUri = ((await (await fetch(nextUri)).json()) as Results).nextUri as string
  return nextUri
}

test('nothing runs before the first GET, and then once', async t => {
  const trino = await shared
  await trino.sql('CREATE TABLE begun (a INTEGER)')
  const first = await post(trino, 'INSERT INTO begun VALUES (1)', {
    'X-Trino-Catalog': 'memory',
    'X-Trino-Schema': 'main',
  })
  t.is(first.stats.state, 'QUEUED')
  t.is((await trino.queries()).find(({ id }) => id === first.id)?.began, 0)
  await fetch(first.nextUri as string)
  await fetch(first.nextUri as string)
  const { last } = await all(first)
  t.is(last.updateType, 'INSERT')
  t.is(last.updateCount, 1)
  t.deepEqual(await trino.sql('SELECT count(*) FROM begun'), [['1']])
  t.is((await trino.queries()).find(({ id }) => id === first.id)?.began, 1)
})

test('the last answer comes again, the one before it is gone, the next but one is unknown', async t => {
  const trino = await shared
  const uri0 = await executing(await post(trino, 'SELECT range AS n FROM range(5000)'))
  const zero = await (await fetch(uri0)).text()
  t.is(await (await fetch(uri0)).text(), zero)
  const uri1 = (JSON.parse(zero) as Results).nextUri as string
  const one = (await (await fetch(uri1)).json()) as Results
  t.is((await fetch(uri0)).status, 410)
  t.deepEqual(await (await fetch(uri1)).json(), one)
  t.is((await fetch(uri1.replace(/\/1$/, '/2'))).status, 404)
  const [, second] = [JSON.parse(zero) as Results, one]
  t.is(second.data?.[0]?.[0], (JSON.parse(zero) as Results).data.at(-1)[0] + 1)
})

test('rows come whole and in order, and the last answer may be had after the end', async t => {
  const trino = await shared
  const { rows, answers, last } = await all(await post(trino, 'SELECT range AS n FROM range(12345)'))
  t.deepEqual(
    rows,
    Array.from({ length: 12_345 }, (_, n) => [n]),
  )
  t.is(last.stats.state, 'FINISHED')
  const before = answers.at(-2)?.nextUri as string
  t.deepEqual(await (await fetch(before)).json(), last)
  t.is((await fetch(answers[1]?.nextUri as string)).status, 410)
})

test('DELETE ends what runs, and what was never begun', async t => {
  const trino = await shared
  const endless = 'SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range = 5'
  const uri = await executing(await post(trino, endless))
  t.is((await fetch(uri, { method: 'DELETE' })).status, 204)
  t.is(((await (await fetch(uri)).json()) as Results).error?.errorName, 'USER_CANCELED')
  const never = await post(trino, endless)
  await fetch(never.nextUri as string, { method: 'DELETE' })
  t.is((await all(never)).last.error?.errorName, 'USER_CANCELED')
  t.is((await trino.queries()).find(({ id }) => id === never.id)?.began, 0)
})

test('a client that asks for nothing any more has its query ended, or forgotten', async t => {
  const trino = await startTrino(t, { clientTimeoutMs: 300, waitMs: 50 })
  const first = await post(trino, 'SELECT range AS n FROM range(1000000)')
  const uri = await executing(first)
  const never = await post(trino, 'SELECT 1')
  for (;;) {
    const records = await trino.queries()
    if (records.length === 1 && records[0]?.state === 'FAILED') break
  }
  t.is(((await (await fetch(uri)).json()) as Results).error?.errorName, 'ABANDONED_QUERY')
  t.is((await fetch(never.nextUri as string)).status, 404)
})

test('errors have their names and places', async t => {
  const trino = await shared
  const failure = async (sql: string) => (await all(await post(trino, sql))).last.error
  t.is((await failure('SELEC 1'))?.errorName, 'SYNTAX_ERROR')
  t.is((await failure('SELECT *\nFROM nowhere'))?.errorName, 'TABLE_NOT_FOUND')
  t.is((await failure('SELECT *\nFROM nowhere'))?.errorLocation?.lineNumber, 2)
  t.is((await failure("SELECT error('Division by zero')"))?.errorName, 'DIVISION_BY_ZERO')
  t.is((await failure('SELECT 1; SELECT 2'))?.errorName, 'SYNTAX_ERROR')
})

test('a session is in the headers alone, both ways', async t => {
  const trino = await shared
  const headersOf = async (sql: string, headers = {}) => (await all(await post(trino, sql, headers))).headers
  t.is((await headersOf('USE memory.main')).get('x-trino-set-catalog'), 'memory')
  t.is((await headersOf('USE memory.main')).get('x-trino-set-schema'), 'main')
  t.is(
    (await headersOf("SET SESSION query_max_run_time = '1 h'")).get('x-trino-set-session'),
    'query_max_run_time=1%20h',
  )
  t.is((await headersOf('RESET SESSION query_max_run_time')).get('x-trino-clear-session'), 'query_max_run_time')
  t.is((await headersOf('PREPARE mine FROM SELECT ? + 1')).get('x-trino-added-prepare'), 'mine=SELECT%20%3F%20%2B%201')
  const prepared = { 'X-Trino-Prepared-Statement': 'mine=SELECT+%3F+%2B+1' }
  t.deepEqual((await all(await post(trino, 'EXECUTE mine USING 41', prepared))).rows, [[42]])
  t.is((await all(await post(trino, 'DESCRIBE INPUT mine', prepared))).rows.length, 1)
  t.is((await headersOf('DEALLOCATE PREPARE mine', prepared)).get('x-trino-deallocated-prepare'), 'mine')
  t.is((await all(await post(trino, 'EXECUTE mine USING 41'))).last.error?.errorName, 'NOT_FOUND')
  const wrong = await all(await post(trino, 'SELECT 1', { 'X-Trino-Session': 'unknown_one=1' }))
  t.is(wrong.last.error?.errorName, 'INVALID_SESSION_PROPERTY')
})

test('types and values are written as Trino does', async t => {
  const trino = await shared
  const sql = `SELECT 1::TINYINT AS a, 9007199254740993 AS b, 1.50::DECIMAL(10,2) AS c, 'x' AS d, TIMESTAMP '2020-01-02 03:04:05.6' AS e,
    [1, NULL] AS f, MAP {'k': 2} AS g, {'x': 1, 'y': 'z'} AS h, '\\xAA'::BLOB AS i, TIMESTAMPTZ '2020-01-02 03:04:05+00' AS j, NULL AS k`
  const answer = await fetch(await executing(await post(trino, sql)))
  const text = await answer.text()
  t.true(
    text.includes(
      '[[1,9007199254740993,"1.50","x","2020-01-02 03:04:05.600000",[1,null],{"k":2},[1,"z"],"qg==","2020-01-02 03:04:05.000000 UTC",null]]',
    ),
    text,
  )
  t.deepEqual(
    (JSON.parse(text) as Results).columns?.map(({ type }) => type),
    [
      'tinyint',
      'bigint',
      'decimal(10,2)',
      'varchar',
      'timestamp(6)',
      'array(integer)',
      'map(varchar, integer)',
      'row(x integer, y varchar)',
      'varbinary',
      'timestamp(6) with time zone',
      'integer',
    ],
  )
})

test('spooled rows lie elsewhere until they are acknowledged', async t => {
  const trino = await startTrino(t, { spooling: 'mixed', pageRows: 1000 })
  const first = await post(trino, 'SELECT range AS n FROM range(1000)', { 'X-Trino-Query-Data-Encoding': 'json' })
  const { data } = (await (await fetch(await executing(first))).json()) as Results
  t.deepEqual(
    data.segments.map(({ type }: { type: string }) => type),
    ['inline', 'spooled'],
  )
  const [inline, spooled] = data.segments
  t.is(JSON.parse(Buffer.from(inline.data, 'base64').toString())[0][0], 0)
  const headers = { 'X-Segment-Key': spooled.headers['X-Segment-Key'][0] }
  t.is((await fetch(spooled.uri)).status, 404)
  t.is(((await (await fetch(spooled.uri, { headers })).json()) as unknown[]).length, 500)
  t.is((await fetch(spooled.ackUri)).status, 200)
  t.is((await fetch(spooled.uri, { headers })).status, 404)
})

test('faults are what they say', async t => {
  const trino = await startTrino(t, {})
  await trino.fault({ what: 'status', status: 503, retryAfter: 2, match: { kind: 'info' }, times: 2 })
  const info = () => fetch(`${trino.url}/v1/info`)
  t.is((await info()).headers.get('retry-after'), '2')
  t.is((await info()).status, 503)
  t.is((await info()).status, 200)
  await trino.fault({ what: 'lost', match: { kind: 'executing', token: 0 } })
  const uri = await executing(await post(trino, 'SELECT 1 AS a'))
  await t.throwsAsync(fetch(uri))
  t.deepEqual(((await (await fetch(uri)).json()) as Results).data, [[1]])
  await trino.fault({ what: 'half', match: { kind: 'info' } })
  await t.throwsAsync(async () => (await info()).text())
  await trino.fault({ what: 'hold', match: { kind: 'executing', sql: 'held' } })
  const held = fetch(await executing(await post(trino, "SELECT 'held' AS a")))
  t.is((await trino.asked({ kind: 'executing', sql: 'held' })).status, null)
  await trino.release()
  t.is((await held).status, 200)
  await trino.restart()
  t.is((await fetch(uri)).status, 404)
  await trino.refuse()
  await t.throwsAsync(info)
  await trino.accept()
  t.is((await info()).status, 200)
})

test('who does not sign in is refused, by TLS too', async t => {
  const trino = await startTrino(t, { tls: true, passwords: { ada: 'secret' }, tokens: { 'a.b.c': 'bob' } })
  const status = (headers: Record<string, string>, ca: string | null = trino.ca) =>
    new Promise<number>((resolve, reject) => {
      const request = get(`${trino.url}/v1/node`, { headers, ...(ca ? { ca } : {}) }, answer =>
        resolve(answer.resume().statusCode ?? 0),
      )
      request.once('error', reject)
    })
  t.is(await status({ 'X-Trino-User': 'ada' }), 401)
  t.is(await status({ Authorization: `Basic ${Buffer.from('ada:wrong').toString('base64')}` }), 401)
  t.is(await status({ Authorization: `Basic ${Buffer.from('ada:secret').toString('base64')}` }), 200)
  t.is(await status({ Authorization: 'Bearer a.b.c' }), 200)
  await t.throwsAsync(status({}, null))
})

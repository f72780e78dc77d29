/** What is given to a call has its effect: configurations, filters, time-outs; and values of every type come back. */
import test from 'ava'
import { eventually } from '../../support/conditions.ts'
import {
  conf,
  emptyConf,
  json,
  lens,
  lensQueryOf,
  openLens,
  type Parts,
  submitLens,
} from '../../support/lens-protocol.ts'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'

const cluster = new TestCluster(null, { LENS_LIMITS_SESSIONS_PER_USER: '1000', LENS_LIMITS_SYNC_MS: '700' })
let node: Awaited<ReturnType<TestCluster['start']>>

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
})
test.after.always(async t => {
  t.true(node.running)
  await cluster.stop()
})

const [query, prepared, statement] = ['/queryapi/queries', '/queryapi/preparedqueries', 'select 1']
const at = (path: string, handle: string) => `${path}/${handle}`

async function reaches(sessionid: string, handle: string, ...statuses: string[]) {
  return eventually(
    () => lensQueryOf(node, sessionid, handle),
    ({ status }) => statuses.includes(status.status),
    { what: `${handle} is ${statuses.join(' or ')}` },
  )
}
async function finished(sessionid: string, sql: string): Promise<string> {
  const handle = await submitLens(node, sessionid, sql)
  await reaches(sessionid, handle, 'SUCCESSFUL', 'FAILED')
  return handle
}

test('configurations reach what they are given to', async t => {
  const sessionid = await openLens(node, 'configured', conf({ colour: 'blue', size: '1' }))
  const read = async (handle: string) => {
    const { queryConf } = await lensQueryOf(node, sessionid, handle)
    return Object.fromEntries(queryConf.properties.entry.map(({ key, value }: any) => [key, value]))
  }
  const forms = [
    conf({ size: '2' }),
    '<conf><properties><entry><key>size</key><value>2</value></entry></properties></conf>',
    '{"conf":{"properties":{"entry":[{"key":"size","value":"2"}]}}}',
  ]
  for (const own of forms) {
    const waits = { sessionid, query: statement, operation: 'execute_with_timeout', conf: own }
    for (const form of ['python', 'java', 'field'] as const) {
      const { json: answer } = await lens(node, 'POST', query, { parts: waits, form, accept: json })
      const { handleId } = answer.lensAPIResult.data.queryHandle
      t.deepEqual(await read(handleId), { colour: 'blue', size: '2' }, `${own} as ${form}`)
    }
  }
  const preparation = { sessionid, query: statement, operation: 'prepare', conf: emptyConf }
  const made = await lens(node, 'POST', prepared, { parts: preparation, accept: json })
  const target = at(prepared, made.json.lensAPIResult.data.prepareHandleId)
  const execution = { parts: { sessionid, operation: 'execute', conf: forms[0] as string }, accept: json }
  const { json: executed } = await lens(node, 'POST', target, execution)
  t.deepEqual(await read(executed.queryHandle.handleId), { colour: 'blue', size: '2' })
})

test('listings by name, driver, state, and time; and what is cancelled by them', async t => {
  const sessionid = await openLens(node, 'lister')
  const submit = async (sql: string, queryName: string) => {
    const parts = { sessionid, query: sql, operation: 'execute', queryName, conf: emptyConf }
    return (await lens(node, 'POST', query, { parts, accept: json })).json.lensAPIResult.data.handleId as string
  }
  const done = await submit(statement, 'daily sales')
  await reaches(sessionid, done, 'SUCCESSFUL')
  const failed = await submit(`select error('boom')`, 'daily costs')
  await reaches(sessionid, failed, 'FAILED')
  const running = await submit(endless, 'weekly sales')
  await reaches(sessionid, running, 'RUNNING')
  const list = async (more: Parts) => {
    const { json: found } = await lens(node, 'GET', query, { query: { sessionid, ...more }, accept: json })
    return found.map((each: any) => each.queryHandle.handleId).sort()
  }
  const sorted = (...handles: string[]) => handles.sort()
  t.deepEqual(await list({ queryName: 'sales' }), sorted(done, running))
  t.deepEqual(await list({ queryName: 'daily sales' }), [done])
  t.deepEqual(await list({ queryName: 'sales', state: 'RUNNING' }), [running])
  t.deepEqual(await list({ driver: 'duckdb/DuckDB' }), sorted(done, failed, running))
  t.deepEqual(await list({ state: 'successful, FAILED' }), sorted(done, failed))
  const states = 'NEW,QUEUED,LAUNCHED,RUNNING,EXECUTED,FAILING,SUCCESSFUL,FAILED,CANCELED,CLOSED'
  t.deepEqual(await list({ state: states }), sorted(done, failed, running))
  // From an instant on, and before one.
  for (const handle of [done, failed, running]) {
    const { submissionTime } = await lensQueryOf(node, sessionid, handle)
    t.true((await list({ fromDate: `${submissionTime}` })).includes(handle))
    t.false((await list({ toDate: `${submissionTime}` })).includes(handle))
    t.deepEqual(await list({ fromDate: `${submissionTime}`, toDate: `${submissionTime}` }), [])
  }

  const cancel = (more: Parts, accept = {}) => lens(node, 'DELETE', query, { query: { sessionid, ...more }, ...accept })
  t.regex((await cancel({ queryName: 'nobody' })).text, /<apiResult><status>SUCCEEDED<\/status><message>Cancelled 0 /)
  t.regex((await cancel({ queryName: 'daily', state: states })).text, /<apiResult><status>FAILED<\/status>/)
  t.is((await lensQueryOf(node, sessionid, running)).status.status, 'RUNNING')
  t.regex((await cancel({ state: states })).text, /<apiResult><status>PARTIAL<\/status><message>Cancelled 1 of 3 /)
  await reaches(sessionid, running, 'CANCELED')
  t.is((await cancel({ state: states }, { accept: json })).json.apiResult.status, 'FAILED')
})

test('prepared queries by name, and which of them are destroyed', async t => {
  const sessionid = await openLens(node, 'preparer')
  for (const queryName of ['daily sales', 'daily costs'])
    await lens(node, 'POST', prepared, { parts: { sessionid, query: statement, operation: 'prepare', queryName } })
  const count = async (more: Parts) =>
    (await lens(node, 'GET', prepared, { query: { sessionid, ...more }, accept: json })).json.length
  t.deepEqual([await count({}), await count({ queryName: 'Sales' }), await count({ user: 'all' })], [2, 1, 2])
  const destroyed = await lens(node, 'DELETE', prepared, { query: { sessionid, queryName: 'sales' }, accept: json })
  t.regex(destroyed.json.apiResult.message, /\b1 prepared/)
  t.deepEqual([await count({ queryName: 'sales' }), await count({ queryName: 'costs' })], [0, 1])
})

test('who destroys or cancels what somebody else is just doing away with is not refused', async t => {
  const sessionid = await openLens(node, 'twins')
  const parts = { sessionid, query: statement, operation: 'prepare' }
  await Promise.all(Array.from({ length: 30 }, () => lens(node, 'POST', prepared, { parts })))
  const { json: list } = await lens(node, 'GET', prepared, { query: { sessionid }, accept: json })
  const handles: string[] = list.map((each: any) => each.queryPrepareHandle.prepareHandleId)
  // The call goes through its list from the newest on; somebody else begins at the oldest.
  const all = lens(node, 'DELETE', prepared, { query: { sessionid }, accept: json })
  for (const handle of handles.reverse()) {
    const { status } = await lens(node, 'DELETE', at(prepared, handle), { query: { sessionid } })
    if (status === 404) break
  }
  const { status, text } = await all
  t.is(status, 200, text)
  t.deepEqual((await lens(node, 'GET', prepared, { query: { sessionid }, accept: json })).json, [])
})

test("admins see and cancel the queries of all, and list nobody else's prepared ones", async t => {
  const mine = await openLens(node, 'owner')
  const handle = await submitLens(node, mine, endless)
  const sessionid = await openLens(node, 'admin')
  const list = async (more: Parts) => {
    const { json: found } = await lens(node, 'GET', query, { query: { sessionid, ...more }, accept: json })
    return found.some((each: any) => each.queryHandle.handleId === handle)
  }
  t.deepEqual([await list({}), await list({ user: 'all' }), await list({ user: 'owner' })], [false, true, true])
  t.is((await lensQueryOf(node, sessionid, handle)).submittedUser, 'owner')
  const sessions = await lens(node, 'GET', '/session/sessions', { query: { sessionid } })
  t.regex(sessions.text, /<userName>owner<\/userName><activeQueries><activeQueries><handleId>/)
  t.false(sessions.text.includes('secretId'))
  const counts = await lens(node, 'GET', '/session/sessionsperuser', { query: { sessionid }, accept: json })
  t.true(counts.json.some((each: any) => each.sessionPerUserInfo.user === 'owner'))
  t.is((await lens(node, 'GET', prepared, { query: { sessionid, user: 'owner' } })).status, 403)
  const killed = await lens(node, 'DELETE', at(query, handle), { query: { sessionid } })
  t.regex(killed.text, /<apiResult><status>SUCCEEDED/)
  await reaches(mine, handle, 'CANCELED')
})

test('a plan that cannot be made leaves no prepared query behind', async t => {
  const sessionid = await openLens(node, 'planner')
  for (const sql of ['selec', 'select ?', 'explain select 1', 'show tables', 'select * from nowhere']) {
    const parts = { sessionid, query: sql, operation: 'explain_and_prepare' }
    const answer = await lens(node, 'POST', prepared, { parts, accept: json })
    const { json: list } = await lens(node, 'GET', prepared, { query: { sessionid }, accept: json })
    t.is(list.length, answer.status === 200 ? 1 : 0, `${sql}: ${answer.text}`)
    await lens(node, 'DELETE', prepared, { query: { sessionid } })
  }
})

test('rows of a query that gave none: failed, cancelled, and let go of', async t => {
  const sessionid = await openLens(node, 'rowless')
  const failed = await finished(sessionid, `select error('boom')`)
  const cancelled = await submitLens(node, sessionid, endless)
  await lens(node, 'DELETE', at(query, cancelled), { query: { sessionid } })
  await reaches(sessionid, cancelled, 'CANCELED')
  const dropped = await finished(sessionid, statement)
  for (let twice = 0; twice < 2; twice++) {
    const drop = await lens(node, 'DELETE', `${at(query, dropped)}/resultset`, { query: { sessionid }, accept: json })
    t.is(drop.json.apiResult.status, 'SUCCEEDED')
  }
  t.is((await lensQueryOf(node, sessionid, dropped)).status.status, 'CLOSED')
  for (const handle of [failed, cancelled, dropped])
    for (const what of ['resultset', 'resultsetmetadata', 'httpresultset']) {
      const read = (accept: object) =>
        lens(node, 'GET', `${at(query, handle)}/${what}`, { query: { sessionid }, ...accept })
      const inJson = await read({ accept: json })
      t.deepEqual([inJson.status, inJson.json.lensAPIResult.error.code], [404, 1003], what)
      const { status, headers } = await read({})
      t.deepEqual([status, headers['content-type']], [404, 'text/plain; charset=utf-8'], what)
    }
})

test('a wait that the node cuts short is not the time-out of the query', async t => {
  const sessionid = await openLens(node, 'patient')
  const waits = (timeoutmillis: string, own = emptyConf) =>
    lens(node, 'POST', query, {
      parts: { sessionid, query: endless, operation: 'execute_with_timeout', timeoutmillis, conf: own },
      accept: json,
    })
  for (const timeout of ['60000', '9223372036854775807']) {
    const { handleId } = (await waits(timeout)).json.lensAPIResult.data.queryHandle
    const { status } = await lensQueryOf(node, sessionid, handleId)
    t.true(['QUEUED', 'LAUNCHED', 'RUNNING'].includes(status.status), status.status)
    const { body } = await lens(node, 'DELETE', at(query, handleId), { query: { sessionid }, accept: json }).then(
      ({ json: body }) => ({ body }),
    )
    t.is(body.apiResult.status, 'SUCCEEDED', 'it had not been cancelled')
  }
  const { handleId } = (await waits('1')).json.lensAPIResult.data.queryHandle
  await reaches(sessionid, handleId, 'CANCELED')

  // The session may say that its queries outlive their time-outs, and a query otherwise.
  const key = 'lens.query.cancel.on.timeout'
  await lens(node, 'PUT', '/session/params', { parts: { sessionid, key, value: 'false' } })
  const kept = (await waits('1')).json.lensAPIResult.data.queryHandle.handleId
  const ended = (await waits('1', conf({ [key]: 'true' }))).json.lensAPIResult.data.queryHandle.handleId
  await reaches(sessionid, ended, 'CANCELED')
  t.true(['QUEUED', 'LAUNCHED', 'RUNNING'].includes((await lensQueryOf(node, sessionid, kept)).status.status))
  await lens(node, 'DELETE', at(query, kept), { query: { sessionid } })
})

const everyType = `select true a, 1::tinyint b, 2::smallint c, 3::int d, 9223372036854775807::bigint e, 1.5::float f,
  'nan'::double g, 'infinity'::double h, 1.20::decimal(9, 2) i, 'x & y' j, date '2024-02-29' k,
  timestamp '2024-02-29 12:34:56' l, [1, 2] m, {'p': 1} n, null::int o, 170141183460469231731687303715884105727::hugeint p`

test('values of every type, in both forms', async t => {
  const sessionid = await openLens(node, 'typist')
  const handle = await finished(sessionid, everyType)
  const read = async (what: string, accept = {}) =>
    (await lens(node, 'GET', `${at(query, handle)}/${what}`, { query: { sessionid }, ...accept })).text
  const xml = await read('resultset')
  t.deepEqual(
    [...xml.matchAll(/<values xsi:(?:type="xs:(\w+)">([^<]*)<|nil="(true)")/g)].map(([, ...found]) =>
      found.filter(Boolean).join(' '),
    ),
    [
      ...[
        'boolean true',
        'byte 1',
        'short 2',
        'int 3',
        'long 9223372036854775807',
        'float 1.5',
        'double NaN',
        'double INF',
      ],
      ...['decimal 1.20', 'string x &amp; y', 'string 2024-02-29', 'string 2024-02-29T12:34:56', 'string [1,2]'],
      ...['string {&quot;p&quot;:1}', 'true', 'decimal 170141183460469231731687303715884105727'],
    ],
  )
  const inJson = await read('resultset', { accept: json })
  t.true(inJson.includes('{"type":"decimal","value":170141183460469231731687303715884105727}'), inJson)
  t.deepEqual(
    JSON.parse(inJson).inMemoryQueryResult.rows[0].values.map((value: any) => value?.type ?? null),
    [...xml.matchAll(/<values xsi:(?:type="xs:(\w+)"|nil)/g)].map(([, type]) => type ?? null),
  )
  const columns = [...(await read('resultsetmetadata')).matchAll(/<type>(\w+)<\/type>/g)].map(([, type]) => type)
  t.deepEqual(columns, [
    ...['BOOLEAN', 'TINYINT', 'SMALLINT', 'INT', 'BIGINT', 'FLOAT', 'DOUBLE', 'DOUBLE', 'DECIMAL', 'STRING', 'DATE'],
    ...['TIMESTAMP', 'STRING', 'STRING', 'INT', 'DECIMAL'],
  ])
  t.deepEqual(
    JSON.parse(await read('resultsetmetadata', { accept: json })).queryResultSetMetadata.columns.map(
      ({ type }: any) => type,
    ),
    columns,
  )
})

/** The door for Lens's clients on a real node: sessions, queries, rows and refusals, in XML and in JSON. */
import test from 'ava'
import { eventually } from '../../support/conditions.ts'
import {
  conf,
  emptyConf,
  json,
  type LensAnswer,
  lens,
  lensQueryOf,
  openLens,
  type PartForm,
  submitLens,
} from '../../support/lens-protocol.ts'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'

const cluster = new TestCluster(null, { LENS_LIMITS_SESSIONS_PER_USER: '100' })
let node: Awaited<ReturnType<TestCluster['start']>>

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
})
test.after.always(async t => {
  t.true(node.running)
  await cluster.stop()
})

const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const prolog = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
const never = '00000000-0000-4000-8000-000000000000'
const withoutProlog = (text: string) => text.slice(text.indexOf('?>') + 2)

async function ended(session: string, handle: string, at = node) {
  return eventually(
    () => lensQueryOf(at, session, handle),
    query => ['SUCCESSFUL', 'FAILED', 'CANCELED', 'CLOSED'].includes(query.status.status),
    { what: `${handle} ends` },
  )
}
async function finished(session: string, sql: string): Promise<string> {
  const handle = await submitLens(node, session, sql)
  await ended(session, handle)
  return handle
}

for (const form of ['python', 'java', 'field'] satisfies PartForm[])
  test(`a session is opened with parts of the form ${form}, in XML by default and in JSON`, async t => {
    const parts = { username: 'ann', password: 'x', database: '', sessionconf: conf({ colour: 'blue' }) }
    const answer = await lens(node, 'POST', '/session', { parts, form })
    t.is(answer.status, 200, answer.text)
    t.is(answer.headers['content-type'], 'application/xml')
    t.regex(
      answer.text,
      new RegExp(
        `^<\\?xml version="1\\.0" encoding="UTF-8" standalone="yes"\\?><lensSessionHandle><publicId>${uuid}</publicId><secretId>${uuid}</secretId></lensSessionHandle>$`,
      ),
    )
    const inJson = await lens(node, 'POST', '/session/', { parts, form, accept: json })
    t.regex(inJson.text, new RegExp(`^\\{"lensSessionHandle":\\{"publicId":"${uuid}","secretId":"${uuid}"\\}\\}$`))
    for (const sessionid of [answer.text, withoutProlog(answer.text), inJson.text]) {
      const query = { sessionid, key: 'colour' }
      const { json: list } = await lens(node, 'GET', '/session/params', { query, accept: json })
      t.deepEqual(list, { stringList: { elements: ['colour=blue'] } })
    }
  })

test('a handle is good only with its secret, and a session closed is gone', async t => {
  const sessionid = await openLens(node)
  const secret = /<secretId>(.*)<\/secretId>/.exec(sessionid)?.[1] as string
  const forged = sessionid.replace(secret, `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`)
  const handle = await submitLens(node, sessionid, 'select 1')
  for (const target of ['/session/params', `/queryapi/queries/${handle}`, '/queryapi/queries', '/session/sessions']) {
    const { status, json: answer } = await lens(node, 'GET', target, { query: { sessionid: forged }, accept: json })
    t.is(status, 410, target)
    t.is(answer.lensAPIResult.error.code, 2005)
  }
  const closed = await lens(node, 'DELETE', '/session/', { query: { sessionid } })
  t.is(closed.status, 200)
  t.regex(closed.text, /<apiResult><status>SUCCEEDED<\/status><message>.+<\/message><\/apiResult>$/)
  const again = await lens(node, 'DELETE', '/session', { query: { sessionid } })
  t.is(again.status, 410)
  t.regex(again.text, /<apiResult><status>FAILED<\/status>/)
})

test('parameters of a session: defaults that clients ask for, set ones, unknown ones', async t => {
  const sessionid = await openLens(node)
  const read = (key: string) => lens(node, 'GET', '/session/params/', { query: { sessionid, key }, accept: json })
  t.deepEqual((await read('lens.query.output.write.header')).json, {
    stringList: { elements: ['lens.query.output.write.header=false'] },
  })
  t.is((await read('no.such')).status, 404)
  const set = await lens(node, 'PUT', '/session/params', { parts: { sessionid, key: 'hivevar:a', value: '1 < 2' } })
  t.regex(set.text, /<apiResult><status>SUCCEEDED<\/status>/)
  const { text } = await lens(node, 'GET', '/session/params', { query: { sessionid, key: 'hivevar:a' } })
  t.is(text, `${prolog}<stringList><elements>hivevar:a=1 &lt; 2</elements></stringList>`)
  const all = await lens(node, 'GET', '/session/params', { query: { sessionid }, accept: json })
  t.true(all.json.stringList.elements.includes('hivevar:a=1 < 2'))
  t.true(all.json.stringList.elements.includes('lens.session.loggedin.user=ann'))
})

test('resources of a session are kept, listed by type and removed', async t => {
  const sessionid = await openLens(node)
  const put = (action: string, type: string, path: string) =>
    lens(node, 'PUT', `/session/resources/${action}`, { parts: { sessionid, type, path }, accept: json })
  const list = async (type?: string) => {
    const query = { sessionid, ...(type ? { type } : {}) }
    return (await lens(node, 'GET', '/session/resources/list', { query, accept: json })).json.stringList?.elements ?? []
  }
  t.is((await put('add', 'jar', '/a.jar')).json.apiResult.status, 'SUCCEEDED')
  await put('add', 'file', '/b.txt')
  t.deepEqual((await list()).sort(), ['type=FILE path=/b.txt', 'type=JAR path=/a.jar'])
  t.deepEqual(await list('jar'), ['type=JAR path=/a.jar'])
  // They are no parameters.
  const { text } = await lens(node, 'GET', '/session/params', { query: { sessionid } })
  t.false(text.includes('/a.jar'))
  t.is((await put('delete', 'jar', '/a.jar')).json.apiResult.status, 'SUCCEEDED')
  t.is((await put('delete', 'jar', '/a.jar')).json.apiResult.status, 'FAILED')
  t.deepEqual(await list(), ['type=FILE path=/b.txt'])
  t.is((await lens(node, 'GET', '/session/resources/list', { query: { sessionid, type: 'war' } })).status, 400)
})

test('a query is submitted, polled and read, in JSON as the Python client does', async t => {
  const sessionid = await openLens(node, 'py')
  const sql = `select 1::int a, 'x,y' b, null c, 9007199254740993::bigint d, 2.5::double e, 1.20::decimal(9,2) f, true g`
  const parts = { sessionid, query: sql, queryName: 'mine', operation: 'execute', conf: emptyConf }
  const { json: submitted } = await lens(node, 'POST', '/queryapi/queries/', { parts, accept: json })
  t.deepEqual(Object.keys(submitted), ['lensAPIResult'])
  t.deepEqual(Object.keys(submitted.lensAPIResult), ['id', 'data'])
  t.deepEqual(Object.keys(submitted.lensAPIResult.data), ['type', 'handleId'])
  t.is(submitted.lensAPIResult.data.type, 'queryHandle')
  const handle = submitted.lensAPIResult.data.handleId
  const query = await ended(sessionid, handle)
  t.like(query, {
    queryHandle: { handleId: handle },
    userQuery: sql,
    submittedUser: 'py',
    priority: 'NORMAL',
    queryName: 'mine',
    closedTime: 0,
    status: { progress: 1, status: 'SUCCESSFUL', isResultSetAvailable: true },
  })
  t.true(query.submissionTime > 0 && query.finishTime >= query.submissionTime)
  const read = (what: string) =>
    lens(node, 'GET', `/queryapi/queries/${handle}/${what}`, { query: { sessionid }, accept: json })
  t.deepEqual((await read('resultsetmetadata')).json.queryResultSetMetadata.columns, [
    { name: 'a', type: 'INT' },
    { name: 'b', type: 'STRING' },
    { name: 'c', type: 'INT' },
    { name: 'd', type: 'BIGINT' },
    { name: 'e', type: 'DOUBLE' },
    { name: 'f', type: 'DECIMAL' },
    { name: 'g', type: 'BOOLEAN' },
  ])
  const resultset = await read('resultset')
  t.true(resultset.text.includes('{"type":"long","value":9007199254740993},'))
  t.deepEqual(resultset.json, {
    inMemoryQueryResult: {
      rows: [
        {
          values: [
            { type: 'int', value: 1 },
            { type: 'string', value: 'x,y' },
            null,
            // As JavaScript reads it.
            { type: 'long', value: 9007199254740992 },
            { type: 'double', value: 2.5 },
            { type: 'decimal', value: 1.2 },
            { type: 'boolean', value: true },
          ],
        },
      ],
    },
  })
  const file = await lens(node, 'GET', `/queryapi/queries/${handle}/httpresultset`, {
    query: { sessionid },
    accept: '*/*',
  })
  t.is(file.headers['content-type'], 'application/octet-stream')
  t.is(file.headers['content-disposition'], `attachment; filename = ${handle}.csv`)
  t.is(file.text, '1,"x,y",,9007199254740993,2.5,1.20,true\r\n')
})

test('the names of columns lead a file when its query was to have them: by its own configuration, or its session’s then', async t => {
  const sessionid = await openLens(node, 'py')
  const header = 'lens.query.output.write.header'
  const fileOf = async (configuration?: string) => {
    const handle = await submitLens(node, sessionid, 'select 1::int a', configuration)
    await ended(sessionid, handle)
    return async () =>
      (await lens(node, 'GET', `/queryapi/queries/${handle}/httpresultset`, { query: { sessionid } })).text
  }
  const before = await fileOf()
  t.is(await before(), '1\r\n')
  t.is(await (await fileOf(conf({ [header]: 'TRUE' })))(), 'a\r\n1\r\n')
  await lens(node, 'PUT', '/session/params', { parts: { sessionid, key: header, value: 'true' } })
  t.is(await (await fileOf())(), 'a\r\n1\r\n')
  t.is(await (await fileOf(conf({ [header]: 'false' })))(), '1\r\n')
  t.is(await before(), '1\r\n')
})

test('a query in XML as the Java client does', async t => {
  const sessionid = await openLens(node, 'java')
  const sql = `select i::int as i, 'a<b' as t from range(3) r(i) order by i`
  const parts = { sessionid, query: sql, operation: 'EXECUTE', queryName: '', conf: emptyConf }
  const { text } = await lens(node, 'POST', '/queryapi/queries', { parts, form: 'java' })
  const handle = new RegExp(
    `<lensAPIResult xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"[^>]*><id>[^<]+</id><data xsi:type="queryHandle"><handleId>(${uuid})</handleId></data></lensAPIResult>$`,
  ).exec(text)?.[1] as string
  t.truthy(handle, text)
  await ended(sessionid, handle)
  const query = { sessionid }
  const poll = await lens(node, 'GET', `/queryapi/queries/${handle}`, { query })
  t.true(
    poll.text.startsWith(`${prolog}<lensQuery><queryHandle><handleId>${handle}</handleId></queryHandle><userQuery>`),
  )
  t.regex(poll.text, /<status><progress>1<\/progress><status>SUCCESSFUL<\/status>/)
  const metadata = await lens(node, 'GET', `/queryapi/queries/${handle}/resultsetmetadata`, { query })
  t.is(
    withoutProlog(metadata.text),
    '<queryResultSetMetadata><columns><columns><name>i</name><type>INT</type></columns><columns><name>t</name><type>STRING</type></columns></columns></queryResultSetMetadata>',
  )
  const row = (i: number) =>
    `<rows><values><values xsi:type="xs:int">${i}</values><values xsi:type="xs:string">a&lt;b</values></values></rows>`
  const rows = async (more: Record<string, string>) => {
    const answer = await lens(node, 'GET', `/queryapi/queries/${handle}/resultset`, { query: { ...query, ...more } })
    return /^<inMemoryQueryResult[^>]*><rows>(.*)<\/rows><\/inMemoryQueryResult>$/.exec(withoutProlog(answer.text))?.[1]
  }
  t.is(await rows({}), row(0) + row(1) + row(2))
  t.is(await rows({ fromindex: '1', fetchsize: '1' }), row(1))
  const dropped = await lens(node, 'DELETE', `/queryapi/queries/${handle}/resultset`, { query })
  t.regex(dropped.text, /<apiResult><status>SUCCEEDED/)
  t.is((await lens(node, 'GET', `/queryapi/queries/${handle}/resultset`, { query })).status, 404)
})

test('execute with timeout answers the rows, or the state when time is over', async t => {
  const sessionid = await openLens(node)
  const parts = { sessionid, query: 'select 7::int n', operation: 'execute_with_timeout', conf: emptyConf }
  const { json: answer } = await lens(node, 'POST', '/queryapi/queries', { parts, accept: json })
  t.like(answer.lensAPIResult.data, {
    type: 'queryHandleWithResultSet',
    result: { type: 'inMemoryQueryResult', rows: [{ values: [{ type: 'int', value: 7 }] }] },
    resultMetadata: { columns: [{ name: 'n', type: 'INT' }] },
    status: { status: 'SUCCESSFUL' },
  })
  const inXml = await lens(node, 'POST', '/queryapi/queries', { parts, accept: 'application/xml' })
  t.regex(inXml.text, /<result xsi:type="inMemoryQueryResult"><rows><rows><values><values xsi:type="xs:int">7</)
  for (const cancel of ['true', 'false']) {
    const slow = {
      ...parts,
      query: endless,
      timeoutmillis: '1',
      conf: conf({ 'lens.query.cancel.on.timeout': cancel }),
    }
    const { json: late } = await lens(node, 'POST', '/queryapi/queries', { parts: slow, accept: json })
    const { queryHandle, result } = late.lensAPIResult.data
    t.is(result, undefined)
    if (cancel === 'true') t.is((await ended(sessionid, queryHandle.handleId)).status.status, 'CANCELED')
    else {
      const kill = () =>
        lens(node, 'DELETE', `/queryapi/queries/${queryHandle.handleId}`, { query: { sessionid }, accept: json })
      t.is((await kill()).json.apiResult.status, 'SUCCEEDED')
      await ended(sessionid, queryHandle.handleId)
      t.is((await kill()).json.apiResult.status, 'FAILED')
    }
  }
})

test('explain and estimate', async t => {
  const sessionid = await openLens(node)
  const ask = async (operation: string) =>
    (
      await lens(node, 'POST', '/queryapi/queries', {
        parts: { sessionid, query: 'select 1', operation },
        accept: json,
      })
    ).json.lensAPIResult.data
  const plan = await ask('explain')
  t.is(plan.type, 'queryPlan')
  t.regex(decodeURIComponent(plan.planString.replaceAll('+', ' ')), /PROJECTION|DUMMY/i)
  t.like(await ask('ESTIMATE'), { type: 'queryCostTO', costType: 'LOW' })
})

test('queries are listed by state, name, driver and time, and killed by the same', async t => {
  const sessionid = await openLens(node, 'lister')
  const done = await finished(sessionid, 'select 1')
  const running = await submitLens(node, sessionid, endless)
  const list = async (more: Record<string, string>) => {
    const query = { sessionid, ...more }
    const { json: found } = await lens(node, 'GET', '/queryapi/queries/', { query, accept: json })
    return found.map((each: any) => each.queryHandle.handleId).sort()
  }
  t.deepEqual(await list({}), [done, running].sort())
  t.deepEqual(await list({ state: 'SUCCESSFUL,FAILED' }), [done])
  t.deepEqual(await list({ user: 'all' }), [done, running].sort())
  t.deepEqual(await list({ fromDate: 'now.year - 1 year', toDate: '2099-01' }), [done, running].sort())
  t.deepEqual(await list({ fromDate: '2099' }), [])
  t.deepEqual(await list({ driver: 'DuckDB', state: 'SUCCESSFUL' }), [done])
  t.deepEqual(await list({ driver: 'other' }), [])
  t.deepEqual(await list({ queryName: 'nobody' }), [])
  const xml = await lens(node, 'GET', '/queryapi/queries', { query: { sessionid, state: 'SUCCESSFUL' } })
  t.is(withoutProlog(xml.text), `<queryHandles><queryHandle><handleId>${done}</handleId></queryHandle></queryHandles>`)
  const detail = await lens(node, 'GET', '/queryapi/queries/detail', { query: { sessionid }, accept: json })
  t.is(detail.json.length, 2)
  t.true(detail.json.some(({ lensQuery }: any) => lensQuery.userQuery === endless))
  t.is((await lens(node, 'GET', '/queryapi/queries', { query: { sessionid, state: 'NONE' } })).status, 400)
  t.is((await lens(node, 'GET', '/queryapi/queries', { query: { sessionid, fromDate: 'soon' } })).status, 400)
  const sessions = await lens(node, 'GET', '/session/sessions', { query: { sessionid }, accept: json })
  t.like(sessions.json, [{ userSessionInfo: { userName: 'lister', activeQueries: [{ handleId: running }] } }])
  t.false(sessions.text.includes(/<secretId>(.*)<\/secretId>/.exec(sessionid)?.[1] as string))
  const counts = await lens(node, 'GET', '/session/sessionsperuser', { query: { sessionid }, accept: json })
  t.deepEqual(counts.json, [{ sessionPerUserInfo: { user: 'lister', sessionCount: 1 } }])
  const killed = await lens(node, 'DELETE', '/queryapi/queries', { query: { sessionid }, accept: json })
  t.is(killed.json.apiResult.status, 'SUCCEEDED')
  t.is((await ended(sessionid, running)).status.status, 'CANCELED')
  const mixed = await lens(node, 'DELETE', '/queryapi/queries', {
    query: { sessionid, state: 'SUCCESSFUL' },
    accept: json,
  })
  t.is(mixed.json.apiResult.status, 'FAILED')
})

test('prepared queries: made, listed, read, executed both ways, destroyed', async t => {
  const sessionid = await openLens(node, 'preparer')
  const make = async (operation: string) => {
    const parts = { sessionid, query: 'select 5::int n', operation, conf: emptyConf, queryName: 'five' }
    return (await lens(node, 'POST', '/queryapi/preparedqueries', { parts, accept: json })).json.lensAPIResult.data
  }
  const { type, prepareHandleId } = await make('prepare')
  t.is(type, 'queryPrepareHandle')
  const planned = await make('EXPLAIN_AND_PREPARE')
  t.is(planned.type, 'queryPlan')
  const at = `/queryapi/preparedqueries/${prepareHandleId}`
  const query = { sessionid }
  const read = await lens(node, 'GET', at, { query, accept: json })
  t.like(read.json.lensPreparedQuery, {
    prepareHandle: { prepareHandleId },
    userQuery: 'select 5::int n',
    preparedUser: 'preparer',
  })
  const listed = await lens(node, 'GET', '/queryapi/preparedqueries', {
    query: { sessionid, queryName: 'five' },
    accept: json,
  })
  t.deepEqual(
    listed.json.map((each: any) => each.queryPrepareHandle.prepareHandleId).sort(),
    [prepareHandleId, planned.prepareHandle.prepareHandleId].sort(),
  )
  for (const more of [{ queryName: 'six' }, { fromDate: '2099' }, { toDate: '2020' }] as Record<string, string>[]) {
    const none = await lens(node, 'GET', '/queryapi/preparedqueries', { query: { sessionid, ...more }, accept: json })
    t.deepEqual(none.json, [])
  }
  const bare = await lens(node, 'POST', at, { parts: { sessionid, operation: 'execute', conf: emptyConf } })
  const handle = new RegExp(`<queryHandle><handleId>(${uuid})</handleId></queryHandle>$`).exec(bare.text)?.[1] as string
  t.is((await ended(sessionid, handle)).status.status, 'SUCCESSFUL')
  const sync = await lens(node, 'POST', at, { parts: { sessionid, operation: 'execute_with_timeout' }, accept: json })
  t.like(sync.json.queryHandleWithResultSet, { result: { rows: [{ values: [{ type: 'int', value: 5 }] }] } })
  t.is(
    (await lens(node, 'PUT', at, { parts: { sessionid, conf: emptyConf }, accept: json })).json.apiResult.status,
    'FAILED',
  )
  t.is((await lens(node, 'DELETE', at, { query, accept: json })).json.apiResult.status, 'SUCCEEDED')
  t.is((await lens(node, 'GET', at, { query })).status, 404)
  await lens(node, 'DELETE', '/queryapi/preparedqueries', { query })
  const rest = await lens(node, 'GET', '/queryapi/preparedqueries', { query, accept: json })
  t.deepEqual(rest.json, [])
})

test("another user's queries and prepared queries are not served", async t => {
  const mine = await openLens(node, 'owner')
  const handle = await finished(mine, 'select 1')
  const running = await submitLens(node, mine, endless)
  const parts = { sessionid: mine, query: 'select 1', operation: 'prepare' }
  const { prepareHandleId } = (await lens(node, 'POST', '/queryapi/preparedqueries', { parts, accept: json })).json
    .lensAPIResult.data
  const sessionid = await openLens(node, 'stranger')
  const query = { sessionid }
  const calls: [string, string][] = [
    ['GET', `/queryapi/queries/${handle}`],
    ['DELETE', `/queryapi/queries/${running}`],
    ['GET', `/queryapi/queries/${handle}/resultset`],
    ['GET', `/queryapi/queries/${handle}/resultsetmetadata`],
    ['GET', `/queryapi/queries/${handle}/httpresultset`],
    ['DELETE', `/queryapi/queries/${handle}/resultset`],
    ['GET', `/queryapi/preparedqueries/${prepareHandleId}`],
    ['DELETE', `/queryapi/preparedqueries/${prepareHandleId}`],
  ]
  for (const [method, target] of calls) t.is((await lens(node, method, target, { query })).status, 404, target)
  const listed = await lens(node, 'GET', '/queryapi/queries', { query: { sessionid, user: 'all' }, accept: json })
  t.deepEqual(listed.json, [])
  t.is((await lens(node, 'GET', '/queryapi/queries', { query: { sessionid, user: 'owner' } })).status, 403)
  t.not((await lensQueryOf(node, mine, running)).status.status, 'CANCELED')
  await lens(node, 'DELETE', `/queryapi/queries/${running}`, { query: { sessionid: mine } })
})

interface Refused {
  readonly title: string
  readonly status: number
  readonly code: number
  readonly shape: 'lensAPIResult' | 'apiResult' | 'text'
  readonly ask: (accept: string | undefined, sessionid: string) => Promise<LensAnswer>
}
const submit = (accept: string | undefined, parts: Record<string, string>) =>
  lens(node, 'POST', '/queryapi/queries', { parts, ...(accept ? { accept } : {}) })
const get = (accept: string | undefined, target: string, query: Record<string, string>) =>
  lens(node, 'GET', target, { query, ...(accept ? { accept } : {}) })
const execute = { query: 'select 1', operation: 'execute' }

const refusals: readonly Refused[] = [
  {
    title: 'XML that is not well-formed',
    status: 400,
    code: 1002,
    shape: 'lensAPIResult',
    ask: (accept, sessionid) => submit(accept, { ...execute, sessionid, conf: '<conf><properties>' }),
  },
  {
    title: 'XML with a document type',
    status: 400,
    code: 1002,
    shape: 'lensAPIResult',
    ask: (accept, sessionid) =>
      submit(accept, { ...execute, sessionid, conf: '<!DOCTYPE conf [<!ENTITY a "b">]><conf/>' }),
  },
  {
    title: 'a query that does not exist',
    status: 404,
    code: 1003,
    shape: 'text',
    ask: (accept, sessionid) => get(accept, `/queryapi/queries/${never}`, { sessionid }),
  },
  {
    title: 'somebody else named',
    status: 403,
    code: 1004,
    shape: 'text',
    ask: (accept, sessionid) => get(accept, '/queryapi/queries', { sessionid, user: 'other' }),
  },
  {
    title: 'a user name that is blank',
    status: 400,
    code: 1005,
    shape: 'text',
    ask: accept =>
      lens(node, 'POST', '/session', { parts: { username: ' ', password: '' }, ...(accept ? { accept } : {}) }),
  },
  {
    title: 'a number that is none',
    status: 400,
    code: 1006,
    shape: 'lensAPIResult',
    ask: (accept, sessionid) =>
      submit(accept, { ...execute, operation: 'execute_with_timeout', sessionid, timeoutmillis: 'soon' }),
  },
  { title: 'no session', status: 400, code: 2001, shape: 'lensAPIResult', ask: accept => submit(accept, execute) },
  {
    title: 'a handle that is no XML',
    status: 400,
    code: 2001,
    shape: 'text',
    ask: accept => get(accept, '/queryapi/queries', { sessionid: 'nonsense' }),
  },
  {
    title: 'no statement',
    status: 400,
    code: 2002,
    shape: 'lensAPIResult',
    ask: (accept, sessionid) => submit(accept, { sessionid, query: ' ', operation: 'execute' }),
  },
  {
    title: 'an operation of other calls',
    status: 400,
    code: 2003,
    shape: 'lensAPIResult',
    ask: (accept, sessionid) => submit(accept, { sessionid, query: 'select 1', operation: 'prepare' }),
  },
  {
    title: 'a session that never was',
    status: 410,
    code: 2005,
    shape: 'text',
    ask: accept =>
      get(accept, '/session/params', {
        sessionid: `<lensSessionHandle><publicId>${never}</publicId><secretId>${never}</secretId></lensSessionHandle>`,
      }),
  },
  {
    title: 'a handle that is no UUID',
    status: 400,
    code: 2006,
    shape: 'text',
    ask: (accept, sessionid) => get(accept, '/queryapi/queries/17', { sessionid }),
  },
  {
    title: 'a parameter without a value',
    status: 400,
    code: 2007,
    shape: 'apiResult',
    ask: (accept, sessionid) =>
      lens(node, 'PUT', '/session/params', { parts: { sessionid, key: 'a' }, ...(accept ? { accept } : {}) }),
  },
  {
    title: 'a statement that the engine refuses',
    status: 400,
    code: 4001,
    shape: 'lensAPIResult',
    ask: (accept, sessionid) => submit(accept, { sessionid, query: 'selec', operation: 'execute_with_timeout' }),
  },
  {
    title: 'the metastore',
    status: 404,
    code: 1003,
    shape: 'text',
    ask: (accept, sessionid) => get(accept, '/metastore/databases', { sessionid }),
  },
  {
    title: 'saved queries',
    status: 404,
    code: 1003,
    shape: 'text',
    ask: (accept, sessionid) => get(accept, '/queryapi/savedqueries', { sessionid }),
  },
  {
    title: 'the scheduler',
    status: 404,
    code: 1003,
    shape: 'text',
    ask: (accept, sessionid) => get(accept, '/scheduler/jobs', { sessionid }),
  },
]

for (const { title, status, code, shape, ask } of refusals)
  test(`${title}: ${status} and ${code}`, async t => {
    const sessionid = await openLens(node)
    const inJson = await ask(json, sessionid)
    t.is(inJson.status, status, inJson.text)
    t.is(inJson.json.lensAPIResult.error.code, code)
    t.true(inJson.json.lensAPIResult.error.message.length > 0)
    const plain = await ask(undefined, sessionid)
    t.is(plain.status, status)
    if (shape === 'text') t.regex(plain.headers['content-type'] as string, /^text\/plain/)
    else if (shape === 'apiResult') t.regex(withoutProlog(plain.text), /^<apiResult><status>FAILED<\/status><message>./)
    else
      t.regex(
        withoutProlog(plain.text),
        new RegExp(`^<lensAPIResult><id>[^<]+</id><error><code>${code}</code><message>.`),
      )
  })

test('liveness of the services', async t => {
  t.is((await lens(node, 'GET', '/session')).text, 'session is up!')
  t.is((await lens(node, 'GET', '/queryapi/')).text, 'Queryapi is up')
})

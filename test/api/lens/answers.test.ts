/**
 * What the other tests of the door do not ask: every answer's XML, the rows of Lens's tables that are seldom used, and what a client sees
 * when a result or its state has been damaged, or the database is busy.
 */
import { connect } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import test from 'ava'
import { eventually } from '../../support/conditions.ts'
import { conf, emptyConf, json, lens, lensQueryOf, openLens, submitLens } from '../../support/lens-protocol.ts'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'

const cluster = new TestCluster(null, { LENS_LIMITS_SESSIONS_PER_USER: '100', LENS_STORE_RETRY_MS: '300' })
let node: Awaited<ReturnType<TestCluster['start']>>
/** Remembers nothing of what `node` did. */
let other: typeof node
let database: DatabaseSync

test.before(async () => {
  ;[node, other] = (await cluster.startAll(2)) as [typeof node, typeof node]
  database = new DatabaseSync(cluster.storeUrl.slice('sqlite:'.length), { timeout: 5_000 })
})
test.after.always(async t => {
  database.close()
  t.true(node.running)
  await cluster.stop()
})

const never = '00000000-0000-4000-8000-000000000000'
const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const namespaced = '(?: xmlns:xs[i]?="[^"]+")*'
const parse = (text: string) => text.slice(text.indexOf('?>') + 2)

async function ended(sessionid: string, sql: string): Promise<string> {
  const handle = await submitLens(node, sessionid, sql)
  const isOver = ({ status }: any) => ['SUCCESSFUL', 'FAILED', 'CANCELED'].includes(status.status)
  await eventually(() => lensQueryOf(node, sessionid, handle), isOver, { what: `${handle} ends` })
  return handle
}

test('the XML of what is told about sessions, queries, plans and prepared queries', async t => {
  const sessionid = await openLens(node, 'xml')
  const query = { sessionid }
  const handle = await ended(sessionid, 'select 1::int n')
  const read = async (target: string, more: Record<string, string> = {}) =>
    parse((await lens(node, 'GET', target, { query: { ...query, ...more } })).text)
  const submit = async (target: string, operation: string) =>
    parse((await lens(node, 'POST', target, { parts: { sessionid, query: 'select 1', operation } })).text)

  t.is(
    await read('/session/params', { key: 'lens.query.output.write.header', verbose: 'false' }),
    '<stringList><elements>lens.query.output.write.header=false</elements></stringList>',
  )
  t.regex(
    await read('/session/sessions'),
    new RegExp(
      `^<userSessionInfoes><userSessionInfo><handle>${uuid}</handle><userName>xml</userName><activeQueries></activeQueries><creationTime>\\d+</creationTime><lastAccessTime>\\d+</lastAccessTime></userSessionInfo></userSessionInfoes>$`,
    ),
  )
  t.is(
    await read('/session/sessionsperuser'),
    '<sessionPerUserInfoes><sessionPerUserInfo><user>xml</user><sessionCount>1</sessionCount></sessionPerUserInfo></sessionPerUserInfoes>',
  )
  t.regex(
    await read('/queryapi/queries/detail'),
    new RegExp(
      `^<lensQueries><lensQuery><queryHandle><handleId>${handle}</handleId></queryHandle><userQuery>select 1::int n</userQuery>`,
    ),
  )
  t.regex(
    await submit('/queryapi/queries', 'explain'),
    new RegExp(
      `^<lensAPIResult${namespaced}><id>[^<]+</id><data xsi:type="queryPlan"><hasSubQuery>false</hasSubQuery><execMode>INTERACTIVE</execMode><planString>[^<]+</planString><queryCost>`,
    ),
  )
  t.regex(
    await submit('/queryapi/queries', 'estimate'),
    new RegExp(
      `^<lensAPIResult${namespaced}><id>[^<]+</id><data xsi:type="queryCostTO"><estimatedResourceUsage>[0-9.]+</estimatedResourceUsage><costType>LOW</costType></data></lensAPIResult>$`,
    ),
  )
  t.regex(
    await submit('/queryapi/preparedqueries', 'explain_and_prepare'),
    new RegExp(
      `<data xsi:type="queryPlan">.*<prepareHandle><prepareHandleId>${uuid}</prepareHandleId></prepareHandle><planString>`,
    ),
  )
  const prepared = new RegExp(
    `<data xsi:type="queryPrepareHandle"><prepareHandleId>(${uuid})</prepareHandleId></data></lensAPIResult>$`,
  ).exec(await submit('/queryapi/preparedqueries', 'prepare'))?.[1]
  t.truthy(prepared)
  t.regex(
    await read('/queryapi/preparedqueries'),
    new RegExp(
      `^<queryPrepareHandles><queryPrepareHandle><prepareHandleId>${uuid}</prepareHandleId></queryPrepareHandle>`,
    ),
  )
  t.regex(
    await read(`/queryapi/preparedqueries/${prepared}`),
    new RegExp(
      `^<lensPreparedQuery><prepareHandle><prepareHandleId>${prepared}</prepareHandleId></prepareHandle><userQuery>select 1</userQuery>`,
    ),
  )
})

test('a query tells with which configuration it runs, which is that of its session and its own', async t => {
  const sessionid = await openLens(node, 'configured', conf({ colour: 'blue', size: '1' }))
  const parts = { sessionid, query: 'select 1', operation: 'execute', conf: conf({ size: '2 &amp; 3' }) }
  await lens(node, 'PUT', '/session/resources/add', { parts: { sessionid, type: 'jar', path: '/a.jar' } })
  const { handleId } = (await lens(node, 'POST', '/queryapi/queries', { parts, accept: json })).json.lensAPIResult.data
  const { queryConf } = await lensQueryOf(node, sessionid, handleId)
  const byKey = (a: any, b: any) => (a.key < b.key ? -1 : 1)
  t.deepEqual(queryConf.properties.entry.sort(byKey), [
    { key: 'colour', value: 'blue' },
    { key: 'size', value: '2 & 3' },
  ])
  for (const target of [`/queryapi/queries/${handleId}`, '/queryapi/queries/detail']) {
    const { text } = await lens(node, 'GET', target, { query: { sessionid } })
    t.regex(
      text,
      /<queryConf><properties>.*<entry><key>size<\/key><value>2 &amp; 3<\/value><\/entry>.*<\/properties><\/queryConf>/,
    )
  }
  const put = (text: string) =>
    lens(node, 'PUT', `/queryapi/queries/${handleId}`, { parts: { sessionid, conf: text }, accept: json })
  t.is((await put(emptyConf)).json.apiResult.status, 'FAILED')
  t.is((await put('<conf>')).json.lensAPIResult.error.code, 1002)
})

test('what the engine would refuse is refused with the submission, and is no query', async t => {
  const sessionid = await openLens(node, 'careless')
  for (const query of ['selec 1', 'select nothing from nowhere', 'drop table x']) {
    const parts = { sessionid, query, operation: 'execute', conf: emptyConf }
    const refused = await lens(node, 'POST', '/queryapi/queries/', { parts, accept: json })
    t.is(refused.status, 400, refused.text)
    t.is(refused.json.lensAPIResult.error.code, 4001)
    t.regex((await lens(node, 'POST', '/queryapi/queries/', { parts })).text, /<error><code>4001<\/code><message>./)
  }
  const { json: list } = await lens(node, 'GET', '/queryapi/queries', { query: { sessionid }, accept: json })
  t.deepEqual(list, [])
  // What only shows when it runs is the query's failure, and a call that waits tells it with its status.
  const parts = { sessionid, query: `select error('boom')`, operation: 'execute_with_timeout' }
  const failed = await lens(node, 'POST', '/queryapi/queries', { parts, accept: json })
  t.is(failed.status, 200, failed.text)
  t.like(failed.json.lensAPIResult.data, { type: 'queryHandleWithResultSet', status: { status: 'FAILED' } })
  t.regex(failed.json.lensAPIResult.data.status.errorMessage, /boom/)
})

test('a session of a database that does not exist is not opened', async t => {
  const open = (database: string, accept?: string) =>
    lens(node, 'POST', '/session', {
      parts: { username: 'ann', password: '', database, sessionconf: emptyConf },
      ...(accept ? { accept } : {}),
    })
  const refused = await open('nowhere', json)
  t.deepEqual([refused.status, refused.json.lensAPIResult.error.code], [404, 1003], refused.text)
  t.deepEqual(await open('nowhere').then(({ status, text }) => [status, text]), [
    404,
    'Database nowhere does not exist',
  ])
  for (const database of ['main', 'default', '']) t.is((await open(database)).status, 200, database)
})

test('calls that are seldom made: kinds of resources, idle sessions, a session closed twice, logs and quotas', async t => {
  const sessionid = await openLens(node, 'seldom')
  const query = { sessionid }
  for (const accept of [json, undefined]) {
    const as = accept ? { accept } : {}
    const parts = { sessionid, type: 'zip', path: '/a' }
    for (const refused of [
      await lens(node, 'PUT', '/session/resources/add', { parts, ...as }),
      await lens(node, 'PUT', '/session/resources/delete', { parts, ...as }),
      await lens(node, 'GET', '/session/resources/list', { query: { sessionid, type: 'zip' }, ...as }),
    ])
      t.is(refused.status, 400, refused.text)
    for (const target of ['/logs/x', '/quota', '/metastore/databases/current'])
      t.is((await lens(node, 'GET', target, { query, ...as })).status, 404, target)
    const early = await lens(node, 'GET', `/queryapi/queries/${never}/resultset`, { query, ...as })
    t.is(early.status, 404)
  }
  const cleared = await lens(node, 'DELETE', '/session/sessions', { query, accept: json })
  t.like(cleared.json.apiResult, { status: 'SUCCEEDED' })
  t.is((await lens(node, 'DELETE', '/session', { query })).status, 200)
  const again = await lens(node, 'DELETE', '/session', { query, accept: json })
  t.deepEqual([again.status, again.json.lensAPIResult.error.code], [410, 2005])
})

test('rows of a query that has not ended, or whose rows were dropped: 404', async t => {
  const sessionid = await openLens(node, 'early')
  const query = { sessionid }
  const handle = await submitLens(node, sessionid, endless)
  for (const what of ['resultset', 'resultsetmetadata', 'httpresultset']) {
    const refused = await lens(node, 'GET', `/queryapi/queries/${handle}/${what}`, { query, accept: json })
    t.deepEqual([refused.status, refused.json.lensAPIResult.error.code], [404, 1003], what)
  }
  t.is((await lens(node, 'DELETE', `/queryapi/queries/${handle}`, { query })).status, 200)
})

test.serial('a query whose state cannot be read: 409', async t => {
  const sessionid = await openLens(node, 'damaged')
  const handle = await ended(sessionid, 'select 1')
  database.prepare('UPDATE finished_query SET snapshot = ? WHERE handle = ?').run('{}', handle)
  for (const accept of [json, undefined]) {
    const target = `/queryapi/queries/${handle}/resultset`
    const refused = await lens(other, 'GET', target, { query: { sessionid }, ...(accept ? { accept } : {}) })
    t.is(refused.status, 409, refused.text)
    if (accept) t.is(refused.json.lensAPIResult.error.code, 1001)
    else t.regex(refused.text, /^The state of the query cannot be read/)
  }
})

test.serial('a result of which a page is missing is cut, so that nobody takes it for the whole', async t => {
  const sessionid = await openLens(node, 'cut')
  const handle = await ended(sessionid, `select i, repeat('x', 100) x from range(200000) r(i)`)
  const { changes } = database.prepare('DELETE FROM result_page WHERE handle = ? AND page = 10').run(handle)
  t.is(Number(changes), 1)
  for (const what of ['resultset', 'httpresultset'])
    for (const accept of [json, 'application/xml']) {
      const url = `${other.url}/lensapi/queryapi/queries/${handle}/${what}?${new URLSearchParams({ sessionid })}`
      const answer = await fetch(url, { headers: { accept } })
      t.is(answer.status, 200)
      const length = await answer.text().then(
        text => text.length,
        () => null,
      )
      t.is(length, null, `${what} as ${accept}`)
      const { pathname, search } = new URL(url)
      const how = await new Promise<string>(resolve => {
        const socket = connect(other.port, '127.0.0.1', () =>
          socket.write(`GET ${pathname}${search} HTTP/1.0\r\nAccept: ${accept}\r\n\r\n`),
        )
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
        socket.once('end', () => resolve('ended as if it were whole')).resume()
      })
      t.is(how, 'ECONNRESET', `${what} as ${accept} in HTTP/1.0`)
    }
  t.true(other.running)
})

test.serial('a reader who leaves in the middle of a result, or of a wait, harms nobody', async t => {
  const sessionid = await openLens(node, 'hasty')
  const handle = await ended(sessionid, `select i, repeat('x', 100) x from range(200000) r(i)`)
  for (const what of ['resultset', 'httpresultset']) {
    const leaving = new AbortController()
    const url = `${node.url}/lensapi/queryapi/queries/${handle}/${what}?${new URLSearchParams({ sessionid })}`
    const { body } = await fetch(url, { signal: leaving.signal })
    await body?.getReader().read()
    leaving.abort()
  }
  const waiting = new AbortController()
  const form = new FormData()
  const parts = { sessionid, query: endless, operation: 'execute_with_timeout', timeoutmillis: '100000' }
  for (const [name, value] of Object.entries(parts)) form.set(name, value)
  const wait = fetch(`${node.url}/lensapi/queryapi/queries`, { method: 'POST', body: form, signal: waiting.signal })
  const running = await eventually(
    () => lens(node, 'GET', '/queryapi/queries', { query: { sessionid, state: 'RUNNING' }, accept: json }),
    ({ json: list }) => list.length === 1,
    { what: 'it runs' },
  )
  waiting.abort()
  await t.throwsAsync(wait)
  // It is a query like any other, with a handle that the client finds again.
  const [{ queryHandle }] = running.json
  t.is((await lensQueryOf(other, sessionid, queryHandle.handleId)).status.status, 'RUNNING')
  const { text } = await lens(node, 'GET', `/queryapi/queries/${handle}/httpresultset`, { query: { sessionid } })
  t.is(text.split('\r\n').length, 200_001)
  const killed = await lens(other, 'DELETE', `/queryapi/queries/${queryHandle.handleId}`, { query: { sessionid } })
  t.is(killed.status, 200)
  t.deepEqual(
    [...node.log, ...other.log].filter(({ level }) => level === 'error' || Number(level) >= 50),
    [],
  )
})

test.serial('a defect of the server: 500 and 1001, in the form of each call, and nothing of its cause', async t => {
  const sessionid = await openLens(node, 'unlucky')
  const submission = { parts: { sessionid, query: 'select 1', operation: 'prepare' } }
  const named = { query: { sessionid } }
  database.exec('ALTER TABLE prepared_query RENAME TO prepared_query_gone')
  try {
    for (const [method, path, request, inXml] of [
      [
        'POST',
        '/queryapi/preparedqueries',
        submission,
        /<lensAPIResult><id>[^<]+<\/id><error><code>1001<\/code><message>./,
      ],
      ['DELETE', '/queryapi/preparedqueries', named, /<apiResult><status>FAILED<\/status><message>./],
      ['GET', '/queryapi/preparedqueries', named, /^The store refused a statement/],
    ] as const) {
      const refused = await lens(node, method, path, { ...request, accept: json })
      t.deepEqual([refused.status, refused.json.lensAPIResult?.error.code], [500, 1001], `${method} ${refused.text}`)
      const plain = await lens(node, method, path, request)
      t.is(plain.status, 500)
      t.regex(plain.text, inXml)
      for (const { text } of [refused, plain]) t.notRegex(text, /prepared_query|SQLITE|stack|\bat /i)
    }
  } finally {
    database.exec('ALTER TABLE prepared_query_gone RENAME TO prepared_query')
  }
  t.is((await lens(node, 'GET', '/queryapi/preparedqueries', named)).status, 200)
})

test.serial('the database does not answer: 503 and 1001, and when to come back', async t => {
  const sessionid = await openLens(node, 'patient')
  const parts = { sessionid, query: 'select 1', operation: 'execute' }
  const running = await submitLens(node, sessionid, endless)
  database.exec('BEGIN IMMEDIATE')
  try {
    for (const accept of [json, undefined]) {
      const refused = await lens(node, 'POST', '/queryapi/queries', { parts, ...(accept ? { accept } : {}) })
      t.is(refused.status, 503, refused.text)
      t.truthy(refused.headers['retry-after'])
      if (accept) t.is(refused.json.lensAPIResult.error.code, 1001)
      else t.regex(refused.text, /<lensAPIResult><id>[^<]+<\/id><error><code>1001<\/code><message>./)
      // As text where an answer would have been a document, and as a result where it would have been one.
      const as = accept ? { accept } : {}
      const session = { parts: { username: 'late', password: '', sessionconf: emptyConf }, ...as }
      const opened = await lens(node, 'POST', '/session', session)
      const kill = await lens(node, 'DELETE', `/queryapi/queries/${running}`, { query: { sessionid }, ...as })
      for (const { status, headers } of [opened, kill]) t.deepEqual([status, !!headers['retry-after']], [503, true])
      if (accept) for (const each of [opened, kill]) t.is(each.json.lensAPIResult.error.code, 1001)
      else {
        t.regex(opened.headers['content-type'] as string, /^text\/plain/)
        t.regex(kill.text, /<apiResult><status>FAILED<\/status><message>./)
      }
    }
  } finally {
    database.exec('ROLLBACK')
  }
  await eventually(
    () => lens(node, 'POST', '/queryapi/queries', { parts, accept: json }),
    ({ status }) => status === 200,
    { what: 'it serves again' },
  )
})

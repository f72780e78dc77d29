/** The door where something is too much, away or switched off; and results of more than one page. */
import test from 'ava'
import { eventually } from '../../support/conditions.ts'
import { conf, emptyConf, json, lens, lensQueryOf, openLens, submitLens } from '../../support/lens-protocol.ts'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'

const cluster = new TestCluster(null, {
  LENS_LIMITS_SESSIONS_PER_USER: '2',
  LENS_LIMITS_QUEUED_PER_USER: '1',
  LENS_LIMITS_RUNNING_PER_USER: '1',
  LENS_LIMITS_PAGE_ROWS_MAX: '100',
  LENS_LIMITS_SQL_BYTES_MAX: '2000',
  LENS_LIMITS_BODY_BYTES_MAX: '100000',
})
let node: Awaited<ReturnType<TestCluster['start']>>

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
})
test.after.always(async t => {
  t.true(node.running)
  await cluster.stop()
})

test('too many sessions: 429 and 2004', async t => {
  for (let index = 0; index < 2; index++) await openLens(node, 'many')
  const parts = { username: 'many', password: '', sessionconf: emptyConf }
  const refused = await lens(node, 'POST', '/session', { parts, accept: json })
  t.is(refused.status, 429)
  t.is(refused.json.lensAPIResult.error.code, 2004)
  t.truthy(refused.headers['retry-after'])
  t.regex((await lens(node, 'POST', '/session', { parts })).headers['content-type'] as string, /^text\/plain/)
})

test('too many queued queries: 429 and 2008', async t => {
  const sessionid = await openLens(node, 'queuer')
  const running = await submitLens(node, sessionid, endless)
  await eventually(
    () => lensQueryOf(node, sessionid, running),
    ({ status }) => status.status === 'RUNNING',
    { what: 'the first runs' },
  )
  const queued = await submitLens(node, sessionid, endless)
  const parts = { sessionid, query: 'select 1', operation: 'execute' }
  const refused = await lens(node, 'POST', '/queryapi/queries', { parts, accept: json })
  t.is(refused.status, 429, refused.text)
  t.is(refused.json.lensAPIResult.error.code, 2008)
  t.truthy(refused.headers['retry-after'])
  const inXml = await lens(node, 'POST', '/queryapi/queries', { parts })
  t.is(inXml.status, 429)
  t.regex(inXml.text, /<lensAPIResult><id>[^<]+<\/id><error><code>2008<\/code><message>./)
  const waiting = await lensQueryOf(node, sessionid, queued)
  t.is(waiting.status.status, 'QUEUED')
  // Lens would take another configuration now; here it was made durable with the query.
  const put = { parts: { sessionid, conf: conf({ colour: 'red' }) } }
  const kept = await lens(node, 'PUT', `/queryapi/queries/${queued}`, { ...put, accept: json })
  t.deepEqual([kept.status, kept.json.apiResult.status], [200, 'FAILED'])
  const keptInXml = await lens(node, 'PUT', `/queryapi/queries/${queued}`, put)
  t.regex(keptInXml.text, /<apiResult><status>FAILED<\/status><message>The query is QUEUED: /)
  for (const handle of [queued, running])
    t.is((await lens(node, 'DELETE', `/queryapi/queries/${handle}`, { query: { sessionid } })).status, 200)
})

test('a plan or an estimate that was cancelled while it was waited for: 500 and 4002', async t => {
  const sessionid = await openLens(node, 'canceller')
  const read = async (state: string) =>
    (await lens(node, 'GET', '/queryapi/queries', { query: { sessionid, state }, accept: json })).json
  const isOne = (list: any) => list.length === 1
  await submitLens(node, sessionid, endless)
  await eventually(() => read('RUNNING'), isOne, { what: 'the first runs' })
  for (const operation of ['explain', 'estimate'])
    for (const accept of [json, undefined]) {
      const parts = { sessionid, query: 'select 1', operation }
      const answer = lens(node, 'POST', '/queryapi/queries', { parts, ...(accept ? { accept } : {}) })
      await eventually(() => read('QUEUED'), isOne, { what: `the ${operation} waits` })
      await lens(node, 'DELETE', '/queryapi/queries', { query: { sessionid, state: 'QUEUED' } })
      const failed = await answer
      t.is(failed.status, 500, failed.text)
      t.is(failed.headers['retry-after'], undefined)
      if (accept) t.is(failed.json.lensAPIResult.error.code, 4002)
      else t.regex(failed.text, /<lensAPIResult><id>[^<]+<\/id><error><code>4002<\/code><message>Somebody cancelled /)
    }
  await lens(node, 'DELETE', '/queryapi/queries', { query: { sessionid } })
})

test('too large a statement, and too large a body: 413 and 1006', async t => {
  const sessionid = await openLens(node, 'large')
  for (const bytes of [3_000, 200_000]) {
    const parts = { sessionid, query: `select '${'x'.repeat(bytes)}'`, operation: 'execute' }
    const refused = await lens(node, 'POST', '/queryapi/queries', { parts, accept: json })
    t.is(refused.status, 413)
    t.is(refused.json.lensAPIResult.error.code, 1006)
    const inXml = await lens(node, 'POST', '/queryapi/queries', { parts })
    t.is(inXml.status, 413)
    t.regex(inXml.text, /<lensAPIResult><id>[^<]+<\/id><error><code>1006<\/code><message>./)
  }
})

test('too large a configuration, wherever one is taken: 413 and 1006, and too many properties: 400 and 1006', async t => {
  const sessionid = await openLens(node, 'verbose')
  const large = conf({ colour: 'x'.repeat(70_000) })
  const many = conf(Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`k${index}`, '1'])))
  const execute = { sessionid, query: 'select 1', operation: 'execute' }
  for (const [method, path, parts, status] of [
    ['POST', '/session', { username: 'verbose', sessionconf: large }, 413],
    ['POST', '/queryapi/queries', { ...execute, conf: large }, 413],
    ['POST', '/queryapi/queries', { ...execute, operation: 'execute_with_timeout', conf: large }, 413],
    ['PUT', '/session/params', { sessionid, key: 'colour', value: 'x'.repeat(70_000) }, 413],
    ['POST', '/session', { username: 'verbose', sessionconf: many }, 400],
    ['POST', '/queryapi/queries', { ...execute, conf: many }, 400],
  ] as const)
    for (const accept of [json, undefined]) {
      const refused = await lens(node, method, path, { parts, ...(accept ? { accept } : {}) })
      t.is(refused.status, status, `${method} ${path} ${refused.text}`)
      if (accept) t.is(refused.json.lensAPIResult.error.code, 1006)
    }
  const { json: list } = await lens(node, 'GET', '/queryapi/queries', { query: { sessionid }, accept: json })
  t.deepEqual(list, [])
})

test('a body that is no form: 400', async t => {
  const { status, body } = await node.call('POST', '/lensapi/session', { body: {}, headers: { accept: json } })
  t.is(status, 400)
  t.regex(body.lensAPIResult.error.message, /multipart\/form-data/)
})

test('a result of several pages is whole in both forms, and told of by reference where its call waited', async t => {
  const sessionid = await openLens(node, 'reader')
  const query = 'select i::int i from range(1234) r(i) order by i'
  const parts = { sessionid, query, operation: 'execute_with_timeout' }
  const { json: answer } = await lens(node, 'POST', '/queryapi/queries', { parts, accept: json })
  const { queryHandle, result, status } = answer.lensAPIResult.data
  t.is(status.status, 'SUCCESSFUL')
  t.like(result, { type: 'persistentQueryResult', numRows: 1234 })
  const told = await lens(node, 'POST', '/queryapi/queries', { parts })
  t.regex(
    told.text,
    /<result xsi:type="persistentQueryResult"><persistedURI>[^<]+<\/persistedURI><numRows>1234<\/numRows><fileSize>\d+<\/fileSize><httpResultUrl>[^<]+\/httpresultset<\/httpResultUrl><\/result><resultMetadata>/,
  )
  const numbers = Array.from({ length: 1234 }, (_, index) => index)
  const file = await fetch(`${result.httpResultUrl}?${new URLSearchParams({ sessionid })}`)
  t.is(await file.text(), numbers.map(number => `${number}\r\n`).join(''))
  const at = `/queryapi/queries/${queryHandle.handleId}/resultset`
  const inJson = await lens(node, 'GET', at, { query: { sessionid }, accept: json })
  const values = ({ rows }: any) => rows.map((row: any) => row.values[0].value)
  t.deepEqual(values(inJson.json.inMemoryQueryResult), numbers)
  const inXml = await lens(node, 'GET', at, { query: { sessionid } })
  t.deepEqual(
    [...inXml.text.matchAll(/<values xsi:type="xs:int">(\d+)<\/values>/g)].map(([, i]) => Number(i)),
    numbers,
  )
  const part = { query: { sessionid, fromindex: '950', fetchsize: '250' }, accept: json }
  t.deepEqual(values((await lens(node, 'GET', at, part)).json.inMemoryQueryResult), numbers.slice(950, 1200))
  const beyond = { query: { sessionid, fromindex: '5000' }, accept: json }
  t.deepEqual((await lens(node, 'GET', at, beyond)).json, { inMemoryQueryResult: { rows: [] } })
})

test('switched off, it is as any path that does not exist', async t => {
  const without = new TestCluster(null, { LENS_LENS_API_ENABLED: 'false' })
  t.teardown(() => without.stop())
  const other = await without.start({ name: 'n1' })
  await other.ready()
  const { status, body } = await other.call('GET', '/lensapi/session')
  t.is(status, 404)
  t.is(body.code, 'NOT_FOUND')
})

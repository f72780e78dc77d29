/**
 * What a request may look like and what it is refused for: parameters one by one, configurations in every call that takes
 * one, bodies and types of bodies, what is accepted back, and paths that are not there.
 */
import test, { type ExecutionContext } from 'ava'
import {
  boundary,
  conf,
  json,
  type LensAnswer,
  lens,
  openLens,
  type Parts,
  submitLens,
} from '../../support/lens-protocol.ts'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'

const cluster = new TestCluster(null, { LENS_LIMITS_SESSIONS_PER_USER: '1000' })
let node: Awaited<ReturnType<TestCluster['start']>>

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
})
test.after.always(async t => {
  t.true(node.running)
  await cluster.stop()
})

const never = '00000000-0000-4000-8000-000000000000'
const [session, query, statement] = ['/session', '/queryapi/queries', 'select 1']

/** Asks in both forms, and looks at both refusals. */
async function refusedTwice(
  t: ExecutionContext,
  ask: (accept: { accept?: string }) => Promise<LensAnswer>,
  status: number,
  code: number,
  shape: 'lensAPIResult' | 'apiResult' | 'text',
  what = '',
): Promise<LensAnswer> {
  const inJson = await ask({ accept: json })
  t.is(inJson.status, status, `${what} ${inJson.text}`)
  t.is(inJson.headers['content-type'], json, what)
  t.is(inJson.json.lensAPIResult.error.code, code, what)
  t.true(inJson.json.lensAPIResult.error.message.length > 0)
  const { status: same, text, headers } = await ask({})
  t.is(same, status, `${what} ${text}`)
  if (shape === 'text') t.regex(headers['content-type'] as string, /^text\/plain/, what)
  else if (shape === 'apiResult')
    t.regex(text, /\?><apiResult><status>FAILED<\/status><message>[^<]+<\/message></, what)
  else t.regex(text, new RegExp(`\\?><lensAPIResult><id>[^<]+</id><error><code>${code}</code><message>.`), what)
  return inJson
}

interface Faulty {
  readonly title: string
  readonly code: number
  readonly method: string
  readonly path: string
  readonly shape: 'lensAPIResult' | 'apiResult' | 'text'
  readonly parts?: Parts
  readonly query?: Parts
}
const put = (path: string, parts: Parts) => ({ method: 'PUT', path, parts, shape: 'apiResult' as const })
const opens = (parts: Parts) => ({
  ...{ method: 'POST', path: session, shape: 'text' as const },
  parts: { username: 'ann', password: '', ...parts },
})
const posts = (path: string, parts: Parts) => ({ method: 'POST', path, parts, shape: 'lensAPIResult' as const })
const gets = (path: string, query: Parts = {}) => ({ method: 'GET', path, query, shape: 'text' as const })
const removes = (path: string, query: Parts = {}) => ({ method: 'DELETE', path, query, shape: 'apiResult' as const })
const execute = { query: statement, operation: 'execute' }
const prepared = '/queryapi/preparedqueries'
const at = (path: string, handle = never) => `${path}/${handle}`

const faults: readonly Faulty[] = [
  ...['<conf>', '<conf/><conf/>', '<other/>', 'colour=blue', '<!DOCTYPE conf><conf/>'].flatMap(text => [
    { title: `sessionconf ${text}`, code: 1002, ...opens({ sessionconf: text }) },
    { title: `conf of a query ${text}`, code: 1002, ...posts(query, { ...execute, conf: text }) },
    {
      title: `conf of a call that waits ${text}`,
      ...{ code: 1002, ...posts(query, { query: statement, operation: 'execute_with_timeout', conf: text }) },
    },
    {
      title: `conf of an explanation ${text}`,
      code: 1002,
      ...posts(query, { ...execute, operation: 'explain', conf: text }),
    },
    {
      title: `conf of a preparation ${text}`,
      code: 1002,
      ...posts(prepared, { ...execute, operation: 'prepare', conf: text }),
    },
    {
      title: `conf of an execution ${text}`,
      ...{ code: 1002, ...posts(at(prepared), { operation: 'execute', conf: text }), shape: 'text' as const },
    },
    { title: `conf of a changed query ${text}`, code: 1002, ...put(at(query), { conf: text }) },
    { title: `conf of a changed prepared query ${text}`, code: 1002, ...put(at(prepared), { conf: text }) },
  ]),
  { title: 'no user', code: 1005, method: 'POST', path: session, shape: 'text', parts: { password: '' } },
  { title: 'no key', code: 1005, ...put('/session/params', { value: '1' }) },
  { title: 'no type of a resource', code: 1005, ...put('/session/resources/add', { path: '/a' }) },
  { title: 'no path of a resource', code: 1005, ...put('/session/resources/delete', { type: 'jar' }) },
  { title: 'a user that cannot be', code: 1006, ...opens({ username: 'a\u0007' }) },
  { title: 'a database that cannot be', code: 1006, ...opens({ database: 'a\u0007' }) },
  { title: 'a key that cannot be', code: 1006, ...put('/session/params', { key: 'a b', value: '1' }) },
  {
    title: 'a type of resources that is none',
    code: 1006,
    ...put('/session/resources/add', { type: 'zip', path: '/a' }),
  },
  {
    title: 'a type of resources to list that is none',
    code: 1006,
    ...gets('/session/resources/list', { type: 'zip' }),
  },
  { title: 'a property that cannot be', code: 1006, ...posts(query, { ...execute, conf: conf({ 'a b': '1' }) }) },
  { title: 'a name that cannot be', code: 1006, ...posts(query, { ...execute, queryName: '\u0007' }) },
  ...['', '-1', '1.5', 'x'].slice(1).flatMap(text => [
    {
      title: `timeoutmillis ${text}`,
      ...{ code: 1006, ...posts(query, { ...execute, operation: 'execute_with_timeout', timeoutmillis: text }) },
    },
    { title: `fromindex ${text}`, code: 1006, ...gets(`${at(query)}/resultset`, { fromindex: text }) },
    { title: `fetchsize ${text}`, code: 1006, ...gets(`${at(query)}/resultset`, { fetchsize: text }) },
  ]),
  ...[
    { state: 'BUSY' },
    { state: 'RUNNING,BUSY' },
    { fromDate: 'soon' },
    { toDate: '2020-13' },
    { fromDate: '2021', toDate: '2020' },
  ].flatMap((given: { state?: string; fromDate?: string; toDate?: string }) => {
    const more = given as Parts
    const title = `a listing of ${JSON.stringify(more)}`
    const ofQueries = [gets(query, more), gets(`${query}/detail`, more), removes(query, more)]
    const ofPrepared = more.state === undefined ? [gets(prepared, more), removes(prepared, more)] : []
    return [...ofQueries, ...ofPrepared].map(each => ({
      title: `${title}, ${each.method} ${each.path}`,
      code: 1006,
      ...each,
    }))
  }),
  { title: 'no statement to execute', code: 2002, ...posts(query, { operation: 'execute' }) },
  { title: 'a blank one to explain', code: 2002, ...posts(query, { query: '\n ', operation: 'explain' }) },
  { title: 'a blank one to prepare', code: 2002, ...posts(prepared, { query: '', operation: 'prepare' }) },
  { title: 'a value that is not there', code: 2007, ...put('/session/params', { key: 'a' }) },
  {
    title: 'a statement to prepare that is none',
    code: 4001,
    ...posts(prepared, { query: 'selec', operation: 'prepare' }),
  },
  {
    title: 'a statement to explain that is none',
    code: 4001,
    ...posts(query, { query: 'selec', operation: 'explain' }),
  },
  {
    title: 'a statement to estimate that is none',
    code: 4001,
    ...posts(query, { query: 'selec', operation: 'estimate' }),
  },
]

test('parameters and configurations that are refused, one by one', async t => {
  const sessionid = await openLens(node, 'faulty')
  for (const { title, code, method, path, shape, parts, query } of faults) {
    const given: Parts = path === session ? {} : { sessionid }
    const request = parts ? { parts: { ...given, ...parts } } : { query: { ...given, ...query } }
    await refusedTwice(t, accept => lens(node, method, path, { ...request, ...accept }), 400, code, shape, title)
  }
  const read = (path: string) => lens(node, 'GET', path, { query: { sessionid }, accept: json })
  t.deepEqual((await read(prepared)).json, [])
  // Nothing was accepted, unless its refusal took the query that it would have been.
  const left = (await read(`${query}/detail`)).json.map(({ lensQuery }: any) => lensQuery.status.status)
  t.deepEqual(
    [...new Set(left)].filter(status => status !== 'FAILED'),
    [],
  )
})

test('an operation of other calls is told which it could have been', async t => {
  const sessionid = await openLens(node, 'operator')
  const cases: [string, string[], string[], 'lensAPIResult' | 'text'][] = [
    [
      query,
      ['prepare', 'explain_and_prepare', 'run', ''],
      ['ESTIMATE', 'EXECUTE', 'EXPLAIN', 'EXECUTE_WITH_TIMEOUT'],
      'lensAPIResult',
    ],
    [prepared, ['execute', 'explain', 'estimate', ''], ['PREPARE', 'EXPLAIN_AND_PREPARE'], 'lensAPIResult'],
    [at(prepared), ['prepare', 'explain', 'estimate'], ['EXECUTE', 'EXECUTE_WITH_TIMEOUT'], 'text'],
  ]
  for (const [path, operations, supported, shape] of cases)
    for (const operation of operations) {
      const ask = (accept: object) =>
        lens(node, 'POST', path, { parts: { sessionid, query: statement, operation }, ...accept })
      const inJson = await refusedTwice(t, ask, 400, 2003, shape, `${path} ${operation}`)
      t.deepEqual(inJson.json.lensAPIResult.error.payload, { supportedOperations: supported })
      if (shape === 'lensAPIResult')
        t.true((await ask({})).text.includes(`<supportedOperations>${supported[0]}</supportedOperations>`))
    }
})

test('somebody else named: 403 and 1004, for queries and for prepared ones', async t => {
  const sessionid = await openLens(node, 'curious')
  for (const [method, path, shape] of [
    ['GET', query, 'text'],
    ['GET', `${query}/detail`, 'text'],
    ['DELETE', query, 'apiResult'],
    ['GET', prepared, 'text'],
    ['DELETE', prepared, 'apiResult'],
  ] as const) {
    const ask = (accept: object) => lens(node, method, path, { query: { sessionid, user: 'other' }, ...accept })
    await refusedTwice(t, ask, 403, 1004, shape, `${method} ${path}`)
    for (const user of ['curious', 'ALL', ''])
      t.is((await lens(node, method, path, { query: { sessionid, user } })).status, 200, `${method} ${path} ${user}`)
  }
})

/** A request with whatever type and body. */
function raw(method: string, target: string, type: string, body: string | undefined, accept?: string) {
  return fetch(`${node.url}/lensapi${target}`, {
    method,
    headers: { 'content-type': type, ...(accept ? { accept } : {}) },
    ...(body === undefined ? {} : { body }),
  })
}

test('what is left out answers 404, whatever is sent there', async t => {
  const sessionid = await openLens(node, 'seeker')
  const search = `?${new URLSearchParams({ sessionid })}`
  const calls: [string, string, string, string | undefined][] = [
    ['GET', '/metastore/databases/current', 'text/plain', undefined],
    ['PUT', '/metastore/databases/current', 'text/plain', 'default'],
    ['POST', '/metastore/cubes', 'application/xml', '<x_cube/>'],
    ['POST', '/metastore/databases', 'application/json', '{'],
    ['DELETE', '/metastore/databases/x', 'application/xml', undefined],
    ['GET', '/queryapi/savedqueries', 'text/plain', undefined],
    ['POST', '/queryapi/savedqueries', 'application/json', '{"name":"x"}'],
    ['POST', '/queryapi/savedqueries/1', `multipart/form-data; boundary=${boundary}`, 'no form'],
    ['DELETE', '/queryapi/savedqueries/1', 'application/json', undefined],
    ['GET', '/scheduler/jobs', 'text/plain', undefined],
    ['POST', '/scheduler/jobs', 'application/xml', '<x_job/>'],
    ['PUT', '/scheduler/jobs/x', 'application/xml', '<x_job/>'],
    ['GET', '/quota', 'text/plain', undefined],
    ['GET', '/logs/x', 'text/plain', undefined],
    ['PUT', '/session', 'text/plain', 'x'],
    ['POST', `/queryapi/queries/${never}`, 'application/xml', '<x/>'],
    ['GET', '/', 'text/plain', undefined],
    ['GET', '', 'text/plain', undefined],
  ]
  for (const [method, path, type, body] of calls) {
    const what = `${method} ${path} with ${type}`
    const inJson = await raw(method, path + search, type, body, json)
    t.is(inJson.status, 404, what)
    t.is(((await inJson.json()) as any).lensAPIResult.error.code, 1003, what)
    const plain = await raw(method, path + search, type, body)
    t.is(plain.status, 404, what)
    t.regex(plain.headers.get('content-type') ?? '', /^text\/plain/, what)
    t.false((await plain.text()).startsWith('{'), what)
  }
})

test('paths that no route can read are refused in this protocol too', async t => {
  const sessionid = await openLens(node, 'typist')
  const long = 'x'.repeat(300)
  for (const [path, code] of [
    [`/queryapi/queries/${long}`, 2006],
    [`/queryapi/preparedqueries/${long}/`, 2006],
    ['/queryapi/queries/%zz', 1006],
  ] as const) {
    const ask = (accept: object) => lens(node, 'GET', path, { query: { sessionid }, ...accept })
    const answer = await refusedTwice(t, ask, 400, code, 'text', path)
    t.truthy(answer.headers['x-request-id'])
    t.is(answer.headers['cache-control'], 'no-store')
  }
  const outside = await fetch(`${node.url}/api/v1/queries/${long}`)
  t.regex(outside.headers.get('content-type') ?? '', /^application\/problem\+json/)
})

test('what is refused before any route is asked has the form of this protocol too', async t => {
  const sessionid = await openLens(node, 'early')
  const target = `${node.url}/lensapi/session/params?${new URLSearchParams({ sessionid })}`
  for (const [headers, status, code] of [
    [{ 'content-encoding': 'gzip' }, 400, 1006],
    [{ origin: 'https://elsewhere.example' }, 403, 1004],
  ] as const) {
    const inJson = await fetch(target, { method: 'PUT', headers: { ...headers, accept: json } })
    t.is(inJson.status, status)
    t.is(((await inJson.json()) as any).lensAPIResult.error.code, code)
    const inXml = await fetch(target, { method: 'PUT', headers })
    t.is(inXml.status, status)
    t.regex(await inXml.text(), /\?><apiResult><status>FAILED<\/status><message>./)
  }
})

test('a type without a body is no body; a body of another type is refused', async t => {
  for (const type of [
    'application/json',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
  ]) {
    const sessionid = await openLens(node, 'typed')
    const search = `?${new URLSearchParams({ sessionid })}`
    const handle = await submitLens(node, sessionid, endless)
    const calls: [string, string][] = [
      ['DELETE', `/queryapi/queries/${handle}`],
      ['DELETE', '/session/sessions/'],
      ['DELETE', '/queryapi/preparedqueries'],
      ['DELETE', '/session'],
    ]
    for (const [method, path] of calls) {
      const answer = await raw(method, path + search, type, undefined, json)
      t.like(await answer.json(), { apiResult: { status: 'SUCCEEDED' } }, `${method} ${path} with ${type}`)
    }
    const empty = await raw('POST', '/session', type, undefined, json)
    t.is(((await empty.json()) as any).lensAPIResult.error.code, 1005, type)
    if (type.startsWith('multipart')) continue
    const answer = await raw('POST', '/session', type, 'username=ann', json)
    t.is(answer.status, 400)
    t.regex(((await answer.json()) as any).lensAPIResult.error.message, /multipart\/form-data/)
  }
})

test('the handle of a session is read from parts of every type that clients give it', async t => {
  const sessionid = await openLens(node, 'parts')
  const [publicId, secretId] = [...sessionid.matchAll(/Id>([^<]+)<\//g)].map(([, id]) => id)
  const inJson = JSON.stringify({ lensSessionHandle: { publicId, secretId } })
  const withoutProlog = sessionid.slice(sessionid.indexOf('?>') + 2)
  for (const [type, text] of [
    ['text/plain', sessionid],
    ['application/xml', sessionid],
    ['application/xml; charset=utf-8', withoutProlog],
    ['application/json', inJson],
    ['application/octet-stream', sessionid],
  ])
    for (const file of ['', '; filename="sessionid"']) {
      const part = (name: string, value: string, more = '') =>
        `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`
      const body = `--${boundary}\r\nContent-Type: ${type}\r\nContent-Disposition: form-data; name="sessionid"${file}\r\n\r\n${text}\r\n${part('key', 'colour')}${part('value', `${type}${file}`)}--${boundary}--\r\n`
      const answer = await raw('PUT', '/session/params', `multipart/form-data; boundary=${boundary}`, body, json)
      t.is(answer.status, 200, `${type}${file}: ${await answer.text()}`)
      const { json: read } = await lens(node, 'GET', '/session/params', {
        query: { sessionid, key: 'colour' },
        accept: json,
      })
      t.deepEqual(read.stringList.elements, [`colour=${type}${file}`])
    }
})

test('liveness is text, whatever is accepted', async t => {
  for (const [path, text] of [
    [session, 'session is up!'],
    ['/queryapi', 'Queryapi is up'],
  ] as const)
    for (const slash of ['', '/'])
      for (const accept of [json, 'application/xml', 'text/plain']) {
        const answer = await lens(node, 'GET', path + slash, { accept })
        t.deepEqual([answer.status, answer.text], [200, text])
        t.regex(answer.headers['content-type'] as string, /^text\/plain/)
      }
})

test('XML unless JSON is liked better', async t => {
  const sessionid = await openLens(node, 'taster')
  for (const [accept, expected] of [
    ['*/*', 'application/xml'],
    ['text/plain', 'application/xml'],
    ['text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2', 'application/xml'],
    ['application/xml, application/json', 'application/xml'],
    ['application/json;q=0.5, application/xml', 'application/xml'],
    ['application/json;q=0.5, */*', 'application/xml'],
    ['application/json', json],
    ['application/json, application/xml;q=0.9', json],
    // What browsers' libraries send.
    ['application/json, text/plain, */*', json],
    ['application/json, text/javascript, */*; q=0.01', json],
  ] as const) {
    const { headers } = await lens(node, 'GET', '/session/params', { query: { sessionid }, accept })
    t.is(headers['content-type'], expected, accept)
  }
})

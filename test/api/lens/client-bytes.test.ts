/** The requests of the two existing clients, byte by byte over a socket, and the bytes that each needs back. */
import test from 'ava'
import { TestCluster } from '../../support/nodes.ts'
import { exchange } from '../../support/wire.ts'

const cluster = new TestCluster(null)
let node: Awaited<ReturnType<TestCluster['start']>>

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
})
test.after.always(async t => {
  t.true(node.running)
  await cluster.stop()
})

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

async function say(lines: readonly string[], body = ''): Promise<Answer> {
  const [line, ...headers] = lines
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  const head = [line, `Host: 127.0.0.1:${node.port}`, ...headers, ...length, 'Connection: close', '', '']
  const text = await exchange(node.port, head.join('\r\n') + body)
  const split = text.indexOf('\r\n\r\n')
  const answered = text.slice(0, split)
  let rest = text.slice(split + 4)
  if (/^transfer-encoding: chunked/im.test(answered)) rest = joined(Buffer.from(rest))
  const type = /^content-type: (.*)$/im.exec(answered)?.[1]?.trim() ?? ''
  return { status: Number(answered.split(' ')[1]), type, body: rest }
}

/** The chunks of a body, whose sizes are in bytes. */
function joined(chunks: Buffer): string {
  const end = chunks.indexOf('\r\n')
  const length = Number.parseInt(chunks.toString('latin1', 0, end), 16)
  if (!length) return ''
  return chunks.toString('utf8', end + 2, end + 2 + length) + joined(chunks.subarray(end + 2 + length + 2))
}

const pythonBoundary = 'd41d8cd98f00b204e9800998ecf8427e'
/** `requests` with `files=[(name, text)]`: a file of its own name, and no type. */
const pythonPart = (name: string, value: string) =>
  `--${pythonBoundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${name}"\r\n\r\n${value}\r\n`
const pythonHeaders = (accept: string) => [
  'User-Agent: python-requests/2.31.0',
  'Accept-Encoding: gzip, deflate',
  `Accept: ${accept}`,
]
const pythonForm = `Content-Type: multipart/form-data; boundary=${pythonBoundary}`

test('the Python client: open, read a parameter, submit, poll, read, list, close', async t => {
  const opened = await say(
    ['POST /lensapi/session/ HTTP/1.1', ...pythonHeaders('application/xml'), pythonForm],
    `${pythonPart('username', 'py')}${pythonPart('password', '')}${pythonPart('sessionconf', '<?xml version="1.0" encoding="UTF-8"?><conf></conf>')}--${pythonBoundary}--\r\n`,
  )
  t.is(opened.status, 200, opened.body)
  const session = opened.body
  t.regex(
    session,
    /^<\?xml [^>]*\?><lensSessionHandle><publicId>[^<]+<\/publicId><secretId>[^<]+<\/secretId><\/lensSessionHandle>$/,
  )
  const sessionid = new URLSearchParams({ sessionid: session }).toString()
  const get = (target: string, accept = 'application/json') =>
    say([`GET /lensapi${target} HTTP/1.1`, ...pythonHeaders(accept)])

  const parameter = await get(`/session/params?${sessionid}&key=lens.query.output.write.header`)
  t.is(parameter.body, '{"stringList":{"elements":["lens.query.output.write.header=false"]}}')
  t.is(parameter.type, 'application/json')

  const submitted = await say(
    ['POST /lensapi/queryapi/queries/ HTTP/1.1', ...pythonHeaders('application/json'), pythonForm],
    `${pythonPart('sessionid', session)}${pythonPart('query', "select 'ö' t, 1::int i")}${pythonPart('queryName', 'n')}${pythonPart('timeoutmillis', '20000')}${pythonPart('operation', 'execute_with_timeout')}${pythonPart('conf', '<?xml version="1.0" encoding="UTF-8"?><conf></conf>')}--${pythonBoundary}--\r\n`,
  )
  const { data } = JSON.parse(submitted.body).lensAPIResult
  t.is(data.status.status, 'SUCCESSFUL')
  const handle = data.queryHandle.handleId
  const poll = JSON.parse((await get(`/queryapi/queries/${handle}?${sessionid}`)).body)
  t.is(poll.lensQuery.userQuery, "select 'ö' t, 1::int i")
  t.is(
    (await get(`/queryapi/queries/${handle}/resultsetmetadata?${sessionid}`)).body,
    '{"queryResultSetMetadata":{"columns":[{"name":"t","type":"STRING"},{"name":"i","type":"INT"}]}}',
  )
  const file = await get(`/queryapi/queries/${handle}/httpresultset?${sessionid}`, '*/*')
  t.is(file.body, 'ö,1\r\n')
  const list = await get(`/queryapi/queries/?state=SUCCESSFUL&fromDate=&toDate=&${sessionid}`)
  t.is(list.body, `[{"queryHandle":{"handleId":"${handle}"}}]`)
  const close = [`DELETE /lensapi/session/?${sessionid} HTTP/1.1`, ...pythonHeaders('*/*')]
  t.is((await say(close)).status, 200)
  const late = await get(`/queryapi/queries/${handle}?${sessionid}`)
  t.is(late.status, 410)
  t.is(JSON.parse(late.body).lensAPIResult.error.code, 2005)
})

const javaBoundary = 'Boundary_1_1035048349_1577836800000'
const javaPart = (name: string, value: string, type = 'text/plain', file = '') =>
  `--${javaBoundary}\r\nContent-Type: ${type}\r\nContent-Disposition: form-data; ${file ? `filename="${file}"; ` : ''}name="${name}"\r\n\r\n${value}\r\n`
const javaHeaders = ['User-Agent: Jersey/2.22.1 (HttpUrlConnection 1.8.0_292)', 'MIME-Version: 1.0']
const javaForm = `Content-Type: multipart/form-data;boundary=${javaBoundary}`
/** What `HttpURLConnection` accepts when nobody says anything. */
const javaAccept = 'Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2'
const javaConf =
  '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><conf><properties><entry><key>lens.client.dbname</key><value>default</value></entry><entry><key>lens.query.cancel.on.timeout</key><value>false</value></entry></properties></conf>'

test('the Java client: open, submit, poll, read, prepare, close twice', async t => {
  const opened = await say(
    ['POST /lensapi/session HTTP/1.1', javaForm, ...javaHeaders, javaAccept],
    `${javaPart('username', 'ann')}${javaPart('password', '')}${javaPart('database', 'default')}${javaPart('sessionconf', javaConf, 'application/xml', 'sessionconf')}--${javaBoundary}--\r\n`,
  )
  t.is(opened.status, 200, opened.body)
  t.is(opened.type, 'application/xml')
  const sessionid = new URLSearchParams({ sessionid: opened.body }).toString()
  const call = (method: string, target: string) =>
    say([`${method} /lensapi${target}?${sessionid} HTTP/1.1`, ...javaHeaders, javaAccept])
  const post = (target: string, operation: string, query = 'select 1::int i', more = '') =>
    say(
      [`POST /lensapi${target} HTTP/1.1`, javaForm, ...javaHeaders, javaAccept],
      `${javaPart('sessionid', opened.body, 'application/xml')}${javaPart('query', query)}${javaPart('operation', operation)}${javaPart('queryName', '')}${javaPart('conf', javaConf, 'application/xml', 'conf')}${more}--${javaBoundary}--\r\n`,
    )
  const sync = await post(
    '/queryapi/queries',
    'EXECUTE_WITH_TIMEOUT',
    'select 1::int i',
    javaPart('timeoutmillis', '20000'),
  )
  const handle = /<data xsi:type="queryHandleWithResultSet"><queryHandle><handleId>([^<]+)</.exec(
    sync.body,
  )?.[1] as string
  t.regex(sync.body, /<result xsi:type="inMemoryQueryResult"><rows><rows><values><values xsi:type="xs:int">1<\/values>/)
  t.regex(sync.body, /<status><progress>1<\/progress><status>SUCCESSFUL<\/status>/)
  t.regex(
    (await post('/queryapi/queries', 'EXECUTE')).body,
    /<data xsi:type="queryHandle"><handleId>[^<]+<\/handleId><\/data>/,
  )
  t.regex((await call('GET', `/queryapi/queries/${handle}`)).body, /^<\?xml [^>]*\?><lensQuery><queryHandle>/)
  t.regex(
    (await call('GET', `/queryapi/queries/${handle}/resultset`)).body,
    /<inMemoryQueryResult [^>]*><rows><rows><values>/,
  )
  const prepared = await post('/queryapi/preparedqueries', 'PREPARE')
  t.regex(prepared.body, /<data xsi:type="queryPrepareHandle"><prepareHandleId>[^<]+<\/prepareHandleId><\/data>/)
  const closed = await call('DELETE', '/session')
  t.is(closed.status, 200)
  t.regex(closed.body, /<apiResult><status>SUCCEEDED<\/status>/)
  t.is((await call('DELETE', '/session')).status, 410)
})

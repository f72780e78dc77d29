/**
 * Bad input against a real node: always a clear error of the catalogue, never a 5xx, and a node that serves on. The time
 * limits are set short, so that slow clients meet them; nothing here measures how long anything takes.
 */
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { headerBytesMax, jsonDepthMax } from '../../src/api/bounds.ts'
import { TestCluster } from '../support/nodes.ts'
import { exchange, open } from '../support/wire.ts'

const sqlBytesMax = 20_000
const bodyBytesMax = 200_000
const cluster = new TestCluster(null, {
  LENS_LIMITS_REQUEST_MS: '1000',
  LENS_LIMITS_SQL_BYTES_MAX: String(sqlBytesMax),
  LENS_LIMITS_BODY_BYTES_MAX: String(bodyBytesMax),
  LENS_CORS_ORIGINS: 'https://app.example.com',
})
let node: Awaited<ReturnType<TestCluster['start']>>
let token: string

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
  token = (await node.session('ann')).token
})
test.after.always(async t => {
  // Whatever was thrown at it: the process of the beginning lives, serves, and saw no defect of its own.
  t.true(node.running)
  t.is((await node.call('GET', '/api/v1/queries', { token })).status, 200)
  t.deepEqual(
    node.log.filter(line => line.level === 'error' || line.level === 'fatal'),
    [],
  )
  await cluster.stop()
})

/** Posts bytes as they are. */
async function post(body: string | Uint8Array, headers: Record<string, string> = {}, path = '/api/v1/queries') {
  const response = await fetch(`${node.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body: body as BodyInit,
  })
  return { status: response.status, headers: response.headers, body: (await response.json()) as any }
}

/** What a raw exchange was answered with. */
function read(text: string) {
  const [head = '', body = ''] = text.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head, problem: body ? JSON.parse(body) : null }
}

const badBodies: readonly (readonly [string, string | Uint8Array, Record<string, string>, string, RegExp])[] = [
  ['no JSON', '{"sql":', {}, 'REQUEST_INVALID', /expected JSON/],
  ['broken UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), {}, 'REQUEST_INVALID', /UTF-8/],
  ['a lone surrogate', '{"sql":"\\ud800"}', {}, 'REQUEST_INVALID', /surrogates/],
  ['NUL in SQL', '{"sql":"select \\u0000"}', {}, 'REQUEST_INVALID', /^body\.sql: expected .*without NUL/],
  ['no body', '', {}, 'REQUEST_INVALID', /^body: expected an object/],
  ['null', 'null', {}, 'REQUEST_INVALID', /^body: expected an object/],
  ['an array', '[{"sql":"select 1"}]', {}, 'REQUEST_INVALID', /^body: expected an object/],
  [
    'deep nesting',
    `{"sql":"select 1","parameters":${'['.repeat(5000)}${']'.repeat(5000)}}`,
    {},
    'REQUEST_INVALID',
    new RegExp(`${jsonDepthMax} levels`),
  ],
  ['numbers for text', '{"sql":1}', {}, 'REQUEST_INVALID', /^body\.sql: expected a string$/],
  [
    'text for numbers',
    '{"sql":"select 1","mode":"sync","timeoutMs":"1"}',
    {},
    'REQUEST_INVALID',
    /^body\.timeoutMs: expected an integer$/,
  ],
  [
    'a number out of range',
    '{"sql":"select 1","deadlineMs":1e300}',
    {},
    'REQUEST_INVALID',
    /^body\.deadlineMs: expected/,
  ],
  [
    'unknown words',
    '{"sql":"select 1","priority":"urgent"}',
    {},
    'REQUEST_INVALID',
    /^body\.priority: expected one of very_low, low/,
  ],
  [
    'unknown fields',
    '{"sql":"select 1","Mode":"sync","x":1}',
    {},
    'REQUEST_INVALID',
    /body\.Mode: unknown field.*body\.x: unknown field/,
  ],
  ['the prototype', '{"sql":"select 1","properties":{"__proto__":"x"}}', {}, 'REQUEST_INVALID', /__proto__/],
  [
    'values of properties that are no text',
    '{"sql":"select 1","properties":{"a":{"b":1}}}',
    {},
    'REQUEST_INVALID',
    /^body\.properties\.a: expected a string$/,
  ],
  [
    'a name that moves the cursor',
    '{"sql":"select 1","name":"a\\u001b[2Jb"}',
    {},
    'REQUEST_INVALID',
    /^body\.name: expected/,
  ],
  [
    'SQL that is too long',
    JSON.stringify({ sql: `select '${'ä'.repeat(sqlBytesMax / 2)}'` }),
    {},
    'TOO_LARGE',
    /body\.sql has 20009 bytes/,
  ],
  [
    'a body that is too long',
    JSON.stringify({ sql: 'select 1', name: 'x'.repeat(bodyBytesMax) }),
    {},
    'TOO_LARGE',
    /bodyBytesMax/,
  ],
  [
    'properties that are too long',
    JSON.stringify({ sql: 'select 1', properties: { a: 'x'.repeat(70_000) } }),
    {},
    'TOO_LARGE',
    /body\.properties has 70001 bytes/,
  ],
  [
    'a compressed bomb',
    gzipSync(`{"sql":"${' '.repeat(10_000_000)}"}`),
    { 'content-encoding': 'gzip' },
    'REQUEST_INVALID',
    /compressed/,
  ],
  ['compressed bytes called JSON', gzipSync('{"sql":"select 1"}'), {}, 'REQUEST_INVALID', /UTF-8/],
  [
    'another media type',
    '<sql/>',
    { 'content-type': 'application/xml' },
    'REQUEST_INVALID',
    /content-type: expected application\/json/,
  ],
  [
    'a media type that is none',
    '{}',
    { 'content-type': '///' },
    'REQUEST_INVALID',
    /content-type: expected application\/json/,
  ],
  [
    'an idempotency key that is too long',
    '{"sql":"select 1"}',
    { 'idempotency-key': 'x'.repeat(256) },
    'REQUEST_INVALID',
    /idempotency-key: expected 1 to 255/,
  ],
  [
    'a timeout without waiting',
    '{"sql":"select 1","timeoutMs":1}',
    {},
    'REQUEST_INVALID',
    /^body\.timeoutMs: expected only with mode sync$/,
  ],
]

for (const [what, body, headers, code, detail] of badBodies)
  test(`a submission with ${what} is ${code}`, async t => {
    const answer = await post(body, headers)
    t.is(answer.body.code, code, JSON.stringify(answer.body))
    t.is(answer.status, code === 'TOO_LARGE' ? 413 : 400)
    t.regex(answer.body.detail, detail)
    t.is(answer.headers.get('content-type'), 'application/problem+json')
    t.is(answer.headers.get('x-request-id'), answer.body.requestId)
    t.notRegex(JSON.stringify(answer.body), /\bat .*\.(ts|js):\d+|node_modules/)
  })

for (const authorization of ['', 'Bearer', 'Bearer a b', 'Basic YTpi', 'bearer', `Bearer ${'x'.repeat(600)}`])
  test(`Authorization "${authorization.slice(0, 20)}" is UNAUTHENTICATED`, async t => {
    const { status, body } = await node.call('GET', '/api/v1/queries', {
      headers: authorization ? { authorization } : {},
    })
    t.deepEqual([status, body.code], [401, 'UNAUTHENTICATED'])
    const polled = await node.call('GET', `/api/v1/queries/${crypto.randomUUID()}`, {
      headers: authorization ? { authorization } : {},
    })
    t.deepEqual([polled.status, polled.body.code], [401, 'UNAUTHENTICATED'])
  })

test('forged tokens are SESSION_INVALID, one answer for all', async t => {
  const [publicId, secret] = token.split('.') as [string, string]
  const forged = [
    `${publicId}.${'A'.repeat(secret.length)}`,
    `${publicId}.`,
    `.${secret}`,
    publicId,
    `${crypto.randomUUID()}.${secret}`,
    `${token}.x`,
    `${token}x`,
    "x' or '1'='1.y",
    `${publicId}%00.${secret}`,
  ]
  const answers = await Promise.all(
    forged.map(async each => {
      const headers = { authorization: `Bearer ${each.replaceAll(' ', '+')}` }
      const polled = await node.call('GET', `/api/v1/queries/${crypto.randomUUID()}`, { headers })
      const listed = await node.call('GET', '/api/v1/queries', { headers })
      return [polled, listed].map(({ status, body }) => `${status} ${body.code} ${body.detail}`)
    }),
  )
  t.is(new Set(answers.flat()).size, 1, JSON.stringify(answers))
  t.regex(answers.flat()[0] ?? '', /^401 SESSION_INVALID /)
})

for (const path of [
  '/../../etc/passwd',
  '/api/v1/../../../../etc/passwd',
  '/api/v1/queries/..%2f..%2f..%2fetc%2fpasswd',
  '/api/v1/queries/%2e%2e',
  '/api/v1/queries/%00',
  '/api/v1/queries/%ff',
  '/api/v1/queries/%zz',
  '/api/v1/engines/..%2f..%2f/tables',
  "/api/v1/queries/'; drop table session; --",
  `/api/v1/queries/${'a'.repeat(2000)}`,
  '//api/v1/queries',
  '/api/v1/queries/',
  '/api/v1/sessions/%',
  '/API/V1/QUERIES',
  'http://elsewhere.example/api/v1/nothing',
  '*',
])
  test(`the path ${path.slice(0, 60)} names nothing`, async t => {
    const bytes = `GET ${path.replaceAll(' ', '%20')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`
    const { status, problem } = read(await exchange(node.port, bytes))
    t.true(status === 404 || status === 400, `${status} ${JSON.stringify(problem)}`)
    t.true(['NOT_FOUND', 'REQUEST_INVALID', 'SESSION_INVALID'].includes(problem.code), JSON.stringify(problem))
  })

test('a wrong method is told which are right', async t => {
  const { status, body, headers } = await node.call('PUT', '/api/v1/queries', { token, body: {} })
  t.deepEqual([status, body.code, headers.get('allow')], [404, 'NOT_FOUND', 'GET, POST'])
})

test('a client that sends far too much reads why', async t => {
  const body = Buffer.alloc(30_000_000, 0x20)
  for (let n = 0; n < 5; n++) {
    const { status, body: problem } = await post(body)
    t.deepEqual([status, problem.code], [413, 'TOO_LARGE'])
  }
})

const rawRequests: readonly (readonly [string, string, number, string])[] = [
  ['what is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n', 400, 'REQUEST_INVALID'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400, 'REQUEST_INVALID'],
  ['a header without name', 'GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n', 400, 'REQUEST_INVALID'],
  ['a header with a control character', 'GET /healthz HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n', 400, 'REQUEST_INVALID'],
  ['no Host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'REQUEST_INVALID'],
  [
    'headers that are too long',
    `GET /healthz HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(headerBytesMax)}\r\n\r\n`,
    413,
    'TOO_LARGE',
  ],
  ['a path that is too long', `GET /${'x'.repeat(headerBytesMax)} HTTP/1.1\r\nHost: x\r\n\r\n`, 413, 'TOO_LARGE'],
  [
    'two lengths',
    'POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
    400,
    'REQUEST_INVALID',
  ],
  [
    'length and chunks',
    'POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
    'REQUEST_INVALID',
  ],
  [
    'a negative length',
    'POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    400,
    'REQUEST_INVALID',
  ],
  [
    'a chunk that lies',
    'POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n',
    400,
    'REQUEST_INVALID',
  ],
  ['headers that never end', 'GET /healthz HTTP/1.1\r\nHost: x\r\nA: ', 400, 'REQUEST_INVALID'],
  [
    'a body that never comes',
    'POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    400,
    'REQUEST_INVALID',
  ],
]
for (const [what, bytes, status, code] of rawRequests)
  test(`${what} is refused with ${code}, and the connection closed`, async t => {
    const answer = await exchange(node.port, Buffer.from(bytes, 'latin1'))
    const { problem, ...rest } = read(answer)
    t.deepEqual([rest.status, problem?.code], [status, code], answer)
    t.regex(rest.head, /connection: close/i)
  })

test('a client that trickles its headers is cut off', async t => {
  const socket = await open(node.port)
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk)).on('error', () => {})
  const closed = new Promise(resolve => socket.once('close', resolve))
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nA: ')
  const trickle = setInterval(() => socket.writable && socket.write('x'), 50)
  await closed
  clearInterval(trickle)
  t.is(read(Buffer.concat(chunks).toString()).problem.code, 'REQUEST_INVALID')
})

test('a connection that says nothing is closed without a word', async t => {
  t.is(await exchange(node.port, ''), '')
})

test('a client that half-closes after its request is answered', async t => {
  const { status } = read(await exchange(node.port, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n', true))
  t.is(status, 200)
})

test('a client that leaves in the middle of its body, or before its answer, harms nobody', async t => {
  for (const bytes of [
    `POST /api/v1/queries HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    `GET /api/v1/queries HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  ]) {
    const socket = await open(node.port)
    socket.on('error', () => {})
    socket.write(bytes)
    socket.resetAndDestroy()
  }
  t.is((await node.call('GET', '/healthz')).status, 200)
})

test('an offer of another protocol is ignored, a WebSocket elsewhere refused', async t => {
  const ask = (path: string, upgrade: string) =>
    exchange(
      node.port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: ${upgrade}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      true,
    )
  t.is(read(await ask('/healthz', 'h2c')).status, 200)
  t.deepEqual(read(await ask('/api/v1/nothing', 'websocket')).problem.code, 'NOT_FOUND')
  t.deepEqual(read(await ask('/api/v1/queries', 'WebSocket')).problem.code, 'NOT_FOUND')
})

test('pages of other origins are refused unless they are named', async t => {
  const from = (origin: string, method = 'POST', more: Record<string, string> = {}) =>
    fetch(`${node.url}/api/v1/sessions`, { method, headers: { origin, ...more } })
  const refused = await from('https://evil.example')
  t.is(refused.status, 403)
  t.is(((await refused.json()) as { code: string }).code, 'FORBIDDEN')
  t.is(refused.headers.get('access-control-allow-origin'), null)
  const named = await from('https://app.example.com')
  t.is(named.status, 201)
  t.is(named.headers.get('access-control-allow-origin'), 'https://app.example.com')
  const preflight = { 'access-control-request-method': 'DELETE' }
  const allowed = await from('https://app.example.com', 'OPTIONS', preflight)
  t.is(allowed.status, 204)
  t.regex(allowed.headers.get('access-control-allow-methods') ?? '', /DELETE/)
  t.is((await from('https://evil.example', 'OPTIONS', preflight)).status, 403)
  t.is((await from(node.url)).status, 201)
})

test('request ids are taken over when they are sane', async t => {
  const idFor = async (given: string) =>
    (await fetch(`${node.url}/healthz`, { headers: { 'x-request-id': given } })).headers.get('x-request-id')
  t.is(await idFor('trace-1.2:3_4'), 'trace-1.2:3_4')
  for (const given of ['<script>', 'x'.repeat(129), 'a b']) t.not(await idFor(given), given)
})

test('query parameters are refused with the field and what was expected', async t => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['limit=0', /^query\.limit: expected a number >= 1$/],
    ['limit=1e2', /^query\.limit: expected an integer$/],
    ['limit=', /^query\.limit: expected an integer$/],
    ['limit=1&limit=2', /^query\.limit: expected an integer$/],
    ['limit=99999999999999999999', /^query\.limit: expected an integer$/],
    ['status=DONE', /^query\.status\.0: expected one of NEW, QUEUED/],
    ['from=yesterday', /^query\.from: expected an ISO 8601 date/],
    ['from=2026-02-31T25:00:00Z', /^query\.from: expected an ISO 8601 date/],
    ['to=0001-01-01', /^query\.to: expected an ISO 8601 date from 1970 on$/],
    ['cursor=%00', /^query\.cursor: expected/],
    ['cursor=nonsense', /cursor/],
    ['offset=1', /^query\.offset: unknown field, expected only status, user/],
    ["name='%20or%201%3D1%00", /^query\.name: expected/],
  ]
  for (const [query, expected] of cases) {
    const { status, body } = await node.call('GET', `/api/v1/queries?${query}`, { token })
    t.deepEqual([status, body.code], [400, 'REQUEST_INVALID'], `${query}: ${JSON.stringify(body)}`)
    t.regex(body.detail, expected)
  }
  const { body } = await node.call('GET', `/api/v1/queries/${crypto.randomUUID()}?waitMs=5`, { token })
  t.regex(body.detail, /^query\.after: required/)
})

test('SQL in every text is text', async t => {
  const evil = `'; drop table session; -- "\` \\ %_ 🦆`
  const { status, body } = await node.call('POST', '/api/v1/sessions', {
    body: { user: evil, database: evil, properties: { a: evil } },
  })
  t.is(status, 201, JSON.stringify(body))
  t.deepEqual([body.user, body.database, body.properties], [evil, evil, { a: evil }])
  const answer = await node.call('POST', '/api/v1/queries', {
    token,
    body: { sql: 'select ? as v', mode: 'sync', name: evil, parameters: [evil] },
  })
  t.deepEqual(answer.body.rows, [[evil]], JSON.stringify(answer.body))
  const { body: listed } = await node.call('GET', `/api/v1/queries?name=${encodeURIComponent(evil)}`, { token })
  t.deepEqual(
    listed.queries.map((each: { name: string }) => each.name),
    [evil],
  )
})

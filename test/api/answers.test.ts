/** One walk through every call on a real node: each answer is what the OpenAPI document promises, field by field. */
import test from 'ava'
import { eventually, TestCluster } from '../support/nodes.ts'
import { faultsOfAnswer, type OpenApi } from '../support/openapi.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const receiver = await WebhookReceiver.start()
const cluster = new TestCluster(null, {
  LENS_WEBHOOKS_REPORTS_URL: receiver.url,
  LENS_WEBHOOKS_REPORTS_SECRET: 'a secret for tests only',
  LENS_WEBHOOKS_REPORTS_USERS: 'ann,bert',
})
let node: Awaited<ReturnType<TestCluster['start']>>
let document: OpenApi
const answered = new Set<string>()

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
  document = (await node.call<OpenApi>('GET', '/openapi.json')).body
})
test.after.always(async () => {
  await cluster.stop()
  await receiver.close()
})

/** Calls, and checks the answer against the document. `path` is as the document writes it. */
async function call(
  t: { deepEqual(a: unknown, b: unknown, message?: string): void },
  method: string,
  path: string,
  expected: number,
  options: {
    token?: string
    body?: unknown
    headers?: Record<string, string>
    in?: Record<string, string>
    query?: string
  } = {},
) {
  const { in: named = {}, query, ...rest } = options
  const target = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(named[name] ?? ''))
  const response = await fetch(`${node.url}${target}${query ? `?${query}` : ''}`, {
    method,
    headers: {
      ...(rest.token ? { authorization: `Bearer ${rest.token}` } : {}),
      ...(rest.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...rest.headers,
    },
    ...(rest.body === undefined ? {} : { body: JSON.stringify(rest.body) }),
  })
  const text = await response.text()
  const isJson = /\/(problem\+)?json/.test(response.headers.get('content-type') ?? '')
  const answer = { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  const what = `${method} ${target} → ${answer.status} ${JSON.stringify(answer.body).slice(0, 500)}`
  t.deepEqual(answer.status, expected, what)
  const type = answer.headers.get('content-type') ?? ''
  t.deepEqual(faultsOfAnswer(document, method, path, answer.status, type, answer.body), [], what)
  t.deepEqual(answer.headers.get('cache-control'), 'no-store')
  t.deepEqual(answer.headers.get('x-content-type-options'), 'nosniff')
  answered.add(`${method} ${path} ${answer.status}`)
  return answer
}

test.serial('sessions', async t => {
  const { body: opened, headers } = await call(t, 'POST', '/api/v1/sessions', 201, {
    body: { user: 'ann', database: 'main', properties: { 'a.b': '1' } },
  })
  t.is(headers.get('location'), `/api/v1/sessions/${opened.id}`)
  t.is(opened.user, 'ann')
  const { token, id } = opened
  const { body: listed } = await call(t, 'GET', '/api/v1/sessions', 200, { token, query: 'limit=1' })
  t.deepEqual(
    listed.sessions.map((session: { id: string }) => session.id),
    [id],
  )
  const { body: read } = await call(t, 'GET', '/api/v1/sessions/{id}', 200, { token, in: { id } })
  t.deepEqual(read.properties, { 'a.b': '1' })
  const { body: changed } = await call(t, 'PATCH', '/api/v1/sessions/{id}', 200, {
    token,
    in: { id },
    body: { database: null, properties: { 'a.b': null, c: '2' } },
  })
  t.deepEqual([changed.database, changed.properties], [null, { c: '2' }])
  const { body: moment } = await call(t, 'GET', '/api/v1/sessions/{id}/machine', 200, { token, in: { id } })
  t.deepEqual([moment.version, moment.value, moment.context.properties], [2, 'OPEN', { c: '2' }])
  await call(t, 'GET', '/api/v1/machines', 200, { token })

  const { body: other } = await call(t, 'POST', '/api/v1/sessions', 201, { body: { user: 'bob' } })
  await call(t, 'GET', '/api/v1/sessions/{id}', 404, { token: other.token, in: { id } })
  await call(t, 'PATCH', '/api/v1/sessions/{id}', 404, { token: other.token, in: { id }, body: {} })
  await call(t, 'DELETE', '/api/v1/sessions/{id}', 404, { token: other.token, in: { id } })

  await call(t, 'DELETE', '/api/v1/sessions/{id}', 204, { token, in: { id }, query: 'cancelQueries=true' })
  const { body: again, headers: refused } = await call(t, 'DELETE', '/api/v1/sessions/{id}', 401, { token, in: { id } })
  t.is(again.code, 'SESSION_INVALID')
  t.is(refused.get('www-authenticate'), 'Bearer')
})

test.serial('a session without a body is that of anonymous; a repetition with its key is the same', async t => {
  const headers = { 'idempotency-key': 'once' }
  const { body: first } = await call(t, 'POST', '/api/v1/sessions', 201, { headers })
  t.is(first.user, 'anonymous')
  const { body: second } = await call(t, 'POST', '/api/v1/sessions', 201, { headers })
  t.deepEqual([second.id, second.token], [first.id, first.token])
  const { body: conflict } = await call(t, 'POST', '/api/v1/sessions', 409, { headers, body: { database: 'x' } })
  t.is(conflict.code, 'CONFLICT')
})

test.serial('queries and their rows', async t => {
  const { token } = await node.session('ann')
  const sql =
    "select i as n, i::bigint as big, null as nothing, case when i = 1 then '' else 'a,\"b' end as s from range(1, 4) t(i) order by i"
  const { body: submitted, headers } = await call(t, 'POST', '/api/v1/queries', 202, {
    token,
    body: { sql, name: 'näme', priority: 'high', properties: { p: 'q' } },
    headers: { 'idempotency-key': 'q1', 'x-request-id': 'my-request' },
  })
  const { handle } = submitted
  t.is(headers.get('location'), `/api/v1/queries/${handle}`)
  t.is(headers.get('x-request-id'), 'my-request')
  const { body: repeated } = await call(t, 'POST', '/api/v1/queries', 202, {
    token,
    body: { sql, name: 'näme', priority: 'high', properties: { p: 'q' } },
    headers: { 'idempotency-key': 'q1' },
  })
  t.is(repeated.handle, handle)

  let query = submitted
  while (query.outcome === null)
    ({ body: query } = await call(t, 'GET', '/api/v1/queries/{handle}', 200, {
      token,
      in: { handle: handle.toUpperCase() },
      query: `after=${query.version}&waitMs=60000`,
    }))
  t.is(query.outcome, 'SUCCESSFUL', JSON.stringify(query.error))
  t.is(query.result.rowCount, 3)

  const { body: first } = await call(t, 'GET', '/api/v1/queries/{handle}/machine', 200, {
    token,
    in: { handle },
    query: 'version=1',
  })
  t.deepEqual([first.version, first.value], [1, 'QUEUED'])
  const { body: history } = await call(t, 'GET', '/api/v1/queries/{handle}/transitions', 200, { token, in: { handle } })
  t.deepEqual(
    history.transitions.map((each: { version: number }) => each.version),
    Array.from({ length: query.version }, (_, index) => index + 1),
  )
  const { body: listed } = await call(t, 'GET', '/api/v1/queries', 200, {
    token,
    query: `status=SUCCESSFUL,FAILED&status=QUEUED&name=${encodeURIComponent('näme')}&from=2020-01-01&to=2100-01-01T00:00:00Z&limit=5`,
  })
  t.deepEqual(
    listed.queries.map((each: { handle: string }) => each.handle),
    [handle],
  )

  const { body: page } = await call(t, 'GET', '/api/v1/queries/{handle}/results', 200, {
    token,
    in: { handle },
    query: 'offset=1&limit=1',
  })
  t.deepEqual([page.offset, page.nextOffset, page.rows.length], [1, 2, 1])
  t.deepEqual(page.rows[0].slice(1), ['2', null, 'a,"b'])

  const download = (accept: string, query = '') =>
    call(t, 'GET', '/api/v1/queries/{handle}/results', 200, { token, in: { handle }, query, headers: { accept } })
  const ndjson = await download('application/x-ndjson', 'offset=1')
  const lines = String(ndjson.body)
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  t.deepEqual(
    lines.map(row => row[1]),
    ['2', '3'],
  )
  t.deepEqual(JSON.parse(ndjson.headers.get('lens-columns') ?? ''), page.columns)
  t.is(ndjson.headers.get('lens-row-count'), '3')
  const csv = await download('text/csv')
  t.deepEqual(String(csv.body).split(/\r?\n/), ['n,big,nothing,s', '1,1,,""', '2,2,,"a,""b"', '3,3,,"a,""b"', ''])
  await download('application/vnd.apache.arrow.stream')
  await call(t, 'GET', '/api/v1/queries/{handle}/results', 400, {
    token,
    in: { handle },
    headers: { accept: 'image/png' },
  })
  await call(t, 'GET', '/api/v1/queries/{handle}/results', 400, {
    token,
    in: { handle },
    query: 'limit=1',
    headers: { accept: 'text/csv' },
  })
  const { body: unchanged } = await call(t, 'DELETE', '/api/v1/queries/{handle}', 200, { token, in: { handle } })
  t.is(unchanged.version, query.version)
  await call(t, 'DELETE', '/api/v1/queries/{handle}/results', 204, { token, in: { handle } })
  const { body: gone } = await call(t, 'GET', '/api/v1/queries/{handle}/results', 410, { token, in: { handle } })
  t.is(gone.code, 'RESULT_EXPIRED')
  const { body: closed } = await call(t, 'GET', '/api/v1/queries/{handle}', 200, { token, in: { handle } })
  t.deepEqual([closed.status, closed.outcome], ['CLOSED', 'SUCCESSFUL'])
})

test.serial("another user's queries do not exist", async t => {
  const { token } = await node.session('ann')
  const { handle } = await node.submit(token, { sql: 'select 1', mode: 'sync' }).then(body => body.query)
  const other = (await node.session('eve')).token
  for (const [method, path] of [
    ['GET', '/api/v1/queries/{handle}'],
    ['DELETE', '/api/v1/queries/{handle}'],
    ['GET', '/api/v1/queries/{handle}/transitions'],
    ['GET', '/api/v1/queries/{handle}/machine'],
    ['GET', '/api/v1/queries/{handle}/results'],
    ['DELETE', '/api/v1/queries/{handle}/results'],
  ] as const) {
    const { body } = await call(t, method, path, 404, { token: other, in: { handle } })
    t.is(body.code, 'NOT_FOUND')
  }
  const { body } = await call(t, 'GET', '/api/v1/queries', 200, { token: other })
  t.deepEqual(body.queries, [])
  const admin = (await node.session('admin')).token
  await call(t, 'GET', '/api/v1/queries/{handle}', 200, { token: admin, in: { handle } })
})

test.serial('synchronous queries, estimates, plans and failures', async t => {
  const { token } = await node.session('ann')
  const submit = (expected: number, body: object) => call(t, 'POST', '/api/v1/queries', expected, { token, body })
  const { body: ended } = await submit(200, { sql: 'select ?::integer + 1 as n', mode: 'sync', parameters: [41] })
  t.deepEqual([ended.rows, ended.nextOffset, ended.query.outcome], [[[42]], null, 'SUCCESSFUL'])
  const { body: estimated } = await submit(200, {
    sql: 'select * from range(1000)',
    mode: 'sync',
    operation: 'estimate',
  })
  t.is(typeof estimated.query.estimate.cost, 'number')
  const { body: explained } = await submit(200, { sql: 'select 1', mode: 'sync', operation: 'explain' })
  t.is(typeof explained.query.plan, 'string')
  const { body: refused } = await submit(400, { sql: 'selec 1', mode: 'sync' })
  t.is(refused.code, 'SQL_INVALID')
  const { body: failed } = await submit(200, { sql: "select error('boom')", mode: 'sync' })
  t.deepEqual([failed.query.outcome, failed.columns, failed.rows], ['FAILED', null, null])
  t.regex(failed.query.error.message, /boom/)
  await call(t, 'GET', '/api/v1/queries/{handle}/results', 409, { token, in: { handle: failed.query.handle } })

  const endless = { sql: 'select count(*) from range(1000000) a, range(1000000) b', mode: 'sync', timeoutMs: 1 }
  const { body: running } = await submit(202, endless)
  t.is(running.mode, 'async')
  const { body: wished } = await call(t, 'DELETE', '/api/v1/queries/{handle}', 202, {
    token,
    in: { handle: running.handle },
  })
  t.is(wished.handle, running.handle)
  t.is((await node.ended(token, running.handle)).outcome, 'CANCELED')
  const { body: given } = await submit(202, { ...endless, cancelOnTimeout: true })
  t.is((await node.ended(token, given.handle)).outcome, 'CANCELED')
})

test.serial('prepared queries', async t => {
  const { token } = await node.session('ann')
  const { body: made } = await call(t, 'POST', '/api/v1/prepared-queries', 201, {
    token,
    body: { sql: 'select ?::integer * 2 as n', name: 'double' },
  })
  t.is(made.parameterCount, 1)
  const { handle } = made
  const { body: listed } = await call(t, 'GET', '/api/v1/prepared-queries', 200, { token })
  t.deepEqual(
    listed.preparedQueries.map((each: { handle: string }) => each.handle),
    [handle],
  )
  await call(t, 'GET', '/api/v1/prepared-queries/{handle}', 200, { token, in: { handle } })
  const execute = (expected: number, body: object) =>
    call(t, 'POST', '/api/v1/prepared-queries/{handle}/executions', expected, { token, in: { handle }, body })
  t.deepEqual((await execute(200, { parameters: [21], mode: 'sync' })).body.rows, [[42]])
  const { body: accepted } = await execute(202, { parameters: [4] })
  t.is((await node.ended(token, accepted.handle)).outcome, 'SUCCESSFUL')
  const { body: refused } = await call(t, 'POST', '/api/v1/prepared-queries', 400, { token, body: { sql: 'selec' } })
  t.is(refused.code, 'SQL_INVALID')
  const other = (await node.session('eve')).token
  await call(t, 'GET', '/api/v1/prepared-queries/{handle}', 404, { token: other, in: { handle } })
  await call(t, 'DELETE', '/api/v1/prepared-queries/{handle}', 404, { token: other, in: { handle } })
  await call(t, 'DELETE', '/api/v1/prepared-queries/{handle}', 204, { token, in: { handle } })
  await call(t, 'DELETE', '/api/v1/prepared-queries/{handle}', 404, { token, in: { handle } })
})

test.serial('cluster, engines, operations', async t => {
  const { token } = await node.session('ann')
  const { body: seen } = await call(t, 'GET', '/api/v1/cluster', 200, { token })
  t.deepEqual(
    seen.nodes.map((each: { node: string }) => each.node),
    ['n1'],
  )
  await eventually(
    'there is a leader',
    async () => (await call(t, 'GET', '/api/v1/cluster', 200, { token })).body.leader,
  )
  await call(t, 'GET', '/api/v1/cluster/failovers', 200, { token })
  const { body: drain } = await call(t, 'POST', '/api/v1/cluster/nodes/{node}/drain', 403, {
    token,
    in: { node: 'n1' },
  })
  t.is(drain.code, 'FORBIDDEN')
  const admin = (await node.session('admin')).token
  await call(t, 'POST', '/api/v1/cluster/nodes/{node}/drain', 404, { token: admin, in: { node: 'nobody' } })
  await call(t, 'GET', '/api/v1/log-level', 403, { token })
  const { body: levels } = await call(t, 'GET', '/api/v1/log-level', 200, { token: admin })
  const told = { node: 'n1', level: 'info', configured: 'info', revertsAt: null }
  t.deepEqual(levels.nodes, [told])
  const { body: debug } = await call(t, 'PUT', '/api/v1/log-level', 200, { token: admin, body: { level: 'warn' } })
  t.deepEqual(debug.nodes, [{ ...told, level: 'warn' }])
  await call(t, 'PUT', '/api/v1/log-level', 200, { token: admin, body: { level: null } })
  await call(t, 'GET', '/api/v1/webhooks', 403, { token })
  const { body: owed } = await call(t, 'GET', '/api/v1/webhooks', 200, { token: admin })
  t.like(owed.webhooks[0], { name: 'reports', url: receiver.url, users: ['ann', 'bert'], dead: 0 })
  const { body: page } = await call(t, 'GET', '/api/v1/webhooks/deliveries', 200, { token: admin, query: 'limit=1' })
  const delivery = { name: 'reports', handle: page.deliveries[0].handle }
  const again = '/api/v1/webhooks/{name}/deliveries/{handle}'
  await call(t, 'POST', again, 404, { token: admin, in: { ...delivery, name: 'other' } })
  t.like((await call(t, 'POST', again, 202, { token: admin, in: delivery })).body, { state: 'PENDING', attempts: 0 })
  const { body: authentication } = await call(t, 'GET', '/api/v1/auth', 200, { token: admin })
  t.deepEqual(authentication, { method: 'none', user: 'admin', admin: true })
  const { body: engines } = await call(t, 'GET', '/api/v1/engines', 200, { token })
  t.deepEqual(
    engines.engines.map((each: { name: string }) => each.name),
    ['duckdb'],
  )
  const { body: tables } = await call(t, 'GET', '/api/v1/engines/{name}/tables', 200, { token, in: { name: 'duckdb' } })
  t.true(tables.tables.some((each: { name: string }) => each.name === 'flights'))
  await call(t, 'GET', '/api/v1/engines/{name}/tables', 404, { token, in: { name: 'none' } })
  await call(t, 'GET', '/healthz', 200)
  await call(t, 'GET', '/readyz', 200)
  await call(t, 'GET', '/cluster/v1/identity', 200)
  const { body: metrics } = await call(t, 'GET', '/metrics', 200)
  t.regex(String(metrics), /lens_http_requests_total\{route="\/api\/v1\/engines",method="GET",status="200"\} 1\n/)
})

test.serial('every call of the document was made, and succeeded', t => {
  const missed = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, operation]) =>
      Object.keys(operation.responses)
        .filter(status => /^2\d\d$/.test(status))
        .map(status => `${method.toUpperCase()} ${path} ${status}`)
        .filter(name => !name.startsWith('HEAD') && !answered.has(name)),
    ),
  )
  // Draining the only node would end the walk; the tests of the cluster do it.
  t.deepEqual(missed, ['POST /api/v1/cluster/nodes/{node}/drain 202'])
})

/**
 * Every operation of the OpenAPI document, with what its schemas allow and with anything else in every place: never a 5xx,
 * always an answer that the document promises.
 */
import test from 'ava'
import fc from 'fast-check'
import { TestCluster } from '../support/nodes.ts'
import { faultsOfAnswer, type OpenApi, type OpenApiOperation, resolved } from '../support/openapi.ts'

const cluster = new TestCluster(null, { LENS_LIMITS_LONG_POLL_MS: '20', LENS_LIMITS_SYNC_MS: '5000' })
let node: Awaited<ReturnType<TestCluster['start']>>
let document: OpenApi
let token: string
const known: string[] = []

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
  document = (await node.call<OpenApi>('GET', '/openapi.json')).body
  const session = await node.session('ann')
  token = session.token
  const { query } = await node.submit(token, { sql: 'select 1 as one', mode: 'sync' })
  const prepared = await node.call('POST', '/api/v1/prepared-queries', { token, body: { sql: 'select ? as v' } })
  // Not the session in use: the run would end by closing it.
  known.push(query.handle, prepared.body.handle, (await node.session('ann')).id, 'duckdb', 'n1')
})
test.after.always(async t => {
  t.true(node.running)
  t.is((await node.call('GET', '/healthz')).status, 200)
  await cluster.stop()
})

const evil = fc.constantFrom(
  '',
  ' ',
  '\0',
  '%',
  '_',
  "'",
  '"',
  '`',
  '\\',
  '../',
  '\u202e',
  '🦆',
  "' or '1'='1",
  '__proto__',
  'constructor',
  'null',
  '-1',
  '1e999',
)
const sql = fc.constantFrom(
  'select 1',
  'select ?',
  'selec',
  'select 1; select 2',
  'set threads=1',
  "copy (select 1) to '/tmp/x'",
  "select * from '/etc/passwd'",
  '--',
  "select error('x')",
  'select $1, $2',
  'with',
)
const anything = fc.oneof(fc.jsonValue({ maxDepth: 3 }), evil, fc.string({ unit: 'binary', maxLength: 40 }))

/** Mostly what the schema allows, sometimes anything at all. */
function valueFor(schema: any, name = ''): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 12, arbitrary: allowedBy(schema, name) }, { weight: 1, arbitrary: anything })
}

function allowedBy(schema: any, name: string): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.constantFrom(...schema.enum)
  const types = [schema.type ?? 'any'].flat()
  return fc.oneof(
    ...types.map((type: string): fc.Arbitrary<unknown> => {
      switch (type) {
        case 'null':
          return fc.constant(null)
        case 'boolean':
          return fc.boolean()
        case 'integer':
        case 'number': {
          const { minimum = -10, maximum = 1000 } = schema
          return fc.oneof(
            fc.integer({ min: minimum, max: Math.min(maximum, minimum + 1000) }),
            fc.constantFrom(minimum, maximum, minimum - 1, maximum + 1),
          )
        }
        case 'string':
          if (name === 'sql') return sql
          return fc.oneof(fc.constantFrom(...known), fc.uuid(), fc.string({ maxLength: 30 }), evil)
        case 'array':
          return fc.array(valueFor(schema.items ?? {}), { maxLength: 4 })
        case 'object': {
          if (!schema.properties)
            return fc.dictionary(
              fc.oneof(fc.string({ maxLength: 10 }), evil),
              fc.oneof(fc.string({ maxLength: 20 }), evil, fc.constant(null)),
              { maxKeys: 5 },
            )
          const fields = Object.entries(schema.properties).map(
            ([field, inner]) => [field, valueFor(inner, field)] as const,
          )
          const record = fc.record(Object.fromEntries(fields), { requiredKeys: schema.required ?? [] })
          return fc.oneof(
            { weight: 8, arbitrary: record },
            { weight: 1, arbitrary: fc.record(Object.fromEntries(fields), { requiredKeys: [] }) },
          )
        }
        default:
          return anything
      }
    }),
  )
}

interface Call {
  readonly method: string
  readonly path: string
  readonly target: string
  readonly headers: Record<string, string>
  readonly body: unknown
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
const encoded = (value: unknown) => encodeURIComponent(textOf(value).toWellFormed())

function callOf(path: string, method: string, operation: OpenApiOperation): fc.Arbitrary<Call> {
  const { parameters = [], requestBody } = operation
  const body = requestBody?.content['application/json']?.schema
  const inPath = parameters.filter(parameter => parameter.in === 'path')
  const inQuery = parameters.filter(parameter => parameter.in === 'query')
  return fc
    .record({
      named: fc.record(Object.fromEntries(inPath.map(({ name, schema }) => [name, valueFor(schema)]))),
      query: fc.record(Object.fromEntries(inQuery.map(({ name, schema }) => [name, valueFor(schema)])), {
        requiredKeys: [],
      }),
      body: body ? valueFor(resolved(document, body)) : fc.constant(undefined),
      key: fc.option(fc.constantFrom('a', 'b', ' ', 'x'.repeat(300)), { nil: undefined }),
      accept: fc.option(
        fc.constantFrom(
          '*/*',
          'text/csv',
          'application/x-ndjson',
          'application/vnd.apache.arrow.stream',
          'image/png',
          ';;q=9',
        ),
        { nil: undefined },
      ),
    })
    .map(({ named, query, body: sent, key, accept }) => {
      const target = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encoded(named[name]))
      const text = Object.entries(query)
        .map(([name, value]) => `${name}=${encoded(value)}`)
        .join('&')
      return {
        method,
        path,
        target: text ? `${target}?${text}` : target,
        headers: {
          authorization: `Bearer ${token}`,
          ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === undefined ? {} : { 'idempotency-key': key }),
          ...(accept === undefined ? {} : { accept }),
        },
        body: sent,
      }
    })
}

test('any call of any operation is answered as the document says, and never with a 5xx', async t => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => method !== 'head')
      .map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  t.true(operations.length >= 22)
  const succeeded = new Set<string>()
  for (const { path, method, operation } of operations)
    await fc.assert(
      fc.asyncProperty(callOf(path, method, operation), async call => {
        const response = await fetch(`${node.url}${call.target}`, {
          method: call.method,
          headers: call.headers,
          ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        })
        const text = await response.text()
        const type = response.headers.get('content-type') ?? ''
        const what = `${call.method} ${call.target} ${JSON.stringify(call.body)} → ${response.status} ${text}`
        if (response.status >= 500) throw new Error(what)
        if (response.ok) succeeded.add(operation.operationId)
        // An empty parameter makes another path, which the document does not know.
        if (response.status === 404 && !text.includes('"Not found"')) throw new Error(what)
        const body = /\/(problem\+)?json/.test(type) ? JSON.parse(text) : text
        const faults = faultsOfAnswer(document, call.method, call.path, response.status, type, body)
        if (faults.length > 0) throw new Error(`${what}: ${faults.join('; ')}`)
      }),
      { numRuns: 60 },
    )
  // A fuzzer that is refused at the door everywhere finds nothing behind it.
  t.true(succeeded.size >= 12, [...succeeded].join(', '))
})

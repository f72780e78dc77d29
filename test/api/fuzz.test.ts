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
/** What there is to be named in a path; made anew for each operation, as some remove it. */
let known: { readonly query: string; readonly prepared: string; readonly session: string }
const names = () => [...Object.values(known), 'duckdb', 'n1']

test.before(async () => {
  node = await cluster.start({ name: 'n1' })
  await node.ready()
  document = (await node.call<OpenApi>('GET', '/openapi.json')).body
  token = (await node.session('ann')).token
})
test.after.always(async t => {
  t.true(node.running)
  t.is((await node.call('GET', '/healthz')).status, 200)
  await cluster.stop()
})

async function makeKnown(): Promise<void> {
  const { query } = await node.submit(token, { sql: 'select 1 as one', mode: 'sync' })
  const prepared = await node.call('POST', '/api/v1/prepared-queries', { token, body: { sql: 'select 2 as two' } })
  // Not the session in use: the run would end by closing it.
  known = { query: query.handle, prepared: prepared.body.handle, session: (await node.session('ann')).id }
}

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
          return fc.oneof(fc.constantFrom(...names()), fc.uuid(), fc.string({ maxLength: 30 }), evil)
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

const textsByName: Readonly<Record<string, readonly string[]>> = {
  sql: ['select 1', 'values (1), (2)', 'select origin from flights limit 3'],
  from: ['2026-01-01', '2026-01-01T00:00:00Z'],
  to: ['2100-01-01'],
  user: ['ann'],
  engine: ['duckdb'],
}

/** Only what the operation takes, so that calls come past the checks of their form. */
function takenBy(schema: any, name: string): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.constantFrom(...schema.enum)
  return fc.oneof(
    ...[schema.type ?? 'string'].flat().map((type: string): fc.Arbitrary<unknown> => {
      if (type === 'null') return fc.constant(null)
      if (type === 'boolean') return fc.boolean()
      if (type === 'integer' || type === 'number') {
        const { minimum = 0, maximum = 1000 } = schema
        return fc.integer({ min: minimum, max: Math.min(maximum, minimum + 1000) })
      }
      if (type === 'array') return fc.array(takenBy(schema.items ?? {}, name), { maxLength: 2 })
      if (type === 'string') return fc.constantFrom(...(textsByName[name] ?? ['x']))
      if (!schema.properties) return fc.dictionary(fc.constantFrom('a', 'b.c'), fc.constant('v'))
      const { required = [], properties } = schema
      // Few of them: some exclude each other.
      const optional = Object.keys(properties).filter(field => !required.includes(field))
      return fc
        .subarray(optional, { maxLength: Math.min(3, optional.length) })
        .chain(chosen =>
          fc.record(
            Object.fromEntries([...required, ...chosen].map(field => [field, takenBy(properties[field], field)])),
          ),
        )
    }),
  )
}

function namedIn(path: string, name: string): fc.Arbitrary<unknown> {
  if (name === 'name') return fc.constant('duckdb')
  if (name === 'node') return fc.constant('n1')
  if (path.includes('/sessions/')) return fc.constant(known.session)
  return fc.constant(path.includes('/prepared-queries/') ? known.prepared : known.query)
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
  const recordOf = (parameters: typeof inQuery, value: (name: string, schema: any) => fc.Arbitrary<unknown>) =>
    Object.fromEntries(parameters.map(({ name, schema }) => [name, value(name, schema)]))
  const anyway = {
    named: fc.record(recordOf(inPath, (_, schema) => valueFor(schema))),
    query: fc.record(
      recordOf(inQuery, (_, schema) => valueFor(schema)),
      { requiredKeys: [] },
    ),
    body: body ? valueFor(resolved(document, body)) : fc.constant(undefined),
  }
  const rightly = {
    named: fc.record(recordOf(inPath, name => namedIn(path, name))),
    query: fc.record(
      // A cursor comes with a page before; several values of one name are written with commas.
      recordOf(
        inQuery.filter(({ name }) => name !== 'cursor'),
        (name, schema) => takenBy(schema, name).map(value => (Array.isArray(value) ? value.join() || 'NEW' : value)),
      ),
      { requiredKeys: [] },
    ),
    body: body ? takenBy(resolved(document, body), '') : fc.constant(undefined),
  }
  return fc
    .record({
      named: fc.oneof(anyway.named, rightly.named),
      query: fc.oneof(anyway.query, rightly.query),
      body: fc.oneof({ weight: 1, arbitrary: anyway.body }, { weight: 2, arbitrary: rightly.body }),
      key: fc.option(fc.constantFrom('a', 'b', ' ', 'x'.repeat(300)), { nil: undefined, freq: 2 }),
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
  for (const { path, method, operation } of operations) {
    await makeKnown()
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
      { numRuns: 100 },
    )
  }
  // A fuzzer that is refused at the door finds nothing behind it. Whose calls these are is no admin.
  t.deepEqual(
    operations.map(({ operation }) => operation.operationId).filter(id => !succeeded.has(id)),
    ['drainNode', 'readLogLevel', 'changeLogLevel', 'listWebhooks', 'listDeliveries', 'repeatDelivery'],
  )
})

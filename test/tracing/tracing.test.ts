/** Traces of whole nodes, as a collector gets them: from a client's request to the engine, and on over the death of the owner. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'
import { type CollectedSpan, TraceCollector } from '../support/trace-collector.ts'

const collector = await TraceCollector.start()
/** Says on the error output, as a line of the log, which of OpenTelemetry's packages a node loads. */
const watching = `--import=data:text/javascript,${encodeURIComponent(`
import { registerHooks } from 'node:module'
registerHooks({ resolve(specifier, context, next) {
  if (specifier.startsWith('@opentelemetry/')) process.stderr.write(JSON.stringify({ msg: 'loads', specifier }) + String.fromCharCode(10))
  return next(specifier, context)
} })`)}`
const cluster = new TestCluster(null, {
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  OTEL_BSP_SCHEDULE_DELAY: '20',
  OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=tests',
  NODE_OPTIONS: watching,
  LENS_DRAIN_GRACE_MS: '200',
})
test.before(async () => {
  await cluster.startAll(2)
})
test.after.always(async () => {
  await cluster.stop()
  await collector.close()
})

const loads = (node: NodeProcess) => node.log.filter(({ msg }) => msg === 'loads').map(({ specifier }) => specifier)
const named = (spans: readonly CollectedSpan[], name: string) => spans.find(span => span.name === name) as CollectedSpan

/** A trace that a client has begun. */
function begun(flags = '01') {
  const traceId = randomBytes(16).toString('hex')
  const spanId = randomBytes(8).toString('hex')
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-${flags}` } }
}

test.serial('from the request of a client to the rows that are stored, one trace', async t => {
  const [node] = cluster.running as [NodeProcess]
  const { token } = await node.session('ada')
  const client = begun()
  const secret = 'a-word-of-the-statement'
  const { handle } = await node.submit(token, { sql: `select '${secret}' a` }, client.headers)
  await node.ended(token, handle)
  const spans = await collector.trace(client.traceId, 'query', 'queue', 'attempt', 'engine', 'POST /api/v1/queries')
  const request = named(spans, 'POST /api/v1/queries')
  t.like(request, {
    ...{ parentId: client.spanId, kind: 2, status: 0 },
    attributes: { 'http.response.status_code': 202, 'http.route': '/api/v1/queries' },
    resource: { 'service.name': 'lens-ha', 'service.instance.id': node.name, 'deployment.environment.name': 'tests' },
  })
  const query = named(spans, 'query')
  t.like(query, {
    parentId: request.spanId,
    attributes: { 'lens.query.handle': handle, 'lens.query.outcome': 'SUCCESSFUL', 'db.response.returned_rows': 1 },
  })
  t.is(named(spans, 'queue').parentId, query.spanId)
  const attempt = named(spans, 'attempt')
  t.is(attempt.parentId, query.spanId)
  t.like(named(spans, 'engine'), { parentId: attempt.spanId, kind: 3, attributes: { 'lens.engine': 'duckdb' } })
  t.is(new Set(spans.map(({ spanId }) => spanId)).size, spans.length)
  for (const { startNs, endNs, name } of spans) t.true(startNs <= endNs, name)
  t.false(collector.received.includes(secret), 'statements are in no trace')
  t.false(collector.received.includes(token))
})

test.serial('the owner dies: its successor goes on in the same trace', async t => {
  const [owner, other] = cluster.running as [NodeProcess, NodeProcess]
  const { token } = await owner.session('ada')
  const client = begun()
  const { handle } = await owner.submit(token, { sql: sleepingFor(1_500) }, client.headers)
  await eventually(
    () => owner.query(token, handle),
    ({ status }) => status === 'RUNNING',
    { what: 'it runs' },
  )
  // Told before its node dies: what the trace hangs on.
  const [request] = await collector.trace(client.traceId, 'POST /api/v1/queries')
  await owner.kill()
  t.is((await other.ended(token, handle)).status, 'SUCCESSFUL')
  const spans = await collector.trace(client.traceId, 'query', 'engine')
  const query = named(spans, 'query')
  t.like(query, { parentId: request?.spanId, attributes: { 'lens.node': other.name } })
  const attempts = spans.filter(({ name }) => name === 'attempt')
  t.true(
    attempts.some(
      ({ parentId, resource }) => parentId === query.spanId && resource['service.instance.id'] === other.name,
    ),
  )
  const takeover = await eventually(() => collector.spans.find(({ name }) => name === 'takeover'))
  t.like(takeover, { attributes: { 'lens.takeover.cause': 'connection-lost', 'lens.takeover.queries': 1 } })
  await cluster.start({ name: owner.name })
  await Promise.all(cluster.running.map(node => node.ready()))
  await cluster.settled(2)
})

test.serial('what is not to be traced is not, and what is no context begins a trace of its own', async t => {
  const [node] = cluster.running as [NodeProcess]
  const { token } = await node.session('ada')
  const unsampled = begun('00')
  const quiet = await node.submit(token, { sql: 'select 1 a' }, unsampled.headers)
  await node.ended(token, quiet.handle)
  const odd = begun()
  const traceparents = [
    `00-${odd.traceId}-${odd.spanId}`,
    `ff-${odd.traceId}-${odd.spanId}-01`,
    `00-${'0'.repeat(32)}-${odd.spanId}-01`,
    'x'.repeat(500),
  ]
  for (const traceparent of traceparents) {
    const { handle } = await node.submit(token, { sql: 'select 1 a' }, { traceparent })
    await node.ended(token, handle)
    const query = await eventually(
      () =>
        collector.spans.find(({ name, attributes }) => name === 'query' && attributes['lens.query.handle'] === handle),
      Boolean,
      { what: `a trace in place of ${traceparent.slice(0, 60)}` },
    )
    t.not(query?.traceId, odd.traceId)
  }
  t.deepEqual(collector.of(unsampled.traceId), [])
  t.deepEqual(collector.of(odd.traceId), [])
  t.false(collector.spans.some(({ name }) => /healthz|readyz|metrics/.test(name)))
})

test.serial('a failed statement is an error by its code alone', async t => {
  const [node] = cluster.running as [NodeProcess]
  const { token } = await node.session('ada')
  const client = begun()
  const { handle } = await node.submit(token, { sql: 'select secret_name from nowhere' }, client.headers)
  await node.ended(token, handle)
  const spans = await collector.trace(client.traceId, 'query')
  t.like(named(spans, 'query'), {
    status: 2,
    attributes: { 'error.type': 'SQL_INVALID', 'lens.query.outcome': 'FAILED' },
  })
  t.false(collector.received.includes('secret_name'))
})

test.serial('a collector that refuses, or never answers, costs spans and nothing else', async t => {
  const [node] = cluster.running as [NodeProcess]
  const { token } = await node.session('ada')
  for (const answering of [
    (response: import('node:http').ServerResponse) => void response.writeHead(500).end(),
    () => undefined,
  ]) {
    collector.answering = answering
    const before = collector.requests
    const { handle } = await node.submit(token, { sql: 'select 1 a' })
    t.is((await node.ended(token, handle)).status, 'SUCCESSFUL')
    await eventually(() => collector.requests > before, Boolean, { what: 'the collector is asked' })
  }
  // It leaves in order all the same.
  const { code } = await node.terminate()
  t.is(code, 0)
})

test.serial(
  'without a variable that asks for it nothing of it is loaded, and the context is kept all the same',
  async t => {
    const traced = cluster.running[0] as NodeProcess
    t.true(loads(traced).includes('@opentelemetry/sdk-trace'))
    const node = await cluster.start({ name: 'untraced', env: { OTEL_EXPORTER_OTLP_ENDPOINT: '' } })
    await node.ready()
    const { token } = await node.session('ada')
    const client = begun()
    const { handle } = await node.submit(token, { sql: endless }, client.headers)
    // Metrics speak its interface, of which they use nothing.
    t.deepEqual(
      loads(node).filter(specifier => specifier !== '@opentelemetry/api'),
      [],
    )
    await node.terminate()
    // Who goes on with it traces.
    collector.answering = response => void response.writeHead(200).end()
    await eventually(async () => (await traced.query(token, handle)).owner.node === traced.name)
    await traced.call('DELETE', `/api/v1/queries/${handle}`, { token })
    t.is((await traced.ended(token, handle)).status, 'CANCELED')
    t.is(named(await collector.trace(client.traceId, 'query'), 'query').parentId, client.spanId)
  },
)

test('what the variables say wrongly is said before anything starts', async t => {
  for (const [name, value, expected] of [
    ['OTEL_TRACES_EXPORTER', 'zipkin', /OTEL_TRACES_EXPORTER: expected otlp or none, found "zipkin"/],
    ['OTEL_TRACES_SAMPLER', 'some', /OTEL_TRACES_SAMPLER: expected one of always_on, /],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', /expected http\/protobuf, found "grpc"/],
    ['OTEL_BSP_MAX_QUEUE_SIZE', '-1', /expected a number above 0/],
  ] as const) {
    const { openTracing } = await import('../../src/tracing/index.ts')
    const { systemClock } = await import('../../src/async/index.ts')
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', [name]: value }
    await t.throwsAsync(openTracing(env, { node: 'n', version: '1', clock: systemClock }), { message: expected })
    t.is(
      await openTracing({ ...env, OTEL_SDK_DISABLED: 'true' }, { node: 'n', version: '1', clock: systemClock }),
      null,
    )
  }
})

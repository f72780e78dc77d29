/** The numbers for what is not the client's fault: the engine that is away, the node that leaves. And every error has its number. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { wireErrorOf } from '../../../src/api/lens/refusals.ts'
import { type ErrorCode, errorCatalogue, LensError } from '../../../src/domain/index.ts'
import { eventually } from '../../support/conditions.ts'
import { json, lens, openLens, submitLens } from '../../support/lens-protocol.ts'
import { TestCluster } from '../../support/nodes.ts'
import { freePort } from '../../support/ports.ts'
import { endless } from '../../support/sleeping.ts'

const numbers: Record<ErrorCode, string> = {
  SESSION_INVALID: '410 2005',
  UNAUTHENTICATED: '401 2001',
  FORBIDDEN: '403 1004',
  SESSION_LIMIT: '429 2004',
  RATE_LIMITED: '429 2008',
  QUEUE_FULL: '429 2008',
  REQUEST_INVALID: '400 1006',
  SQL_INVALID: '400 4001',
  NOT_FOUND: '404 1003',
  CONFLICT: '409 1001',
  RESULT_NOT_READY: '404 1003',
  RESULT_EXPIRED: '404 1003',
  TOO_LARGE: '413 1006',
  INTERNAL: '500 1001',
  NODE_STOPPING: '503 1001',
  STORE_UNAVAILABLE: '503 1001',
  ENGINE_UNAVAILABLE: '503 4002',
  ISSUER_UNAVAILABLE: '503 1001',
  EXECUTION_FAILED: '500 4002',
  EXECUTION_UNKNOWN: '500 4002',
  NODE_LOST: '500 4002',
  RECOVERY_FAILED: '500 4002',
  DEADLINE_EXCEEDED: '500 4002',
  RESULT_TOO_LARGE: '500 4002',
}

test('every error of the catalogue has a status and a number', t => {
  const told = (Object.keys(errorCatalogue) as ErrorCode[]).map(code => {
    const { status, code: number } = wireErrorOf(new LensError(code, 'x'))
    return [code, `${status} ${number}`]
  })
  t.deepEqual(Object.fromEntries(told), numbers)
})

test('an engine that is away: 503 and 4002, and when to come back', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const file = path.join(cluster.folder, 'lens.yaml')
  const url = `postgresql://u:p@127.0.0.1:${await freePort()}/app`
  writeFileSync(file, JSON.stringify({ engines: { duckdb: null, away: { driver: 'postgresql', url } } }))
  const node = await cluster.start({ name: 'n1', env: { LENS_CONFIG: file, LENS_ENGINES_DUCKDB_THREADS: '' } })
  await node.ready()
  const sessionid = await openLens(node)
  const calls = (['explain', 'estimate', 'prepare'] as const).flatMap(operation =>
    [json, undefined].map(accept => ({ operation, accept })),
  )
  await Promise.all(
    calls.map(async ({ operation, accept }) => {
      const target = operation === 'prepare' ? '/queryapi/preparedqueries' : '/queryapi/queries'
      const parts = { sessionid, query: 'select 1', operation }
      const refused = await lens(node, 'POST', target, { parts, ...(accept ? { accept } : {}) })
      t.is(refused.status, 503, `${operation}: ${refused.text}`)
      t.truthy(refused.headers['retry-after'])
      if (accept) t.is(refused.json.lensAPIResult.error.code, 4002)
      else t.regex(refused.text, /<lensAPIResult><id>[^<]+<\/id><error><code>4002<\/code><message>./)
    }),
  )
})

test('a node that leaves answers those who wait with the handles of their queries', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const node = await cluster.start({ name: 'n1' })
  await node.ready()
  const sessionid = await openLens(node)
  const parts = { sessionid, query: endless, operation: 'execute_with_timeout', timeoutmillis: '200000' }
  const answers = [json, undefined].map(accept =>
    lens(node, 'POST', '/queryapi/queries', { parts, ...(accept ? { accept } : {}) }),
  )
  const list = await eventually(
    () => lens(node, 'GET', '/queryapi/queries', { query: { sessionid, state: 'RUNNING' }, accept: json }),
    ({ json: list }) => list.length === 2,
    { what: 'both run' },
  )
  const handles: string[] = list.json.map((each: any) => each.queryHandle.handleId)
  node.signal('SIGTERM')
  const [inJson, inXml] = await Promise.all(answers)
  for (const answer of [inJson, inXml]) t.is(answer?.status, 200, answer?.text)
  const { queryHandle, result, status } = inJson?.json.lensAPIResult.data ?? {}
  t.true(handles.includes(queryHandle.handleId))
  t.deepEqual([result, status.status], [undefined, 'RUNNING'])
  t.regex(
    inXml?.text ?? '',
    /<data xsi:type="queryHandleWithResultSet"><queryHandle><handleId>[^<]+<\/handleId><\/queryHandle><status>/,
  )
  t.deepEqual(await node.exited, { code: 0, signal: null })
})

test('a node that leaves answers 503 to those who wait for a plan or an estimate', async t => {
  const cluster = new TestCluster(null, { LENS_LIMITS_RUNNING_PER_USER: '1' })
  t.teardown(() => cluster.stop())
  const node = await cluster.start({ name: 'n1' })
  await node.ready()
  const sessionid = await openLens(node)
  await submitLens(node, sessionid, endless)
  const list = (state: string, count: number) =>
    eventually(
      () => lens(node, 'GET', '/queryapi/queries', { query: { sessionid, state }, accept: json }),
      ({ json: list }) => list.length === count,
      { what: `${count} are ${state}` },
    )
  await list('RUNNING', 1)
  const calls = (['explain', 'estimate'] as const).flatMap(operation => [
    lens(node, 'POST', '/queryapi/queries', { parts: { sessionid, query: 'select 1', operation }, accept: json }),
    lens(node, 'POST', '/queryapi/queries', { parts: { sessionid, query: 'select 1', operation } }),
  ])
  await list('QUEUED', 4)
  node.signal('SIGTERM')
  for (const { status, headers, text, json: body } of await Promise.all(calls)) {
    t.is(status, 503, text)
    t.deepEqual([typeof headers['retry-after'], headers.connection], ['string', 'close'])
    if (body) t.is(body.lensAPIResult.error.code, 1001)
    else t.regex(text, /<lensAPIResult><id>[^<]+<\/id><error><code>1001<\/code><message>./)
  }
  t.deepEqual(await node.exited, { code: 0, signal: null })
})

test('a node whose database has not answered yet: 503 and 1001, in the form of each call', async t => {
  const cluster = new TestCluster(`mysql://u:p@127.0.0.1:${await freePort()}/lens`)
  t.teardown(() => cluster.stop())
  const node = await cluster.start({ name: 'n1' })
  const answers = () =>
    fetch(`${node.url}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    )
  await eventually(answers, isUp => isUp, { what: 'it listens' })
  const parts = { username: 'ann', password: '' }
  const query = { sessionid: '<lensSessionHandle/>' }
  const [inJson, asText, asResult, asSubmission] = await Promise.all([
    lens(node, 'POST', '/session', { parts, accept: json }),
    lens(node, 'POST', '/session', { parts }),
    lens(node, 'DELETE', '/session', { query }),
    lens(node, 'POST', '/queryapi/queries', { parts: query }),
  ])
  t.deepEqual([inJson.status, inJson.json.lensAPIResult.error.code], [503, 1001])
  t.truthy(inJson.headers['retry-after'])
  t.deepEqual([asText.status, asText.headers['content-type']], [503, 'text/plain; charset=utf-8'])
  t.regex(asResult.text, /<apiResult><status>FAILED<\/status><message>./)
  t.regex(asSubmission.text, /<lensAPIResult><id>[^<]+<\/id><error><code>1001<\/code><message>./)
})

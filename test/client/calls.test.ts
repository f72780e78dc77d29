/** Every call of the library against a real node. */
import anyTest, { type TestFn } from 'ava'
import { LensClient, LensClientError } from '../../src/client/index.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { allOf, clientOf, collected, endlessSql } from './support.ts'

const test = anyTest as TestFn<{ nodes: NodeProcess[] }>
const cluster = new TestCluster(null)

test.before(async t => {
  t.context.nodes = await cluster.startAll(1)
})
test.after.always(() => cluster.stop())

test('rows, columns, and the query that gave them', async t => {
  const client = clientOf(t, t.context.nodes)
  const rows = client.query("select 1::int as a, 'x' as b, null as c union all select 2, 'y', null order by a")
  t.deepEqual(
    (await rows.columns).map(column => column.name),
    ['a', 'b', 'c'],
  )
  t.deepEqual(await allOf(rows), [
    [1, 'x', null],
    [2, 'y', null],
  ])
  t.deepEqual(await allOf(rows.objects()), [
    { a: 1, b: 'x', c: null },
    { a: 2, b: 'y', c: null },
  ])
  t.is((await rows.query).status, 'SUCCESSFUL')
})

test('a result without rows still has its columns', async t => {
  const client = clientOf(t, t.context.nodes)
  const rows = client.query('select 1 as a where false')
  t.deepEqual(await allOf(rows), [])
  t.deepEqual(
    (await rows.columns).map(column => column.name),
    ['a'],
  )
})

test('a query that fails throws what the engine said', async t => {
  const client = clientOf(t, t.context.nodes)
  const failure = await t.throwsAsync(() => allOf(client.query('select * from nothing_of_that_name')), {
    instanceOf: LensClientError,
  })
  t.is(failure?.code, 'SQL_INVALID')
  t.regex(failure?.detail ?? '', /nothing_of_that_name/)
  t.is(failure?.query?.status, 'FAILED')
  await t.throwsAsync(client.estimate('selekt'), { instanceOf: LensClientError, message: /SQL_INVALID/ })
})

test('the same key gives the same query, with other content a conflict', async t => {
  const client = clientOf(t, t.context.nodes)
  const key = `key-${process.pid}-${process.hrtime.bigint()}`
  const first = await client.submit('select 1', { idempotencyKey: key })
  t.is((await client.submit('select 1', { idempotencyKey: key })).handle, first.handle)
  const failure = await t.throwsAsync(client.submit('select 2', { idempotencyKey: key }))
  t.is((failure as LensClientError).code, 'CONFLICT')
})

test('changes begin with the first version, after one with the next, and with now at the end', async t => {
  const client = clientOf(t, t.context.nodes)
  const query = await client.submit('select 42::int as answer')
  const all = await collected(query.changes())
  t.deepEqual(
    all.map(change => change.version),
    all.map((_, index) => index + 1),
  )
  t.is(all.at(-1)?.status, 'SUCCESSFUL')
  const later = await collected(query.changes({ after: 2 }))
  t.deepEqual(
    later.map(change => change.version),
    all.map(change => change.version).slice(2),
  )
  t.deepEqual(
    (await collected(query.changes({ after: 'now' }))).map(change => change.status),
    ['SUCCESSFUL'],
  )
})

test('a cancelled query ends CANCELED, and its rows say so', async t => {
  const client = clientOf(t, t.context.nodes)
  const query = await client.submit(endlessSql)
  const changes = await collected(query.changes(), async change => {
    if (change.status === 'RUNNING') await query.cancel()
  })
  t.is(changes.at(-1)?.status, 'CANCELED')
  t.is((await query.status()).outcome, 'CANCELED')
  await t.throwsAsync(allOf(query.rows()), { message: /CANCELED/ })
})

test('an aborted query is cancelled on the server', async t => {
  const client = clientOf(t, t.context.nodes)
  const abort = new AbortController()
  const name = `aborted-${process.hrtime.bigint()}`
  const reading = allOf(client.query(endlessSql, { name, signal: abort.signal }))
  for (;;) {
    const { queries } = await client.queries({ name })
    if (queries[0]?.status === 'RUNNING') break
  }
  abort.abort(new Error('enough'))
  await t.throwsAsync(reading, { message: 'enough' })
  const { queries } = await client.queries({ name })
  t.is((await client.handle(queries[0]?.handle ?? '').wait()).status, 'CANCELED')
})

test('a loop that is left ends its subscription, and the client closes', async t => {
  const client = clientOf(t, t.context.nodes)
  const query = await client.submit(endlessSql)
  for await (const change of query.changes()) if (change.status === 'RUNNING') break
  t.is((await query.cancel()).handle, query.handle)
  t.is((await query.wait()).outcome, 'CANCELED')
  await client.close()
  await t.throwsAsync(query.status(), { message: /CLIENT_CLOSED/ })
})

test('changes under way end when the client is closed', async t => {
  const client = clientOf(t, t.context.nodes)
  const query = await client.submit(endlessSql)
  await t.throwsAsync(
    collected(query.changes(), async change => {
      if (change.status === 'RUNNING') await client.close({ cancelQueries: true })
    }),
    { message: /CLIENT_CLOSED/ },
  )
})

test('estimate, explain, and prepared queries with parameters', async t => {
  const client = clientOf(t, t.context.nodes)
  const estimate = await client.estimate('select count(*) from flights')
  t.true(estimate.cost > 0)
  t.regex(await client.explain('select count(*) from flights'), /\w/)
  const prepared = await client.prepare('select ?::int + 1 as next', { name: 'next' })
  t.is((await prepared.view()).parameterCount, 1)
  t.deepEqual(await allOf(prepared.query([41])), [[42]])
  t.deepEqual(await allOf(client.execute(prepared.handle, [1])), [[2]])
  t.true((await client.preparedQueries()).preparedQueries.some(view => view.handle === prepared.handle))
  await prepared.remove()
  const gone = await t.throwsAsync(allOf(prepared.query([1])))
  t.is((gone as LensClientError).code, 'NOT_FOUND')
})

test('engines, tables, cluster, failovers, sessions, queries', async t => {
  const client = clientOf(t, t.context.nodes, { user: 'lister' })
  const session = await client.open()
  t.true((await client.engines()).some(engine => engine.name === 'duckdb'))
  t.true((await client.tables('duckdb')).some(table => table.name === 'flights' && table.columns.length > 2))
  t.is((await client.cluster()).leader?.node, t.context.nodes[0]?.name)
  t.deepEqual(await client.failovers(), [])
  t.deepEqual(
    (await client.sessions()).sessions.map(({ id }) => id),
    [session?.id],
  )
  const query = await client.submit('select 1', { name: 'the one' })
  await query.wait()
  const { queries } = await client.queries({ status: ['SUCCESSFUL', 'FAILED'], name: 'the one', limit: 5 })
  t.deepEqual(
    queries.map(({ handle }) => handle),
    [query.handle],
  )
})

test('the session can be changed, shared by its token, and is closed by who opened it', async t => {
  const owner = clientOf(t, t.context.nodes, { properties: { a: '1', b: '2' } })
  const guest = clientOf(t, t.context.nodes, { user: undefined, token: await owner.token() })
  t.deepEqual((await guest.changeSession({ properties: { a: null, c: '3' } })).properties, { b: '2', c: '3' })
  await guest.close()
  t.is((await owner.changeSession({ database: null })).status, 'OPEN')
  const token = await owner.token()
  await owner.close()
  const late = clientOf(t, t.context.nodes, { user: undefined, token })
  const failure = await t.throwsAsync(late.cluster())
  t.is((failure as LensClientError).code, 'SESSION_INVALID')
  t.is((failure as LensClientError).status, 401)
})

test('drain is for admins', async t => {
  const failure = await t.throwsAsync(clientOf(t, t.context.nodes).drain(t.context.nodes[0]?.name ?? ''))
  t.is((failure as LensClientError).code, 'FORBIDDEN')
})

test('a dropped result is gone, and the outcome stays', async t => {
  const client = clientOf(t, t.context.nodes)
  const query = await client.submit('select 1')
  await query.wait()
  await query.dropResult()
  const closed = await query.status()
  t.deepEqual([closed.status, closed.outcome], ['CLOSED', 'SUCCESSFUL'])
  const failure = await t.throwsAsync(allOf(client.handle(query.handle).rows()))
  t.is((failure as LensClientError).code, 'RESULT_EXPIRED')
})

test('a result downloads as JSON lines, CSV and Arrow', async t => {
  const client = clientOf(t, t.context.nodes)
  const query = await client.submit('select 1::int as a union all select 2 order by a')
  await query.wait()
  const bytes = async (format: 'ndjson' | 'csv' | 'arrow') => new Response(query.download(format)).bytes()
  const text = new TextDecoder()
  t.is(
    text
      .decode(await bytes('ndjson'))
      .trim()
      .split('\n').length,
    2,
  )
  t.regex(text.decode(await bytes('csv')), /^a\r?\n1\r?\n2\r?\n$/)
  t.true((await bytes('arrow')).length > 100)
})

test('who asks is told, without opening a session for it', async t => {
  const client = clientOf(t, t.context.nodes, { user: 'asker' })
  const admin = clientOf(t, t.context.nodes, { user: 'admin' })
  await admin.open()
  t.deepEqual(await client.auth(), { method: 'none', user: null, admin: null })
  const ofAsker = async () => (await admin.sessions({ limit: 100 })).sessions.filter(({ user }) => user === 'asker')
  t.deepEqual(await ofAsker(), [])
  await client.open()
  t.deepEqual(await client.auth(), { method: 'none', user: 'asker', admin: false })
  t.is((await admin.auth()).admin, true)
})

test('a session is closed by its id, with its queries when that is asked for', async t => {
  const [first, second] = [clientOf(t, t.context.nodes), clientOf(t, t.context.nodes)]
  const query = await second.submit(endlessSql)
  const [id = ''] = (await second.token()).split('.')
  await first.closeSession(id, { cancelQueries: true })
  t.is((await first.handle(query.handle).wait()).outcome, 'CANCELED')
  t.is(((await t.throwsAsync(second.cluster())) as LensClientError).code, 'SESSION_INVALID')
})

test('refuses what cannot be meant', t => {
  t.throws(() => new LensClient({ endpoints: [], user: 'ada' }))
  t.throws(() => new LensClient({ endpoints: ['http://a'], token: 'x.y', database: 'd' }))
})

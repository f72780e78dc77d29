/**
 * What a client of Apache Lens holds, through its own protocol, is good on every node: the session, its parameters, its queries and
 * prepared queries, before and after the node that it spoke to was killed.
 */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { directRows, longStatement } from '../support/flights.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { emptyConf, json, lens, lensQueryOf, openLens, submitLens } from '../support/lens-protocol.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'

const mysql = mysqlDatabases(test)
const manyRows = 'select distance::int d, origin o from flights where distance > 2000 order by all limit 12000'

function reaches(node: NodeProcess, sessionid: string, handle: string, ...statuses: string[]) {
  return eventually(
    () => lensQueryOf(node, sessionid, handle),
    query => statuses.includes(query.status.status),
    { what: `${handle} is ${statuses.join(' or ')} on ${node.name}` },
  )
}

async function rowsOf(node: NodeProcess, sessionid: string, handle: string): Promise<unknown[][]> {
  const answer = await lens(node, 'GET', `/queryapi/queries/${handle}/resultset`, {
    query: { sessionid },
    accept: json,
  })
  if (answer.status !== 200) throw new Error(`no rows: ${answer.status} ${answer.text}`)
  return answer.json.inMemoryQueryResult.rows.map(({ values }: any) => values.map((value: any) => value?.value ?? null))
}

async function statusOf(node: NodeProcess, sessionid: string): Promise<number> {
  return (await lens(node, 'GET', '/session/params', { query: { sessionid }, accept: json })).status
}

test('sessions are the same on both nodes: changed, forged, closed', async t => {
  const cluster = new TestCluster(await mysql.create(t))
  t.teardown(() => cluster.stop())
  const [first, second] = (await cluster.startAll(2)) as [NodeProcess, NodeProcess]
  const sessionid = await openLens(first, 'ann')
  const secret = /<secretId>(.*)<\/secretId>/.exec(sessionid)?.[1] as string
  const forged = sessionid.replace(secret, `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`)
  t.is(await statusOf(second, forged), 410, 'a node that has never seen the session asks for its secret')
  // The first request at the other node is served, not only the second.
  t.is(await statusOf(second, sessionid), 200)
  t.is(await statusOf(second, forged), 410)

  for (const [writer, reader] of [
    [first, second],
    [second, first],
  ] as const) {
    const parts = { sessionid, key: 'colour', value: writer.name }
    t.is((await lens(writer, 'PUT', '/session/params', { parts })).status, 200)
    const query = { sessionid, key: 'colour' }
    const { json: list } = await lens(reader, 'GET', '/session/params', { query, accept: json })
    t.deepEqual(list.stringList.elements, [`colour=${writer.name}`])
  }
  // Of one session, at the same time: neither loses what the other adds.
  await Promise.all(
    [first, second].map(node =>
      lens(node, 'PUT', '/session/resources/add', { parts: { sessionid, type: 'jar', path: `/${node.name}.jar` } }),
    ),
  )
  const resources = await lens(first, 'GET', '/session/resources/list', { query: { sessionid }, accept: json })
  t.deepEqual(resources.json.stringList.elements.sort(), ['type=JAR path=/n1.jar', 'type=JAR path=/n2.jar'])

  // Running queries outlive their session, for whoever asks with another of the same user.
  const handle = await submitLens(first, sessionid, endless)
  t.is((await lens(second, 'DELETE', '/session', { query: { sessionid } })).status, 200)
  for (const node of [first, second]) t.is(await statusOf(node, sessionid), 410, `${node.name} still serves it`)
  const other = await openLens(second, 'ann')
  t.false(['CANCELED', 'FAILED'].includes((await lensQueryOf(second, other, handle)).status.status))
  const killed = await lens(second, 'DELETE', `/queryapi/queries/${handle}`, {
    query: { sessionid: other },
    accept: json,
  })
  t.is(killed.json.apiResult.status, 'SUCCEEDED')
  await reaches(first, other, handle, 'CANCELED')
})

test('a node is killed, and its Lens clients go on at the other with the handles that they hold', async t => {
  const url = await mysql.create(t)
  // With a limit, so that its counters are kept and can be compared.
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  const [victim, survivor] = (await cluster.startAll(2)) as [NodeProcess, NodeProcess]
  const sessionid = await openLens(
    victim,
    'ann',
    '<conf><properties><entry><key>a</key><value>b</value></entry></properties></conf>',
  )
  const stranger = await openLens(survivor, 'bob')

  const ended = await submitLens(victim, sessionid, manyRows)
  await reaches(victim, sessionid, ended, 'SUCCESSFUL')
  const sql = longStatement(50)
  const running = await submitLens(victim, sessionid, sql)
  const toKill = await submitLens(victim, sessionid, endless)
  const parts = { sessionid, query: 'select 3::int n', operation: 'prepare', conf: emptyConf }
  const prepared = (await lens(victim, 'POST', '/queryapi/preparedqueries', { parts, accept: json })).json.lensAPIResult
    .data.prepareHandleId
  for (const handle of [running, toKill]) await reaches(victim, sessionid, handle, 'RUNNING')
  t.like(await ask(url, 'SELECT DISTINCT owner_node FROM current_query'), [{ owner_node: victim.name }])

  await victim.kill()

  const parameter = await lens(survivor, 'GET', '/session/params', { query: { sessionid, key: 'a' }, accept: json })
  t.deepEqual(parameter.json, { stringList: { elements: ['a=b'] } })
  t.deepEqual(await rowsOf(survivor, sessionid, ended), (await directRows(manyRows)) as unknown[][])
  const file = await lens(survivor, 'GET', `/queryapi/queries/${ended}/httpresultset`, { query: { sessionid } })
  t.is(file.text.split('\r\n').length, 12_001)

  const query = await reaches(survivor, sessionid, running, 'SUCCESSFUL', 'FAILED')
  t.is(query.status.status, 'SUCCESSFUL', JSON.stringify(query))
  t.is(query.submittedUser, 'ann')
  const direct = (await directRows(sql)) as unknown[][]
  t.deepEqual(
    await rowsOf(survivor, sessionid, running),
    direct.map(row => row.map(Number)),
  )
  const [{ n: claimed } = { n: 0 }] = await ask(
    url,
    `SELECT COUNT(*) AS n FROM query_transition WHERE handle = ? AND event LIKE '%"CLAIMED"%'`,
    [running],
  )
  t.is(Number(claimed), 1, 'it was taken over, not submitted again')

  const kill = await lens(survivor, 'DELETE', `/queryapi/queries/${toKill}`, { query: { sessionid }, accept: json })
  t.is(kill.json.apiResult.status, 'SUCCEEDED')
  await reaches(survivor, sessionid, toKill, 'CANCELED')

  const execution = { parts: { sessionid, operation: 'execute_with_timeout', conf: emptyConf }, accept: json }
  const { json: executed } = await lens(survivor, 'POST', `/queryapi/preparedqueries/${prepared}`, execution)
  t.deepEqual(executed.queryHandleWithResultSet.result.rows, [{ values: [{ type: 'int', value: 3 }] }])

  for (const target of [`/queryapi/queries/${ended}`, `/queryapi/queries/${ended}/resultset`])
    t.is((await lens(survivor, 'GET', target, { query: { sessionid: stranger } })).status, 404)
  const listed = await lens(survivor, 'GET', '/queryapi/queries', { query: { sessionid }, accept: json })
  const handles = listed.json.map((each: any) => each.queryHandle.handleId)
  for (const handle of [ended, running, toKill]) t.true(handles.includes(handle))

  t.is((await lens(survivor, 'DELETE', '/session', { query: { sessionid } })).status, 200)
  t.is(await statusOf(survivor, sessionid), 410)
  t.deepEqual(await brokenInvariants(url, [ended, running, toKill]), [])
})

test('a call that waits for its query, and the node that waits leaves or is killed: the query goes on, or ends when its time is over', async t => {
  const url = await mysql.create(t)
  const cluster = new TestCluster(url, { LENS_LIMITS_RUNNING_PER_USER: '1000' })
  t.teardown(() => cluster.stop())
  const [leaving, victim, survivor] = (await cluster.startAll(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const sessionid = await openLens(survivor, 'ann')
  const waits = (node: NodeProcess, query: string, timeoutmillis: string) =>
    lens(node, 'POST', '/queryapi/queries', {
      parts: { sessionid, query, operation: 'execute_with_timeout', timeoutmillis, conf: emptyConf },
      accept: json,
    })
  const handleOf = async (sql: string) => {
    const { json: list } = await eventually(
      () => lens(survivor, 'GET', '/queryapi/queries/detail', { query: { sessionid, state: 'RUNNING' }, accept: json }),
      ({ json: list }) => list.some(({ lensQuery }: any) => lensQuery.userQuery === sql),
      { what: `${sql} runs` },
    )
    return list.find(({ lensQuery }: any) => lensQuery.userQuery === sql).lensQuery.queryHandle.handleId as string
  }

  const sql = longStatement(60)
  const answer = waits(leaving, sql, '100000')
  const handle = await handleOf(sql)
  leaving.signal('SIGTERM')
  const early = await answer
  t.is(early.status, 200, early.text)
  const { queryHandle, result } = early.json.lensAPIResult.data
  t.deepEqual([queryHandle.handleId, result], [handle, undefined])
  await reaches(survivor, sessionid, handle, 'SUCCESSFUL')
  t.deepEqual(
    await rowsOf(survivor, sessionid, handle),
    ((await directRows(sql)) as unknown[][]).map(row => row.map(Number)),
  )
  t.deepEqual(await leaving.exited, { code: 0, signal: null })

  const other = longStatement(61)
  const broken = [waits(victim, other, '100000'), waits(victim, endless, '2000')]
  for (const each of broken) each.catch(() => {})
  const handles = [await handleOf(other), await handleOf(endless)] as const
  await victim.kill()
  for (const each of broken) await t.throwsAsync(each)
  await reaches(survivor, sessionid, handles[0], 'SUCCESSFUL')
  // Nobody is left who would cancel it.
  const ended = await reaches(survivor, sessionid, handles[1], 'FAILED', 'CANCELED')
  t.regex(ended.status.errorMessage, /deadline/)
  t.deepEqual(await brokenInvariants(url, [handle, ...handles]), [])
})

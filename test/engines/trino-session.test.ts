/** A session of ours as Trino sees it, and what a statement makes of it. */
import test from 'ava'
import type { Run } from '../../src/engines/index.ts'
import { collect, failureOf, query, request, submit } from '../conformance/engines.ts'
import { startTrino } from '../support/trino/index.ts'
import { Durable, homeOf, openTrino, trinoStage } from './trino-support.ts'

async function changeOf(run: Run) {
  for await (const _ of run.rows());
  return run.sessionChange?.()
}

test('what a statement makes of its session is told, to a claimant too, and is in the headers of the next', async t => {
  const { server, owner, claimant } = await trinoStage(t)
  const durable = new Durable()
  const asked = request("SET SESSION query_max_run_time = '5m, or = more'")
  const change = { properties: { query_max_run_time: '5m, or = more' } }
  t.deepEqual(await changeOf(await durable.begin(owner, asked)), change)
  const again = await claimant.attach(asked, durable.handle, 0)
  if (again) t.deepEqual(await changeOf(again), change)
  await server.sql('CREATE SCHEMA other')
  const use = await submit(owner, 'USE memory.other')
  t.deepEqual(await changeOf(use), { properties: {}, database: 'memory.other' })
  await submit(owner, 'SELECT 1', { ...change, database: 'memory.other' })
  const { headers } = await server.asked({ kind: 'post', sql: 'SELECT 1' })
  t.is(headers['x-trino-session'], 'query_max_run_time=5m%2C%20or%20%3D%20more')
  t.is(headers['x-trino-catalog'], 'memory')
  t.is(headers['x-trino-schema'], 'other')
})

test('properties, prepared statements, roles and the path come, and go', async t => {
  const { owner } = await trinoStage(t)
  const change = async (sql: string, properties: Record<string, string> = {}) =>
    changeOf(await submit(owner, sql, { properties }))
  t.deepEqual(await change('RESET SESSION query_max_run_time'), { properties: { query_max_run_time: null } })
  const prepared = { 'trino.prepared.mine': 'SELECT ? + 1 AS a' }
  t.deepEqual(await change('PREPARE mine FROM SELECT ? + 1 AS a'), { properties: prepared })
  t.deepEqual(await collect(await submit(owner, 'EXECUTE mine USING 41', { properties: prepared })), {
    columns: [{ name: 'a', type: 'INTEGER' }],
    rows: [[42]],
  })
  t.deepEqual(await change('DEALLOCATE PREPARE mine', prepared), { properties: { 'trino.prepared.mine': null } })
  t.deepEqual(await change('SET ROLE admin'), { properties: { 'trino.role.system': 'ROLE{admin}' } })
  t.deepEqual(await change('SET PATH memory.main'), { properties: { 'trino.path': 'memory.main' } })
  t.is(await change('SELECT 1'), null)
})

test('what a session sets is sent by the header that is for it', async t => {
  const { server, owner } = await trinoStage(t)
  await submit(owner, 'SELECT 7', {
    handle: 'the-handle',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    properties: {
      'trino.timeZone': 'Europe/Berlin',
      'trino.clientTags': 'a,b',
      'trino.role.system': 'ROLE{admin}',
      'lens.priority': '3',
    },
  })
  const { headers } = await server.asked({ kind: 'post', sql: 'SELECT 7' })
  t.like(headers, {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'x-trino-user': 'lens',
    'x-trino-source': 'lens-ha',
    'x-trino-time-zone': 'Europe/Berlin',
    'x-trino-client-tags': 'a,b',
    'x-trino-role': 'system=ROLE%7Badmin%7D',
    'x-trino-trace-token': 'the-handle',
  })
  t.is(headers['x-trino-session'], undefined)
})

test('a property that Trino does not know, and a header that nobody can send, are told', async t => {
  const { owner } = await trinoStage(t)
  const unknown = await failureOf(() => submit(owner, 'SELECT 1', { properties: { unknown_one: '1' } }).then(collect))
  t.is(unknown.failure, 'sql-invalid')
  t.regex(unknown.message, /unknown_one/)
  const nowhere = await failureOf(() => submit(owner, 'SELECT 1', { database: 'nowhere.main' }).then(collect))
  t.is(nowhere.failure, 'sql-invalid')
  t.regex(nowhere.message, /nowhere/)
  for (const word of ['START TRANSACTION', 'COMMIT', 'rollback'])
    t.regex((await failureOf(() => submit(owner, word))).message, /every statement is a transaction of its own/)
  // A line break would begin a header of its own.
  t.is(
    (await collect(await submit(owner, 'SELECT 1 AS a', { properties: { 'trino.path': 'a\r\nX-Evil: 1' } }))).rows
      .length,
    1,
  )
})

test('who signs in by a password or a token is let in, over TLS, and nobody else', async t => {
  const server = await startTrino(t, {
    ...{ tls: true, passwords: { ada: 'sec:ret/1' }, tokens: { 'a.b.c': 'bob' }, waitMs: 200 },
  })
  const at = (user: string) => homeOf(server).replace('://', `://${user}@`)
  const byPassword = await openTrino(t, at(`ada:${encodeURIComponent('sec:ret/1')}`), { tls: 'encrypted' })
  t.true(byPassword.healthy())
  t.is((await query(byPassword, 'SELECT 1 AS a')).rows.length, 1)
  const byToken = await openTrino(t, at('bob'), { tls: 'encrypted', token: 'a.b.c' })
  t.is((await query(byToken, 'SELECT 1 AS a')).rows.length, 1)
  t.deepEqual(
    (await server.queries()).map(({ user }) => user),
    ['ada', 'bob'],
  )
  for (const refused of [
    await openTrino(t, at('ada:wrong'), { tls: 'encrypted' }),
    await openTrino(t, at('bob'), { tls: 'encrypted', token: 'a.b.d' }),
  ]) {
    const error = await failureOf(() => query(refused, 'SELECT 1'))
    t.is(error.failure, 'unavailable')
    t.regex(error.message, /401/)
    t.notRegex(error.message, /wrong|a\.b\.d/)
  }
  // Its certificate is of nobody whom this machine knows.
  const verified = await openTrino(t, at(`ada:${encodeURIComponent('sec:ret/1')}`))
  t.false(verified.healthy())
  t.is((await failureOf(() => query(verified, 'SELECT 1'))).failure, 'unavailable')
})

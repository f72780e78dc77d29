/** Sessions, prepared statements, roles and sign-in. */
import test from 'ava'
import type { EngineDriver, SessionChange } from '../../../src/engines/index.ts'
import { collect, failureOf, query, submit } from '../../conformance/engines.ts'
import { openTrino } from '../trino-support.ts'
import { person, realTrino, tokenOf } from './server.ts'

const server = realTrino()

async function changeOf(driver: EngineDriver, sql: string, properties: Record<string, string> = {}) {
  const run = await submit(driver, sql, { properties })
  await collect(run)
  return run.sessionChange?.() ?? null
}

const firstValue = async (driver: EngineDriver, sql: string, change: SessionChange) => {
  const given = Object.entries(change.properties).filter((entry): entry is [string, string] => entry[1] !== null)
  const { database = null } = change
  return (await collect(await submit(driver, sql, { properties: Object.fromEntries(given), database }))).rows[0]?.[0]
}

test('what a statement makes of its session is there for the next one', async t => {
  const driver = await openTrino(t, `${server.url}/memory/default`)
  const set = await changeOf(driver, "SET SESSION query_max_run_time = '7m'")
  t.deepEqual(set, { properties: { query_max_run_time: '7m' } })
  const [row] = (
    await collect(
      await submit(driver, "SHOW SESSION LIKE 'query_max_run_time'", { properties: { query_max_run_time: '7m' } }),
    )
  ).rows
  t.is(row?.[1], '7m')
  t.deepEqual(await changeOf(driver, 'RESET SESSION query_max_run_time', { query_max_run_time: '7m' }), {
    properties: { query_max_run_time: null },
  })
  const use = await changeOf(driver, 'USE tpch.tiny')
  t.deepEqual(use, { properties: {}, database: 'tpch.tiny' })
  t.is(await firstValue(driver, 'SELECT count(*) FROM nation', use as SessionChange), '25')
  const prepared = await changeOf(driver, "PREPARE mine FROM SELECT ? + 1, 'a, b = c'")
  t.is(await firstValue(driver, 'EXECUTE mine USING 41', prepared as SessionChange), 42)
  t.deepEqual(await changeOf(driver, 'DEALLOCATE PREPARE mine', { 'trino.prepared.mine': 'SELECT 1' }), {
    properties: { 'trino.prepared.mine': null },
  })
  t.is(
    await firstValue(driver, 'SELECT current_timezone()', { properties: { 'trino.timeZone': 'Asia/Kathmandu' } }),
    'Asia/Kathmandu',
  )
  t.deepEqual(await changeOf(driver, 'SET ROLE NONE'), { properties: { 'trino.role.system': 'NONE' } })
})

test('what Trino does not know is said by its own words', async t => {
  const driver = await openTrino(t, `${server.url}/memory/default`)
  const failed = (sql: string, more = {}) => failureOf(() => submit(driver, sql, more).then(collect), sql)
  const property = await failed('SELECT 1', { properties: { no_such_one: '1' } })
  t.is(property.failure, 'sql-invalid')
  t.regex(property.message, /no_such_one/)
  const catalog = await failed('SELECT * FROM x', { database: 'nowhere.main' })
  t.is(catalog.failure, 'sql-invalid')
  t.regex(catalog.message, /nowhere/)
  t.is((await failed('SELECT 1 / 0')).failure, 'failed')
  t.is((await failed("SELECT CAST('x' AS integer)")).failure, 'failed')
  t.is((await failed('EXECUTE nothing')).failure, 'sql-invalid')
})

test('who signs in by a password or a token is let in, and nobody else', async t => {
  const at = (user: string) => server.secureUrl.replace('://', `://${user}@`)
  const secret = encodeURIComponent(person.password)
  const byPassword = await openTrino(t, at(`${person.name}:${secret}`), { tls: 'encrypted' })
  t.deepEqual((await query(byPassword, 'SELECT current_user')).rows, [[person.name]])
  const byToken = await openTrino(t, at('bob'), { tls: 'encrypted', token: tokenOf('bob') })
  t.deepEqual((await query(byToken, 'SELECT current_user')).rows, [['bob']])
  for (const refused of [
    await openTrino(t, at(`${person.name}:wrong`), { tls: 'encrypted' }),
    await openTrino(t, at('bob'), { tls: 'encrypted', token: tokenOf('bob', 'another key') }),
  ]) {
    const { failure, message } = await failureOf(() => query(refused, 'SELECT 1'))
    t.is(failure, 'unavailable')
    t.regex(message, /401/)
  }
  const verified = await openTrino(t, at(`${person.name}:${secret}`))
  t.false(verified.healthy())
})

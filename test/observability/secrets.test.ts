/** Secrets put everywhere that a node reads them from, at the most talkative level: none is seen anywhere again. */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { systemRandom } from '../../src/async/index.ts'
import { hashOfPassword } from '../../src/auth/passwords.ts'
import { changeUser } from '../../src/auth/users-file.ts'
import { eventually, TestCluster } from '../support/nodes.ts'

const mark = 'Xyzzy7Plugh'
const secret = (what: string) => `${mark}-${what}-0123456789`
const jwt = `eyJhbGciOiJIUzI1NiJ9.${Buffer.from(`{"sub":"${mark}"}`).toString('base64url')}.${mark}`
const cluster = new TestCluster(null)
test.after.always(() => cluster.stop())

test('no secret reaches log, audit log, metrics or an error', async t => {
  const file = (name: string) => path.join(cluster.folder, name)
  await changeUser(file('users'), 'admin', await hashOfPassword(secret('password'), systemRandom))
  writeFileSync(file('key.pem'), `-----BEGIN PRIVATE KEY-----\n${secret('key')}\n-----END PRIVATE KEY-----\n`)
  writeFileSync(file('cert.pem'), `-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`)
  const env = {
    LENS_LOG_LEVEL: 'trace',
    LENS_AUDIT_FILE: file('audit.jsonl'),
    LENS_AUTH_METHOD: 'basic',
    LENS_AUTH_USERS_FILE: file('users'),
    LENS_CLUSTER_SECRET: secret('cluster'),
    LENS_CLUSTER_SECRET_ACCEPTED: secret('cluster-before'),
    // Nobody listens there: whatever a driver says of it is logged.
    LENS_ENGINES_DUCKDB_DRIVER: 'duckdb',
    LENS_ENGINES_PG_DRIVER: 'postgresql',
    LENS_ENGINES_PG_URL: `postgresql://lens:${secret('pg')}@127.0.0.1:9/db`,
    LENS_ENGINES_MY_DRIVER: 'mysql',
    LENS_ENGINES_MY_URL: `mysql://lens:${secret('my')}@127.0.0.1:9/db`,
    LENS_ENGINES_TRINO_DRIVER: 'trino',
    LENS_ENGINES_TRINO_URL: `http://lens:${secret('trino')}@127.0.0.1:9`,
  }
  const n1 = await cluster.start({ name: 'n1', env })
  await n1.ready()
  // These never start, and say why.
  const broken = await Promise.all([
    cluster.start({
      name: 'n2',
      env: { ...env, LENS_STORE_URL: `mysql://lens:${secret('store')}@127.0.0.1:9/db` },
    }),
    cluster.start({
      name: 'n3',
      env: { ...env, LENS_TLS_CERTIFICATE_FILE: file('cert.pem'), LENS_TLS_KEY_FILE: file('key.pem') },
    }),
    cluster.start({ name: 'n4', env: { ...env, LENS_STORE_URL: `mysqll://lens:${secret('typo')}@127.0.0.1/db` } }),
    cluster.start({ name: 'n5', env: { ...env, LENS_CLUSTER_SECRET: 'a quite different secret' } }),
  ])
  const seen: string[] = []
  const tell = async (method: string, target: string, init: RequestInit = {}) => {
    const answer = await fetch(`${n1.url}${target}`, { method, ...init })
    seen.push(`${method} ${answer.status} ${JSON.stringify([...answer.headers])} ${await answer.text()}`)
  }
  const json = (authorization: string) => ({ 'content-type': 'application/json', authorization })
  const basic = `Basic ${Buffer.from(`admin:${secret('password')}`).toString('base64')}`
  const { body: opened } = await n1.call('POST', '/api/v1/sessions', {
    body: { properties: { 'store.password': secret('property') } },
    headers: { authorization: basic },
  })
  const bearer = `Bearer ${opened.token}`
  const secretId = opened.token.split('.')[1] as string
  t.truthy(secretId)

  for (const authorization of [`Bearer ${jwt}`, `Basic ${btoa(`admin:${secret('wrong')}`)}`, secret('odd')])
    await tell('POST', '/api/v1/sessions', { headers: json(authorization), body: '{}' })
  for (const authorization of [`Bearer ${opened.id}.${secret('guess')}`, `Bearer ${jwt}`, `Token ${secret('odd')}`])
    await tell('GET', '/api/v1/queries', { headers: json(authorization) })
  for (const target of [
    `/api/v1/queries?token=${secret('parameter')}`,
    `/api/v1/queries?access_token=${jwt}`,
    `/api/v1/sessions/${opened.token}`,
    `/api/v1/queries/${secret('path')}`,
    `/nowhere/${opened.token}`,
  ])
    await tell('GET', target, { headers: json(bearer) })
  for (const body of [
    JSON.stringify({ sql: 'select 1', password: secret('field') }),
    JSON.stringify({ sql: 'select 1', name: { token: secret('nested') } }),
    `{"password": "${secret('torn')}`,
    `${secret('no-json')}`,
  ])
    await tell('POST', '/api/v1/queries', { headers: json(bearer), body })
  await tell('GET', `/lensapi/queryapi/queries?sessionid=${encodeURIComponent(opened.token)}`)
  await tell('GET', `/lensapi/queryapi/queries/${secret('handle')}?sessionid=${secret('session')}`)

  const submit = (request: Record<string, unknown>) => n1.submit(opened.token, request)
  const statement = `select '${secret('statement')}' as a, 1/0`
  const ran = await submit({ sql: statement })
  const failed = await submit({ sql: `selec ${secret('syntax')}` })
  const away = await submit({ sql: `select '${secret('away')}'`, engine: 'pg', deadlineMs: 1500 })
  for (const { handle } of [ran, failed, away]) await n1.ended(opened.token, handle)
  await tell('GET', `/metrics`)
  await n1.call('DELETE', `/api/v1/sessions/${opened.id}`, { token: opened.token })
  await eventually('those that cannot start said why', () => broken.every(({ log }) => log.length > 0))
  await eventually('the stranger was refused', () => n1.log.some(({ msg }) => msg?.includes('peer bus')))
  await n1.terminate()

  const log = [n1, ...broken].flatMap(node => node.log.map(line => `${node.name}: ${JSON.stringify(line)}`))
  t.true(log.length > 20, `${log.length} lines`)
  const audit = readFileSync(file('audit.jsonl'), 'utf8').split('\n')
  t.true(audit.some(line => line.includes('"outcome":"UNAUTHENTICATED"')))
  // What a client sent is its own to be told of; statements are the audit log's, and theirs alone.
  const forms = [mark, secretId, opened.token, basic.slice(6), Buffer.from(mark).toString('base64').slice(0, -4)]
  const leaks = (lines: readonly string[]) => lines.filter(line => forms.some(form => line.includes(form)))
  t.deepEqual(leaks(log), [])
  t.deepEqual(
    leaks(audit).filter(line => !line.includes('"event":"query.submitted"')),
    [],
  )
  t.true(audit.some(line => line.includes(secret('statement'))))
  t.deepEqual(leaks(seen), [])
})

/** How a node comes to its PostgreSQL: by password, over TLS, and not at all where either is wrong. */
import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { openEngines } from '../../src/engines/index.ts'
import { failureOf, query } from '../conformance/engines.ts'
import { temporaryFolder } from '../support/folders.ts'
import { requiredProgram } from '../support/packages.ts'
import { givenToServer, PostgresServer } from '../support/postgresql.ts'
import { openPostgreSql, sqlAt } from './postgresql-support.ts'
import type { LogEntry } from './support.ts'

const execute = promisify(execFile)
const password = 'pass:w/ord@ #%20?&'

/** Wants a password of everybody but its administrator, and has a certificate that nobody knows. */
async function guardedServer(t: ExecutionContext) {
  const openssl = await requiredProgram(['openssl'], 'openssl')
  const folder = await temporaryFolder(t, 'guarded-postgres')
  const at = (name: string) => join(folder, name)
  await execute(openssl, [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', at('server.key'), '-out', at('server.crt')],
  ])
  await writeFile(at('hba'), 'host all postgres all trust\nhost all all all scram-sha-256\n')
  await chmod(at('server.key'), 0o600)
  for (const path of [folder, at('server.key'), at('server.crt'), at('hba')]) await givenToServer(path)
  const server = await PostgresServer.start([
    `hba_file=${at('hba')}`,
    ...['ssl=on', `ssl_cert_file=${at('server.crt')}`, `ssl_key_file=${at('server.key')}`],
  ])
  t.teardown(() => server.destroy())
  const url = await server.create('app')
  await sqlAt(url, `CREATE ROLE lens LOGIN PASSWORD '${password}'`)
  return { url, certificate: at('server.crt') }
}

test('by a password in the URL or beside it, over TLS with a certificate that is known', async t => {
  const { url, certificate } = await guardedServer(t)
  const isEncrypted = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'

  const log: { message: string; text: string }[] = []
  const note = (fields: object, message: string) => log.push({ message, text: JSON.stringify(fields) })
  const beside = (given: string) =>
    openEngines(
      {
        engines: {
          app: {
            ...{ driver: 'postgresql', url: url.replace('postgres@', 'lens@'), password: given },
            slots: { light: 1, heavy: 1 },
          },
        },
      },
      { clock: systemClock, random: systemRandom, logger: { info: note, warn: note, error: note } },
    )
  const engines = beside(password)
  t.teardown(() => engines.stop())
  await engines.start()
  const [driver] = engines.drivers
  t.deepEqual((await query(driver as NonNullable<typeof driver>, 'SELECT current_user')).rows, [['lens']])
  t.deepEqual((await query(driver as NonNullable<typeof driver>, isEncrypted)).rows, [[false]])

  const wrong = beside('another')
  t.teardown(() => wrong.stop())
  await wrong.start()
  t.deepEqual(
    wrong.drivers.map(each => each.healthy()),
    [false],
  )
  const refused = await failureOf(() => query(wrong.drivers[0] as NonNullable<typeof driver>, 'SELECT 1'))
  t.is(refused.failure, 'unavailable')
  t.true(log.some(({ message }) => message === 'the engine cannot be reached'))
  t.false(
    log.some(({ text }) => text.includes('another')),
    'the log holds no password',
  )
  t.false(
    log.some(({ text }) => text.includes(password)),
    'the log holds no password',
  )

  const verified = await openPostgreSql(t, `${url}?sslmode=verify-full&sslrootcert=${certificate}`)
  t.deepEqual((await query(verified.driver, isEncrypted)).rows, [[true]])
  // Reading pauses and goes on under TLS as well.
  const many = await query(verified.driver, "SELECT n, repeat('x', 100) FROM generate_series(1, 100000) AS n")
  t.deepEqual([many.rows.length, many.rows.at(-1)?.[0]], [100_000, 100_000])
  const stranger = await openPostgreSql(t, `${url}?sslmode=verify-full`)
  t.false(stranger.driver.healthy())
  t.is((await failureOf(() => query(stranger.driver, 'SELECT 1'))).failure, 'unavailable')
})

test('a server with room for fewer connections than a node may want is told of', async t => {
  const server = await PostgresServer.start(['max_connections=8', 'superuser_reserved_connections=2'])
  t.teardown(() => server.destroy())
  const url = await server.create('app')
  await sqlAt(url, 'CREATE ROLE lens LOGIN')
  const warned = (log: readonly LogEntry[]) =>
    log.filter(({ message }) => message.startsWith('the server takes fewer')).map(({ fields }) => fields)
  const one = await openPostgreSql(t, url.replace('postgres@', 'lens@'), { connectionsMax: 3 })
  t.like(warned(one.log), [{ engine: one.driver.name, connections: 7, room: 6 }])
  const other = await openPostgreSql(t, url.replace('postgres@', 'lens@'), { connectionsMax: 2 })
  t.deepEqual(warned(other.log), [])
})

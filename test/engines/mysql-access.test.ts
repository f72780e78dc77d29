/** How a node comes to its MySQL: by password, over TLS, and not at all where either is wrong. */
import { execFile } from 'node:child_process'
import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { failureOf, query } from '../conformance/engines.ts'
import { temporaryFolder } from '../support/folders.ts'
import { createDatabase, MySqlServer } from '../support/mysql.ts'
import { requiredProgram } from '../support/packages.ts'
import { openMySql, sqlAt } from './mysql-support.ts'
import type { LogEntry } from './support.ts'

const execute = promisify(execFile)
const password = 'pass:w/ord@ #%20?&'

/** Has a certificate for its address that nobody knows, and users who come by password, one of them only over TLS. */
async function guardedServer(t: ExecutionContext) {
  const openssl = await requiredProgram(['openssl'], 'openssl')
  const folder = await temporaryFolder(t, 'guarded-mysql')
  const at = (name: string) => join(folder, name)
  await execute(openssl, [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=db.example'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', at('key.pem'), '-out', at('certificate.pem')],
  ])
  await chmod(at('key.pem'), 0o600)
  const server = await MySqlServer.start([`--ssl-cert=${at('certificate.pem')}`, `--ssl-key=${at('key.pem')}`])
  t.teardown(() => server.destroy())
  const url = await createDatabase({ teardown: () => {} }, server.url)
  const database = new URL(url).pathname.slice(1)
  for (const [user, condition] of [
    ['lens', 'NONE'],
    ['guarded', 'SSL'],
  ]) {
    await sqlAt(url, `CREATE USER ${user}@'%' IDENTIFIED BY ? REQUIRE ${condition}`, [password])
    await sqlAt(url, `GRANT ALL ON ${database}.* TO ${user}@'%'`)
  }
  const as = (user: string, host = '127.0.0.1', secret = password) => {
    const changed = new URL(url)
    changed.username = user
    changed.password = encodeURIComponent(secret)
    changed.hostname = host
    return changed.href
  }
  return { as, certificate: await readFile(at('certificate.pem'), 'utf8') }
}

const cipherSql =
  "SELECT VARIABLE_VALUE <> '' FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER'"

test('by a password, over TLS with a certificate that is known and is the server’s own', async t => {
  const { as, certificate } = await guardedServer(t)
  const isEncrypted = async (url: string, tls?: 'off' | 'encrypted' | 'verified') => {
    const { driver } = await openMySql(t, url, tls ? { tls } : {})
    if (!driver.healthy()) return (await failureOf(() => query(driver, 'SELECT 1'))).failure
    return (await query(driver, cipherSql)).rows[0]?.[0] === 1
  }
  t.is(await isEncrypted(as('lens')), false)
  t.is(await isEncrypted(as('lens', '127.0.0.1', 'another')), 'unavailable')
  t.is(await isEncrypted(as('guarded')), 'unavailable', 'it must come over TLS')
  t.is(await isEncrypted(as('guarded'), 'encrypted'), true)
  t.is(await isEncrypted(as('lens'), 'verified'), 'unavailable', 'nobody knows the certificate')
  setDefaultCACertificates([...getCACertificates('default'), certificate])
  t.is(await isEncrypted(as('lens'), 'verified'), true)
  t.is(await isEncrypted(as('lens', 'localhost'), 'verified'), 'unavailable', 'it is a certificate of another name')
  t.is(await isEncrypted(as('lens', 'localhost'), 'encrypted'), true)

  // Reading pauses and goes on, and a statement is cancelled, under TLS as well.
  const { driver } = await openMySql(t, as('guarded'), { tls: 'verified' })
  const digits =
    '(SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)'
  const product = ['a', 'b', 'c', 'd', 'e'].map(name => `${digits} ${name}`).join(', ')
  const many = await query(driver, `SELECT REPEAT('x', 100) FROM ${product}`)
  t.is(many.rows.length, 100_000)
})

test('no log holds a password', async t => {
  const { as } = await guardedServer(t)
  const { log } = await openMySql(t, as('lens', '127.0.0.1', 'an0ther-secret'))
  t.false(JSON.stringify(log).includes('an0ther-secret'))
})

test('a server with room for fewer connections than a node may want is told of', async t => {
  const server = await MySqlServer.start(['--max-connections=12'])
  t.teardown(() => server.destroy())
  const url = await createDatabase({ teardown: () => {} }, server.url)
  const warned = (log: readonly LogEntry[]) =>
    log.filter(({ message }) => message.startsWith('the server takes fewer')).map(({ fields }) => fields)
  t.like(warned((await openMySql(t, url, { connectionsMax: 9 })).log), [{ engine: 'mysql', connections: 13, room: 12 }])
  t.deepEqual(warned((await openMySql(t, url, { connectionsMax: 8 })).log), [])
})

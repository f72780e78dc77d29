/** Secrets that lie in files: by variable, by YAML, with every fault named and nothing of them shown. */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  ConfigError,
  type ConfigSources,
  configSchema,
  loadConfig,
  type SchemaNode,
  variableOf,
} from '../../src/config/index.ts'
import { Authority } from '../support/certificates.ts'
import { temporaryFolder } from '../support/folders.ts'

const secret = 'a secret of the cluster'
const storeUrl = 'mysql://lens:a-password@db.example:3306/lens'

async function folderWith(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const cwd = await temporaryFolder(t, 'secrets')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text, { mode: 0o600 })
  return cwd
}

function faultOf(t: ExecutionContext, sources: ConfigSources): ConfigError {
  const error = t.throws(() => loadConfig(sources), { instanceOf: ConfigError })
  t.false(error.message.includes(secret) || error.message.includes('a-password'))
  return error
}

test('a variable with _FILE names the file of any secret, its last line break left out', async t => {
  const cwd = await folderWith(t, { secret: `${secret}\n`, url: `${storeUrl}\r\n`, password: ' with spaces \n' })
  const env = {
    LENS_CLUSTER_SECRET_FILE: 'secret',
    LENS_STORE_URL_FILE: join(cwd, 'url'),
    LENS_ENGINES_SHOP_DRIVER: 'mysql',
    LENS_ENGINES_SHOP_URL: 'mysql://lens@db/shop',
    LENS_ENGINES_SHOP_PASSWORD_FILE: 'password',
  }
  const { cluster, store, engines } = loadConfig({ cwd, env })
  t.is(cluster.secret, secret)
  t.is(store.url, storeUrl)
  t.is(engines.shop?.password, ' with spaces ')
})

test('every key that is a secret has such a variable', async t => {
  const cwd = await folderWith(t, { text: `${secret}\n` })
  const secrets = [...secretsOf(configSchema as SchemaNode)]
  t.true(secrets.includes('cluster.secret') && secrets.includes('store.url'))
  for (const key of secrets) {
    // What the text must be beyond a text is judged after it was read: then the fault is the key's, and not of the variable.
    try {
      loadConfig({ cwd, makeSecret: false, env: { [`${variableOf(key)}_FILE`]: 'text' } })
    } catch (error) {
      t.false((error as Error).message.includes('unknown variable'), key)
    }
  }
})

test('in YAML a secret is a text, or a file', async t => {
  const yaml = 'cluster: {secret: {file: secret}}\nstore: {url: {file: url}}\n'
  const cwd = await folderWith(t, { 'lens.yaml': yaml, secret: `${secret}\n`, url: storeUrl })
  const { cluster, store } = loadConfig({ cwd, file: 'lens.yaml' })
  t.deepEqual([cluster.secret, store.url], [secret, storeUrl])
  writeFileSync(join(cwd, 'other.yaml'), 'log: {level: {file: secret}}\n')
  t.regex(
    faultOf(t, { cwd, file: 'other.yaml' }).message,
    /log\.level: expected one of/,
    'what is no secret has no file',
  )
})

test('both forms at once, and files that cannot serve, are faults with key and name', async t => {
  const cwd = await folderWith(t, { secret, empty: '\n', short: 'short' })
  const messageOf = (env: Record<string, string>) => faultOf(t, { cwd, env }).message
  t.regex(
    messageOf({ LENS_CLUSTER_SECRET: secret, LENS_CLUSTER_SECRET_FILE: 'secret' }),
    /cluster\.secret: set twice and differently, by LENS_CLUSTER_SECRET and by LENS_CLUSTER_SECRET_FILE/,
  )
  t.regex(messageOf({ LENS_CLUSTER_SECRET: 'secret', LENS_CLUSTER_SECRET_FILE: 'secret' }), /set twice/)
  t.regex(
    messageOf({ LENS_CLUSTER_SECRET_FILE: 'nowhere' }),
    /cluster\.secret: expected a file that can be read: .*nowhere/,
  )
  t.regex(messageOf({ LENS_CLUSTER_SECRET_FILE: 'empty' }), /cluster\.secret: expected a file that is not empty: empty/)
  t.regex(
    messageOf({ LENS_CLUSTER_SECRET_FILE: 'short' }),
    /cluster\.secret: expected a text of at least 16 characters/,
  )
  t.regex(messageOf({ LENS_LOG_LEVEL_FILE: 'secret' }), /LENS_LOG_LEVEL_FILE: unknown variable/)
})

test('a file that others may read or change is warned of', async t => {
  const cwd = await folderWith(t, { secret })
  const warnings = (mode: number) => {
    chmodSync(join(cwd, 'secret'), mode)
    const lines: string[] = []
    loadConfig({ cwd, env: { LENS_CLUSTER_SECRET_FILE: 'secret' }, warn: line => lines.push(line) })
    return lines
  }
  t.deepEqual(warnings(0o400), [])
  t.deepEqual(warnings(0o440), [])
  t.regex(
    warnings(0o444).join(),
    /^cluster\.secret: .*\/secret holds a secret and its mode is 0444: other users may read it$/,
  )
  t.regex(warnings(0o660).join(), /other users may change it/)
})

test('certificates are judged before a node starts', async t => {
  const authority = await Authority.create(t)
  const { certificateFile, keyFile } = await authority.issue('n')
  const other = await authority.issue('other')
  const cwd = authority.folder
  const load = (overrides: Record<string, string>) => loadConfig({ cwd, overrides, makeSecret: false })
  const listening = { 'tls.certificateFile': 'n.pem', 'tls.keyFile': 'n.key' }
  const { node, tls, store } = load(listening)
  t.is(node.advertiseUrl, 'https://127.0.0.1:9999')
  t.deepEqual([tls.certificateFile, tls.keyFile, store.tls.mode], [certificateFile, keyFile, 'off'])
  const mysql = { 'store.url': storeUrl, 'cluster.secret': secret }
  t.is(load({ ...mysql, 'store.tls.caFile': 'ca.pem' }).store.tls.mode, 'verified')
  t.is(load({ ...mysql, 'store.tls.mode': 'encrypted' }).store.tls.mode, 'encrypted')
  for (const [overrides, message] of [
    [{ 'tls.certificateFile': 'n.pem' }, /tls\.keyFile: required beside certificateFile/],
    [{ ...listening, 'tls.keyFile': other.keyFile }, /tls\.keyFile: .*other\.key is not the key of .*n\.pem/],
    [{ ...listening, 'tls.caFile': 'nowhere.pem' }, /tls\.caFile: expected a file that can be read/],
    [{ ...listening, 'node.advertiseUrl': 'http://n:1' }, /node\.advertiseUrl: expected an https URL/],
    [{ ...listening, 'tls.clientAuthentication': 'required' }, /tls\.clientAuthentication: requires .*tls\.caFile/],
    [{ 'tls.peers.clientAuthentication': 'required' }, /tls\.peers\.clientAuthentication: requires/],
    [{ 'store.tls.caFile': 'ca.pem' }, /store\.tls\.mode: an SQLite store/],
    [{ ...mysql, 'store.tls.caFile': 'ca.pem', 'store.tls.mode': 'off' }, /store\.tls\.mode: off, although/],
  ] as const)
    t.regex(t.throws(() => load(overrides as Record<string, string>), { instanceOf: ConfigError }).message, message)
})

function* secretsOf(node: SchemaNode, path: string[] = []): Generator<string> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    if (child.properties) yield* secretsOf(child, [...path, key])
    else if (child.secret) yield [...path, key].join('.')
  }
}

/** A node that asks for certificates: of clients, of peers by another authority, and of nobody who asks whether it lives. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { getCACertificates, setDefaultCACertificates, connect as tlsConnect } from 'node:tls'
import { promisify } from 'node:util'
import test from 'ava'
import { WebSocket } from 'ws'
import { Authority, type Certificate } from '../support/certificates.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'

const over: (() => unknown)[] = []
const file = { teardown: (task: () => unknown) => over.push(task) }

let clients: Authority
let peers: Authority
let node: NodeProcess

test.before('a node', async () => {
  clients = await Authority.create(file, 'clients')
  peers = await Authority.create(file, 'peers')
  const certificate = await clients.issue('node')
  const ofPeer = await peers.issue('peer')
  setDefaultCACertificates([...getCACertificates('default'), readFileSync(clients.caFile, 'utf8')])
  const cluster = new TestCluster(null, {
    LENS_TLS_CERTIFICATE_FILE: certificate.certificateFile,
    LENS_TLS_KEY_FILE: certificate.keyFile,
    LENS_TLS_CA_FILE: clients.caFile,
    LENS_TLS_CLIENT_AUTHENTICATION: 'required',
    LENS_TLS_MIN_VERSION: 'TLSv1.3',
    LENS_TLS_PEERS_CA_FILE: peers.caFile,
    LENS_TLS_PEERS_CERTIFICATE_FILE: ofPeer.certificateFile,
    LENS_TLS_PEERS_KEY_FILE: ofPeer.keyFile,
    LENS_TLS_PEERS_CLIENT_AUTHENTICATION: 'required',
  })
  over.push(() => cluster.stop())
  node = await (await cluster.start({ name: 'n1' })).ready()
})

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

const shown = (certificate?: Certificate) =>
  certificate ? { cert: readFileSync(certificate.certificateFile), key: readFileSync(certificate.keyFile) } : {}

function ask(method: string, path: string, certificate?: Certificate): Promise<{ status: number; body: any }> {
  return new Promise((resolve, reject) => {
    const call = request(`${node.url}${path}`, {
      method,
      agent: false,
      headers: { 'content-type': 'application/json' },
      ...shown(certificate),
    })
    call.on('response', async response => {
      let text = ''
      for await (const chunk of response) text += chunk
      resolve({ status: response.statusCode as number, body: JSON.parse(text) })
    })
    call.on('error', reject)
    call.end(method === 'POST' ? '{"user":"alice"}' : undefined)
  })
}

test('who shows none, or one that is not believed, is told so; probes need none', async t => {
  const stranger = await Authority.create(t, 'strangers')
  for (const path of ['/healthz', '/readyz', '/readyz?x']) t.is((await ask('GET', path)).status, 200, path)
  for (const [certificate, why] of [
    [undefined, /none was shown/],
    [await stranger.issue('stranger'), /not of its authorities/],
    [await clients.issue('ended', ['alice'], -1), /not valid now/],
    [await peers.issue('a-peer'), /not of its authorities/],
  ] as const)
    for (const path of ['/api/v1/sessions', '/nothing', '/healthz/../metrics', '/%zz']) {
      const { status, body } = await ask('POST', path, certificate)
      t.is(status === 401 || path === '/%zz', true, path)
      if (status !== 401) continue
      t.is(body.code, 'UNAUTHENTICATED')
      t.regex(body.detail, why)
    }
  t.is((await ask('POST', '/api/v1/sessions', await clients.issue('alice', ['alice']))).status, 201)
})

test('clients and peers are believed by their own authority each', async t => {
  const [client, peer] = [await clients.issue('client'), await peers.issue('other-node')]
  t.is((await ask('GET', '/cluster/v1/identity', peer)).status, 200)
  t.is((await ask('GET', '/cluster/v1/identity', client)).status, 401)
  t.is((await ask('GET', '/cluster/v1/identity')).status, 401)
  t.is((await ask('GET', '/api/v1/auth', client)).status, 200)
  t.is((await ask('GET', '/api/v1/auth', peer)).status, 401)
})

for (const [what, name, status] of [
  ['none is worth none', undefined, 401],
  ['one is worth it', 'resumed', 200],
] as const)
  test(`a session of TLS that is resumed: ${what}`, async t => {
    const credentials = name ? shown(await clients.issue(name)) : {}
    const to = { host: '127.0.0.1', port: node.port, ...credentials }
    const first = tlsConnect(to)
    first.on('secureConnect', () => first.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'))
    const [session] = await once(first, 'session')
    first.destroy()
    const again = tlsConnect({ ...to, session })
    await once(again, 'secureConnect')
    t.true(again.isSessionReused())
    again.write('GET /api/v1/auth HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    let answer = ''
    for await (const chunk of again) answer += chunk
    t.is(answer.slice(0, 12), `HTTP/1.1 ${status}`)
  })

test('WebSockets are asked as requests are', async t => {
  const url = `${node.url.replace('http', 'ws')}/api/v1/stream`
  const refused = new WebSocket(url)
  const [, response] = await once(
    refused.on('error', () => {}),
    'unexpected-response',
  )
  t.is(response.statusCode, 401)
  refused.terminate()
  const socket = new WebSocket(url, shown(await clients.issue('subscriber')))
  await once(socket, 'open')
  socket.terminate()
})

test('an older version of TLS is not spoken', async t => {
  const socket = tlsConnect({ host: '127.0.0.1', port: node.port, maxVersion: 'TLSv1.2' })
  const [error] = await once(socket, 'error')
  t.regex(error.code, /^ERR_SSL_/)
})

test('the health check of the image finds the node alive by TLS', async t => {
  const check = new URL('../../src/healthcheck.ts', import.meta.url).pathname
  await t.notThrowsAsync(promisify(execFile)(process.execPath, [check], { env: { LENS_PORT: String(node.port) } }))
})

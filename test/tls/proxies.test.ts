/** The proxies with the changes that docs/security.md names: they end the clients' TLS, and verify the nodes by theirs. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import test from 'ava'
import { LensClient } from '../../src/client/index.ts'
import { Authority, type Certificate } from '../support/certificates.ts'
import { eventually } from '../support/conditions.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { type ProxyKind, startProxy } from '../support/proxies.ts'

const over: (() => unknown)[] = []
const file = { teardown: (task: () => unknown) => over.push(task) }

let nodes: Authority
let certificate: Certificate
let node: NodeProcess

test.before('a node behind the proxies', async () => {
  nodes = await Authority.create(file, 'nodes')
  certificate = await nodes.issue('node')
  setDefaultCACertificates([...getCACertificates('default'), readFileSync(nodes.caFile, 'utf8')])
  const cluster = new TestCluster(null, {
    LENS_TLS_CERTIFICATE_FILE: certificate.certificateFile,
    LENS_TLS_KEY_FILE: certificate.keyFile,
    LENS_TLS_PEERS_CA_FILE: nodes.caFile,
  })
  over.push(() => cluster.stop())
  node = await (await cluster.start({ name: 'n1' })).ready()
})

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

/** What docs/security.md says to change; the name that the nodes' certificates have in common is `localhost` here. */
function secured(kind: ProxyKind, caFile: string): (text: string) => string {
  const { certificateFile, keyFile } = certificate
  const both = join(nodes.folder, 'proxy.pem')
  writeFileSync(both, `${readFileSync(certificateFile, 'utf8')}${readFileSync(keyFile, 'utf8')}`)
  if (kind === 'haproxy')
    return text =>
      text
        .replace(/^ {2}bind \S+/m, bind => `${bind} ssl crt ${both} alpn http/1.1`)
        .replace('default-server ', `default-server ssl verify required ca-file ${caFile} `)
        .replace(/^ {2}server node\d .*$/gm, server => `${server} sni str(localhost) verifyhost localhost`)
  const lines = [
    `ssl_certificate ${certificateFile}`,
    `ssl_certificate_key ${keyFile}`,
    'proxy_ssl_verify on',
    `proxy_ssl_trusted_certificate ${caFile}`,
    'proxy_ssl_name localhost',
    'proxy_ssl_server_name on',
    'proxy_ssl_session_reuse on',
  ]
  return text =>
    text
      .replace(/listen (127\S+);/, `listen $1 ssl; ${lines.join('; ')};`)
      .replaceAll('proxy_pass http://', 'proxy_pass https://')
}

for (const kind of ['nginx', 'haproxy'] as const)
  test(`${kind} encrypts anew what it sends to the nodes, and sends nothing to those that it does not believe`, async t => {
    const address = `127.0.0.1:${node.port}`
    const { url } = await startProxy(t, kind, [address, address, address], secured(kind, nodes.caFile))
    await eventually(async () => (await fetch(`${url}/readyz`)).ok)
    const client = new LensClient({ endpoints: [url], user: 'ada', learnEndpoints: false })
    const rows: unknown[] = []
    for await (const row of client.query('select 42 as answer')) rows.push(row)
    t.deepEqual(rows, [[42]])
    const query = await client.submit('select count(*) from flights')
    let last = ''
    for await (const { status } of query.changes()) last = status
    t.is(last, 'SUCCESSFUL')
    await client.close()

    const others = await Authority.create(t, 'others')
    const strict = await startProxy(t, kind, [address, address, address], secured(kind, others.caFile))
    t.true([502, 503].includes((await fetch(`${strict.url}/healthz`)).status))
  })

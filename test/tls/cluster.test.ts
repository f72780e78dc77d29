/** Three nodes with TLS everywhere: clients, peers that authenticate each other, and a database that takes nothing else. */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import test from 'ava'
import { LensClient } from '../../src/client/index.ts'
import { Authority, type Certificate, replace, replaceFile, shownSerial } from '../support/certificates.ts'
import { eventually } from '../support/conditions.ts'
import { longStatement } from '../support/flights.ts'
import { temporaryFolder } from '../support/folders.ts'
import { createDatabase, executeAt, MySqlServer } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { exchange, StreamClient } from '../support/wire.ts'

const over: (() => unknown)[] = []
const file = { teardown: (task: () => unknown) => over.push(task) }

let authority: Authority
let cluster: TestCluster
/** Apart from all that is replaced: its folder is watched too. */
let caFile: string
const certificates = new Map<string, Certificate>()

test.before('a database and three nodes, all of one authority', async () => {
  authority = await Authority.create(file, 'the cluster')
  caFile = join(await temporaryFolder(file, 'authority'), 'ca.pem')
  copyFileSync(authority.caFile, caFile)
  const database = await authority.issue('database')
  const server = await MySqlServer.start([
    `--ssl-ca=${authority.caFile}`,
    `--ssl-cert=${database.certificateFile}`,
    `--ssl-key=${database.keyFile}`,
  ])
  over.push(() => server.destroy())
  const storeUrl = await createDatabase(file, server.url)
  await executeAt(server.url, 'SET GLOBAL require_secure_transport = ON')
  setDefaultCACertificates([...getCACertificates('default'), readFileSync(authority.caFile, 'utf8')])
  cluster = new TestCluster(storeUrl)
  over.push(() => cluster.stop())
  for (const name of ['n1', 'n2', 'n3']) await start(name)
  await Promise.all(cluster.running.map(node => node.ready()))
  await cluster.settled(3)
})

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

/** Behind symbolic links, as Kubernetes puts them: what is written behind one is not told of in the folder that has the link. */
function linked(name: string, { certificateFile, keyFile }: Certificate): Certificate {
  const folder = join(authority.folder, `live-${name}`)
  mkdirSync(folder)
  const link = { certificateFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') }
  symlinkSync(certificateFile, link.certificateFile)
  symlinkSync(keyFile, link.keyFile)
  return link
}

async function start(name: string): Promise<NodeProcess> {
  const certificate = certificates.get(name) ?? linked(name, await authority.issue(name))
  certificates.set(name, certificate)
  const env = {
    LENS_TLS_CERTIFICATE_FILE: certificate.certificateFile,
    LENS_TLS_KEY_FILE: certificate.keyFile,
    LENS_TLS_PEERS_CA_FILE: caFile,
    LENS_TLS_PEERS_CERTIFICATE_FILE: certificate.certificateFile,
    LENS_TLS_PEERS_KEY_FILE: certificate.keyFile,
    LENS_TLS_PEERS_CLIENT_AUTHENTICATION: 'required',
    LENS_STORE_TLS_CA_FILE: caFile,
    // What is looked at by the clock alone must not be what makes these tests pass.
    LENS_TLS_RELOAD_MS: '3600000',
  }
  return cluster.start({ name, env })
}

test.serial('sessions, queries, rows and the stream go over TLS, and nothing else does', async t => {
  const [node] = cluster.running as [NodeProcess]
  const client = new LensClient({ endpoints: [node.url], user: 'alice' })
  const rows: unknown[] = []
  for await (const row of client.query('select 42 as answer')) rows.push(row)
  t.deepEqual(rows, [[42]])
  const handle = await client.submit('select count(*) from flights')
  let last = ''
  for await (const { status } of handle.changes()) last = status
  t.is(last, 'SUCCESSFUL')
  await client.close()
  const { headers } = await node.call('GET', '/healthz')
  t.regex(headers.get('strict-transport-security') ?? '', /^max-age=\d+/)
  t.is(
    await exchange(node.port, 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'),
    '',
    'plain HTTP is closed without an answer',
  )
  const stranger = await Authority.create(t, 'nobody')
  const refused = await new Promise(resolve =>
    request(`${node.url}/healthz`, { ca: readFileSync(stranger.caFile) }, () => resolve('answered'))
      .on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      .end(),
  )
  t.is(refused, 'SELF_SIGNED_CERT_IN_CHAIN')
})

test.serial('the command line believes an authority that it is told of', async t => {
  const [node] = cluster.running as [NodeProcess]
  const main = new URL('../../src/main.ts', import.meta.url).pathname
  const lens = (...more: string[]) =>
    new Promise<{ failed: boolean; out: string }>(resolve =>
      execFile(
        process.execPath,
        [main, 'query', 'select 42 as answer', '--format', 'csv', '--server', node.url, '--user', 'bob', ...more],
        (error, out, err) => resolve({ failed: error !== null, out: out + err }),
      ),
    )
  const [without, told] = await Promise.all([lens(), lens('--ca', authority.caFile)])
  t.true(without.failed)
  t.deepEqual(told, { failed: false, out: 'answer\r\n42\r\n' })
})

test.serial('certificates are replaced under load without a failed request, by file and by SIGHUP', async t => {
  const [node] = cluster.running as [NodeProcess]
  const place = certificates.get(node.name) as Certificate
  const { token } = await node.session('carol')
  const stream = await new StreamClient(node.url, { token }).opened()
  t.teardown(() => stream.terminate())
  const kept = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => kept.destroy())
  const get = (agent?: Agent) =>
    new Promise<string>((resolve, reject) => {
      request(`${node.url}/api/v1/queries?limit=1`, {
        agent: agent ?? new Agent(),
        headers: { authorization: `Bearer ${token}` },
      })
        .on('response', response => {
          const { serialNumber } = (response.socket as any).getPeerCertificate()
          response
            .resume()
            .on('end', () => (response.statusCode === 200 ? resolve(serialNumber) : reject(response.statusCode)))
        })
        .on('error', reject)
        .end()
    })
  let loading = true
  let answered = 0
  const load = [undefined, undefined, kept].map(async agent => {
    const serials = new Set<string>()
    while (loading) {
      serials.add(await get(agent))
      answered++
    }
    return serials
  })
  const serials: string[] = [await shownSerial(node.port)]
  for (const how of ['file', 'SIGHUP'] as const) {
    const next = await authority.issue(`${node.name}-${how}`)
    if (how === 'file') {
      // Half of a change first: what is in use stays, and the log says why.
      await replaceFile(place.keyFile, next.keyFile)
      await eventually(() => node.log.some(({ msg }) => msg?.startsWith('the certificates on disk cannot be taken')))
      t.is(await shownSerial(node.port), serials.at(-1) as string)
    }
    if (how === 'file') await replace(place, next)
    else {
      // Nobody is told of this one.
      copyFileSync(next.keyFile, realpathSync(place.keyFile))
      copyFileSync(next.certificateFile, realpathSync(place.certificateFile))
      node.signal('SIGHUP')
    }
    const before = serials.at(-1)
    const isNew = (serial: string) => serial !== before
    serials.push(await eventually(() => shownSerial(node.port), isNew, { what: `the new certificate by ${how}` }))
  }
  const answeredBefore = answered
  await eventually(() => answered > answeredBefore + 20)
  loading = false
  const [one, other, old] = (await Promise.all(load)) as [Set<string>, Set<string>, Set<string>]
  t.deepEqual([...old], [serials[0]], 'an open connection goes on')
  t.is([...one, ...other].includes(serials[2] as string), true)
  stream.send({ type: 'ping' })
  await stream.frame('pong', frame => frame.type === 'pong')
  t.is(stream.closed, null)
  const metrics = await node.metrics()
  const expiry = /lens_tls_certificate_expiry_seconds\{use="listener"\} (\S+)/.exec(metrics)?.[1]
  t.true(Number(expiry) * 1000 > Date.now() && Number(expiry) * 1000 < Date.now() + 3 * 86_400_000, `${expiry}`)
  t.regex(metrics, /lens_tls_loads_total\{use="listener",outcome="refused"\} [1-9]/)
})

test.serial('a node is killed: its peers, who know it by TLS, take over without waiting for its lease', async t => {
  const [victim, survivor] = cluster.running as [NodeProcess, NodeProcess]
  const { token } = await survivor.session('dora')
  const watcher = await new StreamClient(survivor.url, { token }).opened()
  t.teardown(() => watcher.terminate())
  watcher.send({ type: 'subscribe', id: 'all', topic: 'session' })
  const { handle } = await victim.submit(token, { sql: longStatement(40) })
  await watcher.frame('RUNNING', frame => frame.query?.handle === handle && frame.query.status === 'RUNNING')
  await victim.kill()
  const ended = await survivor.ended(token, handle)
  t.is(ended.outcome, 'SUCCESSFUL')
  t.not(ended.owner.node, victim.name)
  const { token: admin } = await survivor.session('admin')
  const { body } = await survivor.call('GET', '/api/v1/cluster/failovers', { token: admin })
  const [failover] = body.failovers.filter(({ node }: { node: string }) => node === victim.name)
  t.is(failover.cause, 'connection-lost')
  const versions = watcher.frames.filter(frame => frame.query?.handle === handle).map(frame => frame.query.version)
  t.deepEqual(
    [...new Set(versions)],
    Array.from({ length: ended.version }, (_, index) => index + 1),
  )
  await (await start(victim.name)).ready()
  await cluster.settled(3)
})

test.serial('a node whose certificate has ended is not spoken to, and not believed dead', async t => {
  const [stale, other] = cluster.running as [NodeProcess, NodeProcess]
  const place = certificates.get(stale.name) as Certificate
  const old = await authority.issue(`${stale.name}-ended`, undefined, -1)
  const incarnationOf = async (node: NodeProcess) => {
    const { token } = await other.session('admin')
    const { body } = await other.call('GET', '/api/v1/cluster', { token })
    return body.nodes.find((member: any) => member.node === node.name && member.state === 'alive')?.incarnation
  }
  const incarnation = await incarnationOf(stale)
  await replace(place, old)
  stale.signal('SIGHUP')
  await eventually(() => stale.log.some(({ msg }) => msg?.startsWith('the certificate has ended')))
  const unbelieving = 'this node and a peer do not believe each other by TLS'
  const { token } = await other.session('admin')
  await other.kill()
  const restarted = await start(other.name)
  await restarted.ready()
  await eventually(() => restarted.log.some(({ msg }) => msg === unbelieving))
  const third = cluster.running.find(node => node !== stale && node !== restarted) as NodeProcess
  const { body } = await third.call('GET', '/api/v1/cluster', { token })
  const member = body.nodes.find((one: any) => one.node === stale.name)
  t.is(member.incarnation, incarnation)
  t.is(member.state, 'alive')
})

test.serial('a node that is asked to leave does so in order', async t => {
  const [leaver, other] = cluster.running as [NodeProcess, NodeProcess]
  const { token } = await other.session('admin')
  t.deepEqual(await leaver.terminate(), { code: 0, signal: null })
  const { body } = await other.call('GET', '/api/v1/cluster', { token })
  t.false(body.nodes.some((member: any) => member.node === leaver.name && member.state === 'alive'))
})

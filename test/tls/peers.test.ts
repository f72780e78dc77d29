/** Between nodes, a certificate that is wrong is silence: it proves no death, and what stands behind it is not believed. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import test, { type ExecutionContext } from 'ava'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import { WebSocketPeerBus } from '../../src/cluster/peer-bus.ts'
import { httpProbe } from '../../src/cluster/probe.ts'
import { readCredentials } from '../../src/tls/index.ts'
import { Authority, type Certificate } from '../support/certificates.ts'
import { logOf } from '../support/cluster/quiet-log.ts'
import { eventually } from '../support/conditions.ts'

const secret = 'sixteen characters'

async function peerOn(t: ExecutionContext, authority: Authority, name: string, certificate: Certificate) {
  const self = { node: name, incarnation: `${name}-1` }
  const { credentials } = readCredentials({ ...certificate, caFile: authority.caFile })
  const warnings: string[] = []
  const bus = new WebSocketPeerBus({
    secret,
    credentials: () => ({ ca: readFileSync(authority.caFile, 'utf8') }),
    self: () => self,
    clock: systemClock,
    random: systemRandom,
    log: { ...logOf(name), warn: (_fields, message) => warnings.push(message) },
    count: () => undefined,
    pingMs: 1000,
    peerConnectMs: 1000,
  })
  let dials = 0
  const server = createServer({ ...credentials }, (_, response) => response.end(JSON.stringify(self)))
  server.on('connection', () => dials++)
  server.on('upgrade', (upgrade, socket, head) => bus.handleUpgrade(upgrade, socket, head))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  const address = `https://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`
  const suspicions: string[] = []
  bus.onSuspicion((incarnation, why) => suspicions.push(`${incarnation} ${why}`))
  await bus.start()
  t.teardown(async () => {
    await bus.stop()
    server.closeAllConnections()
    await new Promise<void>(resolve => server.close(() => resolve()))
  })
  return { ...self, address, bus, suspicions, warnings, dials: () => dials }
}

test('a peer with a certificate for its address is spoken to, and what it says of itself is believed', async t => {
  const authority = await Authority.create(t)
  const a = await peerOn(t, authority, 'a', await authority.issue('a'))
  const b = await peerOn(t, authority, 'b', await authority.issue('b'))
  a.bus.connectTo([b])
  await eventually(() => a.bus.connected().includes('b-1'))
  const probe = httpProbe(systemClock, 5000, () => ({ ca: readFileSync(authority.caFile, 'utf8') }))
  t.deepEqual(await probe(b.address), { kind: 'identity', identity: { node: 'b', incarnation: 'b-1' } })
})

for (const [what, issue] of [
  ['that has ended', (authority: Authority) => authority.issue('ended', undefined, -1)],
  ['for another host', (authority: Authority) => authority.issue('elsewhere', ['db.example'])],
  [
    'of another authority',
    async (_: Authority, t: ExecutionContext) => (await Authority.create(t, 'others')).issue('x'),
  ],
] as const)
  test(`a certificate ${what} is silence`, async t => {
    const authority = await Authority.create(t)
    const a = await peerOn(t, authority, 'a', await authority.issue('a'))
    const b = await peerOn(t, authority, 'b', await issue(authority, t))
    const probe = httpProbe(systemClock, 5000, () => ({ ca: readFileSync(authority.caFile, 'utf8') }))
    t.is((await probe(b.address)).kind, 'silent')
    const before = b.dials()
    a.bus.connectTo([b])
    // More dials than one suspicion takes.
    await eventually(() => b.dials() > before + 12)
    t.deepEqual([a.bus.connected(), a.suspicions], [[], []])
    t.deepEqual(a.warnings, ['this node and a peer do not believe each other by TLS'])
  })

test('an address that speaks no TLS any more proves nothing either', async t => {
  const { createServer: createPlain } = await import('node:http')
  const plain = createPlain((_, response) => response.end(JSON.stringify({ node: 'b', incarnation: 'b-2' })))
  await new Promise<void>(resolve => plain.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise<void>(resolve => plain.close(() => resolve())))
  const bound = plain.address()
  const probe = httpProbe(systemClock, 5000)
  t.is((await probe(`https://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`)).kind, 'silent')
})

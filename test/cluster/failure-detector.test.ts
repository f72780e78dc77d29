import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createRawServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/async/index.ts'
import { FailureDetector } from '../../src/cluster/failure-detector.ts'
import { MemberWatch } from '../../src/cluster/member-watch.ts'
import { httpProbe } from '../../src/cluster/probe.ts'
import { periodsOf } from '../../src/cluster/settings.ts'
import { StoreHealth } from '../../src/cluster/store-health.ts'
import type { MemberRow } from '../../src/store/contract.ts'
import { quietLog } from '../support/cluster/quiet-log.ts'
import { freePort } from '../support/ports.ts'

async function listen(
  t: ExecutionContext,
  listener: RequestListener,
  port = 0,
): Promise<{ server: Server; address: string }> {
  const server = createServer(listener)
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise<void>(resolve => server.close(() => resolve()))
  })
  const address = server.address()
  return { server, address: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` }
}

const answering =
  (incarnation: string): RequestListener =>
  (_, response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ node: 'n', incarnation }))

async function detectorOf(address: string, changes: Partial<MemberRow> = {}) {
  const member: MemberRow = {
    incarnation: 'suspect',
    nodeId: 'n',
    address,
    state: 'alive',
    softwareVersion: '1',
    snapshotVersion: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    leaseExpiresAt: '2026-01-01T00:00:02.000Z',
    leaseLeftMs: 2000,
    earlyTakeover: true,
    running: 0,
    queued: 0,
    ...changes,
  }
  const periods = periodsOf({ leaseMs: 800, heartbeatMs: 100 })
  const health = new StoreHealth(periods)
  const store = {
    members: async () => ({ members: [member], lease: null, snapshotFormat: 1, now: new Date(0).toISOString() }),
  }
  const watch = new MemberWatch({ store, clock: systemClock, periods, health, log: quietLog })
  await watch.refresh()
  const probe = httpProbe(systemClock, 150)
  const detector = new FailureDetector({
    probe,
    watch,
    ownIncarnation: () => 'own',
    clock: systemClock,
    periods,
    log: quietLog,
  })
  const dead: string[] = []
  detector.onDead((proved, cause) => dead.push(`${proved.incarnation} ${cause}`))
  return { detector, dead }
}

test('answered by itself: lives', async t => {
  const { address } = await listen(t, answering('suspect'))
  const { detector, dead } = await detectorOf(address)
  t.is(await detector.suspect('suspect'), 'alive')
  t.deepEqual(dead, [])
})

test('answered by another incarnation: dead', async t => {
  const { address } = await listen(t, answering('successor'))
  const { detector, dead } = await detectorOf(address)
  t.is(await detector.suspect('suspect'), 'dead')
  t.deepEqual(dead, ['suspect connection-lost'])
})

test('refused, and refused again: dead; several suspicions at once are one', async t => {
  const { detector, dead } = await detectorOf(`http://127.0.0.1:${await freePort()}`)
  t.deepEqual(await Promise.all([detector.suspect('suspect', 'superseded'), detector.suspect('suspect')]), [
    'dead',
    'dead',
  ])
  t.deepEqual(dead, ['suspect superseded'])
})

test('refused once, then there: lives', async t => {
  const port = await freePort()
  const { detector, dead } = await detectorOf(`http://127.0.0.1:${port}`)
  const probing = detector.suspect('suspect')
  await listen(t, answering('suspect'), port)
  // Which of the two comes first is not ours to say; but nobody may be called dead who answers as himself.
  const verdict = await probing
  t.is(dead.length, verdict === 'dead' ? 1 : 0)
  t.is(await detector.suspect('suspect'), 'alive')
})

test('silence, resets and nonsense prove nothing', async t => {
  const silent = await listen(t, () => undefined)
  const nonsense = await listen(t, (_, response) => response.end('<html>'))
  const failing = await listen(t, (_, response) => response.writeHead(503).end('{}'))
  const resetting = createRawServer(socket => socket.resetAndDestroy())
  await new Promise<void>(resolve => resetting.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise<void>(resolve => resetting.close(() => resolve())))
  const raw = resetting.address()
  const addresses = [
    silent.address,
    nonsense.address,
    failing.address,
    `http://127.0.0.1:${typeof raw === 'object' ? raw?.port : 0}`,
  ]
  for (const address of addresses) {
    const { detector, dead } = await detectorOf(address)
    t.is(await detector.suspect('suspect'), 'unknown', address)
    t.deepEqual(dead, [])
  }
})

test('a member that does not allow early takeover, or is unknown, is not even probed', async t => {
  let asked = 0
  const { address } = await listen(t, (_, response) => {
    asked++
    response.end()
  })
  const { detector, dead } = await detectorOf(address, { earlyTakeover: false })
  t.is(await detector.suspect('suspect'), 'unknown')
  t.is(await detector.suspect('nobody'), 'unknown')
  t.is(await detector.suspect('own'), 'alive')
  t.deepEqual([asked, dead.length], [0, 0])
})

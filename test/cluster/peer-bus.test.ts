import { createServer, type IncomingMessage, request } from 'node:http'
import type { Duplex } from 'node:stream'
import test, { type ExecutionContext } from 'ava'
import { WebSocket } from 'ws'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import type { PeerMessage, QueryFrame } from '../../src/cluster/bus-contract.ts'
import { busPath, PeerAuth } from '../../src/cluster/peer-auth.ts'
import { WebSocketPeerBus } from '../../src/cluster/peer-bus.ts'
import type { ClusterCount } from '../../src/cluster/ports.ts'
import { logOf } from '../support/cluster/quiet-log.ts'
import { eventually } from '../support/conditions.ts'

const secret = 'sixteen characters'

async function peerOn(
  t: ExecutionContext,
  name: string,
  options: { secret?: string; secretAccepted?: string; bufferedBytesMax?: number; pingMs?: number } = {},
) {
  const self = { node: name, incarnation: `${name}-1` }
  const counts = new Map<ClusterCount, number>()
  const bus = new WebSocketPeerBus({
    secret: options.secret ?? secret,
    secretAccepted: options.secretAccepted,
    self: () => self,
    clock: systemClock,
    random: systemRandom,
    log: logOf(name),
    count: (counter, by = 1) => counts.set(counter, (counts.get(counter) ?? 0) + by),
    pingMs: options.pingMs ?? 1000,
    peerConnectMs: 1000,
    bufferedBytesMax: options.bufferedBytesMax,
  })
  const server = createServer((_, response) => response.writeHead(404).end())
  server.on('upgrade', (upgrade, socket, head) => bus.handleUpgrade(upgrade, socket, head))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  const address = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`
  const messages: { message: PeerMessage; from: string }[] = []
  const suspicions: string[] = []
  bus.listen((message, from) => messages.push({ message, from }))
  bus.onSuspicion((incarnation, why) => suspicions.push(`${incarnation} ${why}`))
  await bus.start()
  t.teardown(async () => {
    await bus.stop()
    server.closeAllConnections()
    await new Promise<void>(resolve => server.close(() => resolve()))
  })
  return { ...self, self, address, bus, server, messages, suspicions, counts }
}

type Peer = Awaited<ReturnType<typeof peerOn>>

async function connect(...peers: Peer[]): Promise<void> {
  for (const peer of peers) peer.bus.connectTo(peers.filter(other => other !== peer))
  await eventually(() => peers.every(peer => peer.bus.connected().length === peers.length - 1))
}

function frame(handle: string, version = 1): QueryFrame {
  return {
    handle,
    sessionId: `session-of-${handle}`,
    user: 'u',
    version,
    epoch: 1,
    query: { handle, version } as QueryFrame['query'],
  }
}

test('messages arrive, in order, with their sender; those of one tick in one frame', async t => {
  const [a, b] = [await peerOn(t, 'a'), await peerOn(t, 'b')]
  await connect(a, b)
  t.true(a.bus.send('b-1', { type: 'look' }))
  a.bus.broadcast({ type: 'cancel', handles: ['q1'] })
  await eventually(() => b.messages.length === 2)
  t.deepEqual(b.messages, [
    { message: { type: 'look' }, from: 'a-1' },
    { message: { type: 'cancel', handles: ['q1'] }, from: 'a-1' },
  ])
  t.false(a.bus.send('nobody', { type: 'look' }))
})

test('frames go to those who want the query or its session, and to nobody else; interests survive a reconnection', async t => {
  const [a, b, c] = [await peerOn(t, 'a'), await peerOn(t, 'b'), await peerOn(t, 'c')]
  b.bus.want({ kind: 'query', id: 'q1' })
  await connect(a, b, c)
  c.bus.want({ kind: 'session', id: 'session-of-q2' })
  c.bus.want({ kind: 'query', id: 'q2' })
  c.bus.broadcast({ type: 'look' })
  await eventually(() => a.messages.length === 1, undefined, { what: 'what c sent after its interests' })
  const handlesAt = (peer: Peer) =>
    peer.messages.flatMap(({ message }) =>
      message.type === 'frames' ? message.frames.map(one => `${one.handle} ${one.version}`) : [],
    )
  // The hello of b may still be on its way.
  await eventually(() => {
    a.bus.publish([frame('q1'), frame('q2'), frame('q3')])
    return handlesAt(b).length > 0 && handlesAt(c).length > 0
  })
  t.deepEqual([...new Set(handlesAt(b))], ['q1 1'])
  t.deepEqual([...new Set(handlesAt(c))], ['q2 1'])

  b.bus.disconnect()
  await connect(a, b, c)
  await eventually(() => {
    a.bus.publish([frame('q1', 2)])
    return handlesAt(b).includes('q1 2')
  })
  t.pass()
})

test('interest is counted: it ends with the last release', async t => {
  const [a, b] = [await peerOn(t, 'a'), await peerOn(t, 'b')]
  await connect(a, b)
  b.bus.want({ kind: 'query', id: 'q1' })
  b.bus.want({ kind: 'query', id: 'q1' })
  b.bus.release({ kind: 'query', id: 'q1' })
  const frames = () => b.messages.filter(({ message }) => message.type === 'frames').length
  await eventually(() => {
    a.bus.publish([frame('q1')])
    return frames() > 0
  })
  b.bus.release({ kind: 'query', id: 'q1' })
  b.bus.broadcast({ type: 'look' })
  await eventually(() => a.messages.some(({ message }) => message.type === 'look'))
  const before = frames()
  a.bus.publish([frame('q1')])
  a.bus.broadcast({ type: 'look' })
  await eventually(() => b.messages.some(({ message }) => message.type === 'look'))
  t.is(frames(), before)
})

test('a process that vanishes is suspected by its peers, one that said goodbye is not', async t => {
  const [a, b, c] = [await peerOn(t, 'a'), await peerOn(t, 'b'), await peerOn(t, 'c')]
  await connect(a, b, c)
  await eventually(() => [a, b, c].every(peer => peer.bus.connected().length === 2))
  c.bus.broadcast({ type: 'goodbye', reason: 'stopping' })
  await eventually(() => a.messages.some(({ message }) => message.type === 'goodbye'))
  c.server.close()
  await c.bus.stop()
  b.server.closeAllConnections()
  b.server.close()
  b.bus.disconnect()
  await eventually(() => a.suspicions.includes('b-1 closed'))
  t.false(a.suspicions.includes('c-1 closed'))
  await eventually(() => a.suspicions.includes('b-1 refused'), undefined, { what: 'the refused dial' })
  t.pass()
})

test('a stranger is refused: wrong secret, no headers, old time, repeated call', async t => {
  const [a, stranger] = [await peerOn(t, 'a'), await peerOn(t, 'x', { secret: 'another secret, as long' })]
  const status = (headers: Record<string, string>) =>
    new Promise<number | undefined>(resolve => {
      const call = request(new URL(busPath, a.address), {
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
          ...headers,
        },
      })
      call.on('response', (response: IncomingMessage) => resolve(response.statusCode))
      call.on('upgrade', (response, socket) => {
        socket.destroy()
        resolve(response.statusCode)
      })
      call.end()
    })
  const auth = new PeerAuth(secret, systemClock, systemRandom)
  const late = new PeerAuth(secret, { ...systemClock, now: () => systemClock.now() - 120_000 }, systemRandom)
  const wrong = new PeerAuth('another secret, as long', systemClock, systemRandom)
  t.is(await status({}), 401)
  t.is(await status(wrong.dial('x', 'x-1', 'a-1').headers), 401)
  t.is(await status(late.dial('x', 'x-1', 'a-1').headers), 401)
  const good = auth.dial('ä node', 'x-1', 'a-1').headers
  t.is(await status({ ...good, 'x-lens-incarnation': 'somebody' }), 401)
  t.is(await status(good), 101)
  t.is(await status(good), 401, 'the same call again')
  t.is(await status(auth.dial('x', 'x-1', 'a-0').headers), 409, 'meant for an earlier incarnation')
  // And the other way round: who answers without the secret is not spoken to.
  a.bus.connectTo([stranger])
  await eventually(() => a.bus.connected().length === 0 && stranger.messages.length === 0)
  await a.bus.stop()
  t.is(await status(auth.dial('x', 'x-1', 'a-1').headers), 503)
})

test('who answers at an address without knowing the secret is told nothing', async t => {
  const a = await peerOn(t, 'a')
  const heard: string[] = []
  const { WebSocketServer } = await import('ws')
  const impostor = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  let calls = 0
  impostor.on('connection', socket => {
    calls++
    socket.on('message', data => heard.push(data.toString()))
  })
  await new Promise(resolve => impostor.once('listening', resolve))
  t.teardown(() => new Promise<void>(resolve => impostor.close(() => resolve())))
  const bound = impostor.address()
  a.bus.want({ kind: 'query', id: 'secret handle' })
  a.bus.connectTo([
    { incarnation: 'b-1', node: 'b', address: `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}` },
  ])
  await eventually(() => calls >= 3)
  t.deepEqual([a.bus.connected(), heard], [[], []])
})

test('what cannot be read is dropped and counted, and the connection goes on', async t => {
  const a = await peerOn(t, 'a')
  const { headers } = new PeerAuth(secret, systemClock, systemRandom).dial('x', 'x-1', 'a-1')
  const socket = new WebSocket(new URL(busPath, a.address.replace('http', 'ws')), { headers })
  await new Promise(resolve => socket.once('open', resolve))
  const nonsense = [
    '',
    '{',
    '{"type":"look"}',
    '[1,null,"x",[],{}]',
    '[{"type":"frames","frames":[{"handle":1}]}]',
    '[{"type":"cancel","handles":7}]',
    '[{"type":"look","handles":[7]}]',
  ]
  for (const text of nonsense) socket.send(text)
  socket.send(Buffer.from([0, 255, 1]), { binary: true })
  socket.send('[{"type":"unheard-of"},{"type":"look"}]')
  await eventually(() => a.messages.length > 0)
  t.deepEqual(a.messages, [{ message: { type: 'look' }, from: 'x-1' }])
  t.is(a.counts.get('peerFramesMalformed'), 1 + 1 + 1 + 5 + 1 + 1 + 1 + 1 + 1)
  socket.terminate()
})

test('a peer that does not read is cut off at the limit, and connected again', async t => {
  const [a, b] = [await peerOn(t, 'a', { bufferedBytesMax: 4 << 20 }), await peerOn(t, 'b')]
  const sockets: Duplex[] = []
  b.server.on('upgrade', (_, socket) => sockets.push(socket))
  await connect(a, b)
  for (const socket of sockets) socket.pause()
  const message: PeerMessage = { type: 'cancel', handles: ['x'.repeat(100_000)] }
  let sent = 0
  // Without a pause, or its unanswered pings would be noticed first on a slow machine.
  while (sent < 2_000 && a.bus.send('b-1', message)) {
    sent++
    await new Promise(resolve => setImmediate(resolve))
  }
  t.true(sent >= 40 && sent < 2_000, `${sent}`)
  t.is(a.counts.get('peersCut'), 1)
  for (const socket of sockets) socket.resume()
  await eventually(() => {
    a.bus.send('b-1', { type: 'look' })
    return b.messages.some(({ message }) => message.type === 'look')
  })
})

test('a half-open connection is noticed by its unanswered ping', async t => {
  const a = await peerOn(t, 'a', { pingMs: 50 })
  const { WebSocketServer } = await import('ws')
  const auth = new PeerAuth(secret, systemClock, systemRandom)
  const deaf = new WebSocketServer({ port: 0, host: '127.0.0.1', autoPong: false })
  deaf.on('headers', (headers, call) => {
    const admission = auth.admit(call.headers)
    if (admission.ok) headers.push(auth.answer('b-1', admission.dialer))
  })
  await new Promise(resolve => deaf.once('listening', resolve))
  t.teardown(() => {
    for (const client of deaf.clients) client.terminate()
    return new Promise<void>(resolve => deaf.close(() => resolve()))
  })
  const bound = deaf.address()
  a.bus.connectTo([
    { incarnation: 'b-1', node: 'b', address: `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}` },
  ])
  await eventually(() => a.suspicions.includes('b-1 closed'))
  t.pass()
})

test('while the secret is replaced, nodes of either one speak to each other, and strangers to nobody', async t => {
  const [old, next] = ['the secret of yesterday', 'the secret of tomorrow']
  const before = await peerOn(t, 'before', { secret: old })
  const during = await peerOn(t, 'during', { secret: next, secretAccepted: old })
  const after = await peerOn(t, 'after', { secret: next })
  const stranger = await peerOn(t, 'stranger', { secret: 'a secret of nobody' })
  const all = [before, during, after, stranger]
  for (const peer of all) peer.bus.connectTo(all.filter(other => other !== peer))
  await eventually(
    () => all.map(peer => [...peer.bus.connected()].sort()),
    seen => JSON.stringify(seen) === '[["during-1"],["after-1","before-1"],["during-1"],[]]',
  )
  t.deepEqual(
    all.flatMap(peer => peer.suspicions),
    [],
  )
})

test('a peer whose answer came while this node was kept busy is not cut off', async t => {
  const pingMs = 100
  const [a, b] = [await peerOn(t, 'a', { pingMs }), await peerOn(t, 'b', { pingMs: 60_000 })]
  let pings = 0
  b.server.on('upgrade', (_, socket) => {
    // Behind the bus, which has answered then: the next ping of `a` is due before its answer is read.
    setImmediate(() =>
      socket.on('data', () => {
        pings++
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * pingMs)
      }),
    )
  })
  a.bus.connectTo([b])
  await eventually(() => pings >= 4 || a.suspicions.length > 0)
  t.deepEqual(a.suspicions, [])
  t.deepEqual(a.bus.connected(), ['b-1'])
})

/** The end of a listener, step by step, on real sockets: nobody who was let in is sent away without an answer. */
import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { Connections } from '../../src/api/connections.ts'
import { deferred, systemClock } from '../../src/async/index.ts'

async function served(t: ExecutionContext) {
  const gate = deferred()
  const server = createServer(async (incoming, response) => {
    if (incoming.url === '/slow') await gate.promise
    response.end(incoming.url)
  })
  const connections = new Connections(server, systemClock)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => {
    agent.destroy()
    connections.closeListener()
    connections.destroyAll()
  })
  const get = (path: string, options: { agent?: Agent } = { agent }) =>
    new Promise<{ text: string; reused: boolean }>((resolve, reject) => {
      const outgoing = request({ port, path, host: '127.0.0.1', ...options }, response => {
        let text = ''
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        response.on('end', () => resolve({ text, reused: outgoing.reusedSocket }))
      })
      outgoing.on('error', reject).end()
    })
  return { server, connections, get, gate }
}

test('with the listener closed nobody new is let in, and who is in is answered on the same connection', async t => {
  const { connections, get } = await served(t)
  t.is((await get('/1')).text, '/1')
  connections.closeListener()
  connections.closeListener()
  t.deepEqual(await get('/2'), { text: '/2', reused: true })
  await t.throwsAsync(get('/3', { agent: new Agent() }), { code: 'ECONNREFUSED' })
})

test('untilAnswered waits for the last answer, and says when it took too long', async t => {
  const { server, connections, get, gate } = await served(t)
  const arrived = once(server, 'request')
  const answer = get('/slow')
  await arrived
  t.is(connections.requests, 1)
  t.false(await connections.untilAnswered(1))
  const answered = connections.untilAnswered(60_000)
  gate.resolve()
  t.true(await answered)
  t.is((await answer).text, '/slow')
  t.is(connections.requests, 0)
})

test('closeIdle leaves a connection alone on which a request is under way', async t => {
  const { server, connections, get, gate } = await served(t)
  const arrived = once(server, 'request')
  const answer = get('/slow')
  await arrived
  connections.closeListener()
  await connections.closeIdle()
  t.is(connections.open, 1)
  gate.resolve()
  t.is((await answer).text, '/slow')
  await connections.closeIdle()
  t.true(await connections.untilClosed(60_000))
  t.is(connections.open, 0)
})

test('a client that leaves counts as answered, and a socket that was given away is not waited for', async t => {
  const { server, connections } = await served(t)
  const { port } = server.address() as AddressInfo
  const arrived = once(server, 'request')
  const outgoing = request({ port, path: '/slow', host: '127.0.0.1' })
  outgoing.on('error', () => {}).end()
  await arrived
  outgoing.destroy()
  t.true(await connections.untilAnswered(60_000))

  server.on('upgrade', (_request, socket) => connections.release(socket))
  const upgraded = once(server, 'upgrade')
  const peer = request({ port, host: '127.0.0.1', headers: { connection: 'upgrade', upgrade: 'websocket' } })
  peer.on('error', () => {}).end()
  const [, socket] = await upgraded
  t.true(await connections.untilClosed(60_000))
  socket.destroy()
})

/**
 * What the proxies' configurations of `docker/` promise, tried on the real proxies: what is repeated and what never is, what is
 * passed on, and what does not come through.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { eventually } from '../support/conditions.ts'
import { type ProxyKind, startProxy } from '../support/proxies.ts'

interface Received {
  readonly node: number
  readonly method: string
  /** How many requests its connection had carried before it. */
  readonly before: number
}

type Behaviour = (request: IncomingMessage, response: ServerResponse, node: number) => void

const ok: Behaviour = (_request, response, node) => response.end(String(node))

/** Three servers that answer as told, and the proxy before them. Requests to /readyz are not recorded. */
async function proxied(t: ExecutionContext, kind: ProxyKind, first: Behaviour = ok) {
  const received: Received[] = []
  const state = { behave: first, ready: [true, true, true] }
  const carried = new WeakMap<Socket, number>()
  const servers = await Promise.all(
    [0, 1, 2].map(async node => {
      const server = createServer((request, response) => {
        if (request.url === '/readyz') return void response.writeHead(state.ready[node] ? 200 : 503).end()
        const before = carried.get(request.socket) ?? 0
        carried.set(request.socket, before + 1)
        request.resume().once('end', () => {
          received.push({ node, method: request.method as string, before })
          state.behave(request, response, node)
        })
      })
      server.keepAliveTimeout = 120_000
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.teardown(() => {
        server.close()
        server.closeAllConnections()
      })
      return server
    }),
  )
  const nodes = servers.map(server => `127.0.0.1:${(server.address() as AddressInfo).port}`)
  const proxy = await startProxy(t, kind, nodes)
  return { url: proxy.url, servers, received, state }
}

for (const kind of ['nginx', 'haproxy'] as const) {
  test(`${kind}: requests are spread over the nodes`, async t => {
    const { url, received } = await proxied(t, kind)
    for (let count = 0; count < 12; count++) t.is((await fetch(`${url}/api/v1/cluster`)).status, 200)
    t.deepEqual([...new Set(received.map(({ node }) => node))].sort(), [0, 1, 2])
  })

  test(`${kind}: a node that refuses costs no request, not even a POST`, async t => {
    const { url, servers, received } = await proxied(t, kind)
    servers[1]?.close()
    servers[1]?.closeAllConnections()
    for (let count = 0; count < 30; count++) {
      const method = count % 2 === 0 ? 'POST' : 'GET'
      t.is((await fetch(`${url}/api/v1/queries`, { method, body: method === 'POST' ? '{}' : undefined })).status, 200)
    }
    t.is(received.length, 30)
    t.false(received.some(({ node }) => node === 1))
  })

  test(`${kind}: a POST that may have reached a node is never sent again`, async t => {
    const { url, received } = await proxied(t, kind, request => request.socket.destroy())
    const answer = await fetch(`${url}/api/v1/queries`, { method: 'POST', body: '{}' })
    t.is(answer.status, 502)
    t.is(received.length, 1)
  })

  test(`${kind}: a GET whose node dies before it answers is asked elsewhere`, async t => {
    const dying: Behaviour = (request, response, node) =>
      received.length === 1 ? request.socket.destroy() : ok(request, response, node)
    const { url, received, state } = await proxied(t, kind)
    state.behave = dying
    t.is((await fetch(`${url}/api/v1/queries`)).status, 200)
    t.is(received.length, 2)
    t.not(received[0]?.node, received[1]?.node)
  })

  test(`${kind}: what changes something never travels on a kept connection`, async t => {
    const { url, received } = await proxied(t, kind)
    for (const method of ['GET', 'GET', 'POST', 'GET', 'POST', 'DELETE', 'PATCH', 'GET', 'POST']) {
      await (await fetch(`${url}/api/v1/sessions`, { method, body: method === 'POST' ? '{}' : undefined })).text()
    }
    t.deepEqual(
      received.filter(({ method, before }) => method !== 'GET' && before > 0),
      [],
    )
  })

  test(`${kind}: 503 is passed on as it is and held against no node`, async t => {
    const { url, state } = await proxied(t, kind, (_request, response) => {
      response
        .writeHead(503, { 'retry-after': '1', 'content-type': 'application/problem+json' })
        .end('{"code":"STORE_UNAVAILABLE"}')
    })
    for (let count = 0; count < 9; count++) {
      const answer = await fetch(`${url}/api/v1/queries`)
      t.is(answer.status, 503)
      t.is(answer.headers.get('retry-after'), '1')
      t.is(await answer.text(), '{"code":"STORE_UNAVAILABLE"}')
    }
    state.behave = ok
    for (let count = 0; count < 9; count++) t.is((await fetch(`${url}/api/v1/queries`)).status, 200)
  })

  test(`${kind}: rows come through as they are written`, async t => {
    let finish = () => {}
    const { url } = await proxied(t, kind, (_request, response) => {
      response.write('first')
      finish = () => response.end('last')
    })
    const answer = await fetch(`${url}/api/v1/queries/h/results`)
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    // Only what has come through makes the server go on.
    t.is(new TextDecoder().decode((await reader.read()).value), 'first')
    finish()
    t.is(new TextDecoder().decode((await reader.read()).value), 'last')
  })

  test(`${kind}: a body that breaks off arrives broken off, not complete`, async t => {
    const { url } = await proxied(t, kind, (_request, response) => {
      response.write('part', () => response.socket?.destroy())
    })
    await t.throwsAsync(async () => (await fetch(`${url}/api/v1/queries/h/results`)).text())
  })

  test(`${kind}: WebSocket frames pass both ways, and a dying node closes the connection`, async t => {
    const { url, servers } = await proxied(t, kind)
    const accepted = servers.map(server => {
      const sockets = new WebSocketServer({ server, path: '/api/v1/stream' })
      return sockets.on('connection', socket => socket.on('message', data => socket.send(`echo ${data}`)))
    })
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/stream`)
    t.teardown(() => socket.terminate())
    await once(socket, 'open')
    socket.send('ping')
    t.is(String((await once(socket, 'message'))[0]), 'echo ping')
    const closed = once(socket, 'close')
    for (const sockets of accepted) for (const client of sockets.clients) client.terminate()
    await closed
  })

  test(`${kind}: paths between nodes and for operators stay inside`, async t => {
    const { url, received } = await proxied(t, kind)
    for (const path of ['/cluster/v1/bus', '/cluster/v1/identity', '/metrics'])
      t.is((await fetch(`${url}${path}`)).status, 404, path)
    t.is(received.length, 0)
  })
}

test('haproxy: a node that is not ready gets no new requests, while it still serves', async t => {
  const { url, received, state } = await proxied(t, 'haproxy')
  state.ready[0] = false
  await eventually(
    async () => {
      const before = received.length
      for (let count = 0; count < 6; count++) await (await fetch(`${url}/api/v1/cluster`)).text()
      return received.slice(before).map(({ node }) => node)
    },
    nodes => !nodes.includes(0),
  )
  t.true(received.some(({ node }) => node !== 0))
})

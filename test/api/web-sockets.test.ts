/** Which clients count as gone: those that leave a ping unanswered, and not those whose answer the node had no time to read. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { WebSocket } from 'ws'
import type { ApiContext } from '../../src/api/context.ts'
import { WebSockets } from '../../src/api/web-sockets.ts'
import { type Clock, systemClock, systemRandom } from '../../src/async/index.ts'
import { createMetrics, silentLogger } from '../../src/observability/index.ts'
import { eventually } from '../support/conditions.ts'

/** A server whose pings come when the test wants. */
async function serving(t: ExecutionContext) {
  let tick = () => {}
  const clock: Clock = {
    ...systemClock,
    every(_periodMs, task) {
      tick = task
      return () => undefined
    },
  }
  const metrics = createMetrics()
  t.teardown(() => metrics.close())
  const context = {
    ...{ clock, metrics, logger: silentLogger, random: systemRandom },
    ...{ config: { stream: { pingMs: 1_000 }, limits: { bodyBytesMax: 100_000 } } },
    ...{ gateway: { onDraining: () => () => undefined }, identity: () => ({ node: 'n', incarnation: 'i' }) },
  }
  const sockets = new WebSockets(context as unknown as ApiContext, {
    name: 'a stream',
    tokenOf: token => token,
    connect: socket => ({ drain: () => undefined, terminate: () => socket.terminate() }),
  })
  const server = createServer()
  server.on('upgrade', (request, socket, head) => void sockets.handleUpgrade(request, socket, head))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  sockets.start()
  t.teardown(() => {
    sockets.stop()
    server.close()
  })
  const connections = async () => (await metrics.connections.get()).values[0]?.value ?? 0
  return { tick: () => tick(), connections, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** A client with a loop of its own, which answers a ping while this one is kept busy; it counts them in shared memory. */
const answering = `
const { workerData, parentPort } = require('node:worker_threads')
const { WebSocket } = require('ws')
const socket = new WebSocket(workerData.url)
socket.on('open', () => parentPort.postMessage('open'))
socket.on('close', () => parentPort.postMessage('close'))
const pinged = new Int32Array(workerData.pinged)
socket.on('ping', () => setImmediate(() => { Atomics.add(pinged, 0, 1); Atomics.notify(pinged, 0) }))
`

test('an answer that came while the loop was kept busy counts, also when the next ping is due before it is read', async t => {
  const { tick, connections, url } = await serving(t)
  const pinged = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(answering, { eval: true, workerData: { url, pinged: pinged.buffer } })
  t.teardown(() => worker.terminate())
  let closed = false
  worker.on('message', what => {
    closed ||= what === 'close'
  })
  await once(worker, 'message')
  for (let times = 1; times <= 5; times++) {
    tick()
    // The ping is written when this turn of the loop is over.
    await new Promise(resolve => setImmediate(resolve))
    // Keeps the loop busy until the client has answered, so that the answer lies unread.
    for (let waits = 0; Atomics.load(pinged, 0) < times; waits++) {
      if (waits === 20) return t.fail(`ping ${times} did not arrive`)
      Atomics.wait(pinged, 0, Atomics.load(pinged, 0), 1_000)
    }
  }
  tick()
  await eventually(() => Atomics.load(pinged, 0) === 6)
  t.false(closed)
  t.is(await connections(), 1)
})

test('who leaves a ping unanswered is gone with the next one', async t => {
  const { tick, connections, url } = await serving(t)
  const socket = new WebSocket(url, { autoPong: false })
  socket.on('error', () => undefined)
  await once(socket, 'open')
  const pinged = once(socket, 'ping')
  tick()
  await pinged
  t.is(await connections(), 1)
  const closed = once(socket, 'close')
  tick()
  t.is((await closed)[0], 1006)
  await eventually(async () => (await connections()) === 0)
})

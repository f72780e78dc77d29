/**
 * An inspector that reads nothing, over a real socket, by a clock that stands still: so that how it is sent away does not hang on
 * who is given the processor first. A whole node that does so is in inspect.test.ts.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { type LiveQuery, SessionHost } from '../../src/actors/index.ts'
import { closeGraceMs } from '../../src/api/bounds.ts'
import { InspectorConnection } from '../../src/api/inspect/connection.ts'
import { Inspections } from '../../src/gateway/inspection.ts'
import { Lookups } from '../../src/gateway/lookups.ts'
import { createLogger, createMetrics } from '../../src/observability/index.ts'
import { ManualClock } from '../support/cluster/manual-clock.ts'
import { submittedQuery } from '../support/slow-engine.ts'

const bufferBytesMax = 131_072
/** More than any kernel takes for a reader that reads nothing. */
const stepsMax = 10_000
const plan = 'x'.repeat(100_000)

/** An inspector that stopped reading, after the node has found that out. */
async function stalled(t: ExecutionContext) {
  const { store, host, handle } = await submittedQuery(t, { slots: 0 })
  const { specification, epoch, committed } = host.find(handle) as LiveQuery
  const { user, sessionId } = specification
  const nodeId = committed?.context.owner.node as string
  const clock = new ManualClock()
  const logger = createLogger({ level: 'silent' })
  const metrics = createMetrics()
  const sessions = new SessionHost({
    ...{ sessions: store.sessions, clock, nodeId, passivateMs: 60_000 },
  })
  const inspections = new Inspections({
    ...{ host, sessions, clock, logger, nodeId, settings: { revalidateMs: 60_000 }, databaseNow: () => clock.now() },
    lookups: new Lookups(store, sessions, [], clock),
  })
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.close())
  server.on('connection', socket => {
    const gateway = {
      authenticate: () => Promise.reject(new Error('it has come with its token')),
      inspect: inspections.open.bind(inspections),
    }
    const context = { gateway, clock, logger, metrics, requestId: 'r', bufferBytesMax }
    new InspectorConnection(socket, context, { sessionId, user, admin: false })
  })
  await once(server, 'listening')
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => socket.terminate())
  // Whoever is cut off may be told so by a reset.
  socket.on('error', () => {})
  const closed = once(socket, 'close').then(([code, reason]) => ({ code, reason: String(reason) }))
  await once(socket, 'message')
  socket.pause()

  if (!committed) throw new Error('the submission is durable')
  const snapshot = { ...committed, context: { ...committed.context, plan } }
  const event = { type: 'ESTIMATED', lane: 'light', cost: 1, rows: null, at: '2026-01-01T00:00:00.000Z' } as const
  const slowReaders = async () => (await metrics.slowReaders.get()).values[0]?.value ?? 0
  let steps = 0
  while ((await slowReaders()) === 0 && steps++ < stepsMax) {
    inspections.committed([{ specification, epoch, snapshot, event }])
    await turn()
  }
  t.true(steps < stepsMax)
  return { socket, closed, clock, server }
}

test('a reader who is too slow is told so, if it reads on before the grace of a closing socket ends', async t => {
  const { socket, closed, clock } = await stalled(t)
  await clock.advance(closeGraceMs - 1)
  socket.resume()
  t.deepEqual(await closed, { code: 1013, reason: 'too slow; attach again' })
})

test('one who does not is cut off, and holds no memory of the node', async t => {
  const { socket, closed, clock, server } = await stalled(t)
  const [atNode] = [...server.clients]
  const ended = once(atNode as WebSocket, 'close')
  await clock.advance(closeGraceMs)
  await ended
  t.is(server.clients.size, 0)
  socket.resume()
  t.is((await closed).code, 1006)
})

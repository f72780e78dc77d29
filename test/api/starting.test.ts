/** A node whose database is not there yet: it says who it is and why it is not ready, and refuses everything else clearly. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import test from 'ava'
import { WebSocket } from 'ws'
import { startWaitMs } from '../../src/api/bounds.ts'
import { eventually } from '../support/conditions.ts'
import { createDatabase, privateMySqlServer } from '../support/mysql.ts'
import { TestCluster } from '../support/nodes.ts'

test('before it is ready, a node answers identity and health, and 503 to the rest', async t => {
  // A database that takes connections and never says a word.
  const silent = createServer(() => {})
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const cluster = new TestCluster(`mysql://lens:secret@127.0.0.1:${port}/lens`, { LENS_STORE_RETRY_MS: '0' })
  t.teardown(async () => {
    await cluster.stop()
    silent.close()
  })
  const node = await cluster.start({ name: 'n1' })
  await eventually(
    async () => (await node.call('GET', '/healthz')).status,
    status => status === 200,
  )

  const ready = await node.call('GET', '/readyz')
  t.is(ready.status, 503)
  t.is(ready.body.status, 'not ready')
  t.true(ready.body.reason.length > 0)
  const { body: identity } = await node.call('GET', '/cluster/v1/identity')
  t.is(identity.node, 'n1')
  t.is((await node.call('GET', '/metrics')).status, 200)
  t.is((await node.call('GET', '/openapi.json')).status, 200)

  for (const [method, path] of [
    ['POST', '/api/v1/sessions'],
    ['GET', '/api/v1/queries'],
    ['GET', `/api/v1/queries/${crypto.randomUUID()}`],
    ['GET', '/nothing'],
  ] as const) {
    const { status, body, headers } = await node.call(method, path, { token: 'a.b' })
    t.deepEqual([status, body.code, body.retryable, headers.get('retry-after')], [503, 'STORE_UNAVAILABLE', true, '1'])
    t.notRegex(JSON.stringify(body), /secret|mysql/)
  }
  const socket = new WebSocket(`${node.url.replace('http', 'ws')}/api/v1/stream`)
  const [, response] = await once(socket, 'unexpected-response')
  t.is(response.statusCode, 503)
  response.destroy()
})

test('who asks a node that takes long to start waits for it as long as for a store that is away', async t => {
  const server = await privateMySqlServer(t)
  const url = await createDatabase(t, server.url)
  // Accepts connections, and answers nothing until it is resumed.
  server.pause()
  t.teardown(() => server.resume())
  const cluster = new TestCluster(url, { LENS_STORE_RETRY_MS: '60000' })
  t.teardown(() => cluster.stop())
  const node = await cluster.start({ name: 'n1' })
  await eventually(async () => (await node.call('GET', '/healthz')).status === 200)
  const asked = performance.now()
  const answer = node.call('POST', '/api/v1/sessions', { body: { user: 'ada' } })
  await eventually(() => performance.now() > asked + startWaitMs * 1.5)
  server.resume()
  t.is((await answer).status, 201)
})

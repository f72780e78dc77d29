/** A node that leaves: its subscribers are told where to go, long polls end early, and whoever is connected is answered. */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import test from 'ava'
import { TestCluster } from '../../support/nodes.ts'
import { endless } from '../../support/sleeping.ts'
import { StreamClient } from '../../support/wire.ts'

// DuckDB ends with its node: what runs is waited for this long, then it runs again elsewhere.
const cluster = new TestCluster(null, { LENS_DRAIN_GRACE_MS: '100' })
test.after.always(() => cluster.stop())

test('draining: subscribers are sent on, long polls answered, connections told to close', async t => {
  const [leaving, staying] = (await cluster.startAll(2)) as [
    Awaited<ReturnType<TestCluster['start']>>,
    Awaited<ReturnType<TestCluster['start']>>,
  ]
  const { token } = await leaving.session('ann')
  const { handle } = await leaving.submit(token, {
    sql: endless,
  })
  const client = await new StreamClient(leaving.url, { token }).opened()
  const unauthenticated = await new StreamClient(leaving.url).opened()
  t.teardown(() => {
    client.terminate()
    unauthenticated.terminate()
  })
  client.send({ type: 'subscribe', id: 'q', topic: 'query', handle, after: 0 })
  await client.frame('the first version', frame => frame.type === 'query')

  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const get = async (path: string) => {
    const outgoing = request(`${leaving.url}${path}`, { agent, headers: { authorization: `Bearer ${token}` } }).end()
    const [response] = await once(outgoing, 'response')
    const body = JSON.parse(Buffer.concat(await response.toArray()).toString())
    return { status: response.statusCode as number, connection: response.headers.connection as string, body }
  }
  t.is((await get('/readyz')).connection, 'keep-alive')
  // No version is so high: only the drain ends this wait.
  const longPoll = get(`/api/v1/queries/${handle}?after=1000000&waitMs=60000`)

  leaving.signal('SIGTERM')
  const { status, connection, body } = await longPoll
  t.deepEqual([status, connection, body.handle], [200, 'close', handle])
  const draining = await client.frame('draining', frame => frame.type === 'draining')
  t.deepEqual(draining.reconnectTo, [staying.url])
  t.is((await client.end()).code, 1012)
  // Who has not said who it is gets nothing, and does not keep the node.
  t.deepEqual(unauthenticated.frames, [])
  t.deepEqual(await leaving.exited, { code: 0, signal: null })

  const seen = client.frames.filter(frame => frame.type === 'query').map(frame => frame.query.version)
  const again = await new StreamClient(staying.url, { token }).opened()
  t.teardown(() => again.terminate())
  again.send({ type: 'subscribe', id: 'q', topic: 'query', handle, after: seen.at(-1) })
  await staying.call('DELETE', `/api/v1/queries/${handle}`, { token })
  const last = await again.frame('the end', frame => frame.type === 'query' && frame.query.outcome !== null)
  t.is(last.query.outcome, 'CANCELED')
  const all = [...seen, ...again.frames.filter(frame => frame.type === 'query').map(frame => frame.query.version)]
  t.deepEqual(
    all,
    all.map((_, index) => index + 1),
  )
})

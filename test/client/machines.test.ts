/** The calls about machines against a real node: graphs, moments, and how many are where. */
import test from 'ava'
import { LensClient, type LensClientError } from '../../src/client/index.ts'
import { TestCluster } from '../support/nodes.ts'
import { endlessSql } from './support.ts'

const cluster = new TestCluster(null)
test.after.always(() => cluster.stop())

test('machines are read at any version, and counted as they move', async t => {
  const nodes = await cluster.startAll(1)
  const client = new LensClient({ endpoints: nodes.map(({ url }) => url), user: 'machinist' })
  t.teardown(() => client.close({ cancelQueries: true }))
  const { query: graph, session } = await client.machines()
  t.true(graph.states.some(({ path }) => path === 'RUNNING.following'))
  t.is(session.initial, 'NEW')

  // Zero, then one running, then none: each was told.
  let handle: string | null = null
  const seen: number[] = []
  for await (const { queries, sessions } of client.subscribeMachines()) {
    t.is(sessions.OPEN, 1)
    const running = queries.RUNNING ?? 0
    if (running !== seen.at(-1)) seen.push(running)
    if (handle === null) handle = (await client.submit(endlessSql)).handle
    else if (running === 1) await client.handle(handle).cancel()
    else if (seen.includes(1)) break
  }
  t.deepEqual(seen, [0, 1, 0])

  const ended = await client.handle(handle as string).wait()
  t.like(await client.queryMachine(ended.handle), { version: ended.version, value: 'CANCELED' })
  t.like(await client.queryMachine(ended.handle, 1), { version: 1, value: 'QUEUED' })
  const failure = await t.throwsAsync(client.queryMachine(ended.handle, ended.version + 1))
  t.is((failure as LensClientError).code, 'NOT_FOUND')
  const [id = ''] = (await client.token()).split('.')
  t.like(await client.sessionMachine(id), { value: 'OPEN' })
})

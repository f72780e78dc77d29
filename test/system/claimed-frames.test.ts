/**
 * A query that only waits makes no step by itself after its node died: that it has another owner is told all the same, by the new
 * owner, to subscribers on every node. Here nobody compares with the database in time: what comes was told.
 */
import test from 'ava'
import { mysqlDatabases } from '../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { endless } from '../support/sleeping.ts'
import { StreamClient } from '../support/wire.ts'

const databases = mysqlDatabases(test)

test('subscribers hear who claimed a waiting query without looking for it', async t => {
  const cluster = new TestCluster(await databases.create(t), {
    LENS_LANES_HEAVY_SLOTS: '1',
    LENS_SESSIONS_REVALIDATE_MS: '60000',
  })
  t.teardown(() => cluster.stop())
  await cluster.startAll(3)
  const leader = await cluster.leader()
  const [victim] = cluster.running.filter(node => node !== leader) as [NodeProcess]
  const survivors = cluster.running.filter(node => node !== victim)
  const { token } = await leader.session('ada')
  const running = await leader.submit(token, { sql: endless, lane: 'heavy' })
  await eventually('the slot is taken', async () => (await leader.query(token, running.handle)).status === 'RUNNING')
  const { handle } = await victim.submit(token, { sql: endless, lane: 'heavy' })
  const subscribers = await Promise.all(survivors.map(node => new StreamClient(node.url, { token }).opened()))
  t.teardown(() => {
    for (const subscriber of subscribers) subscriber.terminate()
  })
  for (const subscriber of subscribers) {
    subscriber.send({ type: 'subscribe', id: 's', topic: 'query', handle })
    const first = await subscriber.frame('its first state', ({ type }) => type === 'query')
    t.is(first.query.owner.node, victim.name)
  }
  await victim.kill()
  for (const subscriber of subscribers) {
    const claimed = await eventually(
      'the frame of the claim',
      () => subscriber.frames.find(({ type, query }) => type === 'query' && query.owner.node !== victim.name),
      30_000,
    )
    t.is(claimed.query.status, 'QUEUED')
    t.is(claimed.query.version, 2)
    t.is(claimed.query.owner.epoch, 2)
  }
})

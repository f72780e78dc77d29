/** A query whose engine gives out a handle: what an inspection and the machine calls may show of it, which are its names alone. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { createWebSocketReceiver } from '@statelyai/inspect'
import test from 'ava'
import { eventually, TestCluster } from '../support/nodes.ts'
import { postgresDatabases } from '../support/postgresql.ts'

const databases = postgresDatabases(test)
const cluster = new TestCluster(null)
test.after.always(() => cluster.stop())

test('values of an engine’s handle are shown to nobody, neither in an inspection nor by the machine calls', async t => {
  const url = await databases.create()
  const file = path.join(cluster.folder, 'lens.yaml')
  writeFileSync(file, JSON.stringify({ engines: { duckdb: null, app: { driver: 'postgresql', url } } }))
  const env = { LENS_CONFIG: file, LENS_ENGINES_DUCKDB_THREADS: '' }
  const node = await (await cluster.start({ name: 'n1', env })).ready()
  const { token } = await node.session('ann')
  const seen: any[] = []
  const server = `ws://any:${token}@${node.url.slice('http://'.length)}/api/v1/inspect`
  createWebSocketReceiver({ server }).subscribe(event => {
    seen.push(event)
  })
  const { handle } = await node.submit(token, { sql: 'select pg_sleep(3600)' })
  await eventually('it runs', async () => (await node.query(token, handle)).status === 'RUNNING')
  const { version } = await node.query(token, handle)
  const told = await eventually('the receiver sees it run', () =>
    seen.find(({ sessionId, snapshot }) => sessionId === handle && snapshot?.context.version === version),
  )
  const { body } = await node.call('GET', `/api/v1/queries/${handle}/machine`, { token })
  const replayed = await node.call('GET', `/api/v1/queries/${handle}/machine?version=${version}`, { token })
  const shown = [told.snapshot.context, body.context, replayed.body.context]
  // The events that brought it bring no more.
  const brought = seen.filter(({ sessionId, event }) => sessionId === handle && event?.engineHandle)
  t.true(brought.length > 0)
  for (const { engineHandle } of [...shown, ...brought.map(({ event }) => event)]) {
    t.true(Object.keys(engineHandle).includes('pid'))
    t.deepEqual(new Set(Object.values(engineHandle)), new Set(['[redacted]']))
  }
  await node.call('DELETE', `/api/v1/queries/${handle}`, { token })
  t.is((await node.ended(token, handle)).status, 'CANCELED')
})

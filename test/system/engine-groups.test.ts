/** Engines of one kind under one name: a query goes to the freest, and on to another when its own is lost. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { sqlAt } from '../engines/postgresql-support.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { PostgresServer } from '../support/postgresql.ts'

const over: (() => unknown)[] = []
let servers: Record<'one' | 'two', PostgresServer>
let urls: Record<'one' | 'two', string>
let node: NodeProcess

test.before(async () => {
  const [one, two] = await Promise.all([PostgresServer.start(), PostgresServer.start()])
  over.push(() => Promise.all([one.destroy(), two.destroy()]))
  servers = { one, two }
  urls = { one: await one.create('app'), two: await two.create('app') }
  for (const [name, url] of Object.entries(urls))
    await sqlAt(url, `CREATE TABLE here AS SELECT '${name}' AS name; ANALYZE here`)
  const cluster = new TestCluster(null)
  over.push(() => cluster.stop())
  const file = path.join(cluster.folder, 'lens.yaml')
  const engine = (url: string) => ({ driver: 'postgresql', url, group: 'warehouse', slots: { light: 2, heavy: 1 } })
  writeFileSync(file, JSON.stringify({ engines: { duckdb: null, one: engine(urls.one), two: engine(urls.two) } }))
  node = await cluster.start({ name: 'n1', env: { LENS_CONFIG: file, LENS_ENGINES_DUCKDB_THREADS: '' } })
  await node.ready()
})

test.after.always(async () => {
  for (const task of over.reverse()) await task()
})

const nap = 'SELECT name, pg_sleep(600) IS NULL AS slept FROM here'

test.serial('queries of a group are spread by how full its engines are', async t => {
  const { token } = await node.session('ann')
  const handles: string[] = []
  for (let count = 0; count < 5; count++) {
    const { handle } = await node.submit(token, { sql: nap, engine: 'warehouse', lane: count % 2 ? 'light' : 'auto' })
    handles.push(handle)
    if (count < 4) await eventually('it runs', async () => (await node.query(token, handle)).status === 'RUNNING')
  }
  const engines = await Promise.all(handles.slice(0, 4).map(async handle => (await node.query(token, handle)).engine))
  t.deepEqual(engines.sort(), ['one', 'one', 'two', 'two'])
  t.is((await node.query(token, handles[4] as string)).status, 'QUEUED')
  // One that names an engine of the group gets that one.
  const named = await node.submit(token, { sql: 'SELECT name FROM here', engine: 'two', lane: 'heavy' })
  t.is((await node.ended(token, named.handle)).engine, 'two')
  t.deepEqual(await node.rows(token, named.handle), [['two']])
  for (const handle of handles) await node.call('DELETE', `/api/v1/queries/${handle}`, { token })
  for (const handle of handles) t.is((await node.ended(token, handle)).outcome, 'CANCELED')
})

test.serial(
  'an attempt that lost its engine goes to another of the group, and so does what comes after it',
  async t => {
    const { token } = await node.session('ann')
    // Named by itself: its group stands in for it all the same.
    const { handle } = await node.submit(token, { sql: 'SELECT name, pg_sleep(2) IS NULL FROM here', engine: 'one' })
    await eventually('it runs', async () => (await node.query(token, handle)).status === 'RUNNING')
    await servers.one.destroy()
    const query = await node.ended(token, handle)
    t.like(query, { outcome: 'SUCCESSFUL', engine: 'two', attempt: 2 })
    t.like(query.failedAttempts, [{ attempt: 1, engine: 'one', code: 'ENGINE_UNAVAILABLE' }])
    t.is((await node.rows(token, handle))[0]?.[0], 'two')

    const health = async () =>
      (await node.call('GET', '/api/v1/engines', { token })).body.engines.map(
        ({ name, group, healthy }: { name: string; group: string; healthy: boolean }) => `${group} ${name} ${healthy}`,
      )
    await eventually('its loss is known', async () => (await health()).includes('warehouse one false'))
    t.deepEqual(await health(), ['warehouse one false', 'warehouse two true'])
    for (let count = 0; count < 3; count++) {
      const { handle: next } = await node.submit(token, { sql: 'SELECT name FROM here', engine: 'warehouse' })
      t.like(await node.ended(token, next), { outcome: 'SUCCESSFUL', engine: 'two', attempt: 1 })
    }
  },
)

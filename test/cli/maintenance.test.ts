/** `lens config check` and `lens migrate`. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import test from 'ava'
import { temporaryFolder } from '../support/folders.ts'
import { run } from './support.ts'

test('config check: a sound configuration, without making anything', async t => {
  const cwd = await temporaryFolder(t)
  const { code, out } = await run(t, ['config', 'check', '--node-id', 'n1'], { cwd })
  t.is(code, 0)
  t.is(out, `The configuration is sound: n1 on sqlite:${cwd}/data/lens.db.\n`)
  t.false(existsSync(`${cwd}/data`))
})

test('config check: all faults at once, each with its key', async t => {
  const cwd = await temporaryFolder(t)
  await writeFile(`${cwd}/lens.yaml`, 'lanes:\n  heavy:\n    slotz: 3\ncluster:\n  leaseMs: never\n')
  const args = ['config', 'check', '--config', 'lens.yaml', '--port', '99999']
  const { code, out, err } = await run(t, args, { cwd, env: { LENS_HEARTBEAT_MS: 'x' } })
  t.is(code, 2)
  t.is(out, '')
  for (const key of ['lanes.heavy.slotz', 'cluster.leaseMs', 'cluster.heartbeatMs', 'node.port'])
    t.true(err.includes(key), key)
})

test('config check --print shows no secret', async t => {
  const cwd = await temporaryFolder(t)
  const env = {
    LENS_STORE_URL: 'mysql://lens:hunter2@127.0.0.1/lens',
    LENS_CLUSTER_SECRET: 'a very secret text indeed',
  }
  const { code, out } = await run(t, ['config', 'check', '--print', '--set', 'lanes.heavy.slots=7'], { cwd, env })
  t.is(code, 0)
  t.is(JSON.parse(out).lanes.heavy.slots, 7)
  t.false(/hunter2|very secret/.test(out))
})

test('migrate: makes the schema, and a second time changes nothing', async t => {
  const cwd = await temporaryFolder(t)
  for (const _ of [1, 2]) {
    const { code, out, err } = await run(t, ['migrate', '--store-url', 'sqlite:./lens.db'], { cwd })
    t.deepEqual([code, out], [0, `The schema of sqlite:${cwd}/lens.db is up to date.\n`], err)
  }
  const database = new DatabaseSync(`${cwd}/lens.db`, { readOnly: true })
  const tables = database
    .prepare("select name from sqlite_master where type = 'table'")
    .all()
    .map(({ name }) => name)
  database.close()
  for (const table of ['session', 'current_query', 'finished_query', 'member', 'lease'])
    t.true(tables.includes(table), table)
})

test('migrate: a store that cannot be reached gives 3', async t => {
  const cwd = await temporaryFolder(t)
  const args = ['migrate', '--store-url', 'mysql://lens:hunter2@127.0.0.1:1/lens', '--set', 'store.retryMs=200']
  const { code, err } = await run(t, args, { cwd, env: { LENS_CLUSTER_SECRET: 'a very secret text indeed' } })
  t.is(code, 3)
  t.regex(err, /STORE_UNAVAILABLE/)
  t.false(err.includes('hunter2'))
})

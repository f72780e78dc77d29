/** What a statement may do to its engine, and what it may not reach through it: asked of whole nodes, over the API. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { eventually } from '../support/conditions.ts'
import { engineProcessesOf, runs } from '../support/engine-processes.ts'
import { temporaryFolder } from '../support/folders.ts'
import { ask, brokenInvariants } from '../support/invariants.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { endless, sleepingFor } from '../support/sleeping.ts'

const shared = sharedCluster(test, {
  nodes: 2,
  env: { LENS_LANES_HEAVY_SLOTS: '2', LENS_LIMITS_RUNNING_PER_USER: '1000' },
})

async function transitionsOf(node: NodeProcess, token: string, handle: string): Promise<any[]> {
  return (await node.call('GET', `/api/v1/queries/${handle}/transitions`, { token })).body.transitions
}

test.serial('a query under which its engine process dies three times fails, alone', async t => {
  const [node, other] = [shared.node('n1'), shared.node('n2')]
  const { token } = await node.session('killer')
  const members = () =>
    ask(shared.storeUrl, "SELECT incarnation FROM member WHERE state = 'alive' ORDER BY incarnation")
  const before = await members()
  const culprit = await node.submit(token, { sql: endless, lane: 'light' })
  const innocent = await node.submit(token, { sql: sleepingFor(3_000), lane: 'light' })
  for (const { handle } of [culprit, innocent])
    await eventually(
      () => node.query(token, handle),
      query => query.status === 'RUNNING',
      { what: `${handle} runs` },
    )
  const [common, ...none] = engineProcessesOf(node.pid)
  t.deepEqual(none, [], 'both ran in the one process')
  process.kill(common as number, 'SIGKILL')

  // After a death each has a process of its own; the log says which is whose, the system that it is the node's.
  const killed = new Set<number>()
  for (const attempt of [2, 3]) {
    const pid = await eventually(
      async () => {
        const query = await other.query(token, culprit.handle)
        if (query.outcome !== null) throw new Error(`it has ended: ${JSON.stringify(query)}`)
        if (query.status !== 'RUNNING' || query.attempt !== attempt) return null
        const line = node.log.findLast(
          ({ msg, handle, enginePid }) =>
            handle === culprit.handle && msg?.includes('isolated') && !killed.has(Number(enginePid)),
        )
        return line ? Number(line.enginePid) : null
      },
      pid => pid !== null,
      { what: `attempt ${attempt} in a process of its own` },
    )
    t.true(engineProcessesOf(node.pid).includes(pid as number))
    killed.add(pid as number)
    process.kill(pid as number, 'SIGKILL')
  }

  const failed = await other.ended(token, culprit.handle)
  t.is(failed.status, 'FAILED')
  t.is(failed.error.code, 'RECOVERY_FAILED', JSON.stringify(failed.error))
  t.is(failed.failedAttempts.length, 3)
  t.deepEqual(
    failed.failedAttempts.map((failure: any) => failure.node),
    [node.name, node.name, node.name],
  )
  const spared = await other.ended(token, innocent.handle)
  t.is(spared.status, 'SUCCESSFUL', JSON.stringify(spared.error))
  t.is(spared.failedAttempts.length, 1)
  t.deepEqual(await other.rows(token, innocent.handle), [[true]])

  t.deepEqual(await members(), before, 'no node was lost')
  // The one that all share; those of the suspect alone are its own matter.
  const deaths = /^lens_engine_process_deaths_total\{engine="duckdb"\} 1$/m
  t.regex(await node.metrics(), deaths)
  t.notRegex(await other.metrics(), /^lens_engine_process_deaths_total\{/m)
  t.deepEqual([node.running, other.running], [true, true])
  // The node goes on with a new engine process, and the isolated ones are gone.
  const next = await node.submit(token, {
    sql: 'select count(*)::int n from flights where distance = 0',
    lane: 'light',
  })
  t.is((await node.ended(token, next.handle)).status, 'SUCCESSFUL')
  await eventually(
    () => [...killed].filter(runs).length + engineProcessesOf(node.pid).length,
    count => count === 1,
    { what: 'one engine process' },
  )
  t.deepEqual(await brokenInvariants(shared.storeUrl, [culprit.handle, innocent.handle, next.handle]), [])
})

test.serial('a deadline ends what runs and what waits', async t => {
  const [node, other] = [shared.node('n1'), shared.node('n2')]
  const { token } = await node.session('late')
  // A slot of the lane on each node.
  const blockers = await Promise.all(
    shared.nodes.map(async each => (await each.submit(token, { sql: endless, lane: 'heavy' })).handle as string),
  )
  for (const handle of blockers)
    await eventually(
      () => other.query(token, handle),
      query => query.status === 'RUNNING',
      { what: `${handle} runs` },
    )
  const waiting = await node.submit(token, { sql: endless, lane: 'heavy', deadlineMs: 1_000 })
  const running = await node.submit(token, { sql: endless, lane: 'light', deadlineMs: 4_000 })
  for (const { handle } of [waiting, running]) {
    const { status, error } = await other.ended(token, handle)
    t.is(status, 'FAILED')
    t.is(error.code, 'DEADLINE_EXCEEDED')
  }
  const statuses = async (handle: string) => (await transitionsOf(other, token, handle)).map(({ to }) => to)
  t.false((await statuses(waiting.handle)).includes('LAUNCHED'))
  t.true((await statuses(running.handle)).includes('RUNNING'))
  for (const handle of blockers) {
    t.is((await other.query(token, handle)).status, 'RUNNING', 'others go on')
    await other.call('DELETE', `/api/v1/queries/${handle}`, { token })
    t.is((await node.ended(token, handle)).status, 'CANCELED')
  }
  t.deepEqual(await brokenInvariants(shared.storeUrl, [...blockers, waiting.handle, running.handle]), [])
})

const secret = 'only-for-the-server'

function checksums(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return Object.fromEntries(
    files
      .map(entry => path.join(entry.parentPath, entry.name))
      .sort()
      .map(file => [file, createHash('sha256').update(readFileSync(file)).digest('hex')]),
  )
}

/** A node on the embedded store, with a table of its own, results in a folder, and files that are nobody's business. */
async function guardedNode(t: ExecutionContext) {
  const folder = await temporaryFolder(t, 'guarded')
  const at = (name: string) => path.join(folder, name)
  for (const name of ['tables', 'results', 'server']) mkdirSync(at(name))
  writeFileSync(at('tables/items.csv'), 'id,name\n1,one\n2,two\n')
  writeFileSync(at('server/secret.csv'), `value\n${secret}\n`)
  writeFileSync(at('lens.yaml'), JSON.stringify({ engines: { duckdb: { tables: { items: at('tables/items.csv') } } } }))
  const cluster = new TestCluster(null, { LENS_CONFIG: at('lens.yaml'), LENS_RESULTS_DIRECTORY: at('results') })
  t.teardown(() => cluster.stop())
  const node = await (await cluster.start({ name: 'guarded' })).ready()
  return { node, at, store: path.join(cluster.folder, 'lens.db') }
}

test.serial(
  'nothing but the tables is reached: no file, no store, no result of others, no setting, no extension',
  async t => {
    const { node, at, store } = await guardedNode(t)
    const victim = await node.session('victim')
    const { handle } = await node.submit(victim.token, { sql: `select '${secret}' s from items` })
    t.is((await node.ended(victim.token, handle)).status, 'SUCCESSFUL')
    const [result] = Object.keys(checksums(at('results')))
    t.truthy(result, 'the rows of another user lie in a file')
    const before = {
      tables: checksums(at('tables')),
      results: checksums(at('results')),
      server: checksums(at('server')),
    }
    const flights = new URL('../../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url).pathname
    const flightsBefore = createHash('sha256').update(readFileSync(flights)).digest('hex')
    const [engine] = engineProcessesOf(node.pid)
    const engineFolder = `/proc/${engine}/cwd`

    const statements = [
      // Files of the server, as whatever they are read.
      `select * from '${at('server/secret.csv')}'`,
      `select * from read_csv('${at('server/secret.csv')}')`,
      `select * from read_text('/etc/passwd')`,
      `select * from read_blob('/proc/self/environ')`,
      `select * from glob('/*')`,
      `select content from read_text('/proc/${node.pid}/environ')`,
      `select * from read_text('${at('lens.yaml')}')`,
      `select * from '${engineFolder}/../../../etc/passwd'`,
      `explain analyze select * from read_csv('${at('server/secret.csv')}')`,
      // The store.
      `attach '${store}' as stolen (type sqlite)`,
      `select * from sqlite_scan('${store}', 'session')`,
      `select * from read_blob('${store}')`,
      // Results of others, and the table's own file beside its name.
      `select * from read_blob('${result}')`,
      `select * from read_blob('${at('results')}/**')`,
      `copy (select 1) to '${result}'`,
      // Writing.
      `copy (select 9 as id, 'nine' as name) to '${at('tables/items.csv')}'`,
      `copy items to '${at('tables/items.csv')}'`,
      `copy (select 1) to '${flights}' (format parquet)`,
      `copy (select 1) to '${at('server/new.csv')}'`,
      `explain analyze copy (select 1) to '${at('tables/items.csv')}'`,
      `export database '${at('server')}'`,
      "insert into items values (3, 'three')",
      'delete from items',
      'drop view items',
      'create table made as select 1',
      // Settings and extensions.
      'set enable_external_access = true',
      'set lock_configuration = false',
      'reset all',
      'pragma enable_profiling',
      "select current_setting('temp_directory')",
      'select * from duckdb_settings()',
      'install httpfs',
      'load httpfs',
      `load '${at('server/x.duckdb_extension')}'`,
      // Several at once.
      'select 1; select 2',
      `select 1; copy (select 1) to '${at('tables/items.csv')}'`,
    ]
    const { token } = await node.session('intruder')
    for (const sql of statements) {
      const sync = await node.call('POST', '/api/v1/queries', { token, body: { sql, mode: 'sync' } })
      t.is(sync.status, 400, `${sql}: ${JSON.stringify(sync.body)}`)
      t.is(sync.body.code, 'SQL_INVALID')
      const accepted = await node.submit(token, { sql })
      const failed = await node.ended(token, accepted.handle)
      t.is(failed.status, 'FAILED', sql)
      t.is(failed.error.code, 'SQL_INVALID', sql)
      for (const operation of ['estimate', 'explain']) {
        const answer = await node.call('POST', '/api/v1/queries', { token, body: { sql, operation, mode: 'sync' } })
        t.is(answer.body.code, 'SQL_INVALID', `${operation} ${sql}: ${JSON.stringify(answer.body)}`)
      }
      const prepared = await node.call('POST', '/api/v1/prepared-queries', { token, body: { sql } })
      t.is(prepared.body.code, 'SQL_INVALID', `prepare ${sql}: ${JSON.stringify(prepared.body)}`)
      for (const message of [sync.body.detail, failed.error.message, prepared.body.detail]) {
        t.false(message.includes(secret), message)
        // A path may be told only where the client told it first.
        for (const told of message.match(/\/[\w.@+-]+(?:\/[\w.@+-]+)+/g) ?? []) t.true(sql.includes(told), message)
        if (!sql.startsWith('explain')) t.notRegex(message, /FORMAT JSON/)
      }
    }
    t.deepEqual(
      { tables: checksums(at('tables')), results: checksums(at('results')), server: checksums(at('server')) },
      before,
    )
    t.is(createHash('sha256').update(readFileSync(flights)).digest('hex'), flightsBefore)
    // The API is no way around either.
    t.is((await node.call('GET', `/api/v1/queries/${handle}/results`, { token })).status, 404)
    const still = await node.submit(token, { sql: 'select * from items order by id' })
    await node.ended(token, still.handle)
    t.deepEqual(await node.rows(token, still.handle), [
      ['1', 'one'],
      ['2', 'two'],
    ])
  },
)

test.serial('an error quotes and marks the text that the client sent', async t => {
  const { token } = await shared.node('n1').session('typist')
  const sql = 'select distance,\n  destinaton\nfrom flights'
  const marked = /\n\nLINE 2: {3}destinaton\n {10}\^/
  const sync = await shared.node('n1').call('POST', '/api/v1/queries', { token, body: { sql, mode: 'sync' } })
  t.is(sync.status, 400)
  t.regex(sync.body.detail, marked)
  const { handle } = await shared.node('n2').submit(token, { sql })
  t.regex((await shared.node('n1').ended(token, handle)).error.message, marked)
})

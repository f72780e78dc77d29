/**
 * The owner of a running INSERT is killed, at every moment around its commit: the rows are there exactly once, and the query says so.
 * What was on its way when its sender died arrives after the takeover, as a network may have it.
 */
import test, { type ExecutionContext } from 'ava'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { commitOf, type Matches, MySqlProxy } from '../support/mysql-proxy.ts'
import { eventually, type NodeProcess, TestCluster } from '../support/nodes.ts'
import { mariaDbEngine, moments, postgreSqlEngine, type TransactionalEngine } from '../support/transactional-engines.ts'

const mysql = mysqlDatabases(test)
const engines: readonly TransactionalEngine[] = [mariaDbEngine(test), postgreSqlEngine(test)]

/** One cluster for all tests of an engine: two nodes that stay, and for each test one that does not. */
class Stage {
  readonly engine: TransactionalEngine
  readonly storeUrl: string
  readonly #cluster: TestCluster
  #victims = 0

  private constructor(engine: TransactionalEngine, storeUrl: string, cluster: TestCluster) {
    this.engine = engine
    this.storeUrl = storeUrl
    this.#cluster = cluster
  }

  static async open(engine: TransactionalEngine, over: (task: () => unknown) => void): Promise<Stage> {
    const storeUrl = await mysql.create({ teardown: over })
    const cluster = new TestCluster(storeUrl, {
      ...(await engine.open()),
      // So that its counters are kept and can be compared.
      LENS_LIMITS_RUNNING_PER_USER: '1000',
    })
    over(() => cluster.stop())
    await cluster.startAll(2)
    return new Stage(engine, storeUrl, cluster)
  }

  get survivor(): NodeProcess {
    const [node] = this.#cluster.running
    if (!node) throw new Error('no node runs')
    return node
  }

  /** A node whose ways to its engine and to its store can be held. */
  async victim(t: ExecutionContext) {
    const way = await this.engine.way(t)
    const store = await MySqlProxy.start(t, this.storeUrl)
    const env = { ...way.env, LENS_STORE_URL: store.url }
    const node = await this.#cluster.start({ name: `victim-${++this.#victims}`, env })
    t.teardown(() => node.kill())
    await node.ready()
    await this.#cluster.settled(3)
    const { token } = await node.session('writer')
    const submit = async (sql: string, more: Record<string, unknown> = {}): Promise<string> =>
      (await node.submit(token, { sql, engine: 'app', lane: 'light', ...more })).handle
    return { node, way, store, token, submit, ended: (handle: string) => this.survivor.ended(token, handle) }
  }
}

for (const engine of engines) {
  const tasks: (() => unknown)[] = []
  let opened: Promise<Stage> | undefined
  const stage = () => {
    opened ??= Stage.open(engine, task => tasks.push(task))
    return opened
  }
  test.after.always(`end the cluster on ${engine.name}`, async () => {
    for (const task of tasks.reverse()) await task()
  })

  for (const moment of moments)
    test.serial(`${engine.name}: killed with ${moment}`, async t => {
      const { storeUrl } = await stage()
      const { node, way, submit, ended } = await (await stage()).victim(t)
      const held = way.hold(moment)
      const handle = await submit(engine.insert(1000))
      await held.first
      await node.kill()
      const query = await ended(handle)
      t.is(query.status, 'SUCCESSFUL', JSON.stringify(query.error))
      t.is(query.attempt, moment === 'the commit done' ? 1 : 2)
      held.release()
      t.is(await engine.taken(), 1000)
      t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
    })

  test.serial(
    `${engine.name}: killed with the commit done, and rows owed: they are lost, and that is said`,
    async t => {
      const { storeUrl } = await stage()
      const { node, way, submit, ended } = await (await stage()).victim(t)
      const held = way.hold('the commit done')
      const handle = await submit(engine.insert(1000, 'RETURNING a'))
      await held.first
      await node.kill()
      const query = await ended(handle)
      t.like(query, { status: 'FAILED', error: { code: 'RECOVERY_FAILED' }, attempt: 1 })
      held.release()
      t.is(await engine.taken(), 1000)
      t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
    },
  )

  const step = /UPDATE `?current_query/i
  const transition = /INSERT INTO `?query_transition/i
  for (const [what, at, attempt] of [
    ['its identity not durable', commitOf(step, transition, /IDENTIFIED/), 2],
    ['its start not durable', commitOf(step, transition, /STARTED/), 2],
    ['its end not durable', commitOf(step, transition, /EXECUTED/), 1],
  ] as const satisfies readonly (readonly [string, Matches, number])[])
    test.serial(`${engine.name}: killed with ${what}`, async t => {
      const { storeUrl } = await stage()
      const { node, store, submit, ended } = await (await stage()).victim(t)
      const held = store.holdNext(at)
      const handle = await submit(engine.insert(1000))
      await held.first
      await node.kill()
      const query = await ended(handle)
      t.is(query.status, 'SUCCESSFUL', JSON.stringify(query.error))
      t.is(query.attempt, attempt)
      held.release()
      t.is(await engine.taken(), 1000)
      t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
    })

  test.serial(
    `${engine.name}: what ran for the killed is ended: a query runs again, a write outside a transaction does not`,
    async t => {
      const { storeUrl, survivor } = await stage()
      const { node, token, submit, ended } = await (await stage()).victim(t)
      const reading = await submit(engine.endlessQuery)
      const writing = await submit(engine.endlessInsert, { properties: { 'lens.transaction': 'none' } })
      for (const [handle, text] of [
        [reading, engine.endlessQuery],
        [writing, engine.endlessInsert],
      ] as const) {
        await eventually(`${text} runs`, () => engine.runs(text))
        await eventually(`${handle} is RUNNING`, async () => (await survivor.query(token, handle)).status === 'RUNNING')
      }
      await node.kill()
      t.like(await ended(writing), { status: 'FAILED', error: { code: 'EXECUTION_UNKNOWN' } })
      t.false(await engine.runs(engine.endlessInsert))
      await eventually('it runs again', async () => {
        const query = await survivor.query(token, reading)
        return query.status === 'RUNNING' && query.attempt === 2
      })
      await survivor.call('DELETE', `/api/v1/queries/${reading}`, { token })
      t.is((await ended(reading)).status, 'CANCELED')
      t.false(await engine.runs(engine.endlessQuery))
      t.is(await engine.taken(), 0)
      t.deepEqual(await brokenInvariants(storeUrl, [reading, writing]), [])
    },
  )

  test.serial(
    `${engine.name}: frozen with its commit on its way, it finds the backend ended when it wakes`,
    async t => {
      const { storeUrl } = await stage()
      const { node, way, submit, ended } = await (await stage()).victim(t)
      const held = way.hold('the commit on its way')
      const handle = await submit(engine.insert(1000))
      await held.first
      node.signal('SIGSTOP')
      const query = await ended(handle)
      t.like(query, { status: 'SUCCESSFUL', attempt: 2 })
      held.release()
      node.signal('SIGCONT')
      await eventually('it has joined again', async () => {
        const { body } = await node.call('GET', '/api/v1/cluster', { token: (await node.session('admin')).token })
        return body.nodes.some(
          (member: { node: string; state: string }) => member.node === node.name && member.state === 'alive',
        )
      })
      t.is(await engine.taken(), 1000)
      t.deepEqual(await brokenInvariants(storeUrl, [handle]), [])
    },
  )
}

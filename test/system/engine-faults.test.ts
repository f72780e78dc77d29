/**
 * Nodes and the engine itself are killed, frozen and told to leave, in a drawn order, while clients write through them: in the end every
 * query says of its rows what is there.
 */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { brokenInvariants } from '../support/invariants.ts'
import { mysqlDatabases } from '../support/mysql.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { mariaDbEngine, postgreSqlEngine } from '../support/transactional-engines.ts'

const mysql = mysqlDatabases(test)
const clients = 8

type Fault = 'kill' | 'freeze' | 'leave' | 'engine'
const faults: readonly Fault[] = ['kill', 'engine', 'freeze', 'kill', 'leave', 'engine', 'kill']

interface Submitted {
  readonly number: number
  isCanceled: boolean
}

/** Asked seldom: the nodes are to be busy with statements, not with questions. */
function patiently<T>(what: string, ask: () => Promise<T>): Promise<NonNullable<T>> {
  return eventually(ask, Boolean, { what, periodMs: 250, withinMs: 120_000 }) as Promise<NonNullable<T>>
}

const drawn = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T

for (const engine of [postgreSqlEngine(test), mariaDbEngine(test)])
  test.serial(`${engine.name}: whatever dies, rows are there once, or not at all, as their queries say`, async t => {
    const storeUrl = await mysql.create(t)
    const cluster = new TestCluster(storeUrl, { ...(await engine.open()), LENS_LIMITS_RUNNING_PER_USER: '1000' })
    t.teardown(() => cluster.stop())
    await cluster.startAll(3)
    let names = 3
    const another = async () => (await cluster.start({ name: `n${++names}` })).ready()
    const { token } = await (cluster.running[0] as NodeProcess).session('writer')

    const submitted = new Map<string, Submitted>()
    let numbers = 0
    let isOver = false
    const submit = async () => {
      const number = ++numbers
      const sql = engine.insertSlowly(number, drawn([0, 0.1, 1]))
      // Nodes die while they are asked: the key makes it the same query wherever it is asked again.
      const handle = await patiently(`${number} is accepted`, async () => {
        const request = {
          token,
          headers: { 'idempotency-key': `${number}` },
          body: { sql, engine: 'app', lane: 'light' },
        }
        const signal = AbortSignal.timeout(2_000)
        const { status, body } = await drawn(cluster.running).call('POST', '/api/v1/queries', { ...request, signal })
        return status < 300 ? (body.handle as string) : null
      })
      const query = { number, isCanceled: drawn([true, ...Array(9).fill(false)]) }
      submitted.set(handle, query)
      if (!query.isCanceled) return handle
      const cancel = { token, signal: AbortSignal.timeout(2_000) }
      await drawn(cluster.running)
        .call('DELETE', `/api/v1/queries/${handle}`, cancel)
        .catch(() => {})
      return handle
    }
    /** Long polls, each on whichever node is there. */
    const ended = (handle: string) => {
      let version = 0
      return patiently(`${handle} ends`, async () => {
        for (;;) {
          const target = `/api/v1/queries/${handle}?waitMs=2000&after=${version}`
          const asked = { token, signal: AbortSignal.timeout(4_000) }
          const { status, body } = await drawn(cluster.running).call('GET', target, asked)
          if (status !== 200 || body.outcome !== null) return body.outcome
          version = body.version
        }
      })
    }
    const writing = Array.from({ length: clients }, async () => {
      while (!isOver) {
        await ended(await submit())
      }
    })
    const running = async () => {
      const asked = { token, signal: AbortSignal.timeout(4_000) }
      const { body } = await drawn(cluster.running).call('GET', '/api/v1/queries?status=RUNNING&limit=100', asked)
      return body.queries.length
    }

    for (const fault of faults.toSorted(() => Math.random() - 0.5)) {
      await patiently('some run', async () => (await running()) >= 2)
      t.log(`${fault} at ${numbers}`)
      const node = drawn(cluster.running)
      if (fault === 'kill') await node.kill()
      if (fault === 'leave') await node.terminate()
      if (fault === 'engine') await engine.restart()
      if (fault === 'freeze') {
        node.signal('SIGSTOP')
        const others = cluster.running.filter(other => other !== node)
        await patiently('it is missed', async () => {
          const { body } = await drawn(others).call('GET', '/api/v1/cluster', { token })
          return body.nodes.every((one: any) => one.node !== node.name || one.state === 'dead')
        })
        node.signal('SIGCONT')
      }
      if (fault === 'kill' || fault === 'leave') await another()
    }
    isOver = true
    await Promise.all(writing)

    const [node] = cluster.running as [NodeProcess]
    for (const handle of submitted.keys()) await node.ended(token, handle)
    const counts = await engine.counts()
    const wrong: unknown[] = []
    for (const [handle, { number, isCanceled }] of submitted) {
      const { status, error } = await node.query(token, handle)
      const rows = counts.get(number) ?? 0
      const isTrue =
        status === 'SUCCESSFUL'
          ? rows === 10
          : rows === 0 && (status === 'CANCELED' ? isCanceled : error?.code === 'ENGINE_UNAVAILABLE')
      if (!isTrue) wrong.push({ handle, number, status, error, rows })
    }
    t.deepEqual(wrong, [])
    t.true(submitted.size > faults.length * 4, `${submitted.size} were enough to be hit`)
    t.deepEqual(await brokenInvariants(storeUrl, [...submitted.keys()]), [])
  })

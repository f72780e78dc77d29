/**
 * The database is shut down or killed under three busy nodes, stays away for up to ten seconds, and comes back. From the first
 * write that it takes from anybody to the first that each node answers; then what was lost, and who was declared dead.
 */
import { setTimeout } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import { ask, besidesCounters, brokenInvariants } from '../../support/invariants.ts'
import { MySqlServer } from '../../support/mysql.ts'
import { eventually, type NodeProcess, TestCluster } from '../../support/nodes.ts'
import { sleepingFor } from '../../support/sleeping.ts'
import { type Bench, durable, unlimited } from '../bench.ts'
import { boundRow, latencyRow, spreadOf } from '../report.ts'
import { sizeOf } from '../sizes.ts'

const awayMsMax = 10_000

/** About 10 s a trial; `LENS_BENCH_DATABASE_RESTARTS` trials, each of three nodes. */
export async function measureDatabaseRestart(bench: Bench): Promise<void> {
  const trials = sizeOf(bench, 'DATABASE_RESTARTS', 10, 1)
  // A server of our own: it is the fault.
  const server = await MySqlServer.start(durable)
  const connection = await createConnection({ uri: server.url })
  await connection.query('CREATE DATABASE restarted')
  await connection.query('CREATE TABLE restarted.written (at DOUBLE)')
  await connection.end()
  const url = new URL(server.url)
  url.pathname = '/restarted'
  const cluster = new TestCluster(url.href, { ...unlimited, LENS_LANES_LIGHT_SLOTS: '96' })
  try {
    const nodes = await cluster.startAll(3)
    const running = await begin(nodes, url.href)
    const times: number[] = []
    const handles: string[] = []
    for (let trial = 0; trial < trials; trial++) {
      const awayMs = bench.brief ? 1_000 : (awayMsMax * (trial + 1)) / trials
      times.push(...(await oneTrial(server, url.href, nodes, { trial, awayMs, handles })))
      await cluster.settled(nodes.length)
    }
    await running.end()
    const lost = besidesCounters(await brokenInvariants(url.href, [...running.handles, ...handles]))
    for (const what of lost.slice(0, 5)) process.stderr.write(`  database-restart: ${what}\n`)
    const [died] = await ask(url.href, 'SELECT COUNT(*) AS n FROM failover')
    const members = await ask(url.href, "SELECT incarnation FROM member WHERE state <> 'alive'")
    bench.tell(
      latencyRow(
        'the database restarts: until a node serves, from the first write it takes',
        spreadOf(times),
        1_000,
        3_000,
      ),
      {
        ...boundRow('the database restarts: queries lost or broken', lost.length, 0, ''),
        floor: `${running.handles.length + handles.length} accepted, ${running.handles.length} of them run the whole time`,
      },
      boundRow('the database restarts: nodes declared dead', Number(died?.n) + members.length, 0, ''),
    )
  } finally {
    await cluster.stop()
    await server.destroy()
  }
}

/** Queries that run on through every restart. */
async function begin(nodes: readonly NodeProcess[], storeUrl: string) {
  const sessions = await Promise.all(nodes.map(node => node.session('patient')))
  const handles: string[] = []
  for (const [index, node] of nodes.entries())
    for (let count = 0; count < 10; count++)
      handles.push(
        (await node.submit(sessions[index]?.token as string, { sql: sleepingFor(3_600_000), lane: 'light' })).handle,
      )
  const states = async () =>
    ask(storeUrl, 'SELECT status, attempt, outcome FROM current_query WHERE handle IN (?)', [handles as never])
  await eventually('all run', async () => (await states()).every(({ status }) => status === 'RUNNING'))
  return {
    handles,
    async end() {
      const now = await states()
      if (now.length !== handles.length || now.some(({ attempt }) => Number(attempt) !== 1))
        throw new Error(`they did not run on: ${JSON.stringify(now)}`)
      for (const [index, node] of nodes.entries())
        await node.call('DELETE', `/api/v1/sessions/${sessions[index]?.id}?cancelQueries=true`, {
          token: sessions[index]?.token,
        })
      await eventually('all are cancelled', async () => (await states()).length === 0)
    },
  }
}

interface Trial {
  readonly trial: number
  readonly awayMs: number
  /** Every query that was answered with 202. */
  readonly handles: string[]
}

/** Gives, for each node, how long after the first write a submission to it was answered. */
async function oneTrial(
  server: MySqlServer,
  storeUrl: string,
  nodes: readonly NodeProcess[],
  { trial, awayMs, handles }: Trial,
) {
  const sessions = await Promise.all(nodes.map(node => node.session('patient')))
  let writableAt = Number.POSITIVE_INFINITY
  const served = Promise.all(
    nodes.map(async (node, index) => {
      for (let count = 0; ; count++) {
        const { status, body } = await node.call('POST', '/api/v1/queries', {
          token: sessions[index]?.token,
          body: { sql: 'select 42 as answer', lane: 'light' },
          // Its commit may have lost its answer: only under a key is it known which query it was.
          headers: { 'idempotency-key': `${trial}-${index}-${count}` },
        })
        const now = performance.now()
        if (status === 202) handles.push(body.handle)
        if (status === 202 && now > writableAt) return now
        await setTimeout(5)
      }
    }),
  )
  await (trial % 2 === 0 ? server.stop() : server.kill())
  await setTimeout(awayMs)
  const [first] = await Promise.all([firstWrite(storeUrl), server.start()])
  writableAt = first
  return (await served).map(at => at - writableAt)
}

/** When the database first took a write of ours. */
async function firstWrite(storeUrl: string): Promise<number> {
  for (;;)
    try {
      const connection = await createConnection({ uri: storeUrl, connectTimeout: 1_000 })
      await connection.query('INSERT INTO written VALUES (1)')
      const at = performance.now()
      connection.destroy()
      return at
    } catch {
      await setTimeout(2)
    }
}

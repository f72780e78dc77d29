/**
 * What clients feel while a leader forgets old queries: status and submissions at a steady rate on the node that deletes, before it begins, while it does, and
 * when it is done. The history is one query of a node with its transitions, multiplied by the database itself.
 */
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise'
import { FinishedQuery, QueryTransition } from '../../../src/store/entities.ts'
import { eventually } from '../../support/conditions.ts'
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { HttpClient } from '../http-client.ts'
import { openLoop } from '../load.ts'
import { type Row, spreadOf } from '../report.ts'
import { sizeOf } from '../sizes.ts'
import { handleOf, multiply } from './history.ts'

const kept = 1_000
const statusPerSecond = 200
const submissionsPerSecond = 50

interface Times {
  readonly status: readonly number[]
  readonly submissions: readonly number[]
}

/** Half a minute to fill, and as long as the deletion takes; `LENS_BENCH_FORGOTTEN` queries. */
export async function measureRetention(bench: Bench): Promise<void> {
  const many = sizeOf(bench, 'FORGOTTEN', 100_000, 3_000)
  await bench.withCluster(1, unlimited, async (cluster, url) => {
    const [first] = cluster.nodes as [NodeProcess]
    const connection = await createConnection({ uri: url })
    try {
      await fill(first, connection, many)
      const left = async () => {
        const [[row]] = await connection.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM finished_query')
        return Number(row?.n)
      }
      const node = await cluster.start({ name: 'forgetful', env: { LENS_QUERIES_FINISHED_MAX: `${kept}` } })
      await node.ready()
      await cluster.settled(2)
      const { token } = await node.session('ada')
      const { handle } = await node.submit(token, { sql: 'select 42 as answer', lane: 'light' })
      await node.ended(token, handle)
      const client = new HttpClient(node.port, 64, token)
      const run = () => times(client, handle, bench.roundMs)
      await run()
      const before = await run()
      // The forgetful one leads, and begins at once.
      await first.terminate()
      const begun = performance.now()
      const during: Times[] = []
      let seconds = 0
      while ((await left()) > 2 * kept) {
        during.push(await run())
        seconds = (performance.now() - begun) / 1000
      }
      await eventually(left, n => n <= 2 * kept)
      const after = await run()
      client.close()
      if (during.length === 0) during.push(after)
      for (const what of ['status', 'submissions'] as const)
        bench.tell(
          rowOf(
            what,
            many,
            seconds,
            [...before[what], ...after[what]],
            during.flatMap(one => one[what]),
          ),
        )
    } finally {
      await connection.end()
    }
  })
}

async function fill(node: NodeProcess, connection: Connection, count: number): Promise<void> {
  const { token } = await node.session('ada')
  const { handle } = await node.submit(token, { sql: 'select 42 as answer', lane: 'light' })
  await node.ended(token, handle)
  await multiply(connection, FinishedQuery, handle, count, number => ({
    handle: handleOf(number),
    submitted_at: `submitted_at - 1000 * (${count} - ${number}) - 60000`,
    finished_at: `finished_at - 1000 * (${count} - ${number}) - 60000`,
    // Their rows are gone: what is measured is the forgetting.
    pages_expire_at: 'NULL',
    stored_pages: '0',
  }))
  await multiply(connection, QueryTransition, handle, count, number => ({
    handle: handleOf(number),
    id: `CONCAT(LEFT(one.\`id\`, 24), ${number})`,
  }))
  await connection.query('ANALYZE TABLE finished_query, query_transition')
}

async function times(client: HttpClient, handle: string, forMs: number): Promise<Times> {
  const ask = (method: string, path: string, expected: number, body?: unknown) => async () => {
    const { status, text } = await client.call(method, path, body)
    if (status !== expected) throw new Error(`${method} ${path}: ${status} ${text}`)
  }
  const statement = { sql: 'select 42 as answer', lane: 'light' }
  const [status, submissions] = await Promise.all([
    openLoop(statusPerSecond, forMs, ask('GET', `/api/v1/queries/${handle}`, 200)),
    openLoop(submissionsPerSecond, forMs, ask('POST', '/api/v1/queries', 202, statement)),
  ])
  return { status, submissions }
}

function rowOf(
  what: keyof Times,
  many: number,
  seconds: number,
  without: readonly number[],
  during: readonly number[],
): Row {
  const floor = spreadOf(without)
  const measured = spreadOf(during)
  const perSecond = what === 'status' ? statusPerSecond : submissionsPerSecond
  return {
    name: `${what} at ${perSecond}/s while ${many.toLocaleString('en')} finished queries are forgotten, in ${seconds.toFixed(0)} s`,
    target: '',
    measured: `p50 ${measured.p50.toFixed(2)}, p99 ${measured.p99.toFixed(2)}, maximum ${measured.max.toFixed(1)} ms (n = ${measured.n})`,
    floor: `before and after: p50 ${floor.p50.toFixed(2)}, p99 ${floor.p99.toFixed(2)}, maximum ${floor.max.toFixed(1)} ms (n = ${floor.n})`,
    ratio: measured.p99 / floor.p99,
    met: null,
    figures: [seconds, measured.p99, measured.max, floor.p99, floor.max],
  }
}

/** Requests and whole queries against one real node, each beside its floor. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { eventually, freePort, type NodeProcess } from '../../support/nodes.ts'
import { Floors } from '../floors.ts'
import { HttpClient } from '../http-client.ts'
import { closedLoop, openLoop } from '../load.ts'
import { latencyRow, type Row, rateRow, spreadOf } from '../report.ts'

const workers = 64
const users = 8
const unfinished = 'QUEUED,LAUNCHED,RUNNING,EXECUTED'

export async function measureHttp(node: NodeProcess, storeUrl: string, forMs: number): Promise<Row[]> {
  const floors = new Floors(storeUrl, forMs)
  await floors.prepare()
  const inserts = await floors.autocommitInserts()
  const bare = await bareServer(storeUrl)
  const hello = new HttpClient(bare.port, workers)
  const pointSelects = await closedLoop(workers, forMs, async worker =>
    expect(200, await hello.call('GET', `/row/${worker}`)),
  )
  const bareFastify = await closedLoop(workers, forMs, async () => expect(200, await hello.call('GET', '/hello')))
  hello.close()
  bare.stop()
  await floors.close()

  const clients = await Promise.all(
    Array.from(
      { length: users },
      async (_, index) => new HttpClient(node.port, workers / users, (await node.session(`bench${index}`)).token),
    ),
  )
  const clientOf = (index: number) => clients[index % users] as HttpClient
  const handles: { client: HttpClient; handle: string }[] = []
  let turn = 0
  const submit = async () => {
    const client = clientOf(turn++)
    const { handle } = JSON.parse(
      expect(
        202,
        await client.call('POST', '/api/v1/queries', { sql: 'select 42 as answer', lane: 'light', name: 'short' }),
      ),
    )
    handles.push({ client, handle })
  }

  // Submissions alone: the heavy lane has one slot, so that all but one of them wait; then they go with their session.
  const parking = await node.session('parked')
  const parkingClient = new HttpClient(node.port, workers, parking.token)
  const submissions = await closedLoop(workers, forMs, async () =>
    expect(202, await parkingClient.call('POST', '/api/v1/queries', { sql: 'select 42 as answer', lane: 'heavy' })),
  )
  parkingClient.close()
  const { token } = await node.session('parked')
  await node.call('DELETE', `/api/v1/sessions/${parking.id}?cancelQueries=true`, { token })
  await eventually('nothing is parked any more', async () => {
    const { body } = await node.call('GET', `/api/v1/queries?limit=1&status=${unfinished}`, { token })
    return body.queries.length === 0
  })

  const begin = performance.now()
  const total = 6_000
  await Promise.all(
    Array.from({ length: workers }, async () => {
      while (handles.length < total) await submit()
    }),
  )
  // Asked with care: the answers would otherwise cost the node more than the queries do.
  await eventually('all short queries have ended', async () => {
    const open = await Promise.all(
      clients.map(client => client.call('GET', `/api/v1/queries?limit=1&name=short&status=${unfinished}`)),
    )
    return open.every(({ text: list }) => JSON.parse(list).queries.length === 0)
  })
  const whole = handles.length / ((performance.now() - begin) / 1_000)

  const poll = async (index: number) => {
    const { client, handle } = handles[index % handles.length] as { client: HttpClient; handle: string }
    expect(200, await client.call('GET', `/api/v1/queries/${handle}`))
  }
  let next = 0
  const statuses = await closedLoop(workers, forMs, () => poll(next++))
  const submitTimes = spreadOf(await openLoop(Math.min(200, whole / 2), forMs, submit))
  const statusTimes = spreadOf(await openLoop(statuses / 2, forMs, () => poll(next++)))
  for (const client of clients) client.close()
  return [
    rateRow(
      'submissions over HTTP, session validated, row durable',
      submissions,
      'bare single-row inserts',
      inserts,
      0.8,
    ),
    rateRow(
      'status requests over HTTP, session validated in the database',
      statuses,
      'bare Fastify + point select',
      pointSelects,
      1.5,
    ),
    rateRow('status requests, for comparison', statuses, 'bare Fastify', bareFastify, 0),
    {
      ...rateRow('whole queries, submit → SUCCESSFUL with rows stored', whole, '1,500', 1_500, 1),
      target: '≥ 1,500/s (peers: see the proof)',
    },
    latencyRow('submit at half load', submitTimes, 4, 15),
    latencyRow('status at half load', statusTimes, 1.5, 6),
  ]
}

function expect(status: number, reply: { status: number; text: string }): string {
  if (reply.status !== status) throw new Error(`expected ${status}, got ${reply.status}: ${reply.text}`)
  return reply.text
}

async function bareServer(url: string): Promise<{ port: number; stop(): void }> {
  const port = await freePort()
  const child = fork(new URL('../bare-server.ts', import.meta.url), [url, String(port)])
  await once(child, 'message')
  return { port, stop: () => child.kill() }
}

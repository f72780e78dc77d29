/** Requests and whole queries against one real node, each beside its floor. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { eventually, freePort, type NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { Floors } from '../floors.ts'
import { HttpClient } from '../http-client.ts'
import { closedLoop, openLoop } from '../load.ts'
import { inTurns, latencyRow, median, rateRow, rates, spreadOf } from '../report.ts'

const workers = 64
const users = 8
const unfinished = 'QUEUED,LAUNCHED,RUNNING,EXECUTED'

export function measureHttp(bench: Bench): Promise<void> {
  return bench.withCluster(
    1,
    { ...unlimited, LENS_LANES_HEAVY_SLOTS: '1', LENS_LANES_LIGHT_SLOTS: '64' },
    async (cluster, url) => {
      const floors = new Floors(url, bench.roundMs)
      await floors.prepare()
      const bare = await bareServer(url)
      try {
        await requests(bench, cluster.nodes[0] as NodeProcess, floors, bare.port)
      } finally {
        bare.stop()
        await floors.close()
      }
    },
  )
}

async function requests(bench: Bench, node: NodeProcess, floors: Floors, barePort: number): Promise<void> {
  const { rounds, roundMs } = bench
  bench.tell(
    rateRow(
      'submissions over HTTP, session validated, row durable',
      await inTurns(
        rounds,
        () => floors.autocommitInserts(),
        () => submissions(node, roundMs),
      ),
      'bare single-row inserts',
      0.8,
    ),
  )

  const clients = await Promise.all(
    Array.from(
      { length: users },
      async (_, index) => new HttpClient(node.port, workers / users, (await node.session(`bench${index}`)).token),
    ),
  )
  const handles: { client: HttpClient; handle: string }[] = []
  let turn = 0
  const submit = async () => {
    const client = clients[turn++ % users] as HttpClient
    const { handle } = JSON.parse(
      expect(
        202,
        await client.call('POST', '/api/v1/queries', { sql: 'select 42 as answer', lane: 'light', name: 'short' }),
      ),
    )
    handles.push({ client, handle })
  }
  const wholes: number[] = []
  for (let round = 0; round < rounds; round++)
    wholes.push(await wholeQueries(clients, bench.brief ? 64 : 3_000, submit))
  const whole = median(wholes)
  bench.tell({
    name: 'whole queries, submit → SUCCESSFUL with rows stored',
    target: '≥ 1,500/s',
    measured: rates(wholes),
    floor: '',
    ratio: null,
    met: whole >= 1_500,
    figures: wholes,
  })

  let next = 0
  const poll = async () => {
    const { client, handle } = handles[next++ % handles.length] as { client: HttpClient; handle: string }
    expect(200, await client.call('GET', `/api/v1/queries/${handle}`))
  }
  const bare = new HttpClient(barePort, workers)
  const ask = (path: string) => closedLoop(workers, roundMs, async () => expect(200, await bare.call('GET', path)))
  const statuses = await inTurns(
    rounds,
    () => ask('/row/7'),
    () => closedLoop(workers, roundMs, poll),
  )
  const bareFastify = await inTurns(
    rounds,
    () => ask('/hello'),
    () => closedLoop(workers, roundMs, poll),
  )
  bare.close()
  const submitTimes = spreadOf(await openLoop(Math.min(200, whole / 2), roundMs, submit))
  const statusTimes = spreadOf(await openLoop(median(statuses.measured) / 2, roundMs, poll))
  for (const client of clients) client.close()
  bench.tell(
    rateRow(
      'status requests over HTTP, session validated in the database',
      statuses,
      'bare Fastify + point select',
      1.5,
    ),
    rateRow('status requests, for comparison', bareFastify, 'bare Fastify', null),
    latencyRow('submit at half load', submitTimes, 4, 15),
    latencyRow('status at half load', statusTimes, 1.5, 6),
  )
}

/** Submissions alone: the heavy lane has one slot, so that all but one of them wait; then they go with their session. */
async function submissions(node: NodeProcess, forMs: number): Promise<number> {
  const parking = await node.session('parked')
  const client = new HttpClient(node.port, workers, parking.token)
  const rate = await closedLoop(workers, forMs, async () =>
    expect(202, await client.call('POST', '/api/v1/queries', { sql: 'select 42 as answer', lane: 'heavy' })),
  )
  client.close()
  const { token } = await node.session('parked')
  await node.call('DELETE', `/api/v1/sessions/${parking.id}?cancelQueries=true`, { token })
  await eventually('nothing is parked any more', async () => {
    const { body } = await node.call('GET', `/api/v1/queries?limit=1&status=${unfinished}`, { token })
    return body.queries.length === 0
  })
  return rate
}

/** Submits this many from all workers and waits until the last of them is finished. */
async function wholeQueries(
  clients: readonly HttpClient[],
  total: number,
  submit: () => Promise<void>,
): Promise<number> {
  const begin = performance.now()
  let submitted = 0
  await Promise.all(
    Array.from({ length: workers }, async () => {
      while (submitted++ < total) await submit()
    }),
  )
  // Asked with care: the answers would otherwise cost the node more than the queries do.
  await eventually('all short queries have ended', async () => {
    const open = await Promise.all(
      clients.map(client => client.call('GET', `/api/v1/queries?limit=1&name=short&status=${unfinished}`)),
    )
    return open.every(({ text: list }) => JSON.parse(list).queries.length === 0)
  })
  return total / ((performance.now() - begin) / 1_000)
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

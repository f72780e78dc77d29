/**
 * Pushing when something is missing: the connections between the nodes (only the database tells), the node of the subscriber, the
 * subscriber's own reading.
 */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { Stage } from '../../faults/stage.ts'
import { Front } from '../../support/front.ts'
import { eventually, type NodeProcess, TestCluster } from '../../support/nodes.ts'
import { freePort } from '../../support/ports.ts'
import { sleepingFor } from '../../support/sleeping.ts'
import { type Bench, unlimited } from '../bench.ts'
import { watchedPeak } from '../memory.ts'
import { boundRow, latencyRow, type Row, spreadOf } from '../report.ts'
import { sizeOf } from '../sizes.ts'
import { StreamWatch } from '../stream-watch.ts'

/** `LENS_BENCH_PUSHES` trials of the first, `LENS_BENCH_SUBSCRIBER_KILLS` of the second; about three minutes in all. */
export async function measurePushFaults(bench: Bench): Promise<void> {
  await peersDown(bench)
  await bench.withCluster(3, unlimited, async cluster => bench.tell(...(await subscribersNodeKilled(bench, cluster))))
  await bench.withCluster(1, unlimited, async cluster =>
    bench.tell(...(await readerThatStops(bench, cluster.nodes[0] as NodeProcess))),
  )
}

/** Nobody can dial the bus of anybody: what a subscriber elsewhere hears, it hears by its node's looks at the database. */
async function peersDown(bench: Bench): Promise<void> {
  const trials = sizeOf(bench, 'PUSHES', 100, 5)
  const stage = new Stage()
  try {
    const url = await bench.database('peers_down')
    const cluster = new TestCluster(url, { LENS_LOG_LEVEL: 'warn', ...unlimited })
    stage.teardown(() => cluster.stop())
    for (const name of ['n1', 'n2', 'n3']) {
      const port = await freePort()
      const front = await Front.start(stage, port)
      front.blockBus()
      await cluster.start({ name, port, env: { LENS_ADVERTISE_URL: front.url } })
    }
    await Promise.all(cluster.nodes.map(node => node.ready()))
    await cluster.settled(3)
    const [owner, other] = cluster.nodes as [NodeProcess, NodeProcess]
    const { token } = await owner.session('push')
    const [near, far] = (await Promise.all(
      [owner, other].map(node => new StreamWatch(node.url, token).subscribe({ topic: 'session' })),
    )) as [StreamWatch, StreamWatch]
    const times: number[] = []
    for (let trial = 0; trial < trials; trial++) {
      const { handle } = await owner.submit(token, { sql: 'select 42 as answer', lane: 'light' })
      const first = await near.arrival(handle, ({ outcome }) => outcome !== null)
      times.push((await far.arrival(handle, ({ outcome }) => outcome !== null)).at - first.at)
    }
    for (const watch of [near, far]) watch.close()
    bench.tell(
      latencyRow(
        'push on another node, no connections between nodes',
        spreadOf(times),
        300,
        300,
        'from the bytes at a subscriber of the owner',
      ),
    )
  } finally {
    await stage.end()
  }
}

/** As a client does: when the connection breaks it goes elsewhere, and resumes after the last version that it has. */
async function subscribersNodeKilled(bench: Bench, cluster: TestCluster): Promise<Row[]> {
  const trials = sizeOf(bench, 'SUBSCRIBER_KILLS', 20, 1)
  const times: number[] = []
  let versions = 0
  const gaps: string[] = []
  for (let trial = 0; trial < trials; trial++) {
    const leader = await cluster.leader()
    const [victim, owner] = cluster.running.filter(node => node !== leader) as [NodeProcess, NodeProcess]
    const { id, token } = await owner.session('push')
    const before = new StreamWatch(victim.url, token)
    const handles: string[] = []
    // Some end while nobody reads, some after.
    for (let count = 0; count < 10; count++)
      handles.push((await owner.submit(token, { sql: sleepingFor(300 + 100 * count), lane: 'light' })).handle)
    for (const handle of handles) await before.subscribe({ topic: 'query', handle })
    for (const handle of handles) await before.arrival(handle, () => true)
    const from = performance.now()
    victim.signal('SIGKILL')
    await before.until('the end of the connection', () => before.closedWith !== null).catch(() => {})
    const after = new StreamWatch(owner.url, token)
    const last = (handle: string) => before.seen.get(handle)?.at(-1)?.version ?? 0
    await Promise.all(handles.map(handle => after.subscribe({ topic: 'query', handle, after: last(handle) })))
    times.push(performance.now() - from)
    for (const handle of handles) {
      if (before.seen.get(handle)?.at(-1)?.outcome === null)
        await after.arrival(handle, ({ outcome }) => outcome !== null)
      const all = [...(before.seen.get(handle) ?? []), ...(after.seen.get(handle) ?? [])].map(({ version }) => version)
      versions += all.length
      // The first frame is the state as it was found.
      if (all.some((version, index) => version !== (all[0] as number) + index)) gaps.push(`${handle}: ${all.join(' ')}`)
    }
    after.close()
    await owner.call('DELETE', `/api/v1/sessions/${id}?cancelQueries=true`, { token })
    await victim.exited
    await (await cluster.start({ name: victim.name, port: victim.port })).ready()
    await cluster.settled(3)
  }
  return [
    latencyRow('the subscriber’s node is killed: until its ten subscriptions are back', spreadOf(times), 500, 1_500),
    {
      ...boundRow('the subscriber’s node is killed: versions missed or repeated', gaps.length, 0, ''),
      floor: `${versions} versions`,
    },
  ]
}

const readerBufferMiB = 1

/** Some subscribe to a session with much going on and read nothing; others subscribe to the same and read. */
async function readerThatStops(bench: Bench, node: NodeProcess): Promise<Row[]> {
  const readers = sizeOf(bench, 'STALLED_READERS', 20, 4)
  const queries = sizeOf(bench, 'STALLED_QUERIES', 3_000, 600)
  const { token } = await node.session('push')
  const healthy = await new StreamWatch(node.url, token).subscribe({ topic: 'session' })
  // Large frames: what a reader leaves unread is soon more than the kernel takes.
  const sql = `select 42 as answer /* ${'x'.repeat(16_000)} */`
  /** Between the arrivals of LAUNCHED and of the end at one who reads. */
  const run = async (count: number): Promise<number[]> => {
    const handles: string[] = []
    await Promise.all(
      Array.from({ length: 16 }, async (_, worker) => {
        for (let index = worker; index < count; index += 16) {
          const sent = performance.now()
          const { handle } = await node.submit(token, { sql, lane: 'light' })
          const end = await healthy.arrival(handle, ({ outcome }) => outcome !== null)
          healthy.seen.delete(handle)
          handles.push(handle)
          times.push(end.at - sent)
        }
      }),
    )
    return times.splice(0)
  }
  const times: number[] = []
  await run(queries / 3)
  const peakAlone = watchedPeak(node.pid)
  const alone = spreadOf(await run(queries))
  const moreAlone = peakAlone()
  const peak = watchedPeak(node.pid)
  const stalled = await Promise.all(
    Array.from({ length: readers }, async () => {
      const socket = new WebSocket(`${node.url.replace('http', 'ws')}/api/v1/stream`, {
        headers: { authorization: `Bearer ${token}` },
      })
      socket.on('error', () => {})
      await once(socket, 'open')
      socket.send(JSON.stringify({ type: 'subscribe', id: 's', topic: 'session' }))
      await once(socket, 'message')
      socket.pause()
      return socket
    }),
  )
  const beside = spreadOf(await run(queries))
  const more = peak() - moreAlone
  await eventually(
    'those who do not read are sent away',
    async () => {
      const open = /^lens_stream_connections (\d+)/m.exec(await node.metrics())
      return Number(open?.[1]) === 1
    },
    120_000,
  )
  for (const socket of stalled) socket.terminate()
  healthy.close()
  return [
    {
      ...boundRow(
        'a reader that stops reading: memory of the node more, each',
        Math.max(0, more) / readers,
        readerBufferMiB,
        ' MB',
        2,
      ),
      floor: `${readers} readers; without them the node took ${moreAlone.toFixed(0)} MB more in the same time`,
    },
    {
      name: 'a reader that stops reading: whole queries at one who reads, p99',
      target: '≤ 1.5 × without them',
      measured: `p50 ${beside.p50.toFixed(1)} ms, p99 ${beside.p99.toFixed(1)} ms, max ${beside.max.toFixed(1)} ms (n = ${beside.n})`,
      floor: `without them: p50 ${alone.p50.toFixed(1)} ms, p99 ${alone.p99.toFixed(1)} ms`,
      ratio: beside.p99 / alone.p99,
      met: beside.p99 <= 1.5 * alone.p99,
      figures: [beside.p50, beside.p99, alone.p50, alone.p99],
    },
  ]
}

/** From the fault to the new version at a subscriber on a survivor: every trial kills or freezes the owner of running queries. */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { eventually, type NodeProcess, type TestCluster } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { latencyRow, type Row, spreadOf } from '../report.ts'

type Fault = 'follower' | 'leader' | 'frozen'

const bounds: Record<Fault, { name: string; p50Ms: number; p99Ms: number }> = {
  follower: { name: 'kill -9 of a node', p50Ms: 200, p99Ms: 700 },
  leader: { name: 'kill -9 of the leader, which owns queries too', p50Ms: 300, p99Ms: 1_000 },
  frozen: { name: 'frozen (SIGSTOP)', p50Ms: 2_200, p99Ms: 3_000 },
}
const perTrial = 3
const sql = 'select count(*) from flights a, range(4000) b where a.distance > b.range'

export function measureFailovers(bench: Bench): Promise<void> {
  return bench.withCluster(3, { ...unlimited, LENS_LANES_HEAVY_SLOTS: '9' }, async cluster => {
    for (const fault of ['follower', 'leader', 'frozen'] as const)
      bench.tell(await measureFailover(cluster, fault, bench.failovers))
  })
}

async function measureFailover(cluster: TestCluster, fault: Fault, trials: number): Promise<Row> {
  const times: number[] = []
  for (let trial = 0; trial < trials; trial++) times.push(...(await oneTrial(cluster, fault)))
  const { name, p50Ms, p99Ms } = bounds[fault]
  return latencyRow(`failover: ${name}`, spreadOf(times), p50Ms, p99Ms)
}

/** Gives, for each query that the victim ran, the time until a subscriber elsewhere saw it owned by a survivor. */
async function oneTrial(cluster: TestCluster, fault: Fault): Promise<number[]> {
  const leader = await cluster.leader()
  const victim = fault === 'leader' ? leader : (cluster.running.find(node => node !== leader) as NodeProcess)
  const survivor = cluster.running.find(node => node !== victim) as NodeProcess
  const { id, token } = await survivor.session('failover')
  const socket = new WebSocket(`${survivor.url.replace('http', 'ws')}/api/v1/stream`, {
    headers: { authorization: `Bearer ${token}` },
  })
  await once(socket, 'open')
  const moved = new Map<string, number>()
  socket.on('message', data => {
    for (const { query } of [JSON.parse(String(data))].flat())
      if (query && query.owner.node !== victim.name && !moved.has(query.handle))
        moved.set(query.handle, performance.now())
  })
  socket.send(JSON.stringify({ type: 'subscribe', id: 's', topic: 'session' }))
  const handles: string[] = []
  for (let index = 0; index < perTrial; index++)
    handles.push((await victim.submit(token, { sql, lane: 'heavy' })).handle)
  await eventually('the victim runs them', async () => {
    const all = await Promise.all(handles.map(handle => survivor.query(token, handle)))
    return all.every(query => query.owner.node === victim.name && query.status === 'RUNNING')
  })
  const at = performance.now()
  victim.signal(fault === 'frozen' ? 'SIGSTOP' : 'SIGKILL')
  await eventually('all are owned by survivors', () => handles.every(handle => moved.has(handle)))
  const times = handles.map(handle => (moved.get(handle) as number) - at)
  socket.close()
  await survivor.call('DELETE', `/api/v1/sessions/${id}?cancelQueries=true`, { token })
  if (fault === 'frozen') victim.signal('SIGCONT')
  else {
    await victim.exited
    await (await cluster.start({ name: victim.name, port: victim.port })).ready()
  }
  await cluster.settled(cluster.running.length)
  return times
}

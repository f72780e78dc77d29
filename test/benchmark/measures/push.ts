/**
 * From a query's step to the bytes at its subscribers. A step carries its date by the database's clock, taken just before its
 * commit, so each figure includes one commit; what a commit costs stands beside it.
 */
import { once } from 'node:events'
import { createConnection } from 'mysql2/promise'
import { WebSocket } from 'ws'
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { closedLoop } from '../load.ts'
import { latencyRow, type Row, spreadOf } from '../report.ts'

interface Frame {
  readonly type: string
  readonly query?: { readonly handle: string; readonly status: string; readonly finishedAt: string | null }
}

class Subscriber {
  readonly arrivals: number[] = []
  readonly #socket: WebSocket
  #last = () => {}

  constructor(node: NodeProcess, token: string) {
    this.#socket = new WebSocket(`${node.url.replace('http', 'ws')}/api/v1/stream`, {
      headers: { authorization: `Bearer ${token}` },
    })
    this.#socket.on('message', data => {
      const now = Date.now() + (performance.now() % 1)
      const frames = [JSON.parse(String(data))].flat() as Frame[]
      for (const { query } of frames) {
        if (!query?.finishedAt) continue
        this.arrivals.push(now - Date.parse(query.finishedAt))
        this.#last()
      }
    })
  }

  async subscribe(topic: object): Promise<void> {
    if (this.#socket.readyState !== WebSocket.OPEN) await once(this.#socket, 'open')
    const subscribed = new Promise<void>(resolve => {
      const listen = (data: unknown) => {
        if (!([JSON.parse(String(data))].flat() as Frame[]).some(({ type }) => type === 'subscribed')) return
        this.#socket.off('message', listen)
        resolve()
      }
      this.#socket.on('message', listen)
    })
    this.#socket.send(JSON.stringify({ type: 'subscribe', id: 's', ...topic }))
    await subscribed
  }

  async until(count: number): Promise<void> {
    while (this.arrivals.length < count) await new Promise<void>(resolve => (this.#last = resolve))
  }

  close(): void {
    this.#socket.terminate()
  }
}

export function measurePush(bench: Bench): Promise<void> {
  return bench.withCluster(3, unlimited, async (cluster, url) => {
    const [owner, other] = cluster.nodes as [NodeProcess, NodeProcess]
    bench.tell(...(await pushes(owner, other, await oneCommitMs(url), bench.brief)))
  })
}

/** One connection that commits one row at a time. */
async function oneCommitMs(url: string): Promise<number> {
  const connection = await createConnection({ uri: url })
  await connection.query('CREATE TABLE one_commit (id INT PRIMARY KEY)')
  let next = 0
  const perSecond = await closedLoop(1, 1_000, () => connection.query('INSERT INTO one_commit VALUES (?)', [next++]))
  await connection.end()
  return 1_000 / perSecond
}

async function pushes(owner: NodeProcess, other: NodeProcess, commitMs: number, brief: boolean): Promise<Row[]> {
  const trials = brief ? 5 : 200
  const { token } = await owner.session('push')
  const here = new Subscriber(owner, token)
  const there = new Subscriber(other, token)
  await Promise.all([here, there].map(subscriber => subscriber.subscribe({ topic: 'session' })))
  for (let trial = 1; trial <= trials; trial++) {
    await owner.submit(token, { sql: 'select 42 as answer', lane: 'light' })
    await Promise.all([here.until(trial), there.until(trial)])
  }
  here.close()
  there.close()

  const fanOut: number[] = []
  const subscribers = brief ? 50 : 1_000
  for (let trial = 0; trial < (brief ? 1 : 5); trial++) {
    const all = Array.from({ length: subscribers }, () => new Subscriber(owner, token))
    const { handle } = await owner.submit(token, {
      sql: 'select count(*) from flights a, range(20) b where a.distance > b.range',
      lane: 'light',
    })
    await Promise.all(all.map(subscriber => subscriber.subscribe({ topic: 'query', handle })))
    await Promise.all(all.map(subscriber => subscriber.until(1)))
    fanOut.push(...all.map(subscriber => subscriber.arrivals[0] as number))
    for (const subscriber of all) subscriber.close()
  }
  const floor = `one commit: ${commitMs.toFixed(1)} ms`
  return [
    latencyRow('push on the same node (one commit included)', spreadOf(here.arrivals), 2, 10, floor),
    latencyRow('push on another node (one commit included)', spreadOf(there.arrivals), 3, 15, floor),
    latencyRow('push to 1,000 subscribers of one query (one commit included)', spreadOf(fanOut), 15, 50, floor),
  ]
}

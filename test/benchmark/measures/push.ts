/**
 * From the commit of a query's end to the bytes at its subscribers. When the commit was is asked of the database itself, by a
 * connection that looks without a pause: it came after the last look that did not find it was sent. Counting from there errs
 * by one look, against us; how long a look takes stands beside the figure.
 */
import { once } from 'node:events'
import { type Connection, createConnection } from 'mysql2/promise'
import { WebSocket } from 'ws'
import type { NodeProcess } from '../../support/nodes.ts'
import { type Bench, unlimited } from '../bench.ts'
import { latencyRow, milliseconds, type Row, spreadOf } from '../report.ts'

interface Frame {
  readonly type: string
  readonly query?: { readonly handle: string; readonly status: string; readonly finishedAt: string | null }
}

class Subscriber {
  /** When the end of each query arrived, by its handle. */
  readonly arrivals = new Map<string, number>()
  readonly #socket: WebSocket
  #arrived = () => {}
  #subscribed = false

  constructor(node: NodeProcess, token: string) {
    this.#socket = new WebSocket(`${node.url.replace('http', 'ws')}/api/v1/stream`, {
      headers: { authorization: `Bearer ${token}` },
    })
    this.#socket.on('message', data => {
      const now = performance.now()
      for (const { query } of [JSON.parse(String(data))].flat() as Frame[]) {
        if (!query?.finishedAt) continue
        this.arrivals.set(query.handle, now)
        this.#arrived()
      }
    })
  }

  async opened(): Promise<void> {
    if (this.#socket.readyState !== WebSocket.OPEN) await once(this.#socket, 'open')
  }

  /** Subscribes under the id `s`, in place of what it was subscribed to before. */
  async subscribe(topic: object): Promise<void> {
    await this.opened()
    const answered = new Promise<void>((resolve, reject) => {
      const listen = (data: unknown) => {
        for (const frame of [JSON.parse(String(data))].flat() as Frame[]) {
          if (frame.type === 'subscribed') resolve()
          else if (frame.type === 'error') reject(new Error(JSON.stringify(frame)))
          else continue
          this.#socket.off('message', listen)
        }
      }
      this.#socket.on('message', listen)
    })
    if (this.#subscribed) this.#socket.send(JSON.stringify({ type: 'unsubscribe', id: 's' }))
    this.#subscribed = true
    this.#socket.send(JSON.stringify({ type: 'subscribe', id: 's', ...topic }))
    await answered
  }

  async arrivalOf(handle: string): Promise<number> {
    while (!this.arrivals.has(handle)) await new Promise<void>(resolve => (this.#arrived = resolve))
    return this.arrivals.get(handle) as number
  }

  close(): void {
    this.#socket.terminate()
  }
}

/** Sees commits as another connection of the same database does. */
class CommitWatch {
  readonly lookMs: number[] = []
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** When the last look was sent that did not find the end of this query. */
  async endOf(handle: string): Promise<number> {
    for (let missedAt = Number.NaN; ; ) {
      const sentAt = performance.now()
      const [rows] = await this.#connection.execute('SELECT 1 FROM finished_query WHERE handle = ?', [handle])
      if ((rows as unknown[]).length > 0) return missedAt
      this.lookMs.push(performance.now() - sentAt)
      missedAt = sentAt
    }
  }
}

/** Long enough that it is watched (by all its subscribers) before it ends, short enough that a run takes many. */
const statement = (factor: number) => `select count(*) from flights a, range(${factor}) b where a.distance > b.range`

export function measurePush(bench: Bench): Promise<void> {
  return bench.withCluster(3, unlimited, async (cluster, url) => {
    const [owner, other] = cluster.nodes as [NodeProcess, NodeProcess]
    const connection = await createConnection({ uri: url })
    try {
      bench.tell(...(await pushes(owner, other, new CommitWatch(connection), bench.brief)))
    } finally {
      await connection.end()
    }
  })
}

async function pushes(owner: NodeProcess, other: NodeProcess, watch: CommitWatch, brief: boolean): Promise<Row[]> {
  const trials = brief ? 5 : 100
  const { token } = await owner.session('push')
  /** Runs one query of the owner; gives what each subscriber waited for its end. */
  const one = async (factor: number, subscribersOf: (handle: string) => Promise<readonly Subscriber[]>) => {
    const { handle } = await owner.submit(token, { sql: statement(factor), lane: 'light' })
    const subscribers = await subscribersOf(handle)
    const committed = await watch.endOf(handle)
    return Promise.all(subscribers.map(async subscriber => (await subscriber.arrivalOf(handle)) - committed))
  }

  const pair = [new Subscriber(owner, token), new Subscriber(other, token)] as const
  await Promise.all(pair.map(subscriber => subscriber.subscribe({ topic: 'session' })))
  const here: number[] = []
  const there: number[] = []
  while (here.length < trials) {
    const [near, far] = (await one(2, async () => pair)) as [number, number]
    // It had ended before it was looked for: nothing is known of its commit.
    if (Number.isNaN(near)) continue
    here.push(near)
    there.push(far)
  }
  for (const subscriber of pair) subscriber.close()

  const fanOut: number[] = []
  const subscribersMax = brief ? 50 : 1_000
  const { id: session, token: crowd } = await owner.session('push')
  const all = Array.from({ length: subscribersMax }, () => new Subscriber(owner, crowd))
  for (const subscriber of all) await subscriber.opened()
  for (let trial = 0; trial < (brief ? 1 : 10); trial++) {
    const waited = await one(brief ? 8 : 40, async handle => {
      await Promise.all(all.map(subscriber => subscriber.subscribe({ topic: 'query', handle })))
      return all
    })
    fanOut.push(...waited.filter(ms => !Number.isNaN(ms)))
  }
  for (const subscriber of all) subscriber.close()
  await owner.call('DELETE', `/api/v1/sessions/${session}`, { token: crowd })
  const floor = `one look at the database: ${milliseconds(spreadOf(watch.lookMs))}`
  return [
    latencyRow('push on the same node, from the commit', spreadOf(here), 2, 10, floor),
    latencyRow('push on another node, from the commit', spreadOf(there), 3, 15, floor),
    latencyRow('push to 1,000 subscribers of one query, from the commit', spreadOf(fanOut), 15, 50, floor),
  ]
}

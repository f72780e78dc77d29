/** The load on one real node: sessions of several users, 64 kept connections, short statements. */
import { eventually, type NodeProcess } from '../support/nodes.ts'
import { HttpClient } from './http-client.ts'
import { closedLoop } from './load.ts'
import { ProcessorCost } from './processor.ts'

/** Requests under way at once: of these clients here, and of the peers' in theirs. */
export const concurrency = 64
const users = 8
const unfinished = 'QUEUED,LAUNCHED,RUNNING,EXECUTED'
const sql = 'select 42 as answer'

/** One heavy slot: what is sent to the heavy lane stays submitted and nothing else. */
export const lanes = { LENS_LANES_HEAVY_SLOTS: '1', LENS_LANES_LIGHT_SLOTS: String(concurrency) }

interface Submitted {
  readonly client: HttpClient
  readonly handle: string
}

export class NodeLoad {
  readonly #node: NodeProcess
  readonly #clients: readonly HttpClient[]
  readonly #handles: Submitted[] = []
  /** What one of each costs, over all that this load has made so far. */
  readonly cost: { readonly submission: ProcessorCost; readonly status: ProcessorCost; readonly whole: ProcessorCost }
  #submitted = 0
  #polled = 0

  private constructor(node: NodeProcess, clients: readonly HttpClient[], databasePid: number | null) {
    const cost = () => new ProcessorCost(node.pid, databasePid)
    this.cost = { submission: cost(), status: cost(), whole: cost() }
    this.#node = node
    this.#clients = clients
  }

  static async on(node: NodeProcess, databasePid: number | null): Promise<NodeLoad> {
    const clients = await Promise.all(
      Array.from({ length: users }, async (_, index) => {
        const { token } = await node.session(`bench${index}`)
        return new HttpClient(node.port, concurrency / users, token)
      }),
    )
    return new NodeLoad(node, clients, databasePid)
  }

  async submit(): Promise<void> {
    const client = this.#clients[this.#submitted++ % users] as HttpClient
    const text = expect(202, await client.call('POST', '/api/v1/queries', { sql, lane: 'light', name: 'short' }))
    this.#handles.push({ client, handle: JSON.parse(text).handle })
  }

  /** Asks for the status of the next of all that were submitted. */
  async poll(): Promise<void> {
    const { client, handle } = this.#handles[this.#polled++ % this.#handles.length] as Submitted
    expect(200, await client.call('GET', `/api/v1/queries/${handle}`))
  }

  /** Submits as fast as it is answered and waits until the last is finished. Queries per second of both. */
  whole(forMs: number): Promise<number> {
    return this.cost.whole.of(() => this.#whole(forMs))
  }

  async #whole(forMs: number): Promise<number> {
    const begin = performance.now()
    const from = this.#submitted
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (performance.now() - begin < forMs) await this.submit()
      }),
    )
    // Asked with care: the answers would otherwise cost the node more than the queries do.
    await eventually('all short queries have ended', async () => {
      const open = await Promise.all(
        this.#clients.map(client => client.call('GET', `/api/v1/queries?limit=1&name=short&status=${unfinished}`)),
      )
      return open.every(({ text: list }) => JSON.parse(list).queries.length === 0)
    })
    return (this.#submitted - from) / ((performance.now() - begin) / 1_000)
  }

  statuses(forMs: number): Promise<number> {
    return this.cost.status.of(() => closedLoop(concurrency, forMs, () => this.poll()))
  }

  /** Submissions alone, per second: all but one of them wait for the heavy slot, and go with their session afterwards. */
  async submissions(forMs: number): Promise<number> {
    const parking = await this.#node.session('parked')
    const client = new HttpClient(this.#node.port, concurrency, parking.token)
    const rate = await this.cost.submission.of(() =>
      closedLoop(concurrency, forMs, async () =>
        expect(202, await client.call('POST', '/api/v1/queries', { sql, lane: 'heavy' })),
      ),
    )
    client.close()
    const { id, token } = await this.#node.session('parked')
    await this.#node.call('DELETE', `/api/v1/sessions/${parking.id}?cancelQueries=true`, { token })
    await eventually('nothing is parked any more', async () => {
      const { body } = await this.#node.call('GET', `/api/v1/queries?limit=1&status=${unfinished}`, { token })
      return body.queries.length === 0
    })
    await this.#node.call('DELETE', `/api/v1/sessions/${id}`, { token })
    return rate
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }
}

export function expect(status: number, reply: { status: number; text: string }): string {
  if (reply.status !== status) throw new Error(`expected ${status}, got ${reply.status}: ${reply.text}`)
  return reply.text
}

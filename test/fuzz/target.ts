/**
 * What is fuzzed: one real node as a process of its own, with what belongs to two users on it. It is asked from outside, by its
 * inspector and the system, what it holds after its garbage was collected: what bad input leaves behind shows there.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { WebSocket } from 'ws'
import { eventually } from '../support/conditions.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'
import { freePort } from '../support/ports.ts'

export const clusterSecret = 'a secret for tests only'
export const bodyBytesMax = 100_000
/** In the other user's SQL and name: whoever reads it was told what is not theirs. */
export const mark = 'nobody-else-reads-this'
/** A request that has no answer after this long counts as hung. */
export const hungMs = 20_000

/** More than this is not what a collection leaves by chance. */
const growthBytesMax = 32_000_000
const growthFilesMax = 20
/** What the allocator keeps of the worst moment for the next one: a bound for the process as its operator sees it. */
const residentBytesMax = 500_000_000

export interface Held {
  readonly heapBytes: number
  readonly files: number
  /** Of the whole process, as the system counts it. */
  readonly residentBytes: number
}

export class Target {
  readonly node: NodeProcess
  readonly #cluster: TestCluster
  readonly #inspector: string
  /** Ann's, the one who asks. */
  token = ''
  /** Bob's, who is asked for. */
  readonly others: { readonly session: string; readonly query: string; readonly prepared: string }
  /** Bob's own, to see what becomes of what is his. */
  readonly othersToken: string

  private constructor(
    cluster: TestCluster,
    node: NodeProcess,
    inspector: string,
    others: Target['others'],
    othersToken: string,
  ) {
    this.othersToken = othersToken
    this.#cluster = cluster
    this.node = node
    this.#inspector = inspector
    this.others = others
  }

  static async start(): Promise<Target> {
    const cluster = new TestCluster(null, {
      LENS_LIMITS_BODY_BYTES_MAX: `${bodyBytesMax}`,
      LENS_LIMITS_SQL_BYTES_MAX: '50000',
      LENS_LIMITS_REQUEST_MS: '2000',
      LENS_LIMITS_LONG_POLL_MS: '20',
      LENS_LIMITS_SYNC_MS: '5000',
      LENS_LIMITS_SESSIONS_PER_USER: '100000',
      // Long enough that whoever fuzzes, busy with that, still answers.
      LENS_STREAM_PING_MS: '2000',
      LENS_CLUSTER_SECRET: clusterSecret,
    })
    const port = await freePort()
    try {
      const node = await cluster.start({
        name: 'n1',
        env: { NODE_OPTIONS: `--disable-warning=ExperimentalWarning --inspect-port=127.0.0.1:${port}` },
      })
      await node.ready()
      const bob = await node.session('bob', { properties: { secret: mark } })
      const { query } = await node.submit(bob.token, { sql: `select '${mark}' as v`, name: mark, mode: 'sync' })
      const body = { sql: `select '${mark}' as v`, name: mark }
      const prepared = await node.call('POST', '/api/v1/prepared-queries', { token: bob.token, body })
      const others = { session: bob.id, query: query.handle, prepared: prepared.body.handle }
      const target = new Target(cluster, node, `127.0.0.1:${port}`, others, bob.token)
      await target.renew()
      return target
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  /** Another session for who asks, since any of the calls may have closed it. */
  async renew(): Promise<void> {
    this.token = (await this.node.session('ann')).token
  }

  /** Rejects unless the process of the beginning lives, serves, and saw no defect of its own. */
  async isWell(): Promise<void> {
    if (!this.node.running)
      throw new Error(`the node ended: ${JSON.stringify(this.node.exit)} ${JSON.stringify(this.node.log.slice(-5))}`)
    const { status, body } = await this.node.call('GET', '/healthz', { signal: AbortSignal.timeout(hungMs) })
    if (status !== 200) throw new Error(`the node is not well: ${status} ${JSON.stringify(body)}`)
    await this.renew()
    const { query } = await this.node.submit(this.token, { sql: 'select 1 as one', mode: 'sync' })
    if (query.status !== 'SUCCESSFUL') throw new Error(`a query fails now: ${JSON.stringify(query)}`)
    const defects = this.node.log.filter(({ level }) => level === 'error' || level === 'fatal')
    if (defects.length > 0) throw new Error(`the node saw defects of its own: ${JSON.stringify(defects.slice(0, 3))}`)
  }

  /** What it still holds once its garbage is collected and the sockets of before are closed. */
  async held(): Promise<Held> {
    this.node.signal('SIGUSR1')
    const [page] = await eventually(
      async () =>
        (await (await fetch(`http://${this.#inspector}/json/list`)).json()) as { webSocketDebuggerUrl: string }[],
      pages => pages.length > 0,
      { what: 'the inspector of the node' },
    )
    const socket = new WebSocket((page as { webSocketDebuggerUrl: string }).webSocketDebuggerUrl)
    const ask = (id: number, method: string) =>
      new Promise<any>((resolve, reject) => {
        const answered = (data: unknown) => {
          const answer = JSON.parse(String(data))
          if (answer.id !== id) return
          socket.off('message', answered)
          resolve(answer.result)
        }
        socket.on('message', answered)
        socket.once('close', () => reject(new Error('the inspector left')))
        socket.send(JSON.stringify({ id, method }))
      })
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    try {
      await ask(1, 'HeapProfiler.collectGarbage')
      await ask(2, 'HeapProfiler.collectGarbage')
      const { usedSize, backingStorageSize = 0 } = await ask(3, 'Runtime.getHeapUsage')
      const [, pages] = readFileSync(`/proc/${this.node.pid}/statm`, 'utf8').split(' ')
      return {
        heapBytes: usedSize + backingStorageSize,
        files: readdirSync(`/proc/${this.node.pid}/fd`).length,
        residentBytes: Number(pages) * 4096,
      }
    } finally {
      socket.terminate()
    }
  }

  /** Waits until it holds no more than it held before, but for what chance leaves. Rejects when it goes on holding it. */
  async letsGo(before: Held): Promise<Held> {
    const after = await eventually(
      () => this.held(),
      ({ files, heapBytes }) =>
        files <= before.files + growthFilesMax && heapBytes <= before.heapBytes + growthBytesMax,
      { what: `no more held than before: ${JSON.stringify(before)}`, periodMs: 500 },
    )
    if (after.residentBytes > residentBytesMax)
      throw new Error(`the process has ${after.residentBytes} bytes in memory`)
    return after
  }

  stop(): Promise<void> {
    return this.#cluster.stop()
  }
}

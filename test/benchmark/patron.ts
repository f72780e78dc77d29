/**
 * One client of a deployment, as the contract describes it: submits a query that runs for a while, follows it on a WebSocket until it
 * ends, and submits the next. When the node says that it leaves, the patron goes where it is told to and resumes after the last
 * version that it has; when the connection breaks without a word, it goes to the proxy again.
 *
 *     connecting ──▶ ready ──▶ submitting ──▶ following ──▶ (ended) submitting …
 *         ▲            └── draining, or the connection breaks ──┐
 *         └─────────────────────────────────────────────────────┘
 */
import { setTimeout } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { ProxyClient } from './proxy-client.ts'

export interface PatronView {
  readonly handle: string
  readonly version: number
  readonly status: string
  readonly outcome: string | null
  readonly owner: { readonly node: string; readonly epoch: number }
}

interface Following {
  readonly handle: string
  readonly versions: number[]
  last: PatronView | null
  readonly ended: PromiseWithResolvers<void>
}

export class Patron {
  /** From the end of a connection until the subscription is back, in milliseconds. */
  readonly backMs: number[] = []
  /** What broke the contract, in words. */
  readonly faults: string[] = []
  readonly handles: string[] = []
  ended = 0
  versions = 0
  /** The last frame of the present query, and when it came. */
  latest: { readonly view: PatronView; readonly at: number; readonly connection: number } | null = null
  /** Hears every frame of its query, when it came, and by which of its connections. */
  heard: ((view: PatronView, at: number, connection: number) => void) | null = null
  /** How many connections it had. */
  connections = 0
  readonly #client: ProxyClient
  readonly #proxyUrl: string
  readonly #token: string
  readonly #name: string
  readonly #turn: number
  #socket: WebSocket | null = null
  #ready: PromiseWithResolvers<void> = Promise.withResolvers()
  #lostAt: number | null = null
  #following: Following | null = null
  #stopped = false
  #cancelled = false

  constructor(client: ProxyClient, proxyUrl: string, token: string, turn: number) {
    this.#client = client
    this.#proxyUrl = proxyUrl
    this.#token = token
    this.#turn = turn
    this.#name = `patron-${turn}`
  }

  /** Resolves after `stop`, when the query that it follows has ended. `sqlOf`: the statement of its nth query. */
  async run(sqlOf: (count: number) => string): Promise<void> {
    this.#connect(this.#proxyUrl)
    for (let count = 0; !this.#stopped; count++) {
      await this.#ready.promise
      if (this.#stopped) break
      const name = `${this.#name}-${count}`
      const answer = await this.#client.call(
        'POST',
        '/api/v1/queries',
        this.#token,
        { sql: sqlOf(count), lane: 'light', name },
        { 'idempotency-key': name },
      )
      if (answer === null || answer.status !== 202) {
        this.faults.push(`${name} was not accepted: ${JSON.stringify(answer)}`)
        await setTimeout(1_000)
        continue
      }
      const { handle } = JSON.parse(answer.text) as { handle: string }
      this.handles.push(handle)
      const following: Following = { handle, versions: [], last: null, ended: Promise.withResolvers() }
      this.#following = following
      this.#subscribe()
      await following.ended.promise
      if (!this.#following) break
      this.#check(following)
      if (this.#socket?.readyState === WebSocket.OPEN)
        this.#socket.send(JSON.stringify({ type: 'unsubscribe', id: handle }))
      this.#following = null
      this.ended++
    }
    this.#socket?.terminate()
  }

  get token(): string {
    return this.#token
  }

  /** `cancelled`: what it follows is being cancelled, so that it need not be SUCCESSFUL. */
  stop(cancelled = false): void {
    this.#stopped = true
    this.#cancelled = cancelled
  }

  /** At once, whatever it follows: nobody answers any more. */
  abandon(): void {
    this.stop(true)
    this.#following?.ended.resolve()
    this.#following = null
    this.#socket?.terminate()
    this.#ready.resolve()
  }

  #check({ handle, versions, last }: Following): void {
    this.versions += versions.length
    // The first is the state as it was found.
    const first = versions[0] as number
    if (versions.some((version, index) => version !== first + index))
      this.faults.push(`${handle}: versions ${versions.join(' ')}`)
    if (last?.outcome !== 'SUCCESSFUL' && !this.#cancelled) this.faults.push(`${handle} ended ${JSON.stringify(last)}`)
  }

  #connect(url: string): void {
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/v1/stream`, {
      headers: { authorization: `Bearer ${this.#token}` },
    })
    const connection = ++this.connections
    this.#socket = socket
    let next: string | null = null
    let over = false
    const leave = () => {
      if (over) return
      over = true
      this.#lostAt ??= performance.now()
      this.#ready = Promise.withResolvers()
      socket.terminate()
      if (!this.#stopped || this.#following) void this.#again(next ?? this.#proxyUrl, next === null)
    }
    socket.on('error', () => {})
    socket.on('close', leave)
    socket.on('message', data => {
      const at = performance.now()
      for (const frame of [JSON.parse(String(data))].flat()) {
        if (over) return
        if (frame.type === 'ready') {
          if (!this.#following) this.#back()
          this.#ready.resolve()
          this.#subscribe()
        } else if (frame.type === 'subscribed') this.#back()
        else if (frame.type === 'query') this.#take(frame.query, at, connection)
        else if (frame.type === 'draining') {
          // Spread over those who stay.
          next = frame.reconnectTo[this.#turn % Math.max(1, frame.reconnectTo.length)] ?? null
          leave()
        } else if (frame.type === 'error') {
          if (!frame.retryable) this.faults.push(`${this.#name}: ${JSON.stringify(frame)}`)
          leave()
        }
      }
    })
  }

  async #again(url: string, withoutWord: boolean): Promise<void> {
    // As the client library does: what is at the proxy may be refused again at once, and all the others come back as well.
    if (withoutWord) await setTimeout(160 + Math.random() * 200)
    this.#connect(url)
  }

  #back(): void {
    if (this.#lostAt === null) return
    this.backMs.push(performance.now() - this.#lostAt)
    this.#lostAt = null
  }

  #subscribe(): void {
    const following = this.#following
    if (!following || this.#socket?.readyState !== WebSocket.OPEN) return
    const { handle, versions } = following
    const after = versions.at(-1)
    this.#socket.send(
      JSON.stringify({
        type: 'subscribe',
        id: handle,
        topic: 'query',
        handle,
        ...(after === undefined ? {} : { after }),
      }),
    )
  }

  #take(view: PatronView, at: number, connection: number): void {
    const following = this.#following
    if (!following || following.handle !== view.handle) return
    following.versions.push(view.version)
    following.last = view
    this.latest = { view, at, connection }
    this.heard?.(view, at, connection)
    if (view.outcome !== null) following.ended.resolve()
  }
}

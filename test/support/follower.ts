/**
 * A WebSocket subscriber that does what a departing node tells it: follows `draining.reconnectTo`, and resumes every
 * subscription with the last version that it has. Keeps each version as it comes, so that gaps and repetitions show.
 */
import { WebSocket } from 'ws'

export interface SeenQuery {
  readonly handle: string
  readonly version: number
  readonly status: string
  readonly outcome: string | null
  readonly owner: { readonly node: string; readonly epoch: number }
}

export class Follower {
  /** Every frame of each query, as it came. */
  readonly seen = new Map<string, SeenQuery[]>()
  readonly failures: string[] = []
  /** How often it was sent elsewhere. */
  moves = 0
  readonly #token: string
  readonly #fallback: () => readonly string[]
  #url: string
  #socket: WebSocket | null = null
  #ready = false
  #next: string | null = null
  #closed = false

  /** `fallback`: where to go when a connection breaks without a word, as when its node is killed. */
  constructor(url: string, token: string, fallback: () => readonly string[] = () => []) {
    this.#url = url
    this.#token = token
    this.#fallback = fallback
    this.#connect()
  }

  get at(): string {
    return this.#url
  }

  follow(handle: string): void {
    if (this.seen.has(handle)) return
    this.seen.set(handle, [])
    if (this.#ready) this.#subscribe(handle)
  }

  /** True when every followed query was seen to end. */
  get complete(): boolean {
    return [...this.seen.values()].every(frames => frames.at(-1)?.outcome != null)
  }

  /** What is wrong with the versions of what was followed; nothing, when all is well. */
  faults(): string[] {
    const faults = [...this.failures]
    for (const [handle, frames] of this.seen) {
      const versions = frames.map(({ version }) => version)
      if (versions.some((version, index) => version !== index + 1)) faults.push(`${handle}: ${versions.join(' ')}`)
    }
    return faults
  }

  close(): void {
    this.#closed = true
    this.#socket?.terminate()
  }

  #connect(): void {
    const url = this.#url
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/v1/stream`, {
      headers: { authorization: `Bearer ${this.#token}` },
    })
    this.#socket = socket
    this.#next = null
    let refused: string | null = null
    socket.on('error', error => {
      refused = String(error)
    })
    socket.on('message', data => {
      for (const frame of [JSON.parse(String(data))].flat()) this.#take(frame)
    })
    socket.on('close', code => {
      this.#ready = false
      if (this.#closed) return
      if (this.#next === null) {
        const others = this.#fallback().filter(other => other !== url)
        if (others.length === 0) {
          this.failures.push(`the stream at ${url} ended with ${code} and no word where to go ${refused ?? ''}`)
          return
        }
        this.#next = others[0] as string
      } else if (code !== 1012) this.failures.push(`the stream at ${url} ended with ${code} after it was sent away`)
      this.#url = this.#next
      this.moves++
      this.#connect()
    })
  }

  #take(frame: any): void {
    if (frame.type === 'ready') {
      this.#ready = true
      for (const handle of this.seen.keys()) this.#subscribe(handle)
    } else if (frame.type === 'query') this.seen.get(frame.query.handle)?.push(frame.query)
    else if (frame.type === 'draining') {
      if (frame.reconnectTo.length === 0) this.failures.push(`${this.#url} sends its subscribers nowhere`)
      this.#next = frame.reconnectTo[0] ?? null
    } else if (frame.type === 'error') this.failures.push(`at ${this.#url}: ${JSON.stringify(frame)}`)
  }

  #subscribe(handle: string): void {
    const frames = this.seen.get(handle)
    const last = frames?.at(-1)
    if (last && last.outcome !== null) return
    const after = last?.version ?? 0
    this.#socket?.send(JSON.stringify({ type: 'subscribe', id: handle, topic: 'query', handle, after }))
  }
}

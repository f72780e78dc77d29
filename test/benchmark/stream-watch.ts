/** A subscriber that notes when each version of each query reached it, by the clock of the benchmark. */
import { once } from 'node:events'
import { WebSocket } from 'ws'

export interface SeenVersion {
  readonly handle: string
  readonly version: number
  readonly status: string
  readonly outcome: string | null
  readonly attempt: number
  readonly node: string
  readonly epoch: number
  /** `performance.now()` of its arrival. */
  readonly at: number
}

export class StreamWatch {
  /** Every version of each query, as it came. */
  readonly seen = new Map<string, SeenVersion[]>()
  /** The code with which it was closed, and not by us. */
  closedWith: number | null = null
  readonly #socket: WebSocket
  readonly #opened: Promise<unknown>
  readonly #waiting = new Set<() => void>()
  #subscriptions = 0
  #subscribed = 0

  constructor(url: string, token: string) {
    this.#socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/v1/stream`, {
      headers: { authorization: `Bearer ${token}` },
    })
    this.#opened = once(this.#socket, 'open')
    this.#opened.catch(() => {})
    this.#socket.on('error', () => {})
    this.#socket.on('close', code => {
      this.closedWith = code
      this.#wake()
    })
    this.#socket.on('message', data => this.#take(performance.now(), String(data)))
  }

  /** Resolves when the server has said that the subscription is there. `topic`: the frame without type and id. */
  async subscribe(topic: object): Promise<this> {
    await this.#opened
    const mine = ++this.#subscriptions
    this.#socket.send(JSON.stringify({ type: 'subscribe', id: `s${mine}`, ...topic }))
    await this.until('the subscription', () => this.#subscribed >= mine)
    return this
  }

  /** The first arrival of this query that satisfies; also one that has come already. */
  async arrival(handle: string, satisfies: (seen: SeenVersion) => boolean, withinMs = 60_000): Promise<SeenVersion> {
    const find = () => this.seen.get(handle)?.find(satisfies)
    await this.until(`a version of ${handle}`, () => find() !== undefined, withinMs)
    return find() as SeenVersion
  }

  /** Asked again at every message. */
  async until(what: string, holds: () => boolean, withinMs = 60_000): Promise<void> {
    const giveUpAt = performance.now() + withinMs
    while (!holds()) {
      if (this.closedWith !== null) throw new Error(`${what}: the stream was closed with ${this.closedWith}`)
      const leftMs = giveUpAt - performance.now()
      if (leftMs <= 0) throw new Error(`${what} did not come within ${withinMs} ms`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(done, leftMs)
        function done() {
          clearTimeout(timer)
          resolve()
        }
        this.#waiting.add(done)
      })
    }
  }

  close(): void {
    this.#socket.terminate()
  }

  #take(at: number, text: string): void {
    for (const frame of [JSON.parse(text)].flat()) {
      if (frame.type === 'subscribed') this.#subscribed++
      else if (frame.type === 'query') {
        const { handle, version, status, outcome, attempt, owner } = frame.query
        const versions = this.seen.get(handle)
        const seen = { handle, version, status, outcome, attempt, node: owner.node, epoch: owner.epoch, at }
        if (versions) versions.push(seen)
        else this.seen.set(handle, [seen])
      } else if (frame.type === 'error') throw new Error(`the stream says ${text}`)
    }
    this.#wake()
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const done of waiting) done()
  }
}

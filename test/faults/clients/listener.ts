/**
 * One client's WebSocket: subscribes to queries one by one or to its whole session, and comes back on another node with the
 * versions that it has, however its connection ends. Every subscription and every frame of a query is recorded.
 */
import { WebSocket } from 'ws'
import { monotonicMs, type SeenQuery, type Subscribe, seenQuery } from '../history.ts'
import type { Caller, NodeAddress, Session } from './caller.ts'
import type { Recorder } from './recorder.ts'

type Open = { -readonly [Field in keyof Subscribe]: Subscribe[Field] } & { frames: number }

const redialMs = 150
const dialWithinMs = 2500
/** A server pings every 15 s; a cable that was pulled is noticed sooner by asking. */
const pingMs = 1500

export class Listener {
  readonly topic: 'query' | 'session'
  readonly #caller: Caller
  readonly #session: Session
  readonly #recorder: Recorder
  /** What was seen last of each query that is not known to have ended. */
  readonly #followed = new Map<string, number>()
  readonly #ended = new Set<string>()
  readonly #subscriptions = new Map<string, Open>()
  #node: NodeAddress
  #socket: WebSocket | null = null
  #ready = false
  #closed = false
  #heardAt = 0
  #redial: NodeJS.Timeout | undefined
  readonly #pulse: NodeJS.Timeout

  constructor(topic: 'query' | 'session', caller: Caller, session: Session, recorder: Recorder) {
    this.topic = topic
    this.#caller = caller
    this.#session = session
    this.#recorder = recorder
    this.#node = caller.pick()
    this.#pulse = setInterval(() => this.#beat(), pingMs)
    this.#dial()
  }

  /** Of this session. */
  follow(handle: string): void {
    // A frame may be faster than the answer that names the query.
    if (this.#followed.has(handle) || this.#ended.has(handle)) return
    this.#followed.set(handle, 0)
    if (this.#ready && this.topic === 'query') this.#subscribeQuery(handle)
  }

  /** Whether every followed query was seen to end. */
  get complete(): boolean {
    return this.#followed.size === 0
  }

  get waitsFor(): string[] {
    return [...this.#followed.keys()]
  }

  /** Subscribes to what belongs to somebody else. */
  intrude(handle: string): void {
    if (this.#ready) this.#open('query', handle, {})
  }

  /** `ended`: why; null leaves subscriptions that are alive so in the record: the run is over, not they. */
  close(ended: string | null): void {
    this.#closed = true
    clearInterval(this.#pulse)
    clearTimeout(this.#redial)
    for (const subscription of [...this.#subscriptions.values()]) this.#end(subscription, ended)
    this.#socket?.terminate()
  }

  #beat(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return
    if (monotonicMs() - this.#heardAt > 2 * pingMs) this.#socket.terminate()
    else this.#socket.send('{"type":"ping"}')
  }

  #dial(): void {
    const socket = new WebSocket(`${this.#node.url.replace(/^http/, 'ws')}/api/v1/stream`, {
      headers: { authorization: `Bearer ${this.#session.token}` },
      handshakeTimeout: dialWithinMs,
    })
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('message', data => {
      this.#heardAt = monotonicMs()
      for (const frame of [JSON.parse(String(data))].flat()) this.#take(frame)
    })
    socket.on('close', code => this.#lost(code))
  }

  #lost(code: number): void {
    this.#ready = false
    for (const subscription of [...this.#subscriptions.values()]) this.#end(subscription, `close ${code}`)
    if (this.#closed) return
    this.#node = this.#caller.pick(this.#node)
    this.#redial = setTimeout(() => this.#dial(), redialMs)
  }

  #take(frame: any): void {
    if (frame.type === 'ready') {
      this.#ready = true
      if (this.topic === 'query') for (const handle of this.#followed.keys()) this.#subscribeQuery(handle)
      else this.#open('session', null, Object.fromEntries(this.#followed))
    } else if (frame.type === 'subscribed') {
      const subscription = this.#subscriptions.get(frame.id)
      if (subscription) subscription.subscribedMs = monotonicMs()
    } else if (frame.type === 'query') this.#see(frame.id, seenQuery(frame.query))
    else if (frame.type === 'error') {
      const subscription = this.#subscriptions.get(frame.id)
      if (subscription) this.#end(subscription, frame.code)
      // Without its session nothing is to be had here any more.
      if (frame.code === 'SESSION_INVALID') this.#followed.clear()
    }
  }

  #see(id: string, query: SeenQuery): void {
    const subscription = this.#subscriptions.get(id)
    if (!subscription) return
    this.#recorder.write({
      record: 'frame',
      subscription: id,
      index: subscription.frames++,
      atMs: monotonicMs(),
      query,
    })
    const { handle, version, outcome } = query
    if (outcome === null) {
      if (this.#followed.has(handle) || this.topic === 'session') this.#followed.set(handle, version)
      return
    }
    this.#followed.delete(handle)
    this.#ended.add(handle)
    if (this.topic === 'session') return
    this.#socket?.send(JSON.stringify({ type: 'unsubscribe', id }))
    this.#end(subscription, 'unsubscribed')
  }

  #subscribeQuery(handle: string): void {
    const version = this.#followed.get(handle) ?? 0
    this.#open('query', handle, { [handle]: version })
  }

  #open(topic: 'query' | 'session', handle: string | null, after: Readonly<Record<string, number>>): void {
    const id = this.#recorder.nextId()
    const { client, user } = this.#caller
    this.#subscriptions.set(id, {
      record: 'operation',
      id,
      client,
      user,
      node: this.#node.name,
      session: this.#session.id,
      beginMs: monotonicMs(),
      endMs: null,
      kind: 'subscribe',
      topic,
      handle,
      after,
      subscribedMs: null,
      ended: null,
      answer: null,
      frames: 0,
    })
    const wanted = topic === 'session' ? after : handle === null ? undefined : after[handle]
    this.#socket?.send(
      JSON.stringify({
        type: 'subscribe',
        id,
        topic,
        ...(handle ? { handle } : {}),
        ...(wanted === undefined ? {} : { after: wanted }),
      }),
    )
  }

  #end(subscription: Open, ended: string | null): void {
    this.#subscriptions.delete(subscription.id)
    const { frames: _frames, ...record } = subscription
    this.#recorder.write({ ...record, endMs: ended === null ? null : monotonicMs(), ended })
  }
}

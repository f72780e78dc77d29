/**
 * The one WebSocket of a client: all subscriptions share it, and it is opened again, on another node if need be, for as
 * long as there is one. Each subscription says anew where it stands whenever a connection is made.
 *
 *     idle ──(first subscription)──▶ connecting ──(ready)──▶ ready ──(closed, silent, draining)──▶ connecting
 *       ▲                                                      │
 *       └───────────(the last subscription has left)───────────┘
 */
import type { StreamFrame, StreamRequest, StreamTopic } from '../api/v1/wire.ts'
import type { Endpoints } from './endpoints.ts'
import { LensClientError } from './errors.ts'
import { backoffMs, type Settings } from './options.ts'

export interface StreamSubscription {
  /** Asked at every connection: where the subscription stands now. */
  topic(): StreamTopic
  frame(frame: StreamFrame): void
  /** The server refused it for good; it is not subscribed any more. */
  failed(error: LensClientError): void
  /** No endpoint gives a WebSocket at present; the stream goes on trying. Called once until `available`. */
  unavailable(): void
  available(): void
}

/** A connection without any frame for so long is asked for a sign of life, … */
const quietMs = 5_000
/** … and given up after as long again. */
const openMs = 5_000
/** How long the connection is kept when nobody subscribes: the next query often comes at once. */
const lingerMs = 1_000
/** A connection that ends sooner than that was not worth having: the next one waits a little. */
const shortLivedMs = 1_000
/**
 * When a node dies, all its subscribers lose it in one moment, and the other nodes are just taking its queries over: so they come
 * back a little later, when there is something to be told, and spread. Who is told to leave comes at once; nothing is taken over then.
 */
const comeback = { firstMs: 160, spreadMs: 200 } as const

/** `lost` without a word, or `sent-away`; `unready`: it was never of any use. */
type Ending = 'unready' | 'lost' | 'sent-away'

export class Stream {
  readonly #endpoints: Endpoints
  readonly #settings: Settings
  readonly #token: () => Promise<string>
  readonly #subscriptions = new Map<string, StreamSubscription>()
  readonly #closing = new AbortController()
  #socket: WebSocket | null = null
  #ready = false
  #running = false
  #available = true
  #ids = 0
  #cancelLinger: (() => void) | null = null

  constructor(endpoints: Endpoints, settings: Settings, token: () => Promise<string>) {
    this.#endpoints = endpoints
    this.#settings = settings
    this.#token = token
  }

  /** Returns how to unsubscribe; safe twice. */
  subscribe(subscription: StreamSubscription): () => void {
    const id = `s${++this.#ids}`
    this.#subscriptions.set(id, subscription)
    this.#cancelLinger?.()
    this.#cancelLinger = null
    if (!this.#settings.WebSocket || !this.#available) subscription.unavailable()
    if (this.#ready) this.#send({ type: 'subscribe', id, ...subscription.topic() })
    else if (!this.#running && this.#settings.WebSocket) void this.#run(this.#settings.WebSocket)
    return () => {
      if (!this.#subscriptions.delete(id)) return
      if (this.#ready) this.#send({ type: 'unsubscribe', id })
      if (this.#subscriptions.size === 0 && this.#socket) {
        this.#cancelLinger = this.#settings.clock.after(lingerMs, () => {
          if (this.#subscriptions.size === 0) this.#socket?.close(1000)
        })
      }
    }
  }

  close(): void {
    this.#cancelLinger?.()
    this.#closing.abort()
    this.#socket?.close(1000)
    for (const [id, subscription] of this.#subscriptions) {
      this.#subscriptions.delete(id)
      subscription.failed(new LensClientError({ code: 'CLIENT_CLOSED', detail: 'The client was closed.' }))
    }
  }

  async #run(Socket: typeof globalThis.WebSocket): Promise<void> {
    const { clock, random } = this.#settings
    this.#running = true
    const tried = new Set<string>()
    let round = 0
    try {
      while (this.#subscriptions.size > 0 && !this.#closing.signal.aborted) {
        const endpoint = this.#endpoints.next(tried) ?? this.#endpoints.current
        tried.add(endpoint)
        const started = clock.monotonic()
        const ending = await this.#connection(Socket, endpoint)
        const wasReady = ending !== 'unready'
        if (wasReady) tried.clear()
        else this.#endpoints.failed(endpoint)
        if (wasReady && clock.monotonic() - started >= shortLivedMs) {
          round = 0
          if (ending === 'lost')
            await clock.sleep(comeback.firstMs + random.fraction() * comeback.spreadMs, this.#closing.signal)
          continue
        }
        if (!wasReady && this.#endpoints.next(tried) !== null) continue
        if (!wasReady) this.#tellUnavailable()
        tried.clear()
        await clock.sleep(backoffMs(this.#settings, round++), this.#closing.signal)
      }
    } catch (error) {
      // The token could not be had (the session cannot be opened), or the client was closed while it waited.
      if (!this.#closing.signal.aborted) this.#failAll(asClientError(error))
    } finally {
      this.#running = false
    }
  }

  /** One connection from its beginning to its end. */
  async #connection(Socket: typeof globalThis.WebSocket, endpoint: string): Promise<Ending> {
    const token = await this.#token()
    const { clock } = this.#settings
    return new Promise(resolve => {
      let wasReady = false
      let ended = false
      let cancelTimer = () => {}
      const socket = new Socket(`${endpoint.replace(/^http/, 'ws')}/api/v1/stream`)
      this.#socket = socket
      const end = (ending: Ending = wasReady ? 'lost' : 'unready') => {
        if (ended) return
        ended = true
        cancelTimer()
        this.#socket = null
        this.#ready = false
        socket.close()
        resolve(ending)
      }
      const expectWithin = (limitMs: number, otherwise: () => void) => {
        cancelTimer()
        cancelTimer = clock.after(limitMs, otherwise)
      }
      // A frozen node keeps its connections open: only silence tells.
      const listen = () =>
        expectWithin(quietMs, () => {
          if (socket.readyState === Socket.OPEN) socket.send('{"type":"ping"}')
          expectWithin(quietMs, () => {
            this.#endpoints.failed(endpoint)
            end()
          })
        })
      expectWithin(openMs, () => end())
      socket.addEventListener('open', () => {
        if (!ended) socket.send(JSON.stringify({ type: 'authenticate', token } satisfies StreamRequest))
      })
      socket.addEventListener('message', event => {
        if (ended) return
        const frames = framesOf(event.data)
        if (!frames) return end()
        for (const frame of frames) {
          if (frame.type === 'ready') {
            wasReady = true
            this.#becomeReady(endpoint)
          } else this.#take(frame, endpoint, () => end(wasReady ? 'sent-away' : 'unready'))
        }
        if (wasReady && !ended) listen()
      })
      socket.addEventListener('close', () => end())
      socket.addEventListener('error', () => end())
    })
  }

  #becomeReady(endpoint: string): void {
    this.#ready = true
    this.#endpoints.worked(endpoint)
    if (!this.#available) {
      this.#available = true
      for (const subscription of [...this.#subscriptions.values()]) subscription.available()
    }
    for (const [id, subscription] of this.#subscriptions) {
      this.#send({ type: 'subscribe', id, ...subscription.topic() })
    }
  }

  #take(frame: StreamFrame, endpoint: string, end: () => void): void {
    if (frame.type === 'draining') {
      this.#endpoints.leaving(endpoint)
      this.#endpoints.learn(frame.reconnectTo)
      // The server closes too; not waiting for it saves the round trip.
      end()
    } else if (frame.type === 'error') this.#refused(frame, end)
    else if ('id' in frame) this.#subscriptions.get(frame.id)?.frame(frame)
  }

  #refused(frame: Extract<StreamFrame, { type: 'error' }>, end: () => void): void {
    const { code, message, retryable } = frame
    // Connecting again subscribes again; the pause between short-lived connections keeps that from spinning.
    if (retryable) {
      end()
      return
    }
    const error = new LensClientError({ code, detail: message, retryable })
    if (frame.id === undefined) {
      this.#failAll(error)
      end()
      return
    }
    const subscription = this.#subscriptions.get(frame.id)
    this.#subscriptions.delete(frame.id)
    subscription?.failed(error)
  }

  #failAll(error: LensClientError): void {
    const all = [...this.#subscriptions.values()]
    this.#subscriptions.clear()
    for (const subscription of all) subscription.failed(error)
  }

  #tellUnavailable(): void {
    if (!this.#available) return
    this.#available = false
    for (const subscription of [...this.#subscriptions.values()]) subscription.unavailable()
  }

  #send(request: StreamRequest): void {
    const socket = this.#socket
    if (socket && socket.readyState === socket.OPEN) socket.send(JSON.stringify(request))
  }
}

function framesOf(data: unknown): StreamFrame[] | null {
  try {
    const body: unknown = JSON.parse(String(data))
    return (Array.isArray(body) ? body : [body]) as StreamFrame[]
  } catch {
    return null
  }
}

function asClientError(error: unknown): LensClientError {
  if (error instanceof LensClientError) return error
  return new LensClientError({ code: 'NOT_LENS', detail: String(error), cause: error })
}

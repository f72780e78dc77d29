/**
 * One WebSocket of a client.
 *
 *     authenticating ──token──▶ ready ──▶ closing ──▶ closed
 *            └──bad token, silence──────────▲
 *
 * Whatever arrives becomes an answer or an error frame, never an exception: the process belongs to all clients.
 */
import type { RawData, WebSocket } from 'ws'
import type { CancelTimer, Clock } from '../../async/index.ts'
import { LensError } from '../../domain/index.ts'
import type { Gateway, Principal, Subscription, SubscriptionFrame, Topic } from '../../gateway/index.ts'
import type { Logger, Metrics } from '../../observability/index.ts'
import { authenticateMs, closeGraceMs } from '../bounds.ts'
import { asLensError, invalid } from '../problem.ts'
import { checkFrame, idOf, parseFrame } from './client-frames.ts'
import { Outbox } from './outbox.ts'

/** Close codes of RFC 6455 that clients tell apart. */
export const closeCode = {
  /** The node leaves; come back elsewhere. */
  draining: 1012,
  /** Come back later, with `after`: the reader is too slow, or the store is away. */
  later: 1013,
  /** Not authenticated, or not any more. */
  policy: 1008,
  /** Binary frames are not read. */
  binary: 1003,
} as const

export interface ConnectionContext {
  readonly gateway: Gateway
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly node: string
  readonly requestId: string
  readonly bufferBytesMax: number
  readonly subscriptionsMax: number
}

export class Connection {
  readonly #socket: WebSocket
  readonly #context: ConnectionContext
  readonly #outbox: Outbox
  readonly #subscriptions = new Map<string, { readonly topic: Topic['topic']; end(): void }>()
  #principal: Principal | null
  #authenticating = false
  /** What arrived while the token was being checked. */
  readonly #held: [RawData, boolean][] = []
  #closing = false
  #cancelTimer: CancelTimer = () => {}
  /** Set while the node drains: where to go. */
  #reconnectTo: readonly string[] | null = null

  /** `principal` is null when the first frame has to authenticate. */
  constructor(socket: WebSocket, context: ConnectionContext, principal: Principal | null) {
    this.#socket = socket
    this.#context = context
    this.#principal = principal
    this.#outbox = new Outbox(
      {
        get bufferedAmount() {
          return socket.bufferedAmount
        },
        send: text => socket.send(text),
      },
      context.bufferBytesMax,
      () => {
        context.metrics.slowReaders.inc()
        this.#close(closeCode.later, 'too slow; resume with after')
      },
    )
    socket.on('message', (data, binary) => this.#receive(data, binary))
    // Broken frames and resets; ws closes the socket itself.
    socket.on('error', error => context.logger.debug({ err: error, ...this.#about }, 'a stream broke'))
    socket.on('close', () => this.#closed())
    if (principal) this.#ready()
    else
      this.#cancelTimer = context.clock.after(authenticateMs, () => {
        this.#refuse(new LensError('UNAUTHENTICATED', 'No authenticate frame arrived in time.'))
      })
  }

  /** Tells the client where to go, and closes. */
  drain(reconnectTo: readonly string[]): void {
    this.#reconnectTo = reconnectTo
    // Whoever has not authenticated is told right after it has.
    if (this.#principal) this.#leave(reconnectTo)
  }

  terminate(): void {
    this.#socket.terminate()
  }

  #receive(data: RawData, binary: boolean): void {
    if (this.#closing) return
    // Browsers subscribe without waiting for `ready`; what came along with the token is read after it was checked.
    if (this.#authenticating) this.#held.push([data, binary])
    else if (binary) {
      this.#sendError(invalid('frame: expected text, not binary'))
      this.#close(closeCode.binary, 'binary frames are not read')
    } else this.#read(String(data))
  }

  #read(text: string): void {
    let frame: unknown
    try {
      frame = parseFrame(text)
      this.#obey(frame)
    } catch (error) {
      const seen = this.#asSeen(error)
      if (this.#principal) this.#sendError(seen, idOf(frame))
      else this.#refuse(seen)
    }
  }

  #obey(received: unknown): void {
    const { type } = (received ?? {}) as { type?: unknown }
    if (!this.#principal && type !== 'authenticate')
      throw new LensError('UNAUTHENTICATED', 'frame: expected {"type":"authenticate","token"} first')
    const frame = checkFrame(received)
    if (frame.type === 'authenticate') {
      if (this.#principal) throw invalid('frame: this connection is authenticated already')
      this.#authenticating = true
      // No more than the network has delivered already is held meanwhile.
      this.#socket.pause()
      void this.#authenticate(frame.token)
    } else if (frame.type === 'ping') this.#send('{"type":"pong"}', 'pong')
    else if (frame.type === 'subscribe') this.#subscribe(frame.id, frame)
    else {
      const subscription = this.#subscriptions.get(frame.id)
      if (!subscription) throw invalid('frame.id: expected the id of an open subscription')
      subscription.end()
    }
  }

  async #authenticate(token: string): Promise<void> {
    try {
      this.#principal = await this.#context.gateway.authenticate(token)
    } catch (error) {
      this.#refuse(this.#asSeen(error))
    } finally {
      this.#authenticating = false
      this.#socket.resume()
    }
    if (this.#closing) return
    this.#ready()
    for (const [data, binary] of this.#held.splice(0)) this.#receive(data, binary)
  }

  #ready(): void {
    this.#cancelTimer()
    this.#send(`{"type":"ready","node":${JSON.stringify(this.#context.node)}}`, 'ready')
    if (this.#reconnectTo) this.#leave(this.#reconnectTo)
  }

  #subscribe(id: string, topic: Topic): void {
    if (this.#subscriptions.has(id)) throw invalid('frame.id: expected one that no open subscription has')
    if (this.#subscriptions.size >= this.#context.subscriptionsMax)
      throw invalid(`frame: expected at the most ${this.#context.subscriptionsMax} subscriptions on one connection`)

    const idText = JSON.stringify(id)
    const { metrics, gateway } = this.#context
    let announced = false
    let ended = false
    let subscription: Subscription | null = null
    const announce = () => {
      if (announced || ended) return
      announced = true
      this.#send(`{"type":"subscribed","id":${idText}}`, 'subscribed')
    }
    const end = () => {
      if (ended) return
      ended = true
      this.#subscriptions.delete(id)
      metrics.subscribers.dec({ topic: topic.topic })
      subscription?.close()
    }
    const fail = (error: unknown) => {
      if (ended) return
      end()
      const seen = this.#asSeen(error)
      this.#sendError(seen, id)
      // The session is that of the connection: nothing on it works any more.
      if (seen.code === 'SESSION_INVALID') this.#close(closeCode.policy, 'the session has ended')
    }

    this.#subscriptions.set(id, { topic: topic.topic, end })
    metrics.subscribers.inc({ topic: topic.topic })
    try {
      subscription = gateway.subscribe(this.#principal as Principal, topicOf(topic), {
        frame: (frame, text) => {
          if (ended) return
          announce()
          this.#forward(idText, frame, text)
        },
        ended: fail,
      })
    } catch (error) {
      fail(error)
      return
    }
    // It may have ended before it was returned.
    if (ended) subscription.close()
    subscription.ready.then(announce, fail)
  }

  #forward(idText: string, frame: SubscriptionFrame, text: string | null): void {
    if (frame.type === 'progress') {
      const { handle, progress } = frame
      const body = `"handle":${JSON.stringify(handle)},"progress":${JSON.stringify(progress)}`
      if (this.#outbox.pushProgress(`${idText}${handle}`, `{"type":"progress","id":${idText},${body}}`))
        this.#context.metrics.frames.inc({ type: 'progress' })
      return
    }
    const { type } = frame
    const body = type === 'query' ? frame.query : type === 'cluster' ? frame.cluster : frame.machines
    this.#send(`{"type":"${type}","id":${idText},"${type}":${text ?? JSON.stringify(body)}}`, type)
  }

  #send(text: string, type: string): void {
    if (this.#closing) return
    this.#context.metrics.frames.inc({ type })
    this.#outbox.push(text)
  }

  #sendError(error: LensError, id?: string): void {
    const { code, detail, retryable } = error
    this.#send(
      JSON.stringify({ type: 'error', ...(id === undefined ? {} : { id }), code, message: detail, retryable }),
      'error',
    )
  }

  get #about() {
    return { requestId: this.#context.requestId, session: this.#principal?.sessionId }
  }

  #asSeen(error: unknown): LensError {
    const seen = asLensError(error)
    if (seen.code === 'INTERNAL') this.#context.logger.error({ err: error, ...this.#about }, 'a stream failed')
    return seen
  }

  #refuse(error: LensError): void {
    this.#sendError(error)
    this.#close(error.retryable ? closeCode.later : closeCode.policy, error.code)
  }

  #leave(reconnectTo: readonly string[]): void {
    this.#send(JSON.stringify({ type: 'draining', reconnectTo }), 'draining')
    this.#close(closeCode.draining, 'the node leaves the cluster')
  }

  /** Sends what waits, then closes; a peer that does not answer the close is cut off. */
  #close(code: number, reason: string): void {
    if (this.#closing) return
    this.#closing = true
    this.#cancelTimer()
    this.#outbox.flush()
    this.#outbox.close()
    this.#endSubscriptions()
    this.#socket.close(code, reason)
    this.#cancelTimer = this.#context.clock.after(closeGraceMs, () => this.#socket.terminate())
  }

  #closed(): void {
    this.#closing = true
    this.#cancelTimer()
    this.#outbox.close()
    this.#endSubscriptions()
  }

  #endSubscriptions(): void {
    for (const subscription of [...this.#subscriptions.values()]) subscription.end()
  }
}

/** The topic alone, handles in the form that the database has. */
function topicOf(frame: Topic): Topic {
  switch (frame.topic) {
    case 'query':
      return {
        topic: 'query',
        handle: frame.handle.toLowerCase(),
        ...(frame.after === undefined ? {} : { after: frame.after }),
      }
    case 'session': {
      if (frame.after === undefined) return { topic: 'session' }
      const after = Object.entries(frame.after).map(([handle, version]) => [handle.toLowerCase(), version] as const)
      return { topic: 'session', after: Object.fromEntries(after) }
    }
    case 'cluster':
    case 'machines':
      return { topic: frame.topic }
  }
}

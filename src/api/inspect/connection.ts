/**
 * One inspector's WebSocket. It hears nothing but inspection events, one a message, since receivers parse every message as one.
 *
 *     authenticating ──token──▶ presenting ──▶ following ──▶ closing ──▶ closed
 *            └──bad token, silence────────────────────────────▲
 */
import type { WebSocket } from 'ws'
import type { CancelTimer, Clock } from '../../async/index.ts'
import { LensError } from '../../domain/index.ts'
import type { Gateway, Inspection, Principal } from '../../gateway/index.ts'
import type { Logger, Metrics } from '../../observability/index.ts'
import { actorsPresentedAtOnce, authenticateMs, closeGraceMs } from '../bounds.ts'
import { asLensError, invalid } from '../problem.ts'
import { checkFrame, parseFrame } from '../stream/client-frames.ts'
import { closeCode } from '../stream/connection.ts'
import { Outbox } from '../stream/outbox.ts'
import { actorEvent, stepEvents, stoppedEvent } from './events.ts'

export interface InspectorContext {
  readonly gateway: Pick<Gateway, 'authenticate' | 'inspect'>
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly requestId: string
  readonly bufferBytesMax: number
}

export class InspectorConnection {
  readonly #socket: WebSocket
  readonly #context: InspectorContext
  readonly #outbox: Outbox
  #inspection: Inspection | null = null
  #authenticating = false
  /** Actors that lived here before are still to be told of. */
  #presenting = false
  /** Messages that the network has not taken yet. */
  #unwritten = 0
  #closing = false
  #cancelTimer: CancelTimer = () => {}

  /** `principal` is null when the first frame has to authenticate. */
  constructor(socket: WebSocket, context: InspectorContext, principal: Principal | null) {
    this.#socket = socket
    this.#context = context
    this.#outbox = new Outbox(
      {
        get bufferedAmount() {
          return socket.bufferedAmount
        },
        send: text => {
          this.#unwritten++
          socket.send(text, () => {
            this.#unwritten--
            this.#present()
          })
        },
      },
      context.bufferBytesMax,
      () => {
        context.metrics.slowReaders.inc()
        this.#close(closeCode.later, 'too slow; attach again')
      },
      0,
    )
    socket.on('message', data => this.#receive(String(data)))
    // Broken frames and resets; ws closes the socket itself.
    socket.on('error', error =>
      context.logger.debug({ err: error, requestId: context.requestId }, 'an inspection broke'),
    )
    socket.on('close', () => this.#closed())
    if (principal) this.#attach(principal)
    else
      this.#cancelTimer = context.clock.after(authenticateMs, () => {
        this.#refuse(new LensError('UNAUTHENTICATED', 'No authenticate frame arrived in time.'))
      })
  }

  /** The node leaves: its actors go elsewhere, and so must who wants to see them. */
  drain(): void {
    this.#close(closeCode.draining, 'the node leaves the cluster')
  }

  terminate(): void {
    this.#socket.terminate()
  }

  #receive(text: string): void {
    // Who is attached has nothing to say that would change what it sees.
    if (this.#closing || this.#inspection || this.#authenticating) return
    try {
      const frame = checkFrame(parseFrame(text))
      if (frame.type !== 'authenticate') throw invalid('frame: expected {"type":"authenticate","token"} first')
      this.#authenticating = true
      void this.#authenticate(frame.token)
    } catch (error) {
      this.#refuse(error)
    }
  }

  async #authenticate(token: string): Promise<void> {
    try {
      const principal = await this.#context.gateway.authenticate(token)
      if (!this.#closing) this.#attach(principal)
    } catch (error) {
      this.#refuse(error)
    }
  }

  #attach(principal: Principal): void {
    this.#cancelTimer()
    this.#inspection = this.#context.gateway.inspect(principal, {
      actor: moment => this.#send('actor', actorEvent(moment)),
      step: (moment, event) => {
        const [sent, became] = stepEvents(moment, event)
        this.#send('event', sent)
        this.#send('snapshot', became)
      },
      stopped: moment => this.#send('snapshot', stoppedEvent(moment)),
      ended: error => this.#refuse(error),
    })
    this.#presenting = true
    this.#present()
  }

  /** The next actors once all before them are on their way: those who live here may be many times what a reader may hold up. */
  #present(): void {
    while (this.#presenting && this.#unwritten === 0 && !this.#closing) {
      this.#presenting = this.#inspection?.present(actorsPresentedAtOnce) ?? false
      this.#outbox.flush()
    }
  }

  #send(kind: 'actor' | 'event' | 'snapshot', text: string): void {
    if (this.#closing) return
    this.#context.metrics.frames.inc({ type: `inspect-${kind}` })
    this.#outbox.push(text)
  }

  #refuse(error: unknown): void {
    const seen = asLensError(error)
    if (seen.code === 'INTERNAL')
      this.#context.logger.error({ err: error, requestId: this.#context.requestId }, 'an inspection failed')
    this.#close(seen.retryable ? closeCode.later : closeCode.policy, seen.code)
  }

  /** Sends what waits, then closes; a peer that does not answer the close is cut off. */
  #close(code: number, reason: string): void {
    if (this.#closing) return
    this.#closing = true
    this.#cancelTimer()
    this.#inspection?.close()
    this.#outbox.flush()
    this.#outbox.close()
    this.#socket.close(code, reason)
    this.#cancelTimer = this.#context.clock.after(closeGraceMs, () => this.#socket.terminate())
  }

  #closed(): void {
    this.#closing = true
    this.#cancelTimer()
    this.#inspection?.close()
    this.#outbox.close()
  }
}

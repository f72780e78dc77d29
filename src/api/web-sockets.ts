/** Takes WebSocket upgrades over and keeps their connections until they close, drain or fall silent. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { CancelTimer } from '../async/index.ts'
import type { Principal } from '../gateway/index.ts'
import type { ApiContext } from './context.ts'
import { asLensError } from './problem.ts'
import { rawProblem } from './raw-problem.ts'

export interface ClientConnection {
  /** The node leaves for good. */
  drain(reconnectTo: readonly string[]): void
  terminate(): void
}

/** The way to a client, and whether anything came by it since the last ping. */
interface Link {
  readonly socket: WebSocket
  isAlive: boolean
}

export interface WebSocketKind {
  /** What the log calls it. */
  readonly name: string
  /** The session's token of the `Authorization` header. Throws UNAUTHENTICATED. */
  readonly tokenOf: (authorization: string) => string
  /** `principal` is null when the first frame has to authenticate. */
  readonly connect: (socket: WebSocket, requestId: string, principal: Principal | null) => ClientConnection
}

export class WebSockets {
  readonly #context: ApiContext
  readonly #kind: WebSocketKind
  readonly #server: WebSocketServer
  readonly #connections = new Map<ClientConnection, Link>()
  #stopPinging: CancelTimer = () => {}
  #stopListening: () => void = () => {}
  #reconnectTo: readonly string[] | null = null

  constructor(context: ApiContext, kind: WebSocketKind) {
    this.#context = context
    this.#kind = kind
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: context.config.limits.bodyBytesMax,
    })
  }

  start(): void {
    const { clock, config, gateway } = this.#context
    this.#stopPinging = clock.every(config.stream.pingMs, () => {
      // Timers come before sockets: after a freeze, or an event loop that was kept busy, answers lie unread that came in time.
      clock.soon(() => this.#ping())
    })
    this.#stopListening = gateway.onDraining(reconnectTo => this.drain(reconnectTo))
  }

  /** Bytes that clients have not taken yet. */
  get bufferedBytes(): number {
    let bytes = 0
    for (const { socket } of this.#connections.values()) bytes += socket.bufferedAmount
    return bytes
  }

  /** Sends every client away, those to come too. */
  drain(reconnectTo: readonly string[]): void {
    this.#reconnectTo = reconnectTo
    for (const connection of this.#connections.keys()) connection.drain(reconnectTo)
  }

  /** Ends every connection at once. Safe twice. */
  stop(): void {
    this.#stopPinging()
    this.#stopListening()
    for (const connection of this.#connections.keys()) connection.terminate()
  }

  /** With a header, the token is checked before the upgrade is answered: a refusal is then a plain HTTP answer. */
  async handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { gateway, logger, identity, random, metrics } = this.#context
    const { name, tokenOf, connect } = this.#kind
    const requestId = random.uuid()
    let principal: Principal | null = null
    const { authorization } = request.headers
    if (authorization !== undefined)
      try {
        principal = await gateway.authenticate(tokenOf(authorization))
      } catch (error) {
        const seen = asLensError(error)
        if (seen.code === 'INTERNAL') logger.error({ err: error, requestId }, `${name} could not be opened`)
        socket.end(rawProblem(seen, identity().node, requestId), () => socket.destroy())
        return
      }
    if (socket.destroyed) return
    this.#server.handleUpgrade(request, socket, head, webSocket => {
      const connection = connect(webSocket, requestId, principal)
      const link: Link = { socket: webSocket, isAlive: true }
      const heard = () => {
        link.isAlive = true
      }
      webSocket.on('pong', heard).on('message', heard)
      this.#connections.set(connection, link)
      metrics.connections.inc()
      webSocket.once('close', () => {
        this.#connections.delete(connection)
        metrics.connections.dec()
      })
      if (this.#reconnectTo) connection.drain(this.#reconnectTo)
    })
  }

  /** Ends the connections on which the last ping was not answered, and pings all others. */
  #ping(): void {
    for (const link of this.#connections.values())
      if (!link.isAlive) link.socket.terminate()
      else if (link.socket.readyState === link.socket.OPEN) {
        link.isAlive = false
        link.socket.ping()
      }
  }
}

/**
 * The connection that this node dials to one peer, and speaks on. (It listens on the one that the peer dials.)
 *
 *     dialing ──opened──▶ open ──closed──▶ waiting (back-off) ──▶ dialing …      any ──stop──▶ stopped
 *
 * Messages of one tick travel in one frame. While it is not open they are dropped: hints may be lost, and whoever misses
 * frames catches up from the database.
 */
import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { type Backoff, backoffDelayMs, type CancelTimer, type Clock, type Random } from '../async/index.ts'
import type { PeerAddress } from './bus-contract.ts'
import { isCertificateFault, type TowardsPeers } from './certificates.ts'
import { busPath, type PeerAuth } from './peer-auth.ts'
import type { ClusterLog, CountUp } from './ports.ts'
import { isRefusal } from './probe.ts'

export interface PeerLinkOptions {
  readonly peer: PeerAddress
  readonly self: () => { readonly node: string; readonly incarnation: string }
  readonly auth: PeerAuth
  readonly credentials: TowardsPeers
  readonly clock: Clock
  readonly random: Random
  readonly log: ClusterLog
  readonly count: CountUp
  readonly dialMs: number
  readonly bufferedBytesMax: number
  /** The first message of a connection, as JSON text. */
  readonly hello: () => string
  readonly onOpen: () => void
  readonly onHeard: () => void
  /** It was open and closed, or nobody listens, or somebody else does. */
  readonly onSuspicion: (why: 'closed' | 'refused' | 'other') => void
}

const redial: Backoff = { firstMs: 15, limitMs: 250 }
/** A frame is cut when it would be longer, so that no receiver has to take a giant. */
const frameLengthMax = 1 << 20
/** A peer that stays away is suspected again after this many dials. */
const dialsPerSuspicion = 10

export class PeerLink {
  readonly #options: PeerLinkOptions
  #socket: WebSocket | undefined
  #open = false
  #stopped = false
  #failures = 0
  #cancelRedial: CancelTimer | undefined
  #queue: string[] = []
  #queuedLength = 0
  #flushing = false
  #pinged = false

  constructor(options: PeerLinkOptions) {
    this.#options = options
    this.#dial()
  }

  get peer(): PeerAddress {
    return this.#options.peer
  }

  get open(): boolean {
    return this.#open
  }

  /** Queues one message, as JSON text, for the end of the tick. False when it is not connected. */
  send(text: string): boolean {
    if (!this.#open) return false
    this.#queue.push(text)
    this.#queuedLength += text.length
    if (this.#queuedLength + (this.#socket?.bufferedAmount ?? 0) > this.#options.bufferedBytesMax) {
      this.#options.count('peersCut')
      this.#options.log.warn(aboutPeer(this.peer), 'a peer reads too slowly: its connection is cut')
      this.#socket?.terminate()
      return false
    }
    if (!this.#flushing) {
      this.#flushing = true
      this.#options.clock.soon(() => this.#flush())
    }
    return true
  }

  /** Called regularly: cuts a connection whose last ping was not answered. */
  ping(): void {
    if (!this.#open || !this.#socket) return
    if (this.#pinged) {
      this.#options.log.warn(aboutPeer(this.peer), 'a peer does not answer pings: its connection is cut')
      this.#socket.terminate()
      return
    }
    this.#pinged = true
    this.#socket.ping()
  }

  /** Ends the connection; what was sent before is still delivered. */
  stop(): void {
    if (this.#stopped) return
    this.#flush()
    this.#stopped = true
    this.#cancelRedial?.()
    const socket = this.#socket
    if (!socket) return
    if (socket.readyState !== WebSocket.OPEN) {
      socket.terminate()
      return
    }
    socket.close(1001)
    const cancel = this.#options.clock.after(this.#options.dialMs, () => socket.terminate())
    socket.once('close', cancel)
  }

  #flush(): void {
    this.#flushing = false
    const texts = this.#queue
    this.#queue = []
    this.#queuedLength = 0
    if (!this.#open || this.#stopped || texts.length === 0) return
    let frame: string[] = []
    let length = 0
    for (const text of texts) {
      if (frame.length > 0 && length + text.length > frameLengthMax) {
        this.#socket?.send(`[${frame.join(',')}]`)
        frame = []
        length = 0
      }
      frame.push(text)
      length += text.length
    }
    this.#socket?.send(`[${frame.join(',')}]`)
  }

  #dial(): void {
    const { peer, self, auth, credentials, log, dialMs } = this.#options
    const { node, incarnation } = self()
    const { headers, proof } = auth.dial(node, incarnation, peer.incarnation, this.#failures)
    let socket: WebSocket
    try {
      const url = new URL(busPath, peer.address)
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
      socket = new WebSocket(url, {
        ...credentials(),
        headers,
        perMessageDeflate: false,
        handshakeTimeout: dialMs,
        maxPayload: 1024,
      })
    } catch (error) {
      log.warn({ err: error, ...aboutPeer(peer) }, 'a peer cannot be dialed at its address')
      this.#redial()
      return
    }
    this.#socket = socket
    let refused: 'refused' | 'other' | undefined
    socket.on('upgrade', (response: IncomingMessage) => {
      if (auth.proves(response.headers, proof)) return
      log.warn(aboutPeer(peer), 'who answers at the address of a peer does not know the cluster secret')
      socket.terminate()
    })
    socket.on('unexpected-response', (request, response) => {
      if (response.statusCode === 409) refused = 'other'
      else if (this.#failures === 0)
        log.warn({ ...aboutPeer(peer), status: response.statusCode }, 'a peer refused the connection')
      request.destroy()
      socket.terminate()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (isRefusal(error)) refused = 'refused'
      if (this.#failures > 0) return
      if (isCertificateFault(error))
        log.warn({ err: error, ...aboutPeer(peer) }, 'this node and a peer do not believe each other by TLS')
      else log.debug({ err: error, ...aboutPeer(peer) }, 'the connection to a peer failed')
    })
    socket.on('open', () => this.#opened(socket))
    socket.on('pong', () => {
      this.#pinged = false
      this.#options.onHeard()
    })
    socket.on('close', () => this.#closed(socket, refused))
  }

  #opened(socket: WebSocket): void {
    if (this.#stopped) {
      socket.terminate()
      return
    }
    this.#open = true
    this.#failures = 0
    this.#pinged = false
    socket.send(`[${this.#options.hello()}]`)
    this.#options.onHeard()
    this.#options.onOpen()
  }

  #closed(socket: WebSocket, refused: 'refused' | 'other' | undefined): void {
    if (socket !== this.#socket) return
    this.#socket = undefined
    const wasOpen = this.#open
    this.#open = false
    this.#queue = []
    this.#queuedLength = 0
    if (this.#stopped) return
    if (wasOpen) this.#options.onSuspicion('closed')
    else if (refused && this.#failures % dialsPerSuspicion === 0) this.#options.onSuspicion(refused)
    this.#redial()
  }

  #redial(): void {
    const { clock, random } = this.#options
    this.#cancelRedial = clock.after(backoffDelayMs(redial, this.#failures++, random), () => {
      if (!this.#stopped) this.#dial()
    })
  }
}

function aboutPeer({ node, incarnation, address }: PeerAddress) {
  return { member: node, memberIncarnation: incarnation, address }
}

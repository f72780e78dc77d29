/**
 * The peer bus over WebSocket: each node dials every other living member and speaks there; it listens on the connections
 * that the others dialed. All that travels are hints.
 *
 *     this node ──link──▶ peer        frames, hints, own interests
 *     this node ◀──link── peer        its frames, hints and interests
 *
 * A connection that breaks without a goodbye is the first sign of a death, milliseconds after it.
 */
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import type { CancelTimer } from '../async/index.ts'
import type {
  ConnectedBus,
  Interest,
  PeerAddress,
  PeerBusOptions,
  PeerMessage,
  ProgressFrame,
  QueryFrame,
} from './bus-contract.ts'
import type { TowardsPeers } from './certificates.ts'
import { Interests, OwnInterests } from './interests.ts'
import { Listeners } from './listeners.ts'
import { type Dialer, PeerAuth } from './peer-auth.ts'
import { parsePeerFrame } from './peer-frame.ts'
import { PeerLink } from './peer-link.ts'

export interface WebSocketPeerBusOptions extends PeerBusOptions {
  readonly secret: string
  /** Accepted beside it, while it is being replaced. */
  readonly secretAccepted?: string
  /** Node's own authorities, and no certificate of its own, unless given. */
  readonly credentials?: TowardsPeers
  /** What may wait for one peer before it is cut off. */
  readonly bufferedBytesMax?: number
}

/** A connection that a peer dialed. */
interface Inbound {
  readonly dialer: Dialer
  readonly socket: WebSocket
  heardAtMs: number
  saidGoodbye: boolean
}

const frameBytesMax = 64 << 20
/** Pings that a peer may miss. */
const silentPings = 4

export class WebSocketPeerBus implements ConnectedBus {
  readonly #options: WebSocketPeerBusOptions
  readonly #auth: PeerAuth
  readonly #server: WebSocketServer
  readonly #links = new Map<string, PeerLink>()
  readonly #inbound = new Map<string, Inbound>()
  readonly #theirs = new Interests()
  readonly #own: OwnInterests
  readonly #messages: Listeners<[PeerMessage, string]>
  readonly #suspicions: Listeners<[string, 'closed' | 'refused' | 'other']>
  readonly #arrivals: Listeners<[string]>
  readonly #openings: Listeners<[string]>
  #running = false
  #heardAtMs: number | null = null
  #cancelPings: CancelTimer | undefined

  constructor(options: WebSocketPeerBusOptions) {
    this.#options = options
    this.#auth = new PeerAuth(options.secret, options.clock, options.random, options.secretAccepted)
    this.#server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: frameBytesMax })
    this.#own = new OwnInterests(options.clock, (add, remove) => this.broadcast({ type: 'interest', add, remove }))
    this.#messages = new Listeners(options.log)
    this.#suspicions = new Listeners(options.log)
    this.#arrivals = new Listeners(options.log)
    this.#openings = new Listeners(options.log)
  }

  async start(): Promise<void> {
    if (this.#running) return
    this.#running = true
    const { clock, pingMs } = this.#options
    // Timers come before sockets: what peers answered while this node was kept busy is read first, then judged.
    this.#cancelPings = clock.every(pingMs, () => clock.soon(() => this.#ping()))
  }

  async stop(): Promise<void> {
    this.#running = false
    this.#cancelPings?.()
    this.disconnect()
  }

  disconnect(): void {
    for (const link of this.#links.values()) link.stop()
    this.#links.clear()
    for (const inbound of [...this.#inbound.values()]) this.#drop(inbound)
  }

  connectTo(peers: readonly PeerAddress[]): void {
    if (!this.#running) return
    const known = new Map(peers.map(peer => [peer.incarnation, peer]))
    for (const [incarnation, link] of this.#links) {
      if (known.get(incarnation)?.address === link.peer.address) continue
      link.stop()
      this.#links.delete(incarnation)
    }
    for (const peer of peers)
      if (!this.#links.has(peer.incarnation)) this.#links.set(peer.incarnation, this.#dial(peer))
  }

  connected(): readonly string[] {
    return [...this.#links.values()].filter(link => link.open).map(link => link.peer.incarnation)
  }

  get heardAtMs(): number | null {
    return this.#heardAtMs
  }

  onSuspicion(listener: (incarnation: string, why: 'closed' | 'refused' | 'other') => void): () => void {
    return this.#suspicions.add(listener)
  }

  onOpen(listener: (incarnation: string) => void): () => void {
    return this.#openings.add(listener)
  }

  onArrival(listener: (incarnation: string) => void): () => void {
    return this.#arrivals.add(listener)
  }

  broadcast(message: PeerMessage): void {
    const text = JSON.stringify(message)
    for (const link of this.#links.values()) link.send(text)
  }

  send(incarnation: string, message: PeerMessage): boolean {
    return this.#links.get(incarnation)?.send(JSON.stringify(message)) ?? false
  }

  publish(frames: readonly QueryFrame[]): void {
    this.#publish('frames', frames)
  }

  publishProgress(frame: ProgressFrame): void {
    this.#publish('progress', [frame])
  }

  want(interest: Interest): void {
    this.#own.want(interest)
  }

  release(interest: Interest): void {
    this.#own.release(interest)
  }

  listen(listener: (message: PeerMessage, fromIncarnation: string) => void): () => void {
    return this.#messages.add(listener)
  }

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Without a listener an error of the raw socket would end the process.
    const ignore = () => undefined
    socket.on('error', ignore)
    const { incarnation } = this.#options.self()
    const admission = this.#running ? this.#auth.admit(request.headers) : null
    if (!admission?.ok) {
      if (admission)
        this.#options.log.warn(
          { address: request.socket.remoteAddress, reason: admission.why },
          'refused a connection to the peer bus',
        )
      refuse(socket, admission ? 401 : 503)
      return
    }
    const { dialer } = admission
    if (dialer.target !== incarnation) {
      refuse(socket, 409)
      return
    }
    const prove = (headers: string[]) => headers.push(this.#auth.answer(incarnation, dialer))
    this.#server.once('headers', prove)
    this.#server.handleUpgrade(request, socket, head, webSocket => {
      socket.off('error', ignore)
      this.#accept(dialer, webSocket)
    })
    this.#server.off('headers', prove)
  }

  #dial(peer: PeerAddress): PeerLink {
    const { self, clock, random, log, count, peerConnectMs, bufferedBytesMax = 16 << 20 } = this.#options
    const { credentials = () => ({}) } = this.#options
    return new PeerLink({
      peer,
      self,
      auth: this.#auth,
      credentials,
      clock,
      random,
      log,
      count,
      dialMs: peerConnectMs,
      bufferedBytesMax,
      hello: () => this.#hello(),
      onOpen: () => {
        log.debug({ member: peer.node, memberIncarnation: peer.incarnation }, 'connected to a peer')
        this.#openings.tell(peer.incarnation)
      },
      onHeard: () => this.#heard(),
      onSuspicion: why => {
        if (why !== 'closed' || !this.#inbound.get(peer.incarnation)?.saidGoodbye)
          this.#suspicions.tell(peer.incarnation, why)
      },
    })
  }

  #hello(): string {
    return JSON.stringify({ type: 'hello', ...this.#options.self(), interests: this.#own.all() } satisfies PeerMessage)
  }

  #accept(dialer: Dialer, socket: WebSocket): void {
    const inbound: Inbound = { dialer, socket, heardAtMs: this.#options.clock.monotonic(), saidGoodbye: false }
    const before = this.#inbound.get(dialer.incarnation)
    if (before) this.#drop(before)
    this.#inbound.set(dialer.incarnation, inbound)
    this.#heard()
    const hear = () => {
      inbound.heardAtMs = this.#options.clock.monotonic()
      this.#heard()
    }
    socket.on('ping', hear)
    socket.on('message', (data, isBinary) => {
      hear()
      if (this.#inbound.get(dialer.incarnation) === inbound) this.#receive(inbound, data, isBinary)
    })
    socket.on('error', error =>
      this.#options.log.debug(
        { err: error, member: dialer.node, memberIncarnation: dialer.incarnation },
        'the connection of a peer failed',
      ),
    )
    socket.on('close', () => {
      if (this.#inbound.get(dialer.incarnation) !== inbound) return
      this.#drop(inbound)
      if (!inbound.saidGoodbye) this.#suspicions.tell(dialer.incarnation, 'closed')
    })
    this.#arrivals.tell(dialer.incarnation)
  }

  #drop(inbound: Inbound): void {
    this.#inbound.delete(inbound.dialer.incarnation)
    this.#theirs.forget(inbound.dialer.incarnation)
    inbound.socket.terminate()
  }

  #receive(inbound: Inbound, data: RawData, isBinary: boolean): void {
    const { incarnation, node } = inbound.dialer
    const { messages, malformed } = isBinary ? { messages: [], malformed: 1 } : parsePeerFrame(data.toString())
    if (malformed > 0) {
      this.#options.count('peerFramesMalformed', malformed)
      this.#options.log.warn(
        { member: node, memberIncarnation: incarnation, malformed },
        'dropped what a peer sent and cannot be read',
      )
    }
    for (const message of messages) {
      if (message.type === 'hello') this.#theirs.replace(incarnation, message.interests)
      else if (message.type === 'interest') {
        this.#theirs.remove(incarnation, message.remove)
        this.#theirs.add(incarnation, message.add)
      } else {
        if (message.type === 'goodbye') inbound.saidGoodbye = true
        this.#messages.tell(message, incarnation)
      }
    }
  }

  /** Each frame is serialised once, however many peers want it. */
  #publish(type: 'frames' | 'progress', frames: readonly (QueryFrame | ProgressFrame)[]): void {
    if (this.#links.size === 0) return
    const perPeer = new Map<string, string[]>()
    for (const frame of frames) {
      let text: string | undefined
      for (const peer of this.#theirs.peersOf(frame.handle, frame.sessionId)) {
        text ??= JSON.stringify(frame)
        const texts = perPeer.get(peer)
        if (texts) texts.push(text)
        else perPeer.set(peer, [text])
      }
    }
    for (const [peer, texts] of perPeer) this.#links.get(peer)?.send(`{"type":"${type}","frames":[${texts.join(',')}]}`)
  }

  #heard(): void {
    this.#heardAtMs = this.#options.clock.monotonic()
  }

  #ping(): void {
    for (const link of this.#links.values()) link.ping()
    const silentBeforeMs = this.#options.clock.monotonic() - silentPings * this.#options.pingMs
    for (const inbound of [...this.#inbound.values()])
      if (inbound.heardAtMs < silentBeforeMs) inbound.socket.terminate()
  }
}

function refuse(socket: Duplex, status: number): void {
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () =>
    socket.destroy(),
  )
}

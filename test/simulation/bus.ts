/**
 * The peer bus of a simulated process: what `WebSocketPeerBus` does, over the network of the world. Each link is a connection
 * that this process dialed and speaks on; messages of one link keep their order, may be lost, and end with either process.
 */
import { type Backoff, backoffDelayMs, type CancelTimer } from '../../src/async/index.ts'
import type {
  ConnectedBus,
  Interest,
  PeerAddress,
  PeerBusOptions,
  PeerMessage,
  ProgressFrame,
  QueryFrame,
} from '../../src/cluster/index.ts'
import { Interests, OwnInterests } from '../../src/cluster/interests.ts'
import type { Network } from './network.ts'
import type { EventStream, SimulatedProcess } from './process.ts'

export interface SimulatedBusOptions extends PeerBusOptions {
  readonly process: SimulatedProcess
  readonly network: Network
  readonly address: string
}

const redial: Backoff = { firstMs: 15, limitMs: 250 }
const dialsPerSuspicion = 10
const silentPings = 4

type Suspicion = 'closed' | 'refused' | 'other'

/** A connection, as both ends have it. */
interface Connection {
  readonly dialer: SimulatedBus
  readonly dialerIncarnation: string
  readonly accepter: SimulatedBus
  readonly accepterIncarnation: string
  /** To the accepter, in order. */
  readonly stream: EventStream
  open: boolean
  heardAtMs: number
  saidGoodbye: boolean
}

class Link {
  readonly peer: PeerAddress
  readonly #bus: SimulatedBus
  connection: Connection | null = null
  pinged = false
  #stopped = false
  #failures = 0
  #cancel: CancelTimer | undefined

  constructor(bus: SimulatedBus, peer: PeerAddress) {
    this.#bus = bus
    this.peer = peer
    this.#dial()
  }

  get open(): boolean {
    return this.connection?.open ?? false
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
    this.connection?.dialer.breakUp(this.connection, 'dialer')
    this.connection = null
  }

  closed(): void {
    const wasOpen = this.connection !== null
    this.connection = null
    this.pinged = false
    if (this.#stopped) return
    if (wasOpen) this.#bus.suspect(this.peer.incarnation, 'closed')
    this.#redial()
  }

  #dial(): void {
    const { clock, peerConnectMs } = this.#bus.options
    let answered = false
    this.#cancel = clock.after(peerConnectMs, () => {
      answered = true
      this.#failed(null)
    })
    this.#bus.dial(this.peer, (connection, why) => {
      if (answered || this.#stopped) {
        if (connection) this.#bus.breakUp(connection, 'dialer')
        return
      }
      answered = true
      this.#cancel?.()
      if (!connection) {
        this.#failed(why)
        return
      }
      this.connection = connection
      this.#failures = 0
      this.pinged = false
      this.#bus.opened(this)
    })
  }

  #failed(why: Suspicion | null): void {
    if (this.#stopped) return
    if (why && this.#failures % dialsPerSuspicion === 0) this.#bus.suspect(this.peer.incarnation, why)
    this.#redial()
  }

  #redial(): void {
    const { clock, random } = this.#bus.options
    this.#cancel = clock.after(backoffDelayMs(redial, this.#failures++, random), () => {
      if (!this.#stopped) this.#dial()
    })
  }
}

export class SimulatedBus implements ConnectedBus {
  readonly options: SimulatedBusOptions
  readonly #links = new Map<string, Link>()
  readonly #inbound = new Map<string, Connection>()
  readonly #theirs = new Interests()
  readonly #own: OwnInterests
  readonly #messages = new Set<(message: PeerMessage, from: string) => void>()
  readonly #suspicions = new Set<(incarnation: string, why: Suspicion) => void>()
  readonly #arrivals = new Set<(incarnation: string) => void>()
  readonly #openings = new Set<(incarnation: string) => void>()
  #running = false
  #heardAtMs: number | null = null
  #cancelPings: CancelTimer | undefined

  constructor(options: SimulatedBusOptions) {
    this.options = options
    this.#own = new OwnInterests(options.clock, (add, remove) => this.broadcast({ type: 'interest', add, remove }))
    options.process.onCrash(() => {
      for (const link of this.#links.values()) if (link.connection) this.breakUp(link.connection, 'dialer')
      for (const connection of [...this.#inbound.values()]) this.breakUp(connection, 'accepter')
    })
  }

  get running(): boolean {
    return this.#running
  }

  async start(): Promise<void> {
    if (this.#running) return
    this.#running = true
    this.#cancelPings = this.options.clock.every(this.options.pingMs, () => this.#ping())
  }

  async stop(): Promise<void> {
    this.#running = false
    this.#cancelPings?.()
    this.disconnect()
  }

  disconnect(): void {
    for (const link of this.#links.values()) link.stop()
    this.#links.clear()
    for (const connection of [...this.#inbound.values()]) this.breakUp(connection, 'accepter')
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
      if (!this.#links.has(peer.incarnation)) this.#links.set(peer.incarnation, new Link(this, peer))
  }

  connected(): readonly string[] {
    return [...this.#links.values()].filter(link => link.open).map(link => link.peer.incarnation)
  }

  get heardAtMs(): number | null {
    return this.#heardAtMs
  }

  onSuspicion(listener: (incarnation: string, why: Suspicion) => void): () => void {
    return added(this.#suspicions, listener)
  }

  onOpen(listener: (incarnation: string) => void): () => void {
    return added(this.#openings, listener)
  }

  onArrival(listener: (incarnation: string) => void): () => void {
    return added(this.#arrivals, listener)
  }

  listen(listener: (message: PeerMessage, from: string) => void): () => void {
    return added(this.#messages, listener)
  }

  broadcast(message: PeerMessage): void {
    for (const link of this.#links.values()) if (link.connection) this.#send(link.connection, message)
  }

  send(incarnation: string, message: PeerMessage): boolean {
    const connection = this.#links.get(incarnation)?.connection
    if (!connection?.open) return false
    this.#send(connection, message)
    return true
  }

  publish(frames: readonly QueryFrame[]): void {
    this.#publish(frames, own => ({ type: 'frames', frames: own }))
  }

  publishProgress(frame: ProgressFrame): void {
    this.#publish([frame], own => ({ type: 'progress', frames: own }))
  }

  want(interest: Interest): void {
    this.#own.want(interest)
  }

  release(interest: Interest): void {
    this.#own.release(interest)
  }

  // ------------------------------------------------------------ for links and peers

  /** Tells `answer` once, or never when nothing comes back. */
  dial(peer: PeerAddress, answer: (connection: Connection | null, why: Suspicion | null) => void): void {
    const { network, address, process, self } = this.options
    const dialerIncarnation = self().incarnation
    if (!network.passes(address, peer.address)) return
    const back = (connection: Connection | null, why: Suspicion | null) => {
      if (network.passes(peer.address, address))
        process.schedule(network.latencyMs(), 'dialed', () => answer(connection, why))
    }
    network.atNetwork(() => {
      const listener = network.listenerAt(peer.address)
      if (!listener) {
        back(null, 'refused')
        return
      }
      listener.process.schedule(0, 'dial', () => {
        const accepter = listener.bus()
        if (!accepter?.running) back(null, null)
        else if (accepter.options.self().incarnation !== peer.incarnation) back(null, 'other')
        else back(accepter.#accept(this, dialerIncarnation, peer.incarnation), null)
      })
    })
  }

  opened(link: Link): void {
    const { connection } = link
    if (!connection) return
    this.#send(connection, { type: 'hello', ...this.options.self(), interests: this.#own.all() })
    this.#heard()
    for (const listener of this.#openings) listener(link.peer.incarnation)
  }

  suspect(incarnation: string, why: Suspicion): void {
    if (why === 'closed' && this.#inbound.get(incarnation)?.saidGoodbye) return
    for (const listener of this.#suspicions) listener(incarnation, why)
  }

  /** Ends a connection on this side; the other hears of it a way later, if anything reaches it. */
  breakUp(connection: Connection, side: 'dialer' | 'accepter'): void {
    if (!connection.open) return
    connection.open = false
    const { dialer, accepter } = connection
    const { network } = this.options
    if (side === 'accepter') this.#forget(connection)
    const [here, there] = side === 'dialer' ? [dialer, accepter] : [accepter, dialer]
    if (!network.passes(here.options.address, there.options.address)) {
      // It hears nothing, and finds out by its pings.
      if (side === 'dialer') connection.stream.clear()
      return
    }
    if (side === 'dialer')
      connection.stream.push(network.latencyMs(), 'closed', () => accepter.#inboundClosed(connection))
    else there.options.process.schedule(network.latencyMs(), 'closed', () => dialer.#linkClosed(connection))
  }

  #accept(dialer: SimulatedBus, dialerIncarnation: string, accepterIncarnation: string): Connection {
    const before = this.#inbound.get(dialerIncarnation)
    if (before) this.breakUp(before, 'accepter')
    const connection: Connection = {
      dialer,
      dialerIncarnation,
      accepter: this,
      accepterIncarnation,
      stream: this.options.process.stream(),
      open: true,
      heardAtMs: this.options.clock.monotonic(),
      saidGoodbye: false,
    }
    this.#inbound.set(dialerIncarnation, connection)
    this.#heard()
    for (const listener of this.#arrivals) listener(dialerIncarnation)
    return connection
  }

  #forget(connection: Connection): void {
    if (this.#inbound.get(connection.dialerIncarnation) !== connection) return
    this.#inbound.delete(connection.dialerIncarnation)
    this.#theirs.forget(connection.dialerIncarnation)
  }

  #inboundClosed(connection: Connection): void {
    if (this.#inbound.get(connection.dialerIncarnation) !== connection) return
    this.#forget(connection)
    if (!connection.saidGoodbye) this.suspect(connection.dialerIncarnation, 'closed')
  }

  #linkClosed(connection: Connection): void {
    const link = this.#links.get(connection.accepterIncarnation)
    if (link?.connection === connection) link.closed()
  }

  #send(connection: Connection, message: PeerMessage): void {
    if (!connection.open) return
    const { network, address } = this.options
    const { accepter } = connection
    if (!network.passes(address, accepter.options.address) || network.loses()) return
    // As JSON, so that nothing is shared, and lazy views are made now.
    const text = JSON.stringify(message)
    connection.stream.push(network.latencyMs(), 'message', () => accepter.#receive(connection, JSON.parse(text)))
  }

  #receive(connection: Connection, message: PeerMessage): void {
    const from = connection.dialerIncarnation
    if (this.#inbound.get(from) !== connection) return
    connection.heardAtMs = this.options.clock.monotonic()
    this.#heard()
    if (message.type === 'hello') this.#theirs.replace(from, message.interests)
    else if (message.type === 'interest') {
      this.#theirs.remove(from, message.remove)
      this.#theirs.add(from, message.add)
    } else {
      if (message.type === 'goodbye') connection.saidGoodbye = true
      for (const listener of this.#messages) listener(message, from)
    }
  }

  #publish<Frame extends QueryFrame | ProgressFrame>(
    frames: readonly Frame[],
    messageOf: (frames: Frame[]) => PeerMessage,
  ): void {
    const perPeer = new Map<string, Frame[]>()
    for (const frame of frames)
      for (const peer of this.#theirs.peersOf(frame.handle, frame.sessionId)) {
        const own = perPeer.get(peer)
        if (own) own.push(frame)
        else perPeer.set(peer, [frame])
      }
    for (const [peer, own] of perPeer) this.send(peer, messageOf(own))
  }

  #heard(): void {
    this.#heardAtMs = this.options.clock.monotonic()
  }

  #ping(): void {
    const { network, clock, pingMs, address, process } = this.options
    for (const link of this.#links.values()) {
      const { connection } = link
      if (!connection) continue
      if (link.pinged) {
        this.breakUp(connection, 'dialer')
        link.closed()
        continue
      }
      link.pinged = true
      const { accepter } = connection
      const there = accepter.options.address
      if (!network.passes(address, there)) continue
      connection.stream.push(network.latencyMs(), 'ping', () => {
        if (accepter.#inbound.get(connection.dialerIncarnation) !== connection) return
        connection.heardAtMs = accepter.options.clock.monotonic()
        accepter.#heard()
        if (!network.passes(there, address)) return
        process.schedule(network.latencyMs(), 'pong', () => {
          if (link.connection !== connection) return
          link.pinged = false
          this.#heard()
        })
      })
    }
    const silentBeforeMs = clock.monotonic() - silentPings * pingMs
    for (const connection of [...this.#inbound.values()])
      if (connection.heardAtMs < silentBeforeMs) {
        this.#forget(connection)
        this.breakUp(connection, 'accepter')
        this.suspect(connection.dialerIncarnation, 'closed')
      }
  }
}

function added<Listener>(listeners: Set<Listener>, listener: Listener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

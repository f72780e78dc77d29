/**
 * Who reaches the database. A node that does not says so in its readiness only while some peer does: when nobody reaches it,
 * leaving the proxy one by one would help nobody.
 */
import type { ConnectedBus, PeerMessage } from './bus-contract.ts'

export class StoreReach {
  readonly #bus: ConnectedBus
  /** Peers that said that they reach it. */
  readonly #reaching = new Set<string>()
  #reached = false

  constructor(bus: ConnectedBus) {
    this.#bus = bus
    bus.onOpen(incarnation => bus.send(incarnation, this.#word()))
    bus.listen((message, from) => {
      if (message.type !== 'store') return
      if (message.reached) this.#reaching.add(from)
      else this.#reaching.delete(from)
    })
  }

  /** What this node knows of itself; peers are told when it changes. */
  set(reached: boolean): void {
    if (this.#reached === reached) return
    this.#reached = reached
    this.#bus.broadcast(this.#word())
  }

  /** Some connected peer reaches it. */
  get byPeers(): boolean {
    const connected = new Set(this.#bus.connected())
    for (const peer of [...this.#reaching]) if (!connected.has(peer)) this.#reaching.delete(peer)
    return this.#reaching.size > 0
  }

  #word(): PeerMessage {
    return { type: 'store', reached: this.#reached }
  }
}

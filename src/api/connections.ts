/**
 * The sockets and requests of the listener, step by step to their end. Node's `server.close()` closes idle connections at
 * once, also those on which a request is just arriving; here closing the listener, telling the clients to go and closing
 * what is left are separate:
 *
 *     listening ─closeListener─▶ only open connections ─shed─▶ no connections
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Clock, type Deferred, deferred } from '../async/index.ts'

/** A turn of the loop in which hardly anything arrives, and how many are waited for until one is so short. */
const briefTurnMs = 1
const turnsMax = 100

export class Connections {
  readonly #server: Server
  readonly #clock: Clock
  readonly #sockets = new Set<Socket>()
  #requests = 0
  #lastArrivalMs = 0
  #waiting: { readonly condition: () => boolean; readonly met: Deferred<void> }[] = []

  constructor(server: Server, clock: Clock) {
    this.#server = server
    this.#clock = clock
    server.on('connection', (socket: Socket) => {
      this.#lastArrivalMs = clock.monotonic()
      this.#sockets.add(socket)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        this.#check()
      })
    })
    server.on('request', (_request: IncomingMessage, response: ServerResponse) => {
      this.#requests++
      response.once('close', () => {
        this.#requests--
        this.#check()
      })
    })
  }

  /** Somebody else keeps this socket from now on: the peer bus, whose connections outlive those of clients. */
  release(socket: Duplex): void {
    // Over TLS it is the secured form of the one that was accepted: both have the same other end.
    const { remoteAddress, remotePort } = socket as Socket
    for (const own of this.#sockets)
      if (own === socket || (own.remotePort === remotePort && own.remoteAddress === remoteAddress))
        this.#sockets.delete(own)
    this.#check()
  }

  /** Requests without an answer yet. */
  get requests(): number {
    return this.#requests
  }

  /** Open sockets, WebSockets of clients included. */
  get open(): number {
    return this.#sockets.size
  }

  /** True once no request is without its answer; false when that takes longer. */
  untilAnswered(withinMs: number): Promise<boolean> {
    return this.#until(() => this.#requests === 0, withinMs)
  }

  untilClosed(withinMs: number): Promise<boolean> {
    return this.#until(() => this.#sockets.size === 0, withinMs)
  }

  /**
   * Resolves when no connection has arrived for `quietMs`, counted from the call, or after `withinMs`: one that the system has
   * accepted and this process has not is reset when the listener closes.
   */
  async untilUnsought(quietMs: number, withinMs: number): Promise<void> {
    const beganAtMs = this.#clock.monotonic()
    for (;;) {
      const nowMs = this.#clock.monotonic()
      const leftMs = Math.max(beganAtMs, this.#lastArrivalMs) + quietMs - nowMs
      if (leftMs <= 0 || nowMs - beganAtMs >= withinMs) break
      await this.#clock.sleep(leftMs)
    }
    // On a busy machine a turn may take many milliseconds, and what arrives behind its look for connections would be reset.
    for (let turn = 0; turn < turnsMax; turn++) {
      const fromMs = this.#clock.monotonic()
      await afterReading()
      if (this.#clock.monotonic() - fromMs < briefTurnMs) return
    }
  }

  /** No new connections; the open ones stay. Safe twice. */
  closeListener(): void {
    if (this.#server.listening) NetServer.prototype.close.call(this.#server)
  }

  /** Closes the connections on which no request is under way, nor waits to be read. */
  async closeIdle(): Promise<void> {
    await afterReading()
    this.#server.closeIdleConnections()
  }

  /** Ends everything that is still open. */
  destroyAll(): void {
    this.#server.closeAllConnections()
    for (const socket of this.#sockets) socket.destroy()
  }

  async #until(condition: () => boolean, withinMs: number): Promise<boolean> {
    if (condition()) return true
    const met = deferred()
    const entry = { condition, met }
    this.#waiting.push(entry)
    const cancelTimer = this.#clock.after(withinMs, () => met.resolve())
    await met.promise
    cancelTimer()
    this.#waiting = this.#waiting.filter(other => other !== entry)
    return condition()
  }

  #check(): void {
    for (const { condition, met } of this.#waiting) if (condition()) met.resolve()
  }
}

/** Right after the loop has read all that had arrived: what is closed now resets nothing that lay unread. */
function afterReading(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

/**
 * Stands between an engine's driver and its server and reads what passes: a message can be held back at the very moment that a
 * test needs (before a COMMIT, say), or be let through and its answer held back.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type Deferred, deferred } from '../../src/async/index.ts'
import type { Teardown } from './folders.ts'

/** One message of a client, in the words of its protocol. */
export interface Message {
  readonly type: string
  readonly text: string
}

/** How a server's protocol is read. */
export interface Protocol {
  /** Length of the message at the beginning of what has come, null while that cannot be told. `isFirst`: of the connection. */
  length(unread: Buffer, isFirst: boolean): number | null
  /** Null for what is no request. Never asked about the connection's first one. */
  message(bytes: Buffer): Message | null
}

export type Matches = (message: Message) => boolean

export interface Hold {
  /** Resolves with the first message that is held, or whose answer is. */
  readonly first: Promise<Message>
  /** Passes on all that waits, and holds no more. */
  release(): void
}

interface Holding extends Hold {
  readonly matches: Matches
  readonly what: 'message' | 'answer'
  readonly found: Deferred<Message>
  readonly waiting: Set<Connection>
}

export class HoldingProxy {
  readonly #holdings = new Set<Holding>()
  readonly #connections = new Set<Connection>()
  #port = 0
  #refuses = false

  /** Gone with the test. */
  static async start(t: Teardown, targetPort: number, protocol: Protocol): Promise<HoldingProxy> {
    const proxy = new HoldingProxy()
    const server = createServer(client => {
      if (proxy.#refuses) return client.destroy()
      proxy.#connections.add(new Connection(client, connect(targetPort, '127.0.0.1'), proxy.#holdings, protocol))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    proxy.#port = (server.address() as AddressInfo).port
    t.teardown(async () => {
      proxy.cut()
      server.close()
      await once(server, 'close')
    })
    return proxy
  }

  /** `url` through this proxy. */
  through(url: string): string {
    const changed = new URL(url)
    changed.port = String(this.#port)
    return changed.href
  }

  /** What matches waits, and all that comes after it on its connection. */
  hold(matches: Matches): Hold {
    return this.#hold(matches, 'message')
  }

  /** What matches is passed on, and all that the server says from then on waits. */
  holdAnswer(matches: Matches): Hold {
    return this.#hold(matches, 'answer')
  }

  /** Breaks all connections, on both sides. */
  cut(): void {
    for (const connection of this.#connections) connection.cut()
    this.#connections.clear()
  }

  /** Breaks all connections of clients at once, without the goodbye that TCP has for them. */
  reset(): void {
    for (const connection of this.#connections) connection.reset()
    this.#connections.clear()
  }

  /** Breaks all connections and takes no new ones, until it is told otherwise. */
  refuse(refuses: boolean): void {
    this.#refuses = refuses
    if (refuses) this.cut()
  }

  #hold(matches: Matches, what: Holding['what']): Hold {
    const found = deferred<Message>()
    const waiting = new Set<Connection>()
    const holding: Holding = {
      ...{ matches, what, found, waiting, first: found.promise },
      release: () => {
        this.#holdings.delete(holding)
        for (const connection of waiting) connection.release(what)
      },
    }
    this.#holdings.add(holding)
    return holding
  }
}

class Connection {
  readonly #client: Socket
  readonly #server: Socket
  readonly #holdings: ReadonlySet<Holding>
  readonly #protocol: Protocol
  #unread: Buffer = Buffer.alloc(0)
  #isStarted = false
  #held: Buffer[] | null = null
  #heldAnswers: Buffer[] | null = null

  constructor(client: Socket, server: Socket, holdings: ReadonlySet<Holding>, protocol: Protocol) {
    this.#client = client
    this.#server = server
    this.#holdings = holdings
    this.#protocol = protocol
    client.on('data', data => this.#receive(data))
    server.on('data', data => {
      if (this.#heldAnswers) this.#heldAnswers.push(data)
      else client.write(data)
    })
    // What a client sent before it died is on its way all the same; and while something waits, nobody hears of the other's end.
    client.on('close', () => {
      if (this.#held === null && this.#heldAnswers === null) server.destroy()
    })
    server.on('close', () => client.destroy())
    for (const socket of [client, server]) socket.on('error', () => {})
  }

  release(what: Holding['what']): void {
    if (what === 'answer') {
      const answers = this.#heldAnswers ?? []
      this.#heldAnswers = null
      for (const answer of answers) this.#client.write(answer)
    } else {
      const held = this.#held ?? []
      this.#held = null
      for (const message of held) this.#server.write(message)
    }
    if (this.#client.destroyed) this.#server.end()
  }

  cut(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#server.destroy()
  }

  #receive(data: Buffer): void {
    this.#unread = this.#unread.length === 0 ? data : Buffer.concat([this.#unread, data])
    for (;;) {
      const length = this.#protocol.length(this.#unread, !this.#isStarted)
      if (length === null || this.#unread.length < length) return
      const message = this.#unread.subarray(0, length)
      this.#unread = this.#unread.subarray(length)
      if (this.#isStarted) this.#look(this.#protocol.message(message))
      this.#isStarted = true
      if (this.#held) this.#held.push(message)
      else this.#server.write(message)
    }
  }

  #look(message: Message | null): void {
    if (message === null) return
    for (const holding of this.#holdings) {
      if (!holding.matches(message)) continue
      holding.waiting.add(this)
      if (holding.what === 'message') this.#held ??= []
      else this.#heldAnswers ??= []
      holding.found.resolve(message)
    }
  }
}

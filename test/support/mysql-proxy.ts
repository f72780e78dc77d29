/**
 * Stands between one node and its MySQL and reads what passes: a request can be held back at the very moment that a test
 * needs (between an UPDATE and its COMMIT), or be let through and its answer thrown away together with the connection.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Teardown } from './folders.ts'

export type Answer =
  | { readonly kind: 'ok'; readonly affectedRows: number }
  | { readonly kind: 'error'; readonly code: number }
  | { readonly kind: 'rows' }

export interface Request {
  readonly sql: string
  /** The statements of the open transaction before this one; empty outside a transaction. */
  readonly transaction: readonly string[]
  /** Null until the server has answered. */
  answer: Answer | null
}

export type Matches = (request: Request) => boolean

/** The COMMIT of a transaction in which each of the patterns occurs. */
export function commitOf(...patterns: readonly RegExp[]): Matches {
  return ({ sql, transaction }) =>
    /^commit$/i.test(sql) && patterns.every(pattern => transaction.some(statement => pattern.test(statement)))
}

/** Any statement, in a transaction or not, in which the pattern occurs. */
export function statementLike(pattern: RegExp): Matches {
  return ({ sql }) => pattern.test(sql)
}

/** Requests that wait in the proxy; what comes after them on their connections waits too. */
export interface Hold {
  /** Resolves with the first one. */
  readonly first: Promise<Request>
  /** Resolves when the server has ended the connection of the first one. */
  readonly firstEnded: Promise<void>
  /** Passes on all that waits, and holds no more. */
  release(): void
}

/** An answer that waits in the proxy: the database has done what was asked, and the node does not know. */
export interface Delay {
  /** Resolves when the server has answered. */
  readonly first: Promise<Request>
  release(): void
}

interface Delaying {
  readonly matches: Matches
  readonly answered: (request: Request) => void
  /** The connection that it waits on, and what came there. */
  connection: Connection | null
  readonly answers: Buffer[]
}

interface Holding {
  readonly matches: Matches
  readonly once: boolean
  taken: Connection | null
  readonly arrived: (request: Request) => void
  readonly ended: () => void
}

interface Losing {
  readonly matches: Matches
  readonly done: (request: Request) => void
}

/** MySQL's servers take attributes before the text of a query: none, in one set. */
const noAttributes = '\0\x01'
const queryCommand = 3
/** How long what is to be held may take to come; generous, since only a broken system gets there. */
const patienceMs = 60_000
/** Of what passed, this much of each statement is kept. */
const keptLength = 20_000

class Connection {
  readonly client: Socket
  readonly server: Socket
  heldBy: Holding | null = null
  current: Request | null = null
  losing: Losing | null = null
  delaying: Delaying | null = null
  transaction: string[] | null = null
  unparsed: Buffer = Buffer.alloc(0)

  constructor(client: Socket, server: Socket) {
    this.client = client
    this.server = server
  }

  end(): void {
    this.client.destroy()
    this.server.destroy()
  }
}

export class MySqlProxy {
  /** The store's URL, with this proxy's address. */
  readonly url: string
  /** All that the node asked, in order. */
  readonly requests: Request[] = []
  readonly #connections = new Set<Connection>()
  readonly #holdings = new Set<Holding>()
  readonly #losing = new Set<Losing>()
  readonly #delaying = new Set<Delaying>()

  private constructor(url: string) {
    this.url = url
  }

  /** Between here and the server of this URL; gone with the test. */
  static async start(t: Teardown, storeUrl: string): Promise<MySqlProxy> {
    const target = new URL(storeUrl)
    const listener = createServer(client => proxy.#accept(client, Number(target.port || 3306), target.hostname))
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const url = new URL(storeUrl)
    url.hostname = '127.0.0.1'
    url.port = String((listener.address() as AddressInfo).port)
    const proxy = new MySqlProxy(url.href)
    t.teardown(() => {
      listener.close()
      for (const connection of proxy.#connections) connection.end()
    })
    return proxy
  }

  /** Holds back the next request that matches, on one connection. */
  holdNext(matches: Matches): Hold {
    return this.#hold(matches, true)
  }

  /** Holds back all requests that match, until the release. */
  holdAll(matches: Matches): Hold {
    return this.#hold(matches, false)
  }

  /** Lets the next request that matches through, then cuts its connection when the server has answered. Resolves then. */
  loseAnswerTo(matches: Matches): Promise<Request> {
    return new Promise(done => {
      this.#losing.add({ matches, done })
    })
  }

  /** Lets the next request that matches through, and keeps its answer until the release. */
  delayAnswerTo(matches: Matches): Delay {
    const arrived = this.#arrival()
    const delaying: Delaying = { matches, answered: arrived.resolve, connection: null, answers: [] }
    this.#delaying.add(delaying)
    return {
      first: arrived.promise,
      release: () => {
        this.#delaying.delete(delaying)
        const { connection } = delaying
        if (!connection) return
        connection.delaying = null
        for (const answer of delaying.answers) connection.client.write(answer)
      },
    }
  }

  /** Resolved by a request; rejects when none comes. */
  #arrival(): PromiseWithResolvers<Request> {
    const arrived = Promise.withResolvers<Request>()
    const patience = setTimeout(
      () => arrived.reject(new Error(`no request matched; the last ones: ${JSON.stringify(this.requests.slice(-40))}`)),
      patienceMs,
    )
    arrived.promise.finally(() => clearTimeout(patience)).catch(() => {})
    return arrived
  }

  #hold(matches: Matches, once: boolean): Hold {
    const arrived = this.#arrival()
    const ended = Promise.withResolvers<void>()
    const holding: Holding = { matches, once, taken: null, arrived: arrived.resolve, ended: ended.resolve }
    this.#holdings.add(holding)
    return {
      first: arrived.promise,
      firstEnded: ended.promise,
      release: () => {
        this.#holdings.delete(holding)
        for (const connection of this.#connections) {
          if (connection.heldBy !== holding) continue
          connection.heldBy = null
          this.#forward(connection)
        }
      },
    }
  }

  #accept(client: Socket, port: number, host: string): void {
    const server = connect(port, host)
    const connection = new Connection(client, server)
    this.#connections.add(connection)
    const end = () => {
      if (!this.#connections.delete(connection)) return
      connection.end()
      if (connection.heldBy?.taken === connection) connection.heldBy.ended()
    }
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', end)
    }
    client.on('data', (data: Buffer) => {
      connection.unparsed = connection.unparsed.length === 0 ? data : Buffer.concat([connection.unparsed, data])
      this.#forward(connection)
    })
    server.on('data', (data: Buffer) => this.#answer(connection, data))
  }

  /** Passes whole packets on, up to one that is held. */
  #forward(connection: Connection): void {
    while (!connection.heldBy && connection.unparsed.length >= 4) {
      const length = connection.unparsed.readUIntLE(0, 3) + 4
      if (connection.unparsed.length < length) return
      const packet = connection.unparsed.subarray(0, length)
      if (packet[3] === 0 && packet[4] === queryCommand && !this.#look(connection, packet)) return
      connection.unparsed = connection.unparsed.subarray(length)
      connection.server.write(packet)
    }
  }

  /** False: it is held. */
  #look(connection: Connection, packet: Buffer): boolean {
    const sql = packet.toString('utf8', 5).replace(noAttributes, '')
    const request: Request = { sql: sql.slice(0, keptLength), transaction: connection.transaction ?? [], answer: null }
    const holding = [...this.#holdings].find(({ matches }) => matches(request))
    if (holding && !(holding.once && holding.taken)) {
      connection.heldBy = holding
      if (!holding.taken) {
        holding.taken = connection
        holding.arrived(request)
      }
      return false
    }
    const losing = [...this.#losing].find(({ matches }) => matches(request))
    if (losing) {
      this.#losing.delete(losing)
      connection.losing = losing
    }
    const delaying = [...this.#delaying].find(({ matches, connection }) => !connection && matches(request))
    if (delaying) {
      delaying.connection = connection
      connection.delaying = delaying
    }
    this.requests.push(request)
    connection.current = request
    if (/^(start transaction|begin)/i.test(sql)) connection.transaction = []
    else if (/^(commit|rollback)/i.test(sql)) connection.transaction = null
    else connection.transaction?.push(request.sql)
    return true
  }

  #answer(connection: Connection, data: Buffer): void {
    const request = connection.current
    if (request && !request.answer && data.length >= 7) request.answer = answerOf(data)
    const losing = connection.losing
    if (losing && request) {
      connection.losing = null
      connection.end()
      losing.done(request)
    } else if (connection.delaying && request) {
      connection.delaying.answers.push(data)
      connection.delaying.answered(request)
    } else connection.client.write(data)
  }
}

/** Of the first packet of an answer. */
function answerOf(data: Buffer): Answer {
  const [kind, first] = [data[4], data[5] as number]
  if (kind === 0xff) return { kind: 'error', code: data.readUInt16LE(5) }
  if (kind !== 0) return { kind: 'rows' }
  return { kind: 'ok', affectedRows: first < 0xfb ? first : data.readUInt16LE(6) }
}

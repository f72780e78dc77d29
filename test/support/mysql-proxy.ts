/**
 * Stands between one node and its MySQL and reads what passes: a request can be held back at the very moment that a test
 * needs (between an UPDATE and its COMMIT), or be let through and its answer thrown away together with the connection.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Teardown } from './folders.ts'
import { type Answer, AnswerReader } from './mysql-answers.ts'

/** One statement. Several may be sent together: then each is a request of its own here. */
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

/** Requests that wait in the proxy; what is sent with them or comes after them on their connections waits too. */
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
  /** What comes before it in the same packet is passed on. */
  readonly inside: boolean
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
  /** What was asked last, and what of the answer has come. */
  current: readonly Request[] = []
  reader = new AnswerReader()
  losing: { readonly done: (request: Request) => void; readonly request: Request } | null = null
  delaying: { readonly by: Delaying; readonly request: Request } | null = null
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

  /**
   * Like `holdNext`, but lets through what is sent together with the request and comes before it. For a node that does not live
   * to see the answer: it gets none, and what is held is never passed on.
   */
  stopBefore(matches: Matches): Promise<Request> {
    const { first } = this.#hold(matches, true, true)
    return first
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

  #hold(matches: Matches, once: boolean, inside = false): Hold {
    const arrived = this.#arrival()
    const ended = Promise.withResolvers<void>()
    const holding: Holding = { matches, once, inside, taken: null, arrived: arrived.resolve, ended: ended.resolve }
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
    const text = packet.toString('utf8', textAt(packet))
    const requests = requestsOf(text.split(between), connection.transaction)
    for (const holding of this.#holdings) {
      const index = requests.findIndex(holding.matches)
      if (index < 0 || (holding.once && holding.taken)) continue
      connection.heldBy = holding
      if (holding.inside && index > 0) this.#passBeginning(connection, packet, index, holding.arrived)
      else if (!holding.taken) holding.arrived(requests[index] as Request)
      holding.taken ??= connection
      return false
    }
    for (const losing of this.#losing) {
      const request = requests.find(losing.matches)
      if (!request) continue
      this.#losing.delete(losing)
      connection.losing = { done: losing.done, request }
      break
    }
    for (const by of this.#delaying) {
      const request = by.connection ? undefined : requests.find(by.matches)
      if (!request) continue
      by.connection = connection
      connection.delaying = { by, request }
      break
    }
    this.#asked(connection, requests)
    return true
  }

  #asked(connection: Connection, requests: readonly Request[]): void {
    this.requests.push(...requests)
    connection.current = requests
    connection.reader = new AnswerReader()
    for (const { sql, transaction } of requests)
      if (/^(start transaction|begin)/i.test(sql)) connection.transaction = []
      else if (/^(commit|rollback)/i.test(sql)) connection.transaction = null
      else if (connection.transaction) connection.transaction = [...transaction, sql]
  }

  /** The first `count` statements of a packet, whose answer nobody gets; `arrived` is told when they are done. */
  #passBeginning(connection: Connection, packet: Buffer, count: number, arrived: (next: Request) => void): void {
    const at = textAt(packet)
    const statements = packet.toString('utf8', at).split(between)
    const requests = requestsOf(statements, connection.transaction)
    const beginning = Buffer.concat([packet.subarray(0, at), Buffer.from(statements.slice(0, count).join(between))])
    beginning.writeUIntLE(beginning.length - 4, 0, 3)
    this.#asked(connection, requests.slice(0, count))
    connection.delaying = {
      by: {
        matches: () => false,
        connection,
        answers: [],
        answered: () => arrived(requests[count] as Request),
      },
      request: requests[count - 1] as Request,
    }
    connection.server.write(beginning)
  }

  #answer(connection: Connection, data: Buffer): void {
    const { current, reader, losing, delaying } = connection
    reader.read(data)
    for (const [index, answer] of reader.answers.entries()) {
      const request = current[index]
      if (request) request.answer ??= answer
    }
    if (losing) {
      if (!reader.complete) return
      connection.losing = null
      connection.end()
      losing.done(losing.request)
    } else if (delaying) {
      delaying.by.answers.push(data)
      if (reader.complete) delaying.by.answered(delaying.request)
    } else connection.client.write(data)
  }
}

/** Where the text of a query begins in its packet. */
function textAt(packet: Buffer): number {
  return packet.toString('latin1', 5, 5 + noAttributes.length) === noAttributes ? 5 + noAttributes.length : 5
}

/** What the store puts between statements that it sends together. */
const between = ';\n'

function requestsOf(statements: readonly string[], open: readonly string[] | null): Request[] {
  let transaction = open
  return statements.map(statement => {
    const sql = statement.slice(0, keptLength)
    const request: Request = { sql, transaction: transaction ?? [], answer: null }
    if (/^(start transaction|begin)/i.test(sql)) transaction = []
    else transaction &&= [...transaction, sql]
    return request
  })
}

/**
 * The cheapest HTTP client that keeps connections: a load generator shares the machine with what it measures, and one that
 * costs as much as a server measures itself. One request at a time per connection, answers with `Content-Length`.
 */
import { connect, type Socket } from 'node:net'

export interface Reply {
  readonly status: number
  readonly text: string
}

export class HttpClient {
  readonly #port: number
  readonly #connectionsMax: number
  readonly #headers: string
  readonly #idle: Connection[] = []
  readonly #all: Connection[] = []
  readonly #waiting: ((connection: Connection) => void)[] = []

  constructor(port: number, connections: number, token?: string) {
    this.#port = port
    this.#connectionsMax = connections
    this.#headers = `Host: 127.0.0.1:${port}\r\n${token === undefined ? '' : `Authorization: Bearer ${token}\r\n`}`
  }

  async call(method: string, path: string, body?: unknown): Promise<Reply> {
    const text = body === undefined ? '' : JSON.stringify(body)
    const content =
      body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`
    const connection = this.#idle.pop() ?? (await this.#another())
    try {
      return await connection.ask(`${method} ${path} HTTP/1.1\r\n${this.#headers}${content}\r\n${text}`)
    } finally {
      const next = this.#waiting.shift()
      if (next) next(connection)
      else this.#idle.push(connection)
    }
  }

  close(): void {
    for (const connection of this.#all) connection.close()
  }

  #another(): Connection | Promise<Connection> {
    if (this.#all.length >= this.#connectionsMax) return new Promise(resolve => this.#waiting.push(resolve))
    const connection = new Connection(connect({ host: '127.0.0.1', port: this.#port, noDelay: true }))
    this.#all.push(connection)
    return connection
  }
}

class Connection {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #pending: { resolve(reply: Reply): void; reject(error: Error): void } | null = null

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => this.#receive(chunk))
    socket.on('error', error => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the server closed a kept connection')))
  }

  ask(text: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#socket.write(text)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const headEnd = this.#received.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const head = this.#received.toString('latin1', 0, headEnd)
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN)
    if (Number.isNaN(length)) {
      this.#fail(new Error(`an answer without its length: ${head}`))
      return
    }
    const end = headEnd + 4 + length
    if (this.#received.length < end) return
    const reply = { status: Number(head.slice(9, 12)), text: this.#received.toString('utf8', headEnd + 4, end) }
    this.#received = this.#received.subarray(end)
    const pending = this.#pending
    this.#pending = null
    pending?.resolve(reply)
  }

  #fail(error: Error): void {
    const pending = this.#pending
    this.#pending = null
    pending?.reject(error)
  }
}

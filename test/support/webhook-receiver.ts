/** Somebody who is told of the ends of queries, and answers as a test wants. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from './conditions.ts'

export interface Told {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly message: any
}

/** Answers by itself; what returns nothing holds the request for as long as it likes. */
export type Answering = (response: ServerResponse, told: Told) => void

const accepted: Answering = response => void response.writeHead(204).end()

export class WebhookReceiver {
  readonly all: Told[] = []
  readonly #answers = new Map<string, Answering>()
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<WebhookReceiver> {
    const server = createServer()
    const receiver = new WebhookReceiver(server)
    server.on('request', async (request, response) => {
      let body = ''
      for await (const chunk of request.setEncoding('utf8')) body += chunk
      const told = { path: request.url as string, headers: request.headers, body, message: JSON.parse(body) }
      receiver.all.push(told)
      const answering = receiver.#answers.get(told.message.data.user) ?? accepted
      answering(response, told)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** How the ends of a user's queries are answered from now on; unless told, they are accepted. */
  answer(user: string, answering: Answering): void {
    this.#answers.set(user, answering)
  }

  /** What was told of this query at this path. */
  toldOf(handle: string, path = '/all'): Told[] {
    return this.all.filter(told => told.path === path && told.message.data.handle === handle)
  }

  /** Waits until this query's end was told so many times at this path. */
  told(handle: string, times = 1, path = '/all'): Promise<Told[]> {
    return eventually(
      () => this.toldOf(handle, path),
      told => told.length >= times,
      { what: `${path} is told of ${handle} ${times} times` },
    )
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Who is told what nodes tell others: ends of queries and traces. It keeps nothing but counts, and refuses some, so that nodes tell again. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../support/folders.ts'

const refusedEvery = 10

export class Sink {
  /** Requests that were taken. */
  readonly taken = { ends: 0, traces: 0 }
  readonly #url: string

  private constructor(url: string) {
    this.#url = url
  }

  /** Listens on this address, which the nodes reach. */
  static async start(t: Teardown, host: string): Promise<Sink> {
    const server = createServer()
    server.listen(0, host)
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const sink = new Sink(`http://${host}:${(server.address() as AddressInfo).port}`)
    let asked = 0
    server.on('request', (request, response) => {
      // A node that is cut off or frozen may leave in the middle of its request: then there is nobody to answer.
      request.on('error', () => {})
      request.resume().on('end', () => {
        const isRefused = ++asked % refusedEvery === 0
        if (!isRefused) sink.taken[request.url === '/ends' ? 'ends' : 'traces']++
        response.writeHead(isRefused ? 503 : 200).end()
      })
    })
    return sink
  }

  /** What makes a node tell it. */
  get environment(): Readonly<Record<string, string>> {
    return {
      LENS_WEBHOOKS_SINK_URL: `${this.#url}/ends`,
      LENS_WEBHOOKS_SINK_SECRET: 'known to the sink alone',
      LENS_WEBHOOKS_SINK_RETRY_MS: '100',
      OTEL_EXPORTER_OTLP_ENDPOINT: this.#url,
    }
  }
}

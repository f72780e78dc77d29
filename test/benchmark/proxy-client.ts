/** Requests through a proxy, or through several in turn, on kept connections, none of them repeated; whatever fails is kept, with its reason. */
import { Agent, request } from 'node:http'

export interface ProxyAnswer {
  readonly status: number
  readonly text: string
}

export class ProxyClient {
  readonly failures: string[] = []
  answered = 0
  readonly #urls: readonly string[]
  #sent = 0
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 })

  constructor(...urls: readonly string[]) {
    this.#urls = urls
  }

  /** Null: the connection failed, or the answer was a 5xx; `failures` says how. */
  call(
    method: string,
    path: string,
    token: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ProxyAnswer | null> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const url = this.#urls[this.#sent++ % this.#urls.length]
    return new Promise(resolve => {
      const fail = (why: string) => {
        this.failures.push(`${new Date().toISOString()} ${method} ${url}${path}: ${why}`)
        resolve(null)
      }
      const sent = request(
        `${url}${path}`,
        {
          method,
          agent: this.#agent,
          headers: {
            authorization: `Bearer ${token}`,
            ...(text === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
            ...headers,
          },
        },
        response => {
          const chunks: Buffer[] = []
          response.on('data', chunk => chunks.push(chunk))
          response.on('error', error => fail(String(error)))
          response.on('end', () => {
            const { statusCode: status = 0 } = response
            const answer = { status, text: Buffer.concat(chunks).toString() }
            if (status >= 500) return fail(`${status} ${answer.text.slice(0, 300)}`)
            this.answered++
            resolve(answer)
          })
        },
      )
      sent.on('error', (error: NodeJS.ErrnoException) => fail(`${error.code} ${error.message}`))
      sent.end(text)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

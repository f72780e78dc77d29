/** Load: closed loops (as fast as answers come) and open ones (at a given rate, whatever the answers do). */
import { Agent, request } from 'node:http'

export interface Reply {
  readonly status: number
  readonly text: string
}

/** One HTTP client with kept connections. */
export class HttpClient {
  readonly #agent: Agent
  readonly #port: number
  readonly #headers: Readonly<Record<string, string>>

  constructor(port: number, connections: number, token?: string) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections })
    this.#port = port
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  call(method: string, path: string, body?: unknown): Promise<Reply> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      ...this.#headers,
      ...(text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
    }
    return new Promise((resolve, reject) => {
      const sent = request(
        { host: '127.0.0.1', port: this.#port, method, path, headers, agent: this.#agent },
        answer => {
          const chunks: Buffer[] = []
          answer.on('data', chunk => chunks.push(chunk))
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
          answer.on('error', reject)
        },
      )
      sent.on('error', reject)
      sent.end(text)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Runs `task` from `workers` loops for `forMs`; gives the rate per second. The first fifth is not counted. */
export async function closedLoop(
  workers: number,
  forMs: number,
  task: (worker: number) => Promise<unknown>,
): Promise<number> {
  const begin = performance.now()
  const countFrom = begin + forMs / 5
  const end = begin + forMs
  let counted = 0
  let last = countFrom
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      while (performance.now() < end) {
        await task(worker)
        const now = performance.now()
        if (now < countFrom || now > end) continue
        counted++
        last = now
      }
    }),
  )
  return counted / ((Math.max(last, end) - countFrom) / 1000)
}

/** Starts `task` at a steady rate for `forMs`; gives the time of each from when it was due, so that queueing counts. */
export async function openLoop(perSecond: number, forMs: number, task: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  const begin = performance.now()
  const total = Math.floor((perSecond * forMs) / 1000)
  const all: Promise<void>[] = []
  for (let index = 0; index < total; index++) {
    const due = begin + (index * 1000) / perSecond
    const wait = due - performance.now()
    if (wait > 1) await new Promise(resolve => setTimeout(resolve, wait))
    all.push(task().then(() => void times.push(performance.now() - due)))
  }
  await Promise.all(all)
  return times
}

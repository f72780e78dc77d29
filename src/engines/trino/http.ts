/**
 * Requests to a Trino server. What the protocol says to be tried again is tried again for a while, with growing pauses: 502, 503, 504,
 * 429 and connections that are refused or break. All of it may be repeated but the submission of a statement: of an unanswered one nobody
 * knows the address, so it never runs, and the server forgets it.
 */

import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import type { Agent, request } from 'undici'
import { backoffDelayMs, type Clock, type Random } from '../../async/index.ts'
import { EngineError } from '../contract.ts'
import { unavailable } from './failures.ts'
import { parseLossless } from './json.ts'

const decompress = promisify(zstdDecompress)

export interface HttpOptions {
  readonly engine: string
  /** Without a path. */
  readonly url: URL
  /** Of every request: authentication. */
  readonly headers: Readonly<Record<string, string>>
  /** false: any certificate is taken. */
  readonly verify: boolean
  readonly connectionsMax: number
  readonly clock: Clock
  readonly random: Random
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export interface Asked {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
  /** Tried again for so long. */
  readonly patienceMs: number
}

const backoff = { firstMs: 50, limitMs: 2_000 }
const again = new Set([429, 502, 503, 504])
const connectMs = 10_000
/** The server holds an answer back for a second or so until there is something to say. */
const answerMs = 60_000

export class TrinoHttp {
  readonly #options: HttpOptions
  /** Loaded with the first engine of this kind: a node without one is none the larger. */
  readonly #undici: Promise<{ readonly request: typeof request; readonly agent: Agent }>
  /** Whether the last request was answered. */
  #isReached = false

  constructor(options: HttpOptions) {
    this.#options = options
    const { verify, connectionsMax } = options
    this.#undici = import('undici').then(({ Agent, request }) => {
      const connect = { timeout: connectMs, rejectUnauthorized: verify }
      const times = { headersTimeout: answerMs, bodyTimeout: answerMs }
      return { request, agent: new Agent({ connections: connectionsMax, connect, ...times }) }
    })
  }

  get reached(): boolean {
    return this.#isReached
  }

  set reached(isReached: boolean) {
    this.#isReached = isReached
  }

  url(path: string): string {
    return new URL(path, this.#options.url).href
  }

  /**
   * Gives any answer but those to be tried again. Rejects with `unavailable` when there was none for `patienceMs`, and when the signal
   * aborts.
   */
  async ask(asked: Asked): Promise<HttpAnswer> {
    const { clock, random, engine } = this.#options
    const until = clock.monotonic() + asked.patienceMs
    for (let attempt = 0; ; attempt++) {
      let cause: unknown
      let pauseMs = backoffDelayMs(backoff, attempt, random)
      try {
        const answer = await this.#once(asked)
        if (!again.has(answer.status)) {
          this.#isReached = true
          return answer
        }
        cause = new Error(`HTTP ${answer.status}`)
        pauseMs = Math.max(pauseMs, retryAfterMs(answer))
      } catch (error) {
        if (asked.signal?.aborted) throw unavailable(engine, error)
        cause = error
      }
      if (clock.monotonic() + pauseMs >= until) {
        this.#isReached = false
        throw unavailable(engine, cause)
      }
      await clock.sleep(pauseMs, asked.signal).catch(() => {
        throw unavailable(engine, cause)
      })
    }
  }

  /** The answer's JSON. Rejects with `unavailable` for one that is none: it was a proxy's. */
  async askJson<T>(asked: Asked): Promise<{ status: number; headers: HttpAnswer['headers']; json: T | null }> {
    const { status, headers, body } = await this.ask(asked)
    if (status >= 300) return { status, headers, json: null }
    try {
      return { status, headers, json: parseLossless(body.toString()) as T }
    } catch (error) {
      throw unavailable(this.#options.engine, error)
    }
  }

  async close(): Promise<void> {
    await (await this.#undici).agent.destroy()
  }

  async #once({ method, url, headers, body, signal }: Asked): Promise<HttpAnswer> {
    const { request, agent } = await this.#undici
    const answer = await request(url, {
      ...{ method, dispatcher: agent, signal: signal ?? null, body: body ?? null },
      headers: { ...(this.#isOurs(url) ? this.#options.headers : {}), ...headers },
    })
    const chunks: Buffer[] = []
    for await (const chunk of answer.body) chunks.push(chunk as Buffer)
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }
  }

  /** Spooled rows may lie elsewhere, where nobody is to be told our password. */
  #isOurs(url: string): boolean {
    return new URL(url).origin === this.#options.url.origin
  }
}

function retryAfterMs({ headers }: HttpAnswer): number {
  const seconds = Number(headers['retry-after'])
  return Number.isFinite(seconds) ? Math.min(seconds, 60) * 1_000 : 0
}

/** The JSON text of a segment's rows. */
export async function segmentText(encoding: string, data: Buffer): Promise<string> {
  if (encoding === 'json') return data.toString()
  if (encoding === 'json+zstd') return (await decompress(data)).toString()
  throw new EngineError('failed', `The engine encodes rows as ${encoding}, which was not asked for.`)
}

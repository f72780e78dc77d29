/**
 * One call, as many attempts as it takes: another endpoint at once while there is an untried one, then a bounded,
 * jittered pause. All calls of the contract may be repeated: reads and deletions are idempotent, submissions and the
 * opening of a session carry a key. What must not be repeated says so in its problem document.
 */
import type { Chunks } from './download.ts'
import type { Endpoints } from './endpoints.ts'
import { errorOfAnswer, LensClientError } from './errors.ts'
import { backoffMs, type Settings } from './options.ts'

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below the endpoint, with its query: `/api/v1/queries?limit=3`. */
  readonly path: string
  readonly body?: unknown
  readonly accept?: string
  /** The value of `Authorization`; null sends none. */
  readonly authorization?: string | null
  readonly idempotencyKey?: string
  /** How long the server is asked to wait; comes on top of the time-out of an attempt. */
  readonly waitMs?: number
  /** How long the call may be repeated, where that is less than usual. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

/** Reads a successful answer. What it throws counts as a broken connection. */
export type Reader<T> = (response: Response, endpoint: string) => Promise<T>

export class Transport {
  readonly endpoints: Endpoints
  readonly #settings: Settings
  readonly #closing = new AbortController()

  constructor(endpoints: Endpoints, settings: Settings) {
    this.endpoints = endpoints
    this.#settings = settings
  }

  /** Every attempt under way fails with CLIENT_CLOSED, and every later one. */
  close(): void {
    this.#closing.abort(new LensClientError({ code: 'CLIENT_CLOSED', detail: 'The client was closed.' }))
  }

  get closed(): AbortSignal {
    return this.#closing.signal
  }

  json<T>(call: Call): Promise<T> {
    return this.perform(call, async response => {
      const text = await response.text()
      return (text === '' ? undefined : parse(text, response.url)) as T
    })
  }

  /** Begins a body that is longer than an attempt may take: the time-out ends with its headers. */
  async begin(call: Call): Promise<Chunks> {
    const response = await this.perform(call, async answer => answer, true)
    if (!response.body) throw new LensClientError({ code: 'NOT_LENS', detail: `${call.path} came without a body` })
    const reader = response.body.getReader()
    // A frozen node keeps its connections open: silence while we read is as good as a broken one.
    const { clock, retry } = this.#settings
    const silenceMs = retry.attemptMs * 3
    const read = () => {
      const silence = Promise.withResolvers<never>()
      const disarm = clock.after(silenceMs, () => silence.reject(new Error(`no more bytes within ${silenceMs} ms`)))
      return Promise.race([reader.read(), silence.promise]).finally(disarm)
    }
    return { read, cancel: () => reader.cancel() }
  }

  /** Repeats the call until it succeeds, fails for good, or its deadline is over: then throws the last failure. */
  async perform<T>(call: Call, read: Reader<T>, open = false): Promise<T> {
    const { clock, retry } = this.#settings
    const started = clock.monotonic()
    const limitMs = () =>
      Math.min(call.deadlineMs ?? Infinity, this.endpoints.contacted ? retry.deadlineMs : retry.firstContactMs)
    const tried = new Set<string>()
    for (let round = 0; ; ) {
      const endpoint = this.endpoints.next(tried) ?? this.endpoints.current
      tried.add(endpoint)
      const leftMs = Math.max(1, started + limitMs() - clock.monotonic())
      try {
        return await this.#attempt(call, endpoint, leftMs, read, open)
      } catch (thrown) {
        if (!(thrown instanceof LensClientError) || !thrown.retryable) throw thrown
        const failure = thrown
        const sameAnswerEverywhere = failure.status === 429
        let delayMs = 0
        if (sameAnswerEverywhere || this.endpoints.next(tried) === null) {
          delayMs = Math.max(backoffMs(this.#settings, round++), failure.retryAfterMs ?? 0)
          tried.clear()
        }
        if (clock.monotonic() + delayMs >= started + limitMs()) throw failure
        if (delayMs > 0) await clock.sleep(delayMs, either(this.#closing.signal, call.signal))
      }
    }
  }

  async #attempt<T>(call: Call, endpoint: string, leftMs: number, read: Reader<T>, open: boolean): Promise<T> {
    const { clock, retry, fetch } = this.#settings
    const url = `${endpoint}${call.path}`
    const ending = new AbortController()
    const limitMs = Math.min(retry.attemptMs, leftMs) + (call.waitMs ?? 0)
    const disarm = clock.after(limitMs, () => ending.abort(new Error(`no answer within ${Math.round(limitMs)} ms`)))
    const unfollow = follow(ending, this.#closing.signal, call.signal)
    let stillFollowed = false
    try {
      this.#closing.signal.throwIfAborted()
      call.signal?.throwIfAborted()
      const response = await fetch(url, {
        method: call.method,
        headers: headersOf(call),
        body: call.body === undefined ? undefined : JSON.stringify(call.body),
        signal: ending.signal,
      })
      if (!response.ok) throw errorOfAnswer(response.status, response.headers, await response.text(), url)
      const answer = await read(response, endpoint)
      this.#answered(endpoint, response)
      stillFollowed = open
      return answer
    } catch (thrown) {
      if (this.#closing.signal.aborted) throw this.#closing.signal.reason
      if (call.signal?.aborted) throw call.signal.reason
      if (thrown instanceof LensClientError) {
        this.#refused(endpoint, thrown)
        throw thrown
      }
      this.endpoints.failed(endpoint)
      throw new LensClientError({
        code: 'UNREACHABLE',
        detail: `${endpoint} cannot be reached: ${reasonOf(ending.signal.aborted ? ending.signal.reason : thrown)}`,
        retryable: true,
        cause: thrown,
      })
    } finally {
      disarm()
      // A body that goes on is ended with the client.
      if (!stillFollowed) unfollow()
    }
  }

  #answered(endpoint: string, response: Response): void {
    // A node that drains serves on, and says with this header that the next call belongs elsewhere.
    if (response.headers.get('connection')?.toLowerCase() === 'close') this.endpoints.leaving(endpoint)
    this.endpoints.worked(endpoint)
  }

  #refused(endpoint: string, error: LensClientError): void {
    if (error.code === 'NODE_STOPPING') this.endpoints.leaving(endpoint)
    else if (error.status !== null && error.status >= 500) this.endpoints.failed(endpoint)
    else this.endpoints.worked(endpoint)
  }
}

function headersOf(call: Call): Record<string, string> {
  const headers: Record<string, string> = { accept: call.accept ?? 'application/json' }
  if (call.body !== undefined) headers['content-type'] = 'application/json'
  if (call.authorization) headers.authorization = call.authorization
  if (call.idempotencyKey !== undefined) headers['idempotency-key'] = call.idempotencyKey
  return headers
}

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new LensClientError({ code: 'NOT_LENS', detail: `${url} answered something other than JSON`, cause })
  }
}

/** Aborts `controller` with whichever signal aborts first; returns how to stop listening. */
function follow(controller: AbortController, ...signals: (AbortSignal | undefined)[]): () => void {
  const abort = (event: Event) => controller.abort((event.target as AbortSignal).reason)
  for (const signal of signals) {
    if (signal?.aborted) controller.abort(signal.reason)
    else signal?.addEventListener('abort', abort, { once: true })
  }
  return () => {
    for (const signal of signals) signal?.removeEventListener('abort', abort)
  }
}

export function either(first: AbortSignal, second: AbortSignal | undefined): AbortSignal {
  return second ? AbortSignal.any([first, second]) : first
}

/** `fetch failed` says nothing; its cause does. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  if (cause instanceof AggregateError && cause.errors.length > 0) return reasonOf(cause.errors[0])
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message
}

/**
 * Which node to talk to. The one that worked last is kept; one that failed or is leaving is passed over for a while,
 * but never forgotten: where all others are worse, it is asked again.
 *
 *     healthy ──(failed | leaving)──▶ shunned ──(time passes, or it answers)──▶ healthy
 */
import type { ClientClock } from './options.ts'

interface Endpoint {
  readonly url: string
  readonly configured: boolean
  /** Has answered at least once. */
  proven: boolean
  /** Passed over until then, by the monotonic clock. */
  failedUntil: number
  leavingUntil: number
}

/** How long a node that failed is passed over while others are left. */
const failedMs = 5_000
/** How long a node that said that it is leaving is; a redeployed one is back by then. */
const leavingMs = 10_000
/** Nodes learnt from others; more than a cluster has, fewer than a liar could send. */
const learnedMax = 64

export class Endpoints {
  readonly #clock: ClientClock
  readonly #learn: boolean
  #list: Endpoint[]
  #current: Endpoint

  constructor(urls: readonly string[], clock: ClientClock, learn: boolean) {
    const normal = [...new Set(urls.map(normalise))]
    const [first] = normal
    if (first === undefined) throw new TypeError('endpoints: at least one base URL is needed')
    this.#clock = clock
    this.#learn = learn
    this.#list = normal.map(url => ({ url, configured: true, proven: false, failedUntil: 0, leavingUntil: 0 }))
    this.#current = this.#list[0] as Endpoint
  }

  get urls(): string[] {
    return this.#list.map(endpoint => endpoint.url)
  }

  /** The one that is asked first. */
  get current(): string {
    return this.#current.url
  }

  /** True once any endpoint has answered. */
  get contacted(): boolean {
    return this.#list.some(endpoint => endpoint.proven)
  }

  /** The best endpoint that is not in `tried`; null when all were tried. */
  next(tried: ReadonlySet<string>): string | null {
    const now = this.#clock.monotonic()
    const start = this.#list.indexOf(this.#current)
    let best: Endpoint | null = null
    for (let step = 0; step < this.#list.length; step++) {
      const endpoint = this.#list[(start + step) % this.#list.length] as Endpoint
      if (tried.has(endpoint.url)) continue
      if (best === null || rank(endpoint, now) < rank(best, now)) best = endpoint
    }
    return best?.url ?? null
  }

  worked(url: string): void {
    const endpoint = this.#find(url)
    if (!endpoint) return
    endpoint.proven = true
    endpoint.failedUntil = 0
    // A leaving node goes on answering; it only stops being the first choice.
    if (endpoint.leavingUntil <= this.#clock.monotonic()) this.#current = endpoint
  }

  failed(url: string): void {
    const endpoint = this.#find(url)
    if (endpoint) endpoint.failedUntil = this.#clock.monotonic() + failedMs
  }

  leaving(url: string): void {
    const endpoint = this.#find(url)
    if (endpoint) endpoint.leavingUntil = this.#clock.monotonic() + leavingMs
  }

  /** Adds nodes that others named. */
  learn(urls: readonly string[]): void {
    if (!this.#learn) return
    for (const text of urls) {
      if (this.#list.filter(endpoint => !endpoint.configured).length >= learnedMax) return
      const url = /^https?:\/\//.test(text) ? normalise(text) : null
      if (url === null || this.#find(url)) continue
      this.#list.push({ url, configured: false, proven: false, failedUntil: 0, leavingUntil: 0 })
    }
  }

  #find(url: string): Endpoint | undefined {
    return this.#list.find(endpoint => endpoint.url === url)
  }
}

function rank(endpoint: Endpoint, now: number): number {
  if (endpoint.failedUntil > now) return 3
  if (endpoint.leavingUntil > now) return 2
  return endpoint.configured || endpoint.proven ? 0 : 1
}

function normalise(text: string): string {
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new TypeError(`endpoints: ${text} is not an http or https URL`)
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

/**
 * What a client can be told. Time, randomness, `fetch` and `WebSocket` are options with defaults of the platform, so
 * that the library runs wherever these four exist and a test can hold them.
 */

/** The part of a clock that the client needs; the server's own `Clock` fits. */
export interface ClientClock {
  /** Milliseconds of a monotonic clock. */
  monotonic(): number
  /** Runs `task` once after `delayMs`; returns how to prevent it. */
  after(delayMs: number, task: () => void): () => void
  /** Resolves after `delayMs`, or rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

export interface ClientRandom {
  /** A new UUIDv4: idempotency keys. */
  uuid(): string
  /** A number in [0, 1): jitter. */
  fraction(): number
}

export interface RetryOptions {
  /** How long one call may be repeated, in milliseconds. */
  readonly deadlineMs: number
  /** The same until some endpoint has answered for the first time. */
  readonly firstContactMs: number
  /** How long one endpoint may take to answer one attempt; a long poll's wait comes on top. */
  readonly attemptMs: number
  /** First delay after all endpoints have failed; doubled each time, with jitter of 50 % to 100 %. */
  readonly backoffFirstMs: number
  readonly backoffLimitMs: number
}

export interface LensClientOptions {
  /** Base URLs of nodes, or of proxies before them. The first that works is kept until it fails. */
  readonly endpoints: readonly string[]
  /** Opens a session for this user at the first call. */
  readonly user?: string
  /** The token of a session that exists already; the client then neither opens nor closes one. */
  readonly token?: string
  /** `Authorization` header for opening the session, where the server asks for one; a function is asked each time one is opened. */
  readonly authorization?: string | (() => string | undefined | Promise<string | undefined>)
  readonly database?: string
  readonly properties?: Readonly<Record<string, string>>
  readonly retry?: Partial<RetryOptions>
  /** False: use only the given endpoints, never those that nodes name. For clients that reach nodes only through a proxy. */
  readonly learnEndpoints?: boolean
  /** Ask the cluster for all its nodes once the session is open, so that one endpoint is enough to survive its node. */
  readonly discover?: boolean
  /** How long one long poll waits, in milliseconds. */
  readonly pollMs?: number
  /** Rows asked for in one page. */
  readonly pageRows?: number
  readonly fetch?: typeof globalThis.fetch
  /** null: long polling only. */
  readonly WebSocket?: typeof globalThis.WebSocket | null
  readonly clock?: ClientClock
  readonly random?: ClientRandom
}

/** Options with everything decided. */
export interface Settings {
  readonly user: string | undefined
  readonly token: string | undefined
  readonly authorization: LensClientOptions['authorization']
  readonly database: string | undefined
  readonly properties: Readonly<Record<string, string>> | undefined
  readonly retry: RetryOptions
  readonly learnEndpoints: boolean
  readonly discover: boolean
  readonly pollMs: number
  readonly pageRows: number
  readonly fetch: typeof globalThis.fetch
  readonly WebSocket: typeof globalThis.WebSocket | null
  readonly clock: ClientClock
  readonly random: ClientRandom
}

export function settle(options: LensClientOptions): Settings {
  const deadlineMs = options.retry?.deadlineMs ?? 60_000
  return {
    user: options.user,
    token: options.token,
    authorization: options.authorization,
    database: options.database,
    properties: options.properties,
    retry: {
      deadlineMs,
      firstContactMs: options.retry?.firstContactMs ?? deadlineMs,
      attemptMs: options.retry?.attemptMs ?? 10_000,
      backoffFirstMs: options.retry?.backoffFirstMs ?? 50,
      backoffLimitMs: options.retry?.backoffLimitMs ?? 2_000,
    },
    learnEndpoints: options.learnEndpoints ?? true,
    discover: options.discover ?? false,
    pollMs: options.pollMs ?? 5_000,
    pageRows: options.pageRows ?? 1_000,
    // Called as a plain function: browsers refuse a `fetch` whose `this` is not the window.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    WebSocket: options.WebSocket === undefined ? (globalThis.WebSocket ?? null) : options.WebSocket,
    clock: options.clock ?? platformClock,
    random: options.random ?? platformRandom,
  }
}

export const platformClock: ClientClock = {
  monotonic: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs)
    return () => clearTimeout(timer)
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const abort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }, delayMs)
      signal?.addEventListener('abort', abort, { once: true })
    })
  },
}

export const platformRandom: ClientRandom = {
  uuid() {
    // `randomUUID` is missing on pages served without TLS from another machine; `getRandomValues` is everywhere.
    if (typeof crypto.randomUUID === 'function') return crypto.randomUUID()
    const bytes = crypto.getRandomValues(new Uint8Array(16))
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
    const hex = Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  },
  fraction: () => Math.random(),
}

/** The delay before repetition `attempt` (0 = the first). */
export function backoffMs(settings: Settings, attempt: number): number {
  const { backoffFirstMs, backoffLimitMs } = settings.retry
  const step = Math.min(backoffLimitMs, backoffFirstMs * 2 ** Math.min(attempt, 30))
  return step * (0.5 + settings.random.fraction() / 2)
}

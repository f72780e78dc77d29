/** Waiting for a query to get somewhere: long polls and synchronous requests. Both follow it like any subscriber. */
import type { Clock } from '../async/index.ts'
import { LensError, type QueryView } from '../domain/index.ts'
import type { Principal } from './contract.ts'
import type { Feed } from './feed.ts'

export type Waited =
  | { readonly kind: 'met'; readonly view: QueryView }
  | { readonly kind: 'timeout' }
  /** The node is leaving: the waiting ends early. */
  | { readonly kind: 'draining' }

export class Waits {
  readonly #feed: Feed
  readonly #clock: Clock
  readonly #draining = new Set<() => void>()
  #isDraining = false

  constructor(feed: Feed, clock: Clock) {
    this.#feed = feed
    this.#clock = clock
  }

  get size(): number {
    return this.#draining.size
  }

  /** No wait begins any more. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /** Ends all waits, and lets none begin. */
  drain(): void {
    this.#isDraining = true
    for (const end of [...this.#draining]) end()
  }

  until(
    principal: Principal,
    handle: string,
    condition: (view: QueryView) => boolean,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Waited> {
    if (this.#isDraining) return Promise.resolve({ kind: 'draining' })
    return new Promise<Waited>((resolve, reject) => {
      const finish = (settle: () => void) => {
        subscription.close()
        cancelTimer()
        signal.removeEventListener('abort', aborted)
        this.#draining.delete(drained)
        settle()
      }
      const aborted = () =>
        finish(() => reject(new LensError('REQUEST_INVALID', 'The client went away.', { cause: signal.reason })))
      const drained = () => finish(() => resolve({ kind: 'draining' }))
      const cancelTimer = this.#clock.after(timeoutMs, () => finish(() => resolve({ kind: 'timeout' })))
      this.#draining.add(drained)
      signal.addEventListener('abort', aborted, { once: true })
      const subscription = this.#feed.subscribeQuery(principal, handle, undefined, {
        frame: frame => {
          if (frame.type === 'query' && condition(frame.query))
            finish(() => resolve({ kind: 'met', view: frame.query }))
        },
        ended: error => finish(() => reject(error)),
      })
      subscription.ready.catch(error => finish(() => reject(error)))
      if (signal.aborted) aborted()
    })
  }
}

/**
 * How many requests a user or an address may send in a second, in the cluster. A node takes tokens out of the shared bucket some
 * at a time and spends them from memory, so that a request costs no statement, and the nodes together never spend more
 * than the bucket gives. What a node took and did not need is lost after a second.
 *
 *     request ──▶ token at hand? ──yes──▶ go on
 *                    └──no──▶ refused a moment ago? ──yes──▶ RATE_LIMITED
 *                                  └──no──▶ take some, in one transaction with all others that wait
 */
import { Batcher, type Clock } from '../async/index.ts'
import { LensError } from '../domain/index.ts'
import type { RateStore, TokenGrant, TokenWish } from '../store/contract.ts'
import { bucketOf } from './buckets.ts'

export interface RequestRatesOptions {
  readonly rates: Pick<RateStore, 'take'>
  readonly clock: Clock
  /** A second; 0 = unlimited. */
  readonly perUser: number
  readonly perAddress: number
}

interface Hand {
  tokens: number
  /** Monotonic; what is left then is not believed any more. */
  validUntilMs: number
  /** Monotonic; nobody asks before. */
  emptyUntilMs: number
  taking: Promise<void> | null
}

/** A tenth of a second's worth at a time. */
const share = 10
const validMs = 1_000
/** Beyond it those that have nothing to say are forgotten. */
const handsMax = 20_000

export class RequestRates {
  readonly #options: RequestRatesOptions
  readonly #hands = new Map<string, Hand>()
  readonly #takes: Batcher<TokenWish, TokenGrant>

  constructor(options: RequestRatesOptions) {
    this.#options = options
    this.#takes = new Batcher({
      run: wishes => options.rates.take(wishes),
      clock: options.clock,
      flightsMax: 2,
      sizeMax: 100,
    })
  }

  get limitsUsers(): boolean {
    return this.#options.perUser > 0
  }

  get limitsAddresses(): boolean {
    return this.#options.perAddress > 0
  }

  /** Null: go on. Else resolves when it may, or rejects with RATE_LIMITED. */
  ofUser(user: string): Promise<void> | null {
    return this.#spend('user', user, this.#options.perUser)
  }

  ofAddress(address: string): Promise<void> | null {
    return this.#spend('address', address, this.#options.perAddress)
  }

  #spend(kind: 'user' | 'address', name: string, perSecond: number): Promise<void> | null {
    if (perSecond === 0) return null
    const now = this.#options.clock.monotonic()
    const hand = this.#handOf(`${kind} ${name}`, now)
    if (hand.tokens > 0 && now < hand.validUntilMs) {
      hand.tokens--
      return null
    }
    return this.#wait(hand, kind, name, perSecond)
  }

  async #wait(hand: Hand, kind: 'user' | 'address', name: string, perSecond: number): Promise<void> {
    const { clock } = this.#options
    // Those that wait together share what comes; who finds nothing left takes again.
    for (;;) {
      const now = clock.monotonic()
      if (hand.tokens > 0 && now < hand.validUntilMs) {
        hand.tokens--
        return
      }
      if (now < hand.emptyUntilMs)
        throw new LensError('RATE_LIMITED', `More than ${perSecond} requests a second of one ${kind}.`, {
          retryAfterMs: Math.ceil(hand.emptyUntilMs - now),
        })
      hand.taking ??= this.#take(hand, kind, name, perSecond).finally(() => {
        hand.taking = null
      })
      await hand.taking
    }
  }

  async #take(hand: Hand, kind: string, name: string, perSecond: number): Promise<void> {
    const { clock } = this.#options
    const tokens = Math.max(1, Math.ceil(perSecond / share))
    const wish = { bucket: bucketOf('requests', kind, name), tokens, perSecond, burst: 2 * perSecond }
    // Rationing must not be what takes the service down: without the database the request finds out by itself.
    const grant = await this.#takes.add(wish).catch((): TokenGrant => ({ granted: tokens, retryAfterMs: 0 }))
    const now = clock.monotonic()
    hand.tokens = grant.granted
    hand.validUntilMs = now + validMs
    hand.emptyUntilMs = grant.granted === 0 ? now + Math.max(1, grant.retryAfterMs) : 0
  }

  #handOf(key: string, now: number): Hand {
    let hand = this.#hands.get(key)
    if (!hand) {
      if (this.#hands.size >= handsMax) this.#forget(now)
      hand = { tokens: 0, validUntilMs: 0, emptyUntilMs: 0, taking: null }
      this.#hands.set(key, hand)
    }
    return hand
  }

  /** Whoever has none at hand and is not refused just now loses nothing; of a flood of strangers the oldest go all the same. */
  #forget(now: number): void {
    for (const [key, hand] of this.#hands)
      if (hand.taking === null && now >= hand.validUntilMs && now >= hand.emptyUntilMs) this.#hands.delete(key)
    for (const key of this.#hands.keys()) {
      if (this.#hands.size < handsMax / 2) break
      this.#hands.delete(key)
    }
  }
}

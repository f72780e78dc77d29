/**
 * Signing in by a method that can be wrong. What a failure costs is taken from the buckets of the user's name and address before
 * the guess is looked at, and put back when it was right: so no number of guesses at once, at whatever nodes, gets more than
 * the buckets hold.
 *
 *     claim ──▶ taken from both buckets? ──no──▶ RATE_LIMITED
 *                        └──yes──▶ verified? ──yes──▶ put back ──▶ signed in
 *                                      └──no──▶ UNAUTHENTICATED
 */
import { createHmac } from 'node:crypto'
import type { Random } from '../async/index.ts'
import { LensError } from '../domain/index.ts'
import type { RateStore, TokenWish } from '../store/contract.ts'
import type { Authenticator, Credentials, SignedIn } from './authenticator.ts'
import { bucketOf } from './buckets.ts'

export interface Claim {
  /** Whom the client says it is; not believed yet. */
  readonly user: string
  /** Password or token. */
  readonly secret: string
}

export interface SignInMethod {
  /** What the client claims; throws UNAUTHENTICATED when it claims nothing. */
  claim(credentials: Credentials): Claim
  /** Rejects with UNAUTHENTICATED when it is wrong; with anything else when that cannot be told. */
  verify(claim: Claim): Promise<SignedIn>
}

export interface SignInOptions {
  readonly method: SignInMethod
  readonly rates: Pick<RateStore, 'take'>
  /** In a minute. */
  readonly failuresMax: number
  readonly failuresPerAddressMax: number
  readonly random: Random
}

export class SignIn implements Authenticator {
  readonly #options: SignInOptions
  /** Many sessions opened at once with the same words are one guess. */
  readonly #underWay = new Map<string, Promise<SignedIn>>()
  readonly #key: string

  constructor(options: SignInOptions) {
    this.#options = options
    this.#key = options.random.secret(32)
  }

  async signIn(credentials: Credentials): Promise<SignedIn> {
    const claim = this.#options.method.claim(credentials)
    const { user: named, address } = credentials
    const same = createHmac('sha256', this.#key)
      .update(JSON.stringify([claim, address]))
      .digest('base64')
    let verifying = this.#underWay.get(same)
    if (!verifying) {
      verifying = this.#guess(claim, address).finally(() => this.#underWay.delete(same))
      this.#underWay.set(same, verifying)
    }
    const signedIn = await verifying
    if (named !== undefined && named !== signedIn.user)
      throw new LensError('FORBIDDEN', 'user: expected the user who signs in, or none')
    return signedIn
  }

  async #guess(claim: Claim, address: string): Promise<SignedIn> {
    const { method, rates } = this.#options
    const wishes = this.#wishes(claim.user, address)
    const grants = await rates.take(wishes)
    const putBack = (taken: readonly TokenWish[]) => {
      // A token that is not put back returns by itself.
      if (taken.length > 0) void rates.take(taken.map(wish => ({ ...wish, tokens: -1 }))).catch(() => undefined)
    }
    if (grants.some(({ granted }) => granted === 0)) {
      putBack(wishes.filter((_, index) => grants[index]?.granted === 1))
      const retryAfterMs = Math.max(...grants.map(grant => (grant.granted === 0 ? grant.retryAfterMs : 0)))
      throw new LensError('RATE_LIMITED', 'Too many sign-ins have failed; nobody is let in from there for now.', {
        retryAfterMs,
      })
    }
    try {
      const signedIn = await method.verify(claim)
      putBack(wishes)
      return signedIn
    } catch (error) {
      if (!(error instanceof LensError && error.code === 'UNAUTHENTICATED')) putBack(wishes)
      throw error
    }
  }

  #wishes(user: string, address: string): readonly TokenWish[] {
    const { failuresMax, failuresPerAddressMax } = this.#options
    const wish = (bucket: string, max: number) => ({ bucket, tokens: 1, perSecond: max / 60, burst: max })
    return [
      wish(bucketOf('sign-in', user, address), failuresMax),
      wish(bucketOf('sign-in', address), failuresPerAddressMax),
    ]
  }
}

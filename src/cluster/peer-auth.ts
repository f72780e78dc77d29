/**
 * Peers prove to each other that they know the cluster secret, without sending it: an HMAC over who dials whom, when, and a
 * number used once. The side that answers proves the same over that number, so that a stranger who listens at the address of
 * a node that is gone is told nothing.
 *
 * While the secret is being replaced on one node after the other, each accepts a second one, answers in the one that it was
 * called with, and calls with the other where the first was refused.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock, Random } from '../async/index.ts'

export const busPath = '/cluster/v1/bus'

/** Clocks of nodes may differ by this much; a nonce is remembered for as long on either side. */
const windowMs = 60_000
const noncesMax = 100_000

const header = {
  node: 'x-lens-node',
  incarnation: 'x-lens-incarnation',
  target: 'x-lens-target',
  timestamp: 'x-lens-timestamp',
  nonce: 'x-lens-nonce',
  signature: 'x-lens-signature',
  proof: 'x-lens-proof',
} as const

export interface Dialer {
  readonly node: string
  readonly incarnation: string
  /** Whom it believes to call. */
  readonly target: string
  readonly nonce: string
  /** The place of the secret that it knows among ours. */
  readonly secret: number
}

export type Admission = { readonly ok: true; readonly dialer: Dialer } | { readonly ok: false; readonly why: string }

export class PeerAuth {
  /** Its own first. */
  readonly #secrets: readonly [string, ...string[]]
  readonly #clock: Clock
  readonly #random: Random
  /** In the order of their arrival. */
  readonly #nonces = new Map<string, number>()

  /** `accepted`: a second secret, that is believed too. */
  constructor(secret: string, clock: Clock, random: Random, accepted?: string) {
    if (secret.length === 0 || accepted?.length === 0) throw new Error('the cluster secret is empty')
    this.#secrets = accepted === undefined ? [secret] : [secret, accepted]
    this.#clock = clock
    this.#random = random
  }

  /** Headers of a dial, and the proof that its answer must carry. `failures`: dials of it that came to nothing before. */
  dial(
    node: string,
    incarnation: string,
    target: string,
    failures = 0,
  ): { headers: Record<string, string>; proof: string } {
    const secret = this.#secrets[failures % this.#secrets.length] as string
    const timestamp = String(this.#clock.now())
    const nonce = this.#random.secret(18)
    const headers = {
      // Names may hold any text; headers may not.
      [header.node]: encodeURIComponent(node),
      [header.incarnation]: incarnation,
      [header.target]: target,
      [header.timestamp]: timestamp,
      [header.nonce]: nonce,
      [header.signature]: sign(secret, 'dial', node, incarnation, target, timestamp, nonce),
    }
    return { headers, proof: proofOf(secret, target, nonce) }
  }

  admit(headers: IncomingHttpHeaders): Admission {
    const refuse = (why: string): Admission => ({ ok: false, why })
    const text = (name: string): string => {
      const value = headers[name]
      return typeof value === 'string' && value.length <= 1024 ? value : ''
    }
    const [encodedNode, incarnation, target] = [text(header.node), text(header.incarnation), text(header.target)]
    const [timestamp, nonce, signature] = [text(header.timestamp), text(header.nonce), text(header.signature)]
    if (!encodedNode || !incarnation || !nonce || !signature) return refuse('headers are missing')
    let node: string
    try {
      node = decodeURIComponent(encodedNode)
    } catch {
      return refuse('the node name cannot be read')
    }
    const secret = this.#secrets.findIndex(known =>
      same(signature, sign(known, 'dial', node, incarnation, target, timestamp, nonce)),
    )
    if (secret === -1) return refuse('the signature is wrong')
    const now = this.#clock.now()
    if (!(Math.abs(now - Number(timestamp)) <= windowMs))
      return refuse('the clocks of the nodes differ by more than a minute')
    if (!this.#firstUse(nonce, now)) return refuse('the call was recorded and repeated')
    return { ok: true, dialer: { node, incarnation, target, nonce, secret } }
  }

  /** The header line of an accepted call. */
  answer(incarnation: string, { secret, nonce }: Pick<Dialer, 'secret' | 'nonce'>): string {
    return `${header.proof}: ${proofOf(this.#secrets[secret] as string, incarnation, nonce)}`
  }

  proves(headers: IncomingHttpHeaders, proof: string): boolean {
    const given = headers[header.proof]
    return typeof given === 'string' && same(given, proof)
  }

  #firstUse(nonce: string, now: number): boolean {
    for (const [known, at] of this.#nonces) {
      if (now - at <= 2 * windowMs && this.#nonces.size < noncesMax) break
      this.#nonces.delete(known)
    }
    if (this.#nonces.has(nonce)) return false
    this.#nonces.set(nonce, now)
    return true
  }
}

function proofOf(secret: string, incarnation: string, nonce: string): string {
  return sign(secret, 'answer', incarnation, nonce)
}

function sign(secret: string, ...parts: readonly string[]): string {
  return createHmac('sha256', secret)
    .update(JSON.stringify(['lens-peer-bus', ...parts]))
    .digest('base64url')
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

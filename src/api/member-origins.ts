/**
 * Where pages of this cluster come from: the addresses of its members, now or within the last hour. A page that a node
 * served goes on at another one when its node has died, so who has just left must be known a while longer.
 */
import type { Clock } from '../async/index.ts'

const keptMs = 3_600_000
const lookMs = 1_000
/** Names of one place: where a member is reached at one of them, a browser may say the other. */
const loopbackNames = ['127.0.0.1', 'localhost']

export interface MemberOriginsOptions {
  /** Base URLs of the other members that serve now. */
  readonly otherNodes: () => readonly string[]
  /** Tells that they may be others than before: one may die between two looks, and its pages come here. */
  readonly onOtherNodes: (listener: () => void) => () => void
  /** Base URL of this node, as others reach it. */
  readonly advertiseUrl: string
  readonly clock: Clock
}

export class MemberOrigins {
  readonly #options: MemberOriginsOptions
  /** When each was a member's last, by the monotonic clock. */
  readonly #seenAtMs = new Map<string, number>()
  #stop: (() => void) | null = null

  constructor(options: MemberOriginsOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#stop) return
    const stopLooking = this.#options.clock.every(lookMs, () => this.#look())
    const stopListening = this.#options.onOtherNodes(() => this.#look())
    this.#stop = () => {
      stopLooking()
      stopListening()
    }
  }

  stop(): void {
    this.#stop?.()
    this.#stop = null
  }

  /** `origin` in lower case, as a browser sends it; this node's own counts too. */
  has(origin: string): boolean {
    const known = this.all()
    if (known.includes(origin)) return true
    const url = new URL(origin)
    if (!loopbackNames.includes(url.hostname)) return false
    return loopbackNames.some(name => {
      url.hostname = name
      return known.includes(url.origin)
    })
  }

  /** Origins of all members known, this node included, for pages that may go on at any of them. */
  all(): string[] {
    this.#look()
    return [...new Set([originOf(this.#options.advertiseUrl), ...this.#seenAtMs.keys()])].filter(
      origin => origin !== null,
    )
  }

  #look(): void {
    const nowMs = this.#options.clock.monotonic()
    for (const url of this.#options.otherNodes()) {
      const origin = originOf(url)
      if (origin !== null) this.#seenAtMs.set(origin, nowMs)
    }
    for (const [origin, seenAtMs] of this.#seenAtMs) if (nowMs - seenAtMs > keptMs) this.#seenAtMs.delete(origin)
  }
}

/**
 * null for what is no http address, and for a host with letters that no address has but a URL allows: `;` ends a directive of a
 * policy, `,` the policy, and `&` begins something in a document.
 */
function originOf(url: string): string | null {
  if (!URL.canParse(url)) return null
  const { protocol, host, origin } = new URL(url)
  return /^https?:$/.test(protocol) && /^[\w.:[\]-]+$/.test(host) ? origin.toLowerCase() : null
}

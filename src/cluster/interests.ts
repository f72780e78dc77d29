/**
 * Whose frames which peer wants: asked for every committed step, so both directions are maps; and what this node wants itself,
 * of which its peers are told.
 */
import type { Clock } from '../async/index.ts'
import type { Interest } from './bus-contract.ts'

/** One peer's; more are not registered, its subscribers then catch up from the database. */
const interestsMax = 200_000

function interestKey(interest: Interest): string {
  return `${interest.kind} ${interest.id}`
}

export class Interests {
  readonly #byKey = new Map<string, Set<string>>()
  readonly #byPeer = new Map<string, Set<string>>()

  replace(peer: string, interests: readonly Interest[]): void {
    this.forget(peer)
    this.add(peer, interests)
  }

  add(peer: string, interests: readonly Interest[]): void {
    const own = this.#byPeer.get(peer) ?? new Set()
    this.#byPeer.set(peer, own)
    for (const interest of interests) {
      if (own.size >= interestsMax) return
      const key = interestKey(interest)
      own.add(key)
      const peers = this.#byKey.get(key)
      if (peers) peers.add(peer)
      else this.#byKey.set(key, new Set([peer]))
    }
  }

  remove(peer: string, interests: readonly Interest[]): void {
    for (const interest of interests) this.#drop(peer, interestKey(interest))
  }

  forget(peer: string): void {
    for (const key of [...(this.#byPeer.get(peer) ?? [])]) this.#drop(peer, key)
    this.#byPeer.delete(peer)
  }

  /** The peers that want this query, by its handle or its session. */
  peersOf(handle: string, sessionId: string): Iterable<string> {
    const ofQuery = this.#byKey.get(`query ${handle}`)
    const ofSession = this.#byKey.get(`session ${sessionId}`)
    if (!ofQuery) return ofSession ?? []
    return ofSession ? new Set([...ofQuery, ...ofSession]) : ofQuery
  }

  #drop(peer: string, key: string): void {
    this.#byPeer.get(peer)?.delete(key)
    const peers = this.#byKey.get(key)
    if (!peers) return
    peers.delete(peer)
    if (peers.size === 0) this.#byKey.delete(key)
  }
}

/** What this node's subscribers want, counted. Peers are told once in a turn of what changed in it, and nothing of what came and went. */
export class OwnInterests {
  readonly #clock: Pick<Clock, 'soon'>
  readonly #say: (add: readonly Interest[], remove: readonly Interest[]) => void
  readonly #wanted = new Map<string, { readonly interest: Interest; count: number }>()
  /** Those that changed in this turn, with what the peers were told of them last. */
  readonly #unsaid = new Map<string, { readonly interest: Interest; readonly saidBefore: boolean }>()

  constructor(clock: Pick<Clock, 'soon'>, say: (add: readonly Interest[], remove: readonly Interest[]) => void) {
    this.#clock = clock
    this.#say = say
  }

  want(interest: Interest): void {
    const key = interestKey(interest)
    const wanted = this.#wanted.get(key)
    if (wanted) {
      wanted.count++
      return
    }
    this.#wanted.set(key, { interest, count: 1 })
    this.#sayLater(key, interest, false)
  }

  release(interest: Interest): void {
    const key = interestKey(interest)
    const wanted = this.#wanted.get(key)
    if (!wanted || --wanted.count > 0) return
    this.#wanted.delete(key)
    this.#sayLater(key, interest, true)
  }

  /** For a peer that was told of nothing yet. */
  all(): readonly Interest[] {
    return [...this.#wanted.values()].map(wanted => wanted.interest)
  }

  #sayLater(key: string, interest: Interest, saidBefore: boolean): void {
    if (this.#unsaid.size === 0) this.#clock.soon(() => this.#sayNow())
    if (!this.#unsaid.has(key)) this.#unsaid.set(key, { interest, saidBefore })
  }

  #sayNow(): void {
    const add: Interest[] = []
    const remove: Interest[] = []
    for (const [key, { interest, saidBefore }] of this.#unsaid) {
      const wanted = this.#wanted.has(key)
      if (wanted && !saidBefore) add.push(interest)
      if (!wanted && saidBefore) remove.push(interest)
    }
    this.#unsaid.clear()
    if (add.length + remove.length > 0) this.#say(add, remove)
  }
}

/** Whose frames which peer wants: asked for every committed step, so both directions are maps. */
import type { Interest } from './bus-contract.ts'

/** One peer's; more are not registered, its subscribers then catch up from the database. */
const interestsMax = 200_000

export function interestKey(interest: Interest): string {
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

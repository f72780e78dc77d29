/**
 * Running sums at places of a result, of which only differences are known: a forest in which each place knows how far its sum
 * is from its parent's. Two places in one tree have a known difference; another one for them is a contradiction.
 */
import { addHashes, subtractHashes } from '../history.ts'

interface Place {
  parent: number
  /** Its sum less its parent's. */
  ahead: number
}

export class Sums {
  readonly #places = new Map<number, Place>()

  /** The sum at `to` less that at `from`. False: what was added before says otherwise. */
  add(from: number, to: number, difference: number): boolean {
    const [a, b] = [this.#rooted(from), this.#rooted(to)]
    if (a.parent === b.parent) return subtractHashes(b.ahead, a.ahead) === difference
    // sum(b.root) - sum(a.root) = sum(from) + difference - b.ahead - (sum(from) - a.ahead)
    const root = this.#places.get(b.parent) as Place
    root.parent = a.parent
    root.ahead = subtractHashes(addHashes(a.ahead, difference), b.ahead)
    return true
  }

  /** The place with its root as parent. */
  #rooted(at: number): Place {
    let place = this.#places.get(at)
    if (!place) {
      place = { parent: at, ahead: 0 }
      this.#places.set(at, place)
      return place
    }
    const path: Place[] = []
    let key = at
    let step = place
    while (step.parent !== key) {
      path.push(step)
      key = step.parent
      step = this.#places.get(key) as Place
    }
    // From the one next to the root: each adds what lies above it.
    let above = 0
    for (const one of path.reverse()) {
      above = addHashes(above, one.ahead)
      one.parent = key
      one.ahead = above
    }
    return place
  }
}

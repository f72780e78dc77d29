/** Hand-overs happen one by one; those who watch the cluster, and those who were given work, are told in bundles. */
import type { Clock } from './async/index.ts'
import type { OwnershipChangeView } from './domain/index.ts'

export interface HandedOver {
  readonly handle: string
  readonly user: string
  readonly toIncarnation: string
  readonly toNode: string
}

const bundleMs = 10

export class HandOverNews {
  readonly #clock: Clock
  readonly #from: string
  readonly #tell: (toIncarnation: string, change: OwnershipChangeView, users: readonly string[]) => void
  #waiting: HandedOver[] = []

  constructor(
    clock: Clock,
    from: string,
    tell: (toIncarnation: string, change: OwnershipChangeView, users: readonly string[]) => void,
  ) {
    this.#clock = clock
    this.#from = from
    this.#tell = tell
  }

  add(changes: readonly HandedOver[], at: string): void {
    if (this.#waiting.length === 0) this.#clock.after(bundleMs, () => this.#flush(at))
    this.#waiting.push(...changes)
  }

  #flush(at: string): void {
    const byTarget = Map.groupBy(this.#waiting, change => change.toIncarnation)
    this.#waiting = []
    for (const [incarnation, changes] of byTarget) {
      const [first] = changes
      if (!first) continue
      const handles = changes.map(change => change.handle)
      const users = changes.map(change => change.user)
      this.#tell(
        incarnation,
        { kind: 'hand-over', from: this.#from, to: first.toNode, count: changes.length, handles, at },
        users,
      )
    }
  }
}

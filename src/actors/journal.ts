/**
 * The journal: what the actors of this node have done becomes durable here, many actors' steps in one commit.
 *
 *     add ──▶ ready ──(a flight is free)──▶ in flight ──▶ landed: effects run, frames go out
 *                ▲                              │
 *                └──── more steps came ─────────┤   refused: rolled back, or detached
 *                                               └── no database: the same flight again, until it answers
 *
 * A query is in one flight at a time, so its versions are committed in order; a flight is repeated as it was, so that a
 * commit whose answer was lost is recognised by the ids of its transitions.
 */

import { type Backoff, backoffDelayMs } from '../async/index.ts'
import { LensError } from '../domain/index.ts'
import { aboutQuery } from '../observability/index.ts'
import type { StepAnswer } from '../store/index.ts'
import type { ActorEnvironment, CommittedStep } from './environment.ts'
import type { Flight, LiveQuery } from './live-query.ts'

const storeBackoff: Backoff = { firstMs: 25, limitMs: 250 }

/** Why steps were not accepted. `unwritable`: the store will never take them. */
export type Refusal = Exclude<StepAnswer, { kind: 'committed' }> | { readonly kind: 'unwritable' }

export interface JournalListener {
  /** Steps of one query are durable. */
  landed(live: LiveQuery, flight: Flight): void
  /** They were not accepted. */
  refused(live: LiveQuery, refusal: Refusal): void
}

export class Journal {
  readonly #environment: ActorEnvironment
  readonly #listener: JournalListener
  readonly #ready = new Set<LiveQuery>()
  #flights = 0
  #scheduled = false
  #stopped = false

  constructor(environment: ActorEnvironment, listener: JournalListener) {
    this.#environment = environment
    this.#listener = listener
  }

  /** Steps of `live` wait to be committed. */
  readonly add = (live: LiveQuery): void => {
    this.#ready.add(live)
    this.#schedule()
  }

  /** No flight takes off any more. */
  stop(): void {
    this.#stopped = true
    this.#ready.clear()
  }

  #schedule(): void {
    if (this.#scheduled || this.#flights >= this.#environment.settings.journalFlightsMax || this.#ready.size === 0)
      return
    this.#scheduled = true
    this.#environment.clock.soon(() => {
      this.#scheduled = false
      this.#depart()
    })
  }

  #depart(): void {
    const { journalFlightsMax, journalBatchMax } = this.#environment.settings
    while (!this.#stopped && this.#flights < journalFlightsMax && this.#ready.size > 0) {
      const passengers: [LiveQuery, Flight][] = []
      for (const live of this.#ready) {
        if (passengers.length >= journalBatchMax) break
        this.#ready.delete(live)
        if (!live.detached && !live.flying && live.hasSteps) passengers.push([live, live.takeOff()])
      }
      if (passengers.length === 0) return
      this.#flights++
      void this.#fly(passengers).finally(() => {
        this.#flights--
        this.#schedule()
      })
    }
  }

  async #fly(passengers: [LiveQuery, Flight][]): Promise<void> {
    const answers = await this.#commit(passengers)
    const aboard = passengers.filter(([live], index) => answers[index] !== null && !live.detached)
    const answerOf = new Map(passengers.map(([live], index) => [live, answers[index]]))
    const committed: CommittedStep[] = []
    for (const [live, flight] of aboard)
      if (answerOf.get(live)?.kind === 'committed') committed.push(...live.landed(flight))
    // Frames first, so that whoever is woken by an effect finds them published.
    if (committed.length > 0) this.#environment.events.committed(committed)
    for (const [live, flight] of aboard) {
      const answer = answerOf.get(live) as Refusal | { kind: 'committed' }
      if (answer.kind === 'committed') this.#listener.landed(live, flight)
      else this.#listener.refused(live, answer)
      if (!live.detached && live.hasSteps && !live.flying) this.add(live)
    }
  }

  /** Null: it left this node meanwhile, or the journal was stopped. */
  async #commit(passengers: readonly [LiveQuery, Flight][]): Promise<(StepAnswer | Refusal | null)[]> {
    const { store, settings, clock, random, logger, events } = this.#environment
    for (let attempt = 0; ; attempt++) {
      const aboard = passengers.filter(([live]) => !live.detached)
      if (this.#stopped || aboard.length === 0) return passengers.map(() => null)
      const startedMs = clock.monotonic()
      try {
        const answers = await store.queries.commit(
          aboard.map(([, { group }]) => group),
          settings.limits,
        )
        events.batched?.(aboard.length, (clock.monotonic() - startedMs) / 1000)
        const answerOf = new Map(aboard.map(([live], index) => [live, answers[index] as StepAnswer]))
        return passengers.map(([live]) => answerOf.get(live) ?? null)
      } catch (error) {
        if (!isUnavailable(error)) {
          // One of them cannot be written at all: it is found, and harms no other.
          if (passengers.length > 1)
            return (await Promise.all(passengers.map(passenger => this.#commit([passenger])))).map(
              ([answer]) => answer ?? null,
            )
          for (const [live] of passengers)
            logger.error({ err: error, ...aboutQuery(live) }, 'journal: the store refuses the steps of a query')
          return [{ kind: 'unwritable' }]
        }
        // Nobody has been told anything yet: the same steps again, for as long as this node owns them.
        logger.warn(
          { err: error, queries: aboard.length, attempt },
          'journal: the store did not take a commit, trying again',
        )
        await clock.sleep(backoffDelayMs(storeBackoff, attempt, random))
      }
    }
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof LensError && error.code === 'STORE_UNAVAILABLE'
}

/**
 * A node's leaving, as its queries see it: what waits is given to other members at once, what can be reattached too; the rest
 * may end for a while, is then stopped at its engine, and is given away from QUEUED. Synchronous queries without a key are
 * ended: nobody can come back for them.
 */
import { deferred } from '../async/index.ts'
import type { ActorEnvironment } from './environment.ts'
import type { LiveQuery } from './live-query.ts'

export interface Target {
  readonly incarnation: string
  readonly node: string
}

/** How often members and states are looked at again while something is left. */
const lookMs = 100
/** After the grace, a database that is away is waited for as long again, and at least this long. */
const patienceMsMin = 10_000

export class Departure {
  readonly #environment: ActorEnvironment
  readonly #lives: () => LiveQuery[]
  #targets: (() => readonly Target[]) | null = null
  #turn = 0

  constructor(environment: ActorEnvironment, lives: () => LiveQuery[]) {
    this.#environment = environment
    this.#lives = lives
  }

  get begun(): boolean {
    return this.#targets !== null
  }

  /** Who is given the next query; null while this node stays, or when nobody else is there. */
  nextTarget(): Target | null {
    const targets = this.#targets?.() ?? []
    return targets.length === 0 ? null : (targets[this.#turn++ % targets.length] as Target)
  }

  /**
   * Resolves when nothing is left here, or when what is left can be given to nobody: its rows wait for who starts next; or when
   * the lease has run out and stays so: by then it belongs to whoever the database lets take it over.
   */
  async handOver(targets: () => readonly Target[], graceMs: number): Promise<void> {
    const { clock, membership, logger } = this.#environment
    this.#targets = targets
    const stopAt = clock.monotonic() + graceMs
    const giveUpAt = stopAt + Math.max(graceMs, patienceMsMin)
    let stopping = false
    for (;;) {
      stopping ||= clock.monotonic() >= stopAt
      // At every look: some come to life, or back to what is durable of them, only now. Who is stopping does not hear it again.
      if (stopping) for (const live of this.#lives()) live.send({ type: 'STOP_REQUESTED', reason: 'hand-over' })
      const modesKnown = await this.#learnModes()
      for (const live of this.#lives()) this.#giveAway(live, modesKnown)
      const left = this.#lives()
      if (left.length === 0) return
      if (clock.monotonic() >= giveUpAt && !membership.leaseValid()) {
        logger.warn(
          { queries: left.length },
          'the database does not answer: what is left here is for others to take over',
        )
        return
      }
      if (targets().length === 0 && left.every(live => live.status === 'QUEUED' && !live.hasSteps)) return
      const look = deferred()
      const cancel = clock.after(
        stopping ? lookMs : Math.min(lookMs, Math.max(1, stopAt - clock.monotonic())),
        look.resolve,
      )
      await Promise.race([look.promise, left[0]?.gone.promise])
      cancel()
    }
  }

  /**
   * A client that waited at another node may have been answered meanwhile: its query is asynchronous then, by its row alone. False:
   * the rows cannot be read, and nothing is ended for want of a client.
   */
  async #learnModes(): Promise<boolean> {
    const waitedFor = new Map(
      this.#lives()
        .filter(live => live.committed !== null && isWaitedFor(live))
        .map(live => [live.handle, live]),
    )
    if (waitedFor.size === 0) return true
    try {
      for (const { handle, mode } of await this.#environment.store.queries.read([...waitedFor.keys()])) {
        const live = waitedFor.get(handle)
        if (live) live.specification = { ...live.specification, mode }
      }
      return true
    } catch (error) {
      this.#environment.logger.debug({ err: error }, 'whether anybody waits cannot be read yet')
      return false
    }
  }

  #giveAway(live: LiveQuery, modesKnown: boolean): void {
    if (live.committed === null || live.handingOver) return
    if (isWaitedFor(live) && live.status !== 'EXECUTED') {
      if (modesKnown) live.send({ type: 'STOP_REQUESTED', reason: 'abandoned' })
      return
    }
    const driver = this.#environment.engines.choose(live.context.engine)
    if (live.status !== 'QUEUED' && !(live.status === 'RUNNING' && driver?.capabilities.reattach)) return
    const target = this.nextTarget()
    if (target) live.handOver(target)
  }
}

/** Synchronous, and nobody can come back for it. */
function isWaitedFor({ specification: { mode, idempotencyKey } }: LiveQuery): boolean {
  return mode === 'sync' && idempotencyKey === null
}

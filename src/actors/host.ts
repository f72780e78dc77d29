/**
 * The actors alive on this node: one for every unfinished query that it owns. Submits, rehydrates, hands over, abandons.
 * What is alive here is compared with the rows that this incarnation owns by `look`, on every hint and once per lease.
 */

import { Batcher } from '../async/index.ts'
import { holdsSlot, LensError, type QueryMachine, type StoredSnapshot } from '../domain/index.ts'
import { aboutQuery } from '../observability/index.ts'
import type { NewQuery, OwnedQuery, QuerySpecificationRow, SubmitAnswer } from '../store/index.ts'
import { Departure, type Target } from './departure.ts'
import { bindEffects } from './effects/index.ts'
import type { ActorEnvironment } from './environment.ts'
import { Journal, type Refusal } from './journal.ts'
import { Lanes } from './lanes.ts'
import { type Flight, LiveQuery } from './live-query.ts'
import { Rehydration } from './rehydration.ts'
import { Restoration } from './restoration.ts'

/** `live` null: the row goes to another member. */
interface Submission {
  readonly query: NewQuery
  readonly live: LiveQuery | null
}

interface Submitted {
  readonly answer: SubmitAnswer
  readonly snapshot: StoredSnapshot
}

/** Members that a draining node offers one submission to. */
const targetsTriedMax = 3
const submissionsInOneCommitMax = 64
const submissionFlightsMax = 4
/** After the limit of running queries of a user was met: when to try again, unless one of theirs ends here before. */
const limitRetryMs = 200

export class QueryHost {
  readonly lanes: Lanes
  readonly #environment: ActorEnvironment
  readonly #machine: QueryMachine
  readonly #journal: Journal
  readonly #lives = new Map<string, LiveQuery>()
  readonly #departure: Departure
  readonly #restoration: Restoration
  readonly #rehydration: Rehydration
  readonly #submissions: Batcher<Submission, SubmitAnswer>
  #looking: Promise<void> | null = null
  #lookAgain = false

  constructor(environment: ActorEnvironment, budget: (engine: string, lane: 'light' | 'heavy') => number) {
    this.#environment = environment
    this.lanes = new Lanes(budget)
    this.#departure = new Departure(environment, () => [...this.#lives.values()])
    this.#restoration = new Restoration(environment)
    this.#machine = bindEffects({
      environment,
      lanes: this.lanes,
      find: handle => this.#lives.get(handle),
      fenced: live => this.#refused(live, { kind: 'fenced' }),
      handOverTarget: () => this.#departure.nextTarget(),
    })
    this.#journal = new Journal(environment, {
      landed: (live, flight) => this.#landed(live, flight),
      refused: (live, refusal) => this.#refused(live, refusal),
    })
    this.#rehydration = new Rehydration({
      ...{ environment, machine: this.#machine, lanes: this.lanes, lives: this.#lives, restoration: this.#restoration },
      ready: this.#journal.add,
      drop: live => this.#drop(live),
    })
    this.#submissions = new Batcher({
      ...{ clock: environment.clock, flightsMax: submissionFlightsMax, sizeMax: submissionsInOneCommitMax },
      run: batch => this.#submitBatch(batch),
    })
  }

  /** The actor of a query that this node owns. */
  find(handle: string): LiveQuery | undefined {
    return this.#lives.get(handle)
  }
  lives(): IterableIterator<LiveQuery> {
    return this.#lives.values()
  }
  get size(): number {
    return this.#lives.size
  }

  // ------------------------------------------------------------ submission

  /**
   * Makes a query durable and begins it: `accepted` only when its row is there. `snapshot` is its first durable state.
   * A draining node gives the row to another member at once; when that has left meanwhile, to the next, at last to itself.
   */
  async submit(specification: QuerySpecificationRow, requestHash: string | null): Promise<Submitted> {
    const { membership } = this.#environment
    const own = () => ({ incarnation: membership.incarnation(), node: membership.nodeId })
    for (let attempt = 0; ; attempt++) {
      const target = attempt < targetsTriedMax ? (this.#departure.nextTarget() ?? own()) : own()
      const submitted = await this.#submitTo(target, specification, requestHash)
      if (submitted.answer.kind !== 'fenced' || target.incarnation === membership.incarnation()) return submitted
    }
  }

  async #submitTo(
    target: Target,
    specification: QuerySpecificationRow,
    requestHash: string | null,
  ): Promise<Submitted> {
    const { membership } = this.#environment
    const live = LiveQuery.submitted(this.#environment, this.#machine, specification, this.#journal.add)
    this.#lives.set(live.handle, live)
    live.start()
    // Of the instant that its row says, which lists choose by.
    live.send({ type: 'SUBMITTED', node: target.node }, specification.submittedAt)
    const { transition, snapshot } = live.submission()
    const query: NewQuery = {
      ...{ specification, snapshot, requestHash, ownerIncarnation: target.incarnation, ownerNode: target.node },
      transition: { ...transition, node: membership.nodeId },
    }
    try {
      const answer = await this.#submissions.add({
        query,
        live: target.incarnation === membership.incarnation() ? live : null,
      })
      if (answer.kind !== 'accepted') this.#drop(live)
      else if (target.incarnation !== membership.incarnation()) {
        this.#drop(live)
        this.#environment.events.committed([{ specification, event: transition.event, epoch: 1, snapshot }])
        this.#environment.events.handedOver([
          { handle: live.handle, user: specification.user, toIncarnation: target.incarnation, toNode: target.node },
        ])
      }
      return { answer, snapshot }
    } catch (error) {
      // Whether the row is there is not known; if it is, the next look brings the query to life.
      this.#drop(live)
      throw error
    }
  }

  async #submitBatch(batch: readonly Submission[]): Promise<readonly (SubmitAnswer | Error)[]> {
    const { store, settings, events } = this.#environment
    let answers: readonly SubmitAnswer[]
    try {
      answers = await store.queries.submit(
        batch.map(({ query }) => query),
        settings.limits,
      )
    } catch (error) {
      // What the store refuses as a defect is one of them: it harms no other.
      if (batch.length === 1 || !(error instanceof LensError) || error.code !== 'INTERNAL') throw error
      const single = (submission: Submission) => this.#submitBatch([submission]).then(([answer]) => answer ?? error)
      return Promise.all(batch.map(submission => single(submission).catch((failure: Error) => failure)))
    }
    const committed = batch.flatMap(({ live }, index) =>
      live && !live.detached && answers[index]?.kind === 'accepted' ? [live.accepted()] : [],
    )
    if (committed.length > 0) events.committed(committed)
    return answers
  }

  // ------------------------------------------------------------ the journal's answers

  #landed(live: LiveQuery, { group }: Flight): void {
    if (group.newOwner) {
      const { incarnation: toIncarnation, node: toNode } = group.newOwner
      this.#drop(live)
      this.#environment.events.handedOver([
        { handle: live.handle, user: live.specification.user, toIncarnation, toNode },
      ])
    } else if (group.finishes) this.#drop(live)
    else if (!holdsSlot(group.status) && !holdsSlot(live.status)) {
      // (An estimate may land when the launch that follows it has its slot already.)
      live.slot?.release()
      live.slot = null
    }
  }

  #refused(live: LiveQuery, refusal: Refusal): void {
    const { logger, clock } = this.#environment
    switch (refusal.kind) {
      case 'cancel-requested':
        live.cancelRequested = true
        this.#rollBack(live)
        return
      case 'limit':
        live.launchNotBefore = clock.monotonic() + limitRetryMs
        this.#rollBack(live)
        return
      case 'stale':
        // Ours, at another version than we thought: what is in the row is the truth.
        this.#drop(live)
        void this.look()
        return
      case 'fenced':
        logger.warn(aboutQuery(live), 'a write was refused: the query is owned elsewhere')
        this.#environment.membership.doubt()
        this.#drop(live)
        return
      case 'unwritable':
        this.#drop(live)
        this.#rehydration.leave(live.handle)
        void this.#restoration.failUnwritable(live.handle)
        return
    }
  }

  #rollBack(live: LiveQuery): void {
    live.slot?.release()
    live.slot = null
    live.rollBack()
  }

  /** Stops the actor, frees its slot and whatever it holds of its engine. */
  #drop(live: LiveQuery): void {
    if (this.#lives.get(live.handle) === live) this.#lives.delete(live.handle)
    live.detach()
    live.slot?.release()
    live.slot = null
    const { engines, logger } = this.#environment
    const endsWithNode = engines.choose(live.context.engine)?.capabilities.endsWithNode ?? true
    live.run
      ?.then(run => (endsWithNode ? run.cancel() : run.detach()))
      .catch(error => logger.debug({ err: error, ...aboutQuery(live) }, 'letting go of a run failed'))
  }

  // ------------------------------------------------------------ cancel

  /** A cancel is durable: tells the actors that are here. */
  cancel(handles: Iterable<string>): void {
    for (const handle of handles) {
      const live = this.#lives.get(handle)
      if (!live || live.cancelRequested) continue
      live.cancelRequested = true
      live.send({ type: 'STOP_REQUESTED', reason: 'cancel' })
    }
  }

  // ------------------------------------------------------------ looking at what is owned

  /**
   * Compares the rows that this incarnation owns with its actors; rehydrates what is missing, delivers cancels. With `handles`
   * rehydrates what is missing of them, and reads nothing else: whoever was given two hundred queries reads not all the others.
   */
  look(handles?: readonly string[]): Promise<void> {
    if (handles) return this.#rehydration.missing(handles, this.#environment.membership.incarnation())
    if (this.#looking) {
      this.#lookAgain = true
      return this.#looking
    }
    this.#looking = this.#lookUntilQuiet().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #lookUntilQuiet(): Promise<void> {
    do {
      this.#lookAgain = false
      await this.#lookOnce()
    } while (this.#lookAgain)
  }

  async #lookOnce(): Promise<void> {
    const { store, membership } = this.#environment
    const incarnation = membership.incarnation()
    // Those that were here, durable, before the rows were read: if their row is not ours, they are not ours.
    const before = new Map(
      [...this.#lives]
        .filter(([, live]) => live.committed !== null && !live.handingOver)
        .map(([handle, live]) => [handle, live.epoch]),
    )
    const owned = new Map<string, OwnedQuery>()
    for (let afterHandle: string | undefined; ; ) {
      const page = await store.queries.ownedBy(incarnation, 1_000, afterHandle)
      for (const row of page) owned.set(row.handle, row)
      afterHandle = page.at(-1)?.handle
      if (page.length < 1_000) break
    }
    if (incarnation !== membership.incarnation()) return
    for (const [handle, epoch] of before) {
      const live = this.#lives.get(handle)
      const row = owned.get(handle)
      if (!live || live.epoch !== epoch || live.flying || live.hasSteps) continue
      if (!row || row.epoch !== epoch) this.#drop(live)
    }
    await this.#rehydration.missing([...owned.keys()], incarnation)
    this.cancel([...owned.values()].filter(row => row.cancelRequested).map(row => row.handle))
  }

  // ------------------------------------------------------------ leaving

  /**
   * Fenced: stops every actor without writing, and ends on the engines what this node ran. But what can be reattached is let go:
   * whoever owns it now may be following that very run.
   */
  async abandon(): Promise<void> {
    const runs = [...this.#lives.values()].map(live => live.run)
    for (const live of [...this.#lives.values()]) {
      const run = live.run
      const driver = this.#environment.engines.choose(live.context.engine)
      this.#drop(live)
      if (run && !driver?.capabilities.reattach) void run.then(r => r.cancel()).catch(() => {})
    }
    this.#rehydration.reset()
    await Promise.allSettled(runs)
  }

  get draining(): boolean {
    return this.#departure.begun
  }

  /** See `Departure`. */
  handOver(targets: () => readonly Target[], graceMs: number): Promise<void> {
    this.lanes.serve(false)
    return this.#departure.handOver(targets, graceMs)
  }

  // ------------------------------------------------------------ facts

  /** Asked with every heartbeat: counted by slots, since there may be very many actors. */
  load(): { running: number; queued: number; slots: ReadonlyMap<string, number> } {
    const slots = this.lanes.inUse()
    const running = [...slots.values()].reduce((sum, inUse) => sum + inUse, 0)
    return { running, queued: Math.max(0, this.#lives.size - running), slots }
  }

  /** Budgets changed, or the node may launch again. */
  budgetsChanged(): void {
    this.lanes.serve(!this.draining)
  }

  stop(): void {
    this.#journal.stop()
  }
}

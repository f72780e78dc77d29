/**
 * One query's actor, alive on the node that owns it, and what is durable of it.
 *
 *     send ─▶ machine moves ─▶ step waits ─▶ (journal commits) ─▶ durable ─▶ its effects run, its frame goes out
 *                                   └─▶ refused: back to what is durable, or detached for good
 *
 * The machine may be ahead of the database by the steps that wait; nobody outside sees it before they are durable:
 * effects await `durable()`, views are made from committed steps.
 */
import { createActor, type StateValue } from 'xstate'
import type { CancelTimer } from '../async/index.ts'
import { type Deferred, deferred } from '../async/index.ts'
import {
  isFinished,
  outcomeOf,
  type Progress,
  type QueryContext,
  type QueryEvent,
  type QueryMachine,
  type QueryStatus,
  queryMachineVersion,
  restorable,
  type StoredSnapshot,
  statusOf,
} from '../domain/index.ts'
import type { Run } from '../engines/index.ts'
import type { NewPage, OwedEnd, QueryRow, QuerySpecificationRow, StepGroup, TransitionRecord } from '../store/index.ts'
import { type ActorEnvironment, type CommittedStep, isoNow } from './environment.ts'
import type { Slot } from './lanes.ts'

/** An event without its date, which `send` adds. */
export type UndatedEvent = QueryEvent extends infer Event
  ? Event extends QueryEvent
    ? Omit<Event, 'at'>
    : never
  : never

/** Thrown into whatever waits for a query that this node does not own any more, or whose steps were refused. */
export class DetachedError extends Error {
  constructor() {
    super('the query is not run here any more')
    this.name = 'DetachedError'
  }
}

interface Step {
  readonly record: TransitionRecord
  readonly snapshot: StoredSnapshot
  readonly owedEnds: readonly OwedEnd[]
}

/** A group on its way to the database. */
export interface Flight {
  readonly group: StepGroup
  readonly steps: readonly Step[]
}

/** What rows are already durable, as the row said when the query came to life here. */
export interface StoredRows {
  readonly pages: number
  readonly rows: number
  readonly bytes: number
}

export class LiveQuery {
  readonly handle: string
  specification: QuerySpecificationRow
  /** True until the first effect has decided what to do about what an earlier owner left. */
  resumed: boolean
  readonly storedRows: StoredRows
  cancelRequested: boolean
  run: Promise<Run> | null = null
  slot: Slot | null = null
  progress: Progress = { fraction: null, message: '' }
  /** The last page of a small result: travels with the finishing step. */
  lastPage: NewPage | null = null
  /** Runs given up while their engine could not confirm the end: durable with the step that ends their attempt. */
  readonly owedEnds: OwedEnd[] = []
  /** What this attempt stored, once its rows have ended. */
  storedResult: StoredRows | null = null
  /** The user ran as many as allowed when it was to be launched: not before this time of the monotonic clock. */
  launchNotBefore = 0
  deadlineTimer: CancelTimer | null = null

  readonly #environment: ActorEnvironment
  readonly #machine: QueryMachine
  readonly #ready: (live: LiveQuery) => void
  #actor: ReturnType<typeof createActor<QueryMachine>>
  #epoch: number
  #committed: StoredSnapshot | null
  #steps: Step[] = []
  #flying = false
  #newOwner: { incarnation: string; node: string } | undefined
  #detached = false
  #waiting: { readonly version: number; readonly done: Deferred<void> }[] = []
  readonly gone: Deferred<void> = deferred()

  private constructor(
    environment: ActorEnvironment,
    machine: QueryMachine,
    specification: QuerySpecificationRow,
    facts: {
      epoch: number
      committed: StoredSnapshot | null
      resumed: boolean
      cancelRequested: boolean
      storedRows: StoredRows
    },
    ready: (live: LiveQuery) => void,
  ) {
    this.#environment = environment
    this.#machine = machine
    this.#ready = ready
    this.handle = specification.handle
    this.specification = specification
    this.resumed = facts.resumed
    this.cancelRequested = facts.cancelRequested
    this.storedRows = facts.storedRows
    this.#epoch = facts.epoch
    this.#committed = facts.committed
    this.#actor = this.#build()
  }

  /** A query that is being submitted: in NEW, nothing durable. */
  static submitted(
    environment: ActorEnvironment,
    machine: QueryMachine,
    specification: QuerySpecificationRow,
    ready: (live: LiveQuery) => void,
  ): LiveQuery {
    const facts = {
      epoch: 1,
      committed: null,
      resumed: false,
      cancelRequested: false,
      storedRows: { pages: 0, rows: 0, bytes: 0 },
    }
    return new LiveQuery(environment, machine, specification, facts, ready)
  }

  /** A query brought back to life from its row; `snapshot` has been checked. */
  static rehydrated(
    environment: ActorEnvironment,
    machine: QueryMachine,
    row: QueryRow,
    snapshot: StoredSnapshot,
    ready: (live: LiveQuery) => void,
  ): LiveQuery {
    const storedRows = { pages: row.storedPages, rows: row.storedRows, bytes: row.storedBytes }
    const facts = {
      epoch: row.epoch,
      committed: snapshot,
      resumed: true,
      cancelRequested: row.cancelRequested,
      storedRows,
    }
    return new LiveQuery(environment, machine, row, facts, ready)
  }

  #build() {
    if (this.#committed === null) {
      const { handle, requestedLane: lane, requestedEngine: engine } = this.specification
      return createActor(this.#machine, { input: { handle, lane, engine } })
    }
    const { handle, lane, engine } = this.#committed.context
    return createActor(this.#machine, {
      snapshot: restorable(this.#machine, this.#committed),
      input: { handle, lane, engine },
    })
  }

  /** Starts the actor; whoever holds the query must be able to find it by then. Throws when the snapshot cannot be lived in. */
  start(): void {
    this.#actor.start()
    const { status, error } = this.#actor.getSnapshot()
    if (status === 'error') throw error instanceof Error ? error : new Error(String(error))
  }

  get sessionId(): string {
    return this.specification.sessionId
  }
  get epoch(): number {
    return this.#epoch
  }
  get context(): QueryContext {
    return this.#actor.getSnapshot().context
  }
  get value(): StateValue {
    return this.#actor.getSnapshot().value
  }
  get status(): QueryStatus {
    return statusOf(this.value)
  }
  get committed(): StoredSnapshot | null {
    return this.#committed
  }
  get detached(): boolean {
    return this.#detached
  }
  get hasSteps(): boolean {
    return this.#steps.length > 0
  }
  get flying(): boolean {
    return this.#flying
  }

  /**
   * True when the state accepted the event: then it is a step on its way to the database. Nothing follows a hand-over: what an
   * effect still has to say when the query was given away is said by its next owner's.
   */
  send(event: UndatedEvent, at = isoNow(this.#environment)): boolean {
    if (this.#detached || this.#newOwner) return false
    const from = this.#actor.getSnapshot()
    const dated = { ...event, at } as QueryEvent
    this.#actor.send(dated)
    const to = this.#actor.getSnapshot()
    if (to.context.version === from.context.version) return false
    this.#steps.push({
      record: {
        id: this.#environment.random.uuid(),
        handle: this.handle,
        version: to.context.version,
        epoch: dated.type === 'HANDED_OVER' ? dated.epoch : this.#epoch,
        machineVersion: queryMachineVersion,
        node: this.#environment.membership.nodeId,
        event: dated,
        from: statusOf(from.value),
        to: statusOf(to.value),
      },
      snapshot: { machineVersion: queryMachineVersion, value: to.value, context: to.context },
      owedEnds: endsAttempt(dated) ? this.owedEnds.splice(0) : [],
    })
    if (this.#committed !== null && !this.#flying) this.#ready(this)
    return true
  }

  /** Gives the query away: its last step here. */
  handOver(target: { incarnation: string; node: string }): boolean {
    if (this.#newOwner || !this.send({ type: 'HANDED_OVER', node: target.node, epoch: this.#epoch + 1 })) return false
    this.#newOwner = target
    return true
  }
  get handingOver(): boolean {
    return this.#newOwner !== undefined
  }

  /** The submission's one step, for the store. */
  submission(): { transition: TransitionRecord; snapshot: StoredSnapshot } {
    const step = this.#steps[0]
    if (!step) throw new Error('the query was not submitted')
    return { transition: step.record, snapshot: step.snapshot }
  }

  /** The submission is durable. */
  accepted(): CommittedStep {
    const step = this.#steps.shift()
    if (!step) throw new Error('the query was not submitted')
    this.#commit(step.snapshot)
    if (this.#steps.length > 0) this.#ready(this)
    return {
      specification: this.specification,
      event: step.record.event,
      epoch: this.#epoch,
      snapshot: step.snapshot,
    }
  }

  /** Takes all that waits, as one group. The journal calls it, and one of the three below after it. */
  takeOff(): Flight {
    const steps = [...this.#steps]
    const last = steps.at(-1)
    const committed = this.#committed
    if (!last || !committed) throw new Error('nothing to commit')
    this.#flying = true
    const status = statusOf(last.snapshot.value)
    const finishes = isFinished(status)
    const owedEnds = steps.flatMap(step => step.owedEnds)
    return {
      steps,
      group: {
        handle: this.handle,
        user: this.specification.user,
        fromVersion: committed.context.version,
        epoch: this.#epoch,
        transitions: steps.map(step => step.record),
        snapshot: last.snapshot,
        status,
        outcome: outcomeOf(status, last.snapshot.context),
        launches: steps.some(step => step.record.event.type === 'LAUNCHED'),
        finishes,
        ...(owedEnds.length > 0 ? { owedEnds } : {}),
        ...(finishes && status === 'SUCCESSFUL' && this.lastPage ? { page: this.lastPage } : {}),
        ...(last.record.event.type === 'HANDED_OVER' && this.#newOwner ? { newOwner: this.#newOwner } : {}),
      },
    }
  }

  landed(flight: Flight): CommittedStep[] {
    this.#flying = false
    this.#steps.splice(0, flight.steps.length)
    this.#commit(flight.group.snapshot)
    return flight.steps.map(({ record, snapshot }) => ({
      specification: this.specification,
      event: record.event,
      epoch: record.epoch,
      snapshot,
    }))
  }

  /** What waited was refused, but the query is still ours: back to what is durable; its effects begin again. */
  rollBack(): void {
    this.#flying = false
    this.#steps = []
    this.#newOwner = undefined
    this.#actor.stop()
    this.#rejectWaiting()
    this.#actor = this.#build()
    this.start()
  }

  /** Stops the actor for good: finished, handed over, or owned elsewhere. Writes nothing. */
  detach(): void {
    if (this.#detached) return
    this.#detached = true
    this.#flying = false
    this.#steps = []
    this.deadlineTimer?.()
    this.#actor.stop()
    this.#rejectWaiting()
    this.gone.resolve()
  }

  /** Resolves when all that the machine has done up to now is durable; rejects with `DetachedError`. */
  durable(): Promise<void> {
    if (this.#detached) return Promise.reject(new DetachedError())
    const last = this.#steps.at(-1)
    if (!last) return Promise.resolve()
    const done = deferred()
    this.#waiting.push({ version: last.record.version, done })
    return done.promise
  }

  #commit(snapshot: StoredSnapshot): void {
    this.#committed = snapshot
    if (this.#waiting.length === 0) return
    const { version } = snapshot.context
    const waiting = this.#waiting
    this.#waiting = waiting.filter(waiter => waiter.version > version)
    for (const waiter of waiting) if (waiter.version <= version) waiter.done.resolve()
  }

  #rejectWaiting(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { done } of waiting) {
      done.promise.catch(() => {})
      done.reject(new DetachedError())
    }
  }
}

/** Nothing of its run is wanted any more. */
function endsAttempt({ type }: QueryEvent): boolean {
  return type === 'ATTEMPT_FAILED' || type === 'STOPPED'
}

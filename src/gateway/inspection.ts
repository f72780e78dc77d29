/**
 * The actors of this node as inspectors see them: those that live here, then every step that is committed, in order. Only who
 * may see the query or session sees its actor, no secret is in it, and nothing is computed while nobody is attached.
 *
 *     open ─▶ present (what lives here, as fast as its reader takes it) ─▶ following ─▶ closed
 *                 └─ a step of an actor that was not told of yet: told of first ─┘
 *
 * An actor that goes on elsewhere without a last step from here, because another node has claimed it or was given it by the
 * leader, is told to have stopped: else it would seem to live here for ever.
 *
 * A session belongs to no node: it lives wherever it is used, and each of those nodes tells of it. The steps that a node commits are
 * told there; elsewhere it comes to life anew as they left it, and where it is not used for long it stops.
 *
 * What comes to life elsewhere is seen there: an inspector is attached to a node, not to the cluster.
 */
import type { CommittedStep, LiveQuery, QueryHost, SessionHost } from '../actors/index.ts'
import type { CancelTimer, Clock } from '../async/index.ts'
import { isFinished, LensError, type QueryEvent, type SessionEvent, statusOf } from '../domain/index.ts'
import type { Logger } from '../observability/index.ts'
import type { SessionRow } from '../store/index.ts'
import type { InspectedMoment, Inspection, InspectionListener, Principal } from './contract.ts'
import { type Lookups, sessionInvalid } from './lookups.ts'
import { momentOf, momentOfSession, shownEvent } from './machine-desk.ts'
import type { GatewaySettings } from './settings.ts'

/** A committed step; without its event, the state in which an actor came to life here. */
export type InspectedStep = Omit<CommittedStep, 'event'> & Partial<Pick<CommittedStep, 'event'>>

export interface InspectionsOptions {
  readonly host: QueryHost
  readonly sessions: SessionHost
  readonly nodeId: string
  readonly lookups: Lookups
  readonly clock: Clock
  readonly logger: Logger
  readonly settings: Pick<GatewaySettings, 'revalidateMs'>
  /** Milliseconds since 1970. */
  readonly databaseNow: () => number
}

interface Attached {
  readonly principal: Principal
  readonly listener: InspectionListener
  /** Handles, and ids of sessions, of the actors that it was told of and that live on. */
  readonly told: Set<string>
  /** Those that lived here when it came and that it was not told of yet, the next one last. */
  readonly untold: string[]
}

export class Inspections {
  readonly #options: InspectionsOptions
  readonly #attached = new Set<Attached>()
  /** Actors whose going is waited for, so that each is waited for once, however many inspectors come and go. */
  readonly #watched = new WeakSet<LiveQuery>()
  #timer: CancelTimer | null = null
  #comparing = false

  constructor(options: InspectionsOptions) {
    this.#options = options
    options.sessions.listen({
      lives: row => this.#session(row),
      moved: (row, event) => this.#session(row, event),
      left: row => this.#sessionLeft(row),
    })
  }

  open(principal: Principal, listener: InspectionListener): Inspection {
    const { host, sessions, clock, settings } = this.#options
    const untold: string[] = []
    for (const { id, user } of sessions.rows()) if (maySee(principal, user)) untold.push(id)
    for (const live of host.lives())
      if (live.committed && maySee(principal, live.specification.user)) untold.push(live.handle)
    const attached: Attached = { principal, listener, told: new Set(), untold: untold.reverse() }
    this.#attached.add(attached)
    this.#timer ??= clock.every(settings.revalidateMs, () => void this.#compare())
    return {
      present: actorsMax => this.#present(attached, actorsMax),
      close: () => this.#remove(attached),
    }
  }

  /** Steps are durable, or actors came to life. */
  committed(steps: readonly InspectedStep[]): void {
    if (this.#attached.size === 0) return
    for (const step of steps) {
      // No actor takes this step: the query ended long ago, and its row alone moves on.
      if (step.event?.type === 'RESULT_DROPPED') continue
      let moment: InspectedMoment | undefined
      for (const attached of [...this.#attached]) {
        if (!maySee(attached.principal, step.specification.user)) continue
        moment ??= this.#momentOf(step)
        this.#tell(attached, moment, step.event)
      }
    }
  }

  /** Sessions were closed: their inspections end now, not at the next comparison. */
  sessionClosed(ids: readonly string[]): void {
    const closed = new Set(ids)
    for (const attached of [...this.#attached])
      if (closed.has(attached.principal.sessionId)) this.#end(attached, sessionInvalid())
  }

  stop(): void {
    for (const attached of [...this.#attached])
      this.#end(attached, new LensError('NODE_STOPPING', 'The node is stopping.'))
  }

  #present(attached: Attached, actorsMax: number): boolean {
    for (let count = 0; count < actorsMax && this.#attached.has(attached); ) {
      const id = attached.untold.pop()
      if (id === undefined) return false
      const moment = this.#now(id)
      // It ended meanwhile, or a step has told of it.
      if (!moment || attached.told.has(id)) continue
      this.#tell(attached, moment)
      count++
    }
    return attached.untold.length > 0
  }

  /** What lives here under a handle, or under the id of a session. */
  #now(id: string): InspectedMoment | null {
    const { host, sessions } = this.#options
    const session = sessions.known(id)
    if (session) return this.#momentOfSession(session)
    const live = host.find(id)
    if (!live?.committed) return null
    const { specification, epoch, committed: snapshot } = live
    return this.#momentOf({ specification, epoch, snapshot })
  }

  #session(row: SessionRow, event?: SessionEvent): void {
    let moment: InspectedMoment | undefined
    for (const attached of [...this.#attached]) {
      if (!maySee(attached.principal, row.user)) continue
      moment ??= this.#momentOfSession(row)
      this.#tell(attached, moment, event)
    }
  }

  #sessionLeft(row: SessionRow): void {
    this.#stopped(row.id, () => this.#momentOfSession(row))
  }

  #tell({ told, listener }: Attached, moment: InspectedMoment, event?: QueryEvent | SessionEvent): void {
    const { handle, life } = moment
    if (event === undefined || !told.has(handle)) listener.actor(moment)
    if (event !== undefined) listener.step(moment, shownEvent(event))
    if (life !== 'active') {
      told.delete(handle)
      return
    }
    told.add(handle)
    const live = this.#options.host.find(handle)
    if (!live || this.#watched.has(live)) return
    this.#watched.add(live)
    void live.gone.promise.then(() => this.#gone(live))
  }

  /** What ended, or was handed over by its own last step, is not among what is told of any more. */
  #gone({ handle, specification, epoch, committed: snapshot }: LiveQuery): void {
    if (snapshot) this.#stopped(handle, () => this.#momentOf({ specification, epoch, snapshot }))
  }

  #stopped(id: string, momentOf: () => InspectedMoment): void {
    let moment: InspectedMoment | undefined
    for (const { told, listener } of [...this.#attached]) {
      if (!told.delete(id)) continue
      moment ??= { ...momentOf(), life: 'stopped' }
      listener.stopped(moment)
    }
  }

  #momentOf({ specification: { handle }, snapshot: { value, context } }: InspectedStep): InspectedMoment {
    const { nodeId, databaseNow } = this.#options
    const life = isFinished(statusOf(value)) ? 'done' : context.owner.node === nodeId ? 'active' : 'stopped'
    return { ...momentOf(context.version, value, context), machine: 'query', handle, life, atMs: databaseNow() }
  }

  /** One that is CLOSING waits for its queries in its row alone. */
  #momentOfSession(row: SessionRow): InspectedMoment {
    const life = row.status === 'OPEN' ? 'active' : row.status === 'CLOSING' ? 'stopped' : 'done'
    return { ...momentOfSession(row), machine: 'session', handle: row.id, life, atMs: this.#options.databaseNow() }
  }

  #remove(attached: Attached): void {
    this.#attached.delete(attached)
    if (this.#attached.size > 0) return
    this.#timer?.()
    this.#timer = null
  }

  #end(attached: Attached, error: Error): void {
    this.#remove(attached)
    attached.listener.ended(error)
  }

  /** A session may have been closed elsewhere while no hint got through. */
  async #compare(): Promise<void> {
    if (this.#comparing) return
    this.#comparing = true
    try {
      const ids = new Set([...this.#attached].map(({ principal }) => principal.sessionId))
      const closed: string[] = []
      await Promise.all(
        [...ids].map(async id => {
          if (!(await this.#options.lookups.stillOpen(id))) closed.push(id)
        }),
      )
      this.sessionClosed(closed)
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'inspections could not be compared with the database')
    } finally {
      this.#comparing = false
    }
  }
}

function maySee({ user, admin }: Principal, owner: string): boolean {
  return admin || user === owner
}

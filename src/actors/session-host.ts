/**
 * The sessions in use on this node, each an actor that follows its row. No node owns a session: the row is the truth, and
 * every request compares it with what is here.
 *
 *     row    here    what is done
 *     yes    no      built under the same id, with its properties and database
 *     yes    older   built anew from the row: the row's version wins
 *     no     yes     dropped: it was closed or expired elsewhere
 *     no     no      invalid session
 */
import { type Actor, createActor, transition } from 'xstate'
import type { Clock } from '../async/index.ts'
import { LensError, type SessionEvent, type SessionStatus, sessionMachine } from '../domain/index.ts'
import type { SessionChange } from '../engines/index.ts'
import type { SessionCheck, SessionRow, SessionStore } from '../store/index.ts'

interface LiveSession {
  readonly actor: Actor<typeof sessionMachine>
  readonly row: SessionRow
  usedAt: number
}

/** What becomes of the sessions in use here. */
export interface SessionHostListener {
  /** It lives here: opened here, or read from its row, also anew because another node has moved it. */
  lives(row: SessionRow): void
  /** A step that this node committed; what it made of the session. One that is not OPEN any more has left. */
  moved(row: SessionRow, event: SessionEvent): void
  /** It has left without a step of this node: closed or expired elsewhere, or not used here for long. */
  left(row: SessionRow): void
}

export interface SessionHostOptions {
  readonly sessions: SessionStore
  readonly clock: Clock
  readonly nodeId: string
  /** Sessions that nobody used here for so long leave the memory; their rows stay. */
  readonly passivateMs: number
}

export class SessionHost {
  readonly #options: SessionHostOptions
  readonly #lives = new Map<string, LiveSession>()
  #listener: SessionHostListener | null = null

  constructor(options: SessionHostOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#lives.size
  }

  /** One listens at a time. */
  listen(listener: SessionHostListener): void {
    this.#listener = listener
  }

  rows(): SessionRow[] {
    return [...this.#lives.values()].map(({ row }) => row)
  }

  has(id: string): boolean {
    return this.#lives.has(id)
  }

  /** As this node knows it: good only right after a validation. */
  known(id: string): SessionRow | undefined {
    return this.#lives.get(id)?.row
  }

  /** A session that was just opened here, or read from its row. */
  adopt(row: SessionRow): LiveSession {
    const before = this.#lives.get(row.id)?.row
    const live = this.#build(row)
    if (before?.version !== row.version) this.#listener?.lives(row)
    return live
  }

  #build(row: SessionRow): LiveSession {
    this.#remove(row.id)
    const actor = createActor(sessionMachine, {
      input: { id: row.id, user: row.user },
      snapshot: stateOf(row),
    })
    actor.start()
    const live = { actor, row, usedAt: this.#options.clock.monotonic() }
    this.#lives.set(row.id, live)
    return live
  }

  drop(id: string): void {
    const live = this.#remove(id)
    if (live) this.#listener?.left(live.row)
  }

  #remove(id: string): LiveSession | undefined {
    const live = this.#lives.get(id)
    live?.actor.stop()
    this.#lives.delete(id)
    return live
  }

  /** What memory may hold after the database said this of the session: the table above. */
  async follow(id: string, check: SessionCheck | undefined): Promise<SessionRow | null> {
    if (check?.status !== 'OPEN' || check.expired) {
      this.drop(id)
      return null
    }
    const live = this.#lives.get(id)
    if (live && live.row.version === check.version) {
      live.usedAt = this.#options.clock.monotonic()
      return live.row
    }
    const row = await this.#options.sessions.read(id)
    if (row?.status !== 'OPEN') {
      this.drop(id)
      return null
    }
    return this.adopt(row).row
  }

  /** Moves the session as it is in the database by then, whoever else moves it. */
  async move(id: string, event: SessionEvent): Promise<SessionRow> {
    const { sessions, nodeId } = this.#options
    let before: SessionRow | undefined
    const moved = await sessions.move(id, event, nodeId, row => {
      before = row
      const [{ context, value }] = transition(sessionMachine, stateOf(row), event)
      if (context.version === row.version) return null
      return { database: context.database, properties: context.properties, status: value as SessionStatus }
    })
    if (!moved || !before) {
      this.drop(id)
      throw new LensError('SESSION_INVALID', 'The session is unknown, closed or expired.')
    }
    const live = this.adopt(before)
    if (moved.status === 'OPEN') {
      live.actor.send(event)
      this.#build(moved)
    } else this.#remove(id)
    this.#listener?.moved(moved, event)
    return moved
  }

  /** By a statement that ran in it, `at` ISO 8601. Safe twice; nothing happens where the session is closed. */
  async change(id: string, { database, properties }: SessionChange, at: string): Promise<void> {
    const row = await this.#options.sessions.read(id)
    if (row?.status !== 'OPEN') return
    const isSame =
      (database === undefined || database === row.database) &&
      Object.entries(properties).every(([name, value]) => (row.properties[name] ?? null) === value)
    if (isSame) return
    try {
      await this.move(id, { type: 'CHANGED', at, properties, ...(database === undefined ? {} : { database }) })
    } catch (error) {
      if (!(error instanceof LensError) || error.code !== 'SESSION_INVALID') throw error
    }
  }

  /** Lets go of what was not used here lately. */
  passivate(): void {
    const before = this.#options.clock.monotonic() - this.#options.passivateMs
    for (const [id, live] of this.#lives) if (live.usedAt < before) this.drop(id)
  }

  stop(): void {
    for (const id of [...this.#lives.keys()]) this.drop(id)
  }
}

function stateOf({ id, user, version, database, properties, status }: SessionRow) {
  return sessionMachine.resolveState({ value: status, context: { id, user, version, database, properties } })
}

/**
 * A machine at one moment, for people who debug: its value and context at any of its versions. Only who may see the query or
 * session sees its machine, and no secret is in it.
 *
 * Every step of either is durable, so any version can be replayed: of a query for as long as it is kept, of a session while it is open.
 */
import {
  LensError,
  type MachineMoment,
  type QueryEvent,
  replay,
  replaySession,
  type SessionEvent,
  type SessionStatus,
} from '../domain/index.ts'
import { redacted } from '../observability/index.ts'
import type { QueryStore, SessionRow, SessionStore } from '../store/index.ts'
import type { InspectedEvent, Principal } from './contract.ts'
import type { Lookups } from './lookups.ts'
import { snapshotOf } from './result-desk.ts'
import type { SessionDesk } from './session-desk.ts'
import type { Views } from './views.ts'

const censor = '[redacted]'
/** What people name properties that hold a secret; wider than what logs need, which never hold properties of sessions. */
const telling = /pass(word|wd|phrase)?|pwd|secret|token|credential|api[-_.]?key|private[-_.]?key/i

export interface MachineDeskOptions {
  readonly queries: QueryStore
  readonly lookups: Lookups
  readonly views: Views
  readonly sessions: SessionDesk
  readonly sessionStore: SessionStore
}

export class MachineDesk {
  readonly #options: MachineDeskOptions

  constructor(options: MachineDeskOptions) {
    this.#options = options
  }

  async ofQuery(principal: Principal, handle: string, version: number | null): Promise<MachineMoment> {
    const { lookups, views, queries } = this.#options
    await lookups.visible(principal, handle)
    const row = await views.row(handle)
    if (!row) throw new LensError('NOT_FOUND', 'There is no such query.')
    if (version === null || version === row.version) {
      const { value, context } = snapshotOf(row)
      return momentOf(row.version, value, context)
    }
    if (version > row.version) throw noSuchVersion(`1 to ${row.version}`)
    const transitions = await queries.transitions(handle, 0)
    const events = transitions.slice(0, version)
    if (!areAllOf(events, version)) throw noSuchVersion(`${row.version}, the only one that is still kept`)
    const input = { handle, lane: row.requestedLane, engine: row.requestedEngine }
    let moment: MachineMoment | undefined
    for (const { value, context } of replay(
      input,
      events.map(({ event }) => event as QueryEvent),
    ))
      moment = momentOf(context.version, value, context)
    // A query whose state could not be restored was failed beside its machine, which does not reach its last versions.
    if (moment?.version !== version) throw noSuchVersion(`${row.version}: the steps of this query cannot be replayed`)
    return moment
  }

  async ofSession(principal: Principal, id: string, version: number | null): Promise<MachineMoment> {
    const row = await this.#options.sessions.read(principal, id)
    if (version === null || version === row.version) return momentOfSession(row)
    if (version > row.version) throw noSuchVersion(`1 to ${row.version}`)
    const transitions = (await this.#options.sessionStore.transitions(id)).slice(0, version)
    if (!areAllOf(transitions, version)) throw noSuchVersion(`${row.version}, the only one that is still kept`)
    const events = transitions.map(({ event }) => event)
    for (const { value, context } of replaySession({ id, user: row.user }, events))
      if (context.version === version) return momentOfSession({ ...row, ...context, status: value as SessionStatus })
    throw noSuchVersion(`${row.version}: the steps of this session cannot be replayed`)
  }
}

/** From the first to this version, without a gap: what was forgotten cannot be replayed. */
function areAllOf(transitions: readonly { readonly version: number }[], version: number): boolean {
  return transitions.length === version && transitions.every((transition, index) => transition.version === index + 1)
}

export function momentOfSession({ id, user, version, database, status, properties }: SessionRow): MachineMoment {
  return momentOf(version, status, { id, user, version, database, properties: withoutTelling(properties) })
}

function withoutTelling<Value>(properties: Readonly<Record<string, Value>>): Record<string, Value | string> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, telling.test(name) && value !== null ? censor : value]),
  )
}

export function momentOf(version: number, value: unknown, context: object): MachineMoment {
  return { version, value, context: withoutSecrets(context) }
}

/** What caused a step, for those who may see what it made of the machine. */
export function shownEvent(event: QueryEvent | SessionEvent): InspectedEvent {
  const shown = withoutSecrets(event) as InspectedEvent
  return 'properties' in event
    ? { ...shown, properties: withoutTelling(shown.properties as typeof event.properties) }
    : shown
}

/** An engine's handle can give access to the running query, as Trino's next address does: its values are nobody's to see. */
function withoutSecrets(told: object): object {
  const engineHandle = 'engineHandle' in told ? told.engineHandle : null
  const shown = redacted(told) as object
  if (engineHandle === null || typeof engineHandle !== 'object') return shown
  const names = Object.keys(engineHandle).map(name => [name, censor])
  return { ...shown, engineHandle: Object.fromEntries(names) }
}

function noSuchVersion(expected: string): LensError {
  return new LensError('NOT_FOUND', `query.version: there is no such version; expected ${expected}.`)
}

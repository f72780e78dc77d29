/**
 * The session's statechart: pure, without effects of its own. No node owns a session: any node moves its
 * row, locked meanwhile, and every node's actor follows the row's `version`.
 *
 *     OPEN ─ CLOSE_REQUESTED → CLOSING ─ CLOSED → CLOSED       CLOSING: its queries still run, new calls are refused
 *        └ EXPIRED → EXPIRED
 */
import { initialTransition, type StateValue, setup, transition } from 'xstate'
import { stepsOf } from './step.ts'

export const sessionMachineVersion = 1

export interface SessionInput {
  readonly id: string
  readonly user: string
}

export interface SessionContext extends SessionInput {
  readonly version: number
  readonly database: string | null
  readonly properties: Readonly<Record<string, string>>
}

export type SessionEvent = { readonly at: string } & (
  | { readonly type: 'OPENED'; readonly database: string | null; readonly properties: Readonly<Record<string, string>> }
  | {
      readonly type: 'CHANGED'
      /** Absent: unchanged. */
      readonly database?: string | null
      /** A null removes the property. */
      readonly properties: Readonly<Record<string, string | null>>
    }
  | { readonly type: 'CLOSE_REQUESTED' }
  | { readonly type: 'CLOSED' }
  | { readonly type: 'EXPIRED' }
)

const step = stepsOf<SessionContext, SessionEvent>()

/** By way of a map: a property may have any name, `__proto__` too. */
function merged(current: Readonly<Record<string, string>>, changes: Readonly<Record<string, string | null>>) {
  const properties = new Map(Object.entries(current))
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) properties.delete(key)
    else properties.set(key, value)
  }
  return Object.fromEntries(properties)
}

export const sessionMachine = setup({
  types: { input: {} as SessionInput, context: {} as SessionContext, events: {} as SessionEvent },
  actions: {
    opened: step<'OPENED'>((_, { database, properties }) => ({ database, properties })),
    changed: step<'CHANGED'>((context, { database, properties }) => ({
      database: database === undefined ? context.database : database,
      properties: merged(context.properties, properties),
    })),
    counted: step<'CLOSE_REQUESTED' | 'CLOSED' | 'EXPIRED'>(() => ({})),
  },
}).createMachine({
  id: 'session',
  initial: 'NEW',
  context: ({ input: { id, user } }) => ({ id, user, version: 0, database: null, properties: {} }),
  states: {
    NEW: { on: { OPENED: { target: 'OPEN', actions: 'opened' } } },
    OPEN: {
      on: {
        CHANGED: { actions: 'changed' },
        CLOSE_REQUESTED: { target: 'CLOSING', actions: 'counted' },
        EXPIRED: { target: 'EXPIRED', actions: 'counted' },
      },
    },
    CLOSING: { on: { CLOSED: { target: 'CLOSED', actions: 'counted' } } },
    CLOSED: { type: 'final' },
    EXPIRED: { type: 'final' },
  },
})

/** Replays the events of a session from its beginning; yields the state after each. Pure. */
export function* replaySession(
  input: SessionInput,
  events: Iterable<SessionEvent>,
): Generator<{ readonly value: StateValue; readonly context: SessionContext }> {
  let [snapshot] = initialTransition(sessionMachine, input)
  for (const event of events) {
    ;[snapshot] = transition(sessionMachine, snapshot, event)
    yield { value: snapshot.value, context: snapshot.context }
  }
}

/**
 * The session's statechart: pure, without effects of its own. No node owns a session: any node moves it by
 * compare-and-set on `version`, and every node's actor follows the row.
 *
 *     OPEN ─ CLOSE_REQUESTED → CLOSING ─ CLOSED → CLOSED       CLOSING: its queries still run, new calls are refused
 *        └ EXPIRED → EXPIRED
 */
import { assign, setup } from 'xstate'

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

function merged(current: Readonly<Record<string, string>>, changes: Readonly<Record<string, string | null>>) {
  const result: Record<string, string> = { ...current }
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) delete result[key]
    else result[key] = value
  }
  return result
}

export const sessionMachine = setup({
  types: { input: {} as SessionInput, context: {} as SessionContext, events: {} as SessionEvent },
  actions: {
    opened: assign(({ context, event }) =>
      event.type !== 'OPENED'
        ? {}
        : { version: context.version + 1, database: event.database, properties: event.properties },
    ),
    changed: assign(({ context, event }) =>
      event.type !== 'CHANGED'
        ? {}
        : {
            version: context.version + 1,
            database: event.database === undefined ? context.database : event.database,
            properties: merged(context.properties, event.properties),
          },
    ),
    counted: assign(({ context }) => ({ version: context.version + 1 })),
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

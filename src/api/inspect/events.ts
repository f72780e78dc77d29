/**
 * The events that `@statelyai/inspect` sends and receives, as text. Nothing of that package runs here: the format is all that is
 * shared with it, and a test attaches the package's own receiver.
 */
import { queryMachine, sessionMachine } from '../../domain/index.ts'
import type { InspectedEvent, InspectedMoment } from '../../gateway/index.ts'

/** Version of the package whose format this is; inspectors tell by it whether they understand an event. */
const formatVersion = '0.7.2'

/** Functions of the definition (the first context, the inputs) by their names, as the package does it. */
const definitionOf = ({ config }: { readonly config: object }) =>
  JSON.stringify(config, (_name, value) => (typeof value === 'function' ? { type: value.name } : value))
const definitions = { query: definitionOf(queryMachine), session: definitionOf(sessionMachine) }

/** Each is the root of its own tree of actors: those that a query invokes have no steps of their own to show. */
function framing({ handle, atMs }: InspectedMoment) {
  return { sessionId: handle, rootId: handle, id: null, _version: formatVersion, createdAt: String(Math.round(atMs)) }
}

function snapshotOf({ life, value, context }: InspectedMoment) {
  return { status: life, value, context }
}

/** An actor lives here; its definition is that of the running code. */
export function actorEvent(moment: InspectedMoment): string {
  return JSON.stringify({
    type: '@xstate.actor',
    name: `${moment.machine} ${moment.handle}`,
    ...framing(moment),
    definition: definitions[moment.machine],
    snapshot: snapshotOf(moment),
  })
}

/** It lives here no more, by no step of its own: what XState itself sends to an actor that is stopped. */
export function stoppedEvent(moment: InspectedMoment): string {
  return JSON.stringify({
    type: '@xstate.snapshot',
    ...framing(moment),
    event: { type: 'xstate.stop' },
    snapshot: snapshotOf(moment),
  })
}

/** What was sent to the actor, and what it became by it. */
export function stepEvents(moment: InspectedMoment, event: InspectedEvent): readonly [string, string] {
  const frame = { ...framing(moment), event }
  return [
    JSON.stringify({ type: '@xstate.event', ...frame }),
    JSON.stringify({ type: '@xstate.snapshot', ...frame, snapshot: snapshotOf(moment) }),
  ]
}

/**
 * How a machine's actions change its context: always with `version` up by one, so that a transition is a version and a
 * version a transition.
 *
 * In place of XState's `assign`, which copies the context by `Object.assign({}, …)`: from 17 keys on V8 makes a dictionary
 * of the copy, and every transition of a query cost 16 µs where it costs 9 µs now, every live actor 6.9 kB where it holds
 * 5.5 kB (measured, XState 5.33.3). It builds on how `assign` itself is made, an action with `resolve`; a test holds both
 * equal, so that another version of XState which resolves actions otherwise cannot pass unseen.
 */
import { assign } from 'xstate'

interface Versioned {
  readonly version: number
}

interface Resolvable<Context, Event> {
  resolve: (
    scope: unknown,
    snapshot: { readonly context: Context },
    args: { readonly event: Event },
  ) => [snapshot: unknown, params: undefined, args: undefined]
}

/** `step` for one machine: `change` gives what differs in the context beside the version. */
export function stepsOf<Context extends Versioned, Event extends { readonly type: string }>() {
  return <Type extends Event['type']>(
    change: (context: Context, event: Extract<Event, { readonly type: Type }>) => Partial<Omit<Context, 'version'>>,
  ) => {
    const action = assign<Context, Event, undefined, Event, never>({})
    const resolvable = action as unknown as Resolvable<Context, Event>
    resolvable.resolve = (_scope, snapshot, { event }) => {
      const { context } = snapshot
      const changes = change(context, event as Extract<Event, { readonly type: Type }>)
      return [{ ...snapshot, context: { ...context, ...changes, version: context.version + 1 } }, undefined, undefined]
    }
    return action
  }
}

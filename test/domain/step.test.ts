/** `step` stands in for XState's `assign`: the same snapshot from the same event, for as long as XState resolves actions so. */
import test from 'ava'
import { assign, createActor, setup, transition } from 'xstate'
import { stepsOf } from '../../src/domain/step.ts'

interface Context {
  readonly version: number
  readonly total: number
  readonly untouched: readonly string[]
}
type Event = { readonly type: 'ADD'; readonly by: number } | { readonly type: 'NEXT'; readonly by: number }

const step = stepsOf<Context, Event>()

function machineWith(add: ReturnType<typeof step>) {
  return setup({ types: { context: {} as Context, events: {} as Event }, actions: { add } }).createMachine({
    initial: 'one',
    context: { version: 0, total: 0, untouched: ['x'] },
    states: {
      one: { on: { ADD: { actions: 'add' }, NEXT: { target: 'two', actions: 'add' } } },
      two: { on: { ADD: { actions: ['add', 'add'] } } },
    },
  })
}

const byStep = machineWith(step<'ADD' | 'NEXT'>((context, { by }) => ({ total: context.total + by })))
const byAssign = machineWith(
  assign<Context, Event, undefined, Event, never>(({ context, event }) => ({
    version: context.version + 1,
    total: context.total + event.by,
  })),
)

test('step gives what assign would give, on live actors and purely', t => {
  const events: Event[] = [
    { type: 'ADD', by: 2 },
    { type: 'NEXT', by: 3 },
    { type: 'NEXT', by: 100 },
    { type: 'ADD', by: 5 },
  ]
  const mine = createActor(byStep).start()
  const theirs = createActor(byAssign).start()
  for (const event of events) {
    const [pureMine] = transition(byStep, mine.getSnapshot(), event)
    mine.send(event)
    theirs.send(event)
    t.deepEqual(mine.getPersistedSnapshot(), theirs.getPersistedSnapshot(), event.type)
    t.deepEqual(pureMine.context, mine.getSnapshot().context)
    t.deepEqual(Object.keys(mine.getSnapshot()).sort(), Object.keys(theirs.getSnapshot()).sort())
  }
  t.deepEqual(mine.getSnapshot().context, { version: 4, total: 15, untouched: ['x'] })
})

test('a context before a step stays as it was', t => {
  const actor = createActor(byStep).start()
  const before = actor.getSnapshot()
  actor.send({ type: 'ADD', by: 1 })
  t.deepEqual(before.context, { version: 0, total: 0, untouched: ['x'] })
})

/** The rules of a query's life that a reader should be able to look up, each by its name. */
import test from 'ava'
import { createActor, fromCallback, type StateValue } from 'xstate'
import { type QueryEvent, type QueryStatus, queryMachine, queryView, replay, statusOf } from '../../src/domain/index.ts'
import { alphabet, type EventName, events, queryInput, waysInto } from '../support/domain/query-events.ts'
import { pathOf, specification } from '../support/domain/query-invariants.ts'

const states = (...names: EventName[]) => [...replay(queryInput, events(...names))]
const statuses = (...names: EventName[]) => states(...names).map(({ value }) => statusOf(value))
const last = (...names: EventName[]) => {
  const state = states(...names).at(-1)
  if (!state) throw new Error('no events')
  return state
}
const viewOf = ({ value, context }: { value: StateValue; context: ReturnType<typeof last>['context'] }) =>
  queryView(specification, value, context)

test('the ordinary life: every version is seen, from 1 on', t => {
  const life = states('submitted', 'estimated', 'launched', 'startedSafe', 'executed', 'stored', 'dropped')
  t.deepEqual(
    life.map(state => [viewOf(state).version, viewOf(state).status]),
    [
      [1, 'QUEUED'],
      [2, 'QUEUED'],
      [3, 'LAUNCHED'],
      [4, 'RUNNING'],
      [5, 'EXECUTED'],
      [6, 'SUCCESSFUL'],
      [7, 'CLOSED'],
    ],
  )
  t.like(viewOf(life[5] as never), {
    outcome: 'SUCCESSFUL',
    lane: 'light',
    engine: 'duckdb',
    attempt: 1,
    result: { columns: [{ name: 'n', type: 'BIGINT' }], rowCount: 7, bytes: 70, expiresAt: alphabet.stored.expiresAt },
    progress: { fraction: 1, message: '' },
    error: null,
  })
  t.like(viewOf(life[6] as never), { outcome: 'SUCCESSFUL', result: null, progress: { fraction: 1, message: '' } })
})

test('the result is not shown before its rows are durable', t => {
  t.is(viewOf(last('submitted', 'launched', 'startedSafe', 'executed')).result, null)
})

test('the outcome of a closed query is how it ended', t => {
  for (const [way, outcome] of [
    ['closed-after-success', 'SUCCESSFUL'],
    ['closed-after-failure', 'FAILED'],
    ['closed-after-cancel', 'CANCELED'],
  ] as const)
    t.like(viewOf(last(...(waysInto[way] as EventName[]))), { status: 'CLOSED', outcome })
})

const unfinished = [
  'queued',
  'queued-again',
  'launched-submitting',
  'launched-stopping',
  'running-following',
  'running-stopping',
  'executed',
  'failing-retry',
  'failing-for-good',
] as const

test('a change of owner is a transition of its own in every unfinished state, and only a newer epoch is one', t => {
  for (const way of unfinished) {
    const names = waysInto[way] as EventName[]
    const before = last(...names)
    const claimed = last(...names, 'claimed')
    t.is(claimed.context.version, before.context.version + 1, way)
    t.deepEqual(claimed.context.owner, { node: 'n2', epoch: 2 }, way)
    t.deepEqual(claimed.value, before.value, way)
    t.deepEqual(last(...names, 'handedOver', 'claimed').context.owner, { node: 'n3', epoch: 3 }, way)
    t.deepEqual(last(...names, 'claimedStale'), before, way)
  }
  t.is(last('claimed').context.version, 0, 'a query that is not durable has no owner')
  t.is(last('submitted', 'cancel', 'claimed').context.version, 2, 'a finished one has none to change')
})

test('a change of owner leaves the effect of the state as it is', t => {
  const actor = createActor(queryMachine, { input: queryInput }).start()
  for (const event of events('submitted', 'launched', 'startedSafe')) actor.send(event)
  const { follow } = actor.getSnapshot().children
  actor.send(alphabet.claimed)
  t.truthy(follow)
  t.is(actor.getSnapshot().children.follow, follow)
})

/** Where a wish leads by itself, and where the query ends when everybody does what is theirs. */
function endAfter(way: string, wish: EventName): QueryStatus[] {
  const actor = createActor(queryMachine, { input: queryInput }).start()
  for (const event of events(...(waysInto[way] as EventName[]))) actor.send(event)
  const seen: QueryStatus[] = []
  const send = (event: QueryEvent) => {
    const { version } = actor.getSnapshot().context
    actor.send(event)
    if (actor.getSnapshot().context.version > version) seen.push(statusOf(actor.getSnapshot().value))
  }
  send(alphabet[wish])
  // `stop` confirms, `finish` stores, `settle` gives up or retries, and `schedule` sees the wish again.
  for (const name of ['stopped', 'stored', 'gaveUp', 'retried', wish, 'gaveUp'] as EventName[]) send(alphabet[name])
  return seen
}

test('cancel takes effect in every state, by legal moves', t => {
  t.deepEqual(endAfter('queued', 'cancel'), ['CANCELED'])
  t.deepEqual(endAfter('queued-again', 'cancel'), ['CANCELED'])
  t.deepEqual(endAfter('launched-submitting', 'cancel'), ['LAUNCHED', 'CANCELED'])
  t.deepEqual(endAfter('running-following', 'cancel'), ['RUNNING', 'CANCELED'])
  t.deepEqual(
    endAfter('executed-without-rows', 'cancel'),
    ['SUCCESSFUL'],
    'it may have had an effect, and had finished',
  )
  t.deepEqual(endAfter('failing-retry', 'cancel'), ['QUEUED', 'CANCELED'])
  t.deepEqual(endAfter('failing-for-good', 'cancel'), ['FAILED'])
  t.deepEqual(statuses('submitted', 'launched', 'startedSafe', 'executed', 'cancel').at(-1), 'CANCELED')
})

test('the deadline takes effect in every state', t => {
  t.deepEqual(endAfter('queued', 'deadline'), ['FAILING', 'FAILED'])
  t.deepEqual(endAfter('launched-submitting', 'deadline'), ['LAUNCHED', 'FAILING', 'FAILED'])
  t.deepEqual(endAfter('running-following', 'deadline'), ['RUNNING', 'FAILING', 'FAILED'])
  t.deepEqual(endAfter('failing-retry', 'deadline'), ['FAILING', 'FAILED'])
  t.deepEqual(endAfter('executed-without-rows', 'deadline'), ['SUCCESSFUL'])
  for (const way of ['queued', 'launched-submitting', 'running-following', 'failing-retry'] as const) {
    const names = waysInto[way] as EventName[]
    t.like(
      viewOf(last(...names, 'deadline', 'stopped', 'gaveUp')),
      { status: 'FAILED', outcome: 'FAILED', error: { code: 'DEADLINE_EXCEEDED' } },
      way,
    )
  }
  t.like(viewOf(last('submitted', 'launched', 'startedSafe', 'executed', 'deadline', 'gaveUp')), {
    status: 'FAILED',
    error: { code: 'DEADLINE_EXCEEDED' },
  })
})

test('what nobody waits for any more is stopped, and fails with NODE_LOST once the engine has confirmed it', t => {
  t.like(viewOf(last('submitted', 'launched', 'started', 'abandon')), { status: 'RUNNING', error: null })
  t.like(viewOf(last('submitted', 'launched', 'started', 'abandon', 'stopped', 'gaveUp')), {
    status: 'FAILED',
    error: { code: 'NODE_LOST' },
  })
})

test('a hand-over stops what runs, records the attempt, counts no failure, and the next owner goes on', t => {
  const queued = last('submitted', 'launched', 'started', 'handOverStop', 'stopped', 'claimed', 'retried')
  t.is(queued.value, 'QUEUED')
  t.deepEqual(queued.context.failures, {})
  t.deepEqual(
    queued.context.failedAttempts.map(({ attempt, node }) => [attempt, node]),
    [[1, 'n1']],
  )
  t.is(last('submitted', 'handOverStop').value, 'QUEUED', 'what waits is given away as it is')
  t.is(last('submitted', 'launched', 'started', 'failedForNow', 'handOverStop').context.version, 4)
})

test('a cancel or a deadline outranks a hand-over that is stopping the query; otherwise the first wish stands', t => {
  const path = ['submitted', 'launched', 'started'] as const
  t.is(last(...path, 'handOverStop', 'cancel', 'stopped').value, 'CANCELED')
  t.is(last(...path, 'handOverStop', 'deadline', 'stopped', 'gaveUp').value, 'FAILED')
  t.is(last(...path, 'cancel', 'handOverStop').context.stopReason, 'cancel')
  t.is(last(...path, 'deadline', 'cancel').context.stopReason, 'deadline')
  const actor = createActor(queryMachine, { input: queryInput }).start()
  for (const event of events(...path, 'handOverStop')) actor.send(event)
  const { stop } = actor.getSnapshot().children
  actor.send(alphabet.cancel)
  t.not(actor.getSnapshot().children.stop, stop, 'stop begins again')
})

test('a query that ends while it is being stopped has ended', t => {
  const executed = last('submitted', 'launched', 'started', 'cancel', 'executed')
  t.is(executed.value, 'EXECUTED')
  t.is(executed.context.stopReason, null)
  t.is(last('submitted', 'launched', 'started', 'cancel', 'executed', 'stored').value, 'SUCCESSFUL')
})

test('a failure for good while stopping ends the query, whatever was asked for', t => {
  const path = ['submitted', 'launched', 'started', 'cancel', 'failedForGood', 'gaveUp'] as const
  t.like(viewOf(last(...path)), { status: 'FAILED', error: { code: 'EXECUTION_FAILED' } })
})

test('an attempt is recorded once, under the node that launched it, and nothing of it remains in the next', t => {
  const again = last('submitted', 'estimated', 'launched', 'started', 'claimed', 'failedForNow', 'retried')
  t.deepEqual(
    again.context.failedAttempts.map(({ attempt, engine, code }) => [attempt, engine, code]),
    [[1, 'duckdb', 'ENGINE_UNAVAILABLE']],
  )
  t.like(again.context, {
    attempt: 1,
    attemptNode: 'n1',
    engineHandle: null,
    safeToRepeat: false,
    launchedAt: null,
    startedAt: null,
    retryAt: null,
  })
  const twice = last(
    'submitted',
    'launched',
    'failedForNow',
    'retried',
    'failedForNow',
    'retried',
    'deadline',
    'gaveUp',
  )
  t.is(twice.context.failedAttempts.length, 1, 'what failed before its launch is no attempt')
  t.is(twice.context.failures.engine, 2, 'but it counts')
  const second = last('submitted', 'launched', 'failedForNow', 'retried', 'launched', 'started', 'deadline', 'stopped')
  t.deepEqual(
    second.context.failedAttempts.map(({ attempt, code }) => [attempt, code]),
    [
      [1, 'ENGINE_UNAVAILABLE'],
      [2, 'DEADLINE_EXCEEDED'],
    ],
  )
})

test('FAILING is settled only as the failure said', t => {
  const retry = ['submitted', 'launched', 'failedForNow'] as const
  const end = ['submitted', 'launched', 'failedForGood'] as const
  t.is(last(...retry, 'gaveUp').value, 'FAILING')
  t.is(last(...retry, 'retried').value, 'QUEUED')
  t.is(last(...end, 'retried').value, 'FAILING')
  t.is(last(...end, 'gaveUp').value, 'FAILED')
})

test('settle begins again when the deadline has taken the next attempt away', t => {
  const actor = createActor(queryMachine, { input: queryInput }).start()
  for (const event of events('submitted', 'launched', 'failedForNow')) actor.send(event)
  const { settle } = actor.getSnapshot().children
  actor.send(alphabet.deadline)
  t.not(actor.getSnapshot().children.settle, settle)
  t.is(actor.getSnapshot().context.version, 4)
  actor.send(alphabet.deadline)
  t.is(actor.getSnapshot().context.version, 4, 'only once')
})

test('an effect gets the handle, and is told to let go when its state is left', t => {
  const log: string[] = []
  const effect = (name: string) =>
    fromCallback<never, { readonly handle: string }>(({ input }) => {
      t.is(input.handle, queryInput.handle)
      log.push(`${name} begins`)
      return () => log.push(`${name} lets go`)
    })
  const actors = Object.fromEntries(
    ['schedule', 'submit', 'follow', 'finish', 'stop', 'settle'].map(name => [name, effect(name)]),
  )
  const actor = createActor(queryMachine.provide({ actors: actors as never }), { input: queryInput }).start()
  const names: EventName[] = ['submitted', 'estimated', 'launched', 'identified', 'started', 'failedForNow', 'retried']
  for (const event of events(...names, 'launched', 'started', 'handOverStop', 'executed', 'stored')) actor.send(event)
  const inTurn = ['schedule', 'submit', 'follow', 'settle', 'schedule', 'submit', 'follow', 'stop', 'finish']
  t.deepEqual(
    log,
    inTurn.flatMap(name => [`${name} begins`, `${name} lets go`]),
  )
  t.is(pathOf(actor.getSnapshot().value), 'SUCCESSFUL')
})

test('failures are counted by their kind', t => {
  const { failedForNow } = alphabet
  const life: QueryEvent[] = [...events('submitted', 'failedForNow', 'retried'), { ...failedForNow, kind: 'node' }]
  const again = [...replay(queryInput, [...life, ...events('retried', 'failedForNow')])].at(-1)
  t.deepEqual(again?.context.failures, { engine: 2, node: 1 })
})

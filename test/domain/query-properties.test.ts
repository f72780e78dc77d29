/** Any events, with any payloads, in any order: what holds for every query that can ever be. */
import assert from 'node:assert/strict'
import test from 'ava'
import fc from 'fast-check'
import { createActor } from 'xstate'
import { isFinished, type QueryStatus, queryMachine, replay, statusOf } from '../../src/domain/index.ts'
import { anyLife, queryInput } from '../support/domain/query-events.ts'
import { assertRestores, assertState, assertStep, type QueryState } from '../support/domain/query-invariants.ts'

test('any life of a query keeps the invariants, on a live actor and in replay alike', t => {
  const seen = new Set<QueryStatus>()
  fc.assert(
    fc.property(anyLife, life => {
      const actor = createActor(queryMachine, { input: queryInput }).start()
      const replayed = replay(queryInput, life)
      let before: QueryState = actor.getSnapshot()
      let outcomes = 0
      for (const event of life) {
        const frozen = structuredClone(before.context)
        actor.send(event)
        const live = actor.getSnapshot()
        const after: QueryState = { value: live.value, context: live.context }
        assert.notEqual(live.status, 'error')
        assert.deepEqual(replayed.next().value, after)
        assert.deepEqual(before.context, frozen, 'an earlier context was changed in place')
        assertStep(before, event, after)
        assertState(after)
        const from = statusOf(before.value)
        const to = statusOf(after.value)
        if (!isFinished(from) && isFinished(to)) outcomes++
        seen.add(to)
        before = after
      }
      assert.ok(outcomes <= 1)
      assertRestores(before)
      actor.stop()
    }),
    { numRuns: 1_500 },
  )
  t.is(seen.size, 9, [...seen].join())
})

test('a query restored after any of its events goes on as if it had never stopped', t => {
  fc.assert(
    fc.property(anyLife, fc.nat(50), (life, at) => {
      const states = [...replay(queryInput, life)]
      const index = at % life.length
      const state = states[index] as QueryState
      if (state.context.version === 0) return
      assertRestores(state)
      const last = [...replay(queryInput, life.slice(index + 1), state)].at(-1) ?? state
      assert.deepEqual(last, states.at(-1))
    }),
    { numRuns: 500 },
  )
  t.pass()
})

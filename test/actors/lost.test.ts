/** The way to an engine breaks under a statement that is not safe to repeat: the engine's own word decides. */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { submittedQuery } from '../support/slow-engine.ts'

for (const [word, status, code, sent] of [
  ['committed', 'SUCCESSFUL', null, 1],
  ['committed-with-rows', 'FAILED', 'RECOVERY_FAILED', 1],
  ['ended', 'FAILED', 'ENGINE_UNAVAILABLE', 3],
  ['unknown', 'FAILED', 'EXECUTION_UNKNOWN', 1],
] as const)
  test(`lost while it ran, and the engine says ${word}: ${status}, sent ${sent} times`, async t => {
    const { engine, row } = await submittedQuery(t)
    engine.word = word
    engine.isLost = true
    engine.identify.resolve()
    const ended = await eventually(row, found => found?.finished === true)
    t.like(ended, { status, snapshot: { context: { error: code === null ? null : { code } } } })
    t.is(engine.sent, sent)
  })

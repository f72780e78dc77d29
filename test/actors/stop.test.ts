/** A query that is stopped while its engine runs it ends as what the engine says, not as what was wished. */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { submittedQuery } from '../support/slow-engine.ts'

for (const [word, status, code] of [
  ['committed', 'SUCCESSFUL', null],
  ['committed-with-rows', 'FAILED', 'RECOVERY_FAILED'],
  ['ended', 'CANCELED', null],
  ['unknown', 'FAILED', 'EXECUTION_UNKNOWN'],
] as const)
  test(`cancelled while it runs, and the engine says ${word}: ${status}`, async t => {
    const { store, host, engine, handle, row } = await submittedQuery(t, { runs: 'until-ended' })
    engine.word = word
    engine.identify.resolve()
    await eventually(row, found => found?.status === 'RUNNING')
    await store.queries.requestCancel(handle)
    host.cancel([handle])
    const ended = await eventually(row, found => found?.finished === true)
    t.like(ended, { status, snapshot: { context: { error: code === null ? null : { code } } } })
    t.deepEqual([engine.sent, engine.cancels > 0], [1, true])
  })

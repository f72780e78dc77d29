/** LAUNCHED: the intent is durable; gives the statement to the engine, whose identity becomes durable before it can run. */
import { DetachedError } from '../live-query.ts'
import type { Effect } from './effect.ts'
import { failLost } from './failure.ts'
import { resume } from './orphan.ts'
import { statementOf } from './statement.ts'

export const submit: Effect = async (live, scope, signal) => {
  const wasResumed = live.resumed
  if (!(await resume(live, scope, signal))) return
  const { engines, membership, clock } = scope.environment
  const driver = engines.choose(live.context.engine)
  if (!driver) throw new Error(`engine ${live.context.engine} is not known here`)
  // A node past its lease submits nothing: either it is renewed, or the query is detached meanwhile.
  while (!membership.leaseValid()) await clock.sleep(20, signal)
  if (signal.aborted) return
  if (live.specification.operation !== 'execute') {
    live.send({ type: 'STARTED', engineHandle: null, safeToRepeat: true })
    return
  }
  if (!(wasResumed && live.run)) {
    live.run = driver.submit(statementOf(live), async engineHandle => {
      // Already stopping, it takes no identity any more: the driver must not send what nobody could find again.
      if (signal.aborted || !live.send({ type: 'IDENTIFIED', engineHandle })) throw new DetachedError()
      await live.durable()
    })
    // Whoever awaits it next sees its failure; nobody may, when the query goes elsewhere meanwhile.
    live.run.catch(() => {})
  }
  try {
    const run = await live.run
    if (run && !signal.aborted)
      live.send({ type: 'STARTED', engineHandle: run.engineHandle, safeToRepeat: run.safeToRepeat })
  } catch (error) {
    live.run = null
    if (!signal.aborted) await failLost(error, live, scope, signal)
  }
}

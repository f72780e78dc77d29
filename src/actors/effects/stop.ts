/** LAUNCHED or RUNNING, `stopping`: asks the engine for the end, and goes on when it has confirmed it. */

import { backoffDelayMs } from '../../async/index.ts'
import { EngineError } from '../../engines/index.ts'
import type { LiveQuery } from '../live-query.ts'
import type { Effect, EffectScope } from './effect.ts'
import { untilEngineAnswers } from './engine-answer.ts'
import { fail } from './failure.ts'
import { resume } from './orphan.ts'
import { statementOf } from './statement.ts'

const cancelBackoff = { firstMs: 50, limitMs: 2_000 }

export const stop: Effect = async (live, scope, signal) => {
  if (!(await resume(live, scope, signal))) return
  const { clock, random, logger, membership } = scope.environment
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      // One that was refused never began.
      const run = await live.run?.catch(() => null)
      await run?.cancel()
      break
    } catch (error) {
      // It ended by itself: then there is nothing left to end.
      if (error instanceof EngineError && error.failure !== 'unavailable') break
      logger.warn({ err: error, handle: live.handle }, 'the engine has not confirmed the end of a query, asking again')
      await clock.sleep(backoffDelayMs(cancelBackoff, attempt, random), signal)
    }
  }
  if (await wasExecuted(live, scope, signal)) return
  if (!signal.aborted) live.send({ type: 'STOPPED', node: live.context.attemptNode ?? membership.nodeId })
}

/** True: it had its effect before the end reached it, or may have had it; that was said, and nothing was stopped. */
async function wasExecuted(live: LiveQuery, scope: EffectScope, signal: AbortSignal): Promise<boolean> {
  const { context } = live
  const driver = scope.environment.engines.choose(context.engine)
  if (!driver || context.safeToRepeat || context.engineHandle === null || signal.aborted) return false
  const ask = () => driver.inquire(statementOf(live), context.engineHandle)
  const answer = await untilEngineAnswers(ask, scope, signal)
  if (signal.aborted || answer === 'ended') return signal.aborted
  if (answer === 'committed') live.send({ type: 'EXECUTED', rowCount: 0, columns: [], plan: null, estimate: null })
  else
    fail(
      live,
      scope,
      'statement',
      'EXECUTION_UNKNOWN',
      'It was stopped while it ran; the statement may or may not have been executed, and repeating it is not safe.',
    )
  return true
}

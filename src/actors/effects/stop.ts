/** LAUNCHED or RUNNING, `stopping`: asks the engine for the end, and goes on when it has confirmed it. */

import { backoffDelayMs } from '../../async/index.ts'
import { EngineError } from '../../engines/index.ts'
import type { Effect } from './effect.ts'
import { resume } from './orphan.ts'

const cancelBackoff = { firstMs: 50, limitMs: 2_000 }

export const stop: Effect = async (live, scope, signal) => {
  if (!(await resume(live, scope))) return
  const { clock, random, logger, membership } = scope.environment
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const run = await live.run
      await run?.cancel()
      break
    } catch (error) {
      // It never began, or ended by itself: then there is nothing left to end.
      if (error instanceof EngineError && error.failure !== 'unavailable') break
      logger.warn({ err: error, handle: live.handle }, 'the engine has not confirmed the end of a query, asking again')
      await clock.sleep(backoffDelayMs(cancelBackoff, attempt, random), signal)
    }
  }
  if (!signal.aborted) live.send({ type: 'STOPPED', node: live.context.attemptNode ?? membership.nodeId })
}

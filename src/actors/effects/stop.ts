/**
 * LAUNCHED or RUNNING, `stopping`: asks the engine for the end, and goes on when it has confirmed it. One that is away keeps no
 * query from its end for ever: then the end is owed.
 */

import { type Backoff, backoffDelayMs } from '../../async/index.ts'
import { type EngineDriver, EngineError } from '../../engines/index.ts'
import { aboutQuery } from '../../observability/index.ts'
import type { LiveQuery } from '../live-query.ts'
import type { Effect, EffectScope } from './effect.ts'
import { owe, patienceMs, untilEngineAnswers } from './engine-answer.ts'
import { fail } from './failure.ts'
import { resume } from './orphan.ts'
import { statementOf } from './statement.ts'

const cancelBackoff: Backoff = { firstMs: 50, limitMs: 2_000 }
/** What may be repeated leaves nothing behind but its run: its client need not wait for an engine that is away. */
const safePatienceMs = 5_000

export const stop: Effect = async (live, scope, signal) => {
  if (!(await resume(live, scope, signal))) return
  const { clock, membership, engines } = scope.environment
  const driver = engines.choose(live.context.engine)
  // What ends with this node alone has nobody else to end it.
  const patience = driver?.capabilities.endsWithNode
    ? Number.POSITIVE_INFINITY
    : Math.min(patienceMs(live, scope), live.context.safeToRepeat ? safePatienceMs : Number.POSITIVE_INFINITY)
  const until = clock.monotonic() + patience
  const isConfirmed = await untilCanceled(live, scope, signal, until)
  if (signal.aborted) return
  if (!isConfirmed && driver && live.context.safeToRepeat) owe(live, driver)
  if (driver && (await wasExecuted(driver, live, scope, signal, until))) return
  if (!signal.aborted) live.send({ type: 'STOPPED', node: live.context.attemptNode ?? membership.nodeId })
}

/** False: its engine could not be reached until then. */
async function untilCanceled(
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
  until: number,
): Promise<boolean> {
  const { clock, random, logger } = scope.environment
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      // One that was refused never began.
      const run = await live.run?.catch(() => null)
      await run?.cancel()
      break
    } catch (error) {
      // It ended by itself: then there is nothing left to end.
      if (error instanceof EngineError && error.failure !== 'unavailable') break
      logger.warn({ err: error, ...aboutQuery(live) }, 'the engine has not confirmed the end of a query, asking again')
      if (clock.monotonic() >= until) return false
      await clock.sleep(backoffDelayMs(cancelBackoff, attempt, random), signal)
    }
  }
  return true
}

/** True: it had its effect before the end reached it, or may have had it; that was said, and nothing was stopped. */
async function wasExecuted(
  driver: EngineDriver,
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
  until: number,
): Promise<boolean> {
  const { context } = live
  if (context.safeToRepeat || context.engineHandle === null || signal.aborted) return false
  const ask = () => driver.inquire(statementOf(live), context.engineHandle)
  const leftMs = Math.max(0, until - scope.environment.clock.monotonic())
  const answer = await untilEngineAnswers(ask, live, scope, signal, leftMs)
  if (signal.aborted || answer === 'ended') return signal.aborted
  if (answer === null) owe(live, driver)
  if (answer === 'committed') live.send({ type: 'EXECUTED', rowCount: 0, columns: [], plan: null, estimate: null })
  else if (answer === 'committed-with-rows')
    fail(live, scope, 'statement', 'RECOVERY_FAILED', 'It was executed before it could be stopped; its rows are lost.')
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

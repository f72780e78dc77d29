/** FAILING: waits until the next attempt may begin, or ends the query. */
import { isoNow } from '../environment.ts'
import type { Effect } from './effect.ts'

export const settle: Effect = async (live, scope, signal) => {
  live.resumed = false
  live.run = null
  live.storedResult = null
  live.lastPage = null
  const { retryAt } = live.context
  if (retryAt === null) {
    live.send({ type: 'GAVE_UP' })
    return
  }
  const { clock } = scope.environment
  // A cancel or a drain does not wait for the delay: both go on from QUEUED.
  while (!live.cancelRequested && !scope.handOverTarget()) {
    const leftMs = Date.parse(retryAt) - Date.parse(isoNow(scope.environment))
    if (leftMs <= 0) break
    await clock.sleep(Math.min(leftMs, 250), signal)
  }
  if (!signal.aborted) live.send({ type: 'RETRIED' })
}

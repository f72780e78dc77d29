/** EXECUTED: all rows are durable, or travel with this very step; ends the query. */

import { isoNow } from '../environment.ts'
import type { Effect } from './effect.ts'
import { resume } from './orphan.ts'

/** Changes nothing outside, so it need not wait for EXECUTED to be durable: both steps share one commit. */
export const finish: Effect = async (live, scope, signal) => {
  if (!(await resume(live, scope, signal))) return
  const { resultRetentionMs } = scope.environment.settings
  const stored = live.storedResult ?? live.storedRows
  const expiresAt =
    resultRetentionMs > 0 && live.context.result !== null
      ? new Date(Date.parse(isoNow(scope.environment)) + resultRetentionMs).toISOString()
      : null
  live.send({ type: 'STORED', pages: stored.pages, bytes: stored.bytes, expiresAt })
}

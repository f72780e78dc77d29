/**
 * I9: what one node answered, every node answers from then on. Whatever any client was told before an operation began is the
 * least that its answer may say: of a query, its version (`queries-in-time.ts`, `existence.ts`); of a session, that it is open,
 * changed or closed (`sessions-in-time.ts`).
 */

import { checkExistence } from './existence.ts'
import type { Findings } from './findings.ts'
import type { Ledger } from './ledger.ts'
import { checkQueriesInTime } from './queries-in-time.ts'
import { checkSessionsInTime } from './sessions-in-time.ts'

export function checkRealTime(ledger: Ledger, findings: Findings): void {
  checkQueriesInTime(ledger, findings)
  checkExistence(ledger, findings)
  checkSessionsInTime(ledger, findings)
}

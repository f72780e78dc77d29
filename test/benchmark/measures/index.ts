/** All measures by the names that `--only` knows, in the order in which they run. One line each. */
import type { Measure } from '../bench.ts'
import { measureFailovers } from './failover.ts'
import { measureIdle } from './idle.ts'
import { measureIsolation } from './isolation.ts'
import { measureJournal } from './journal.ts'
import { measureLatency } from './latency.ts'
import { measurePush } from './push.ts'
import { measureStatus } from './status.ts'
import { measureSubmissions } from './submissions.ts'
import { measureWhole } from './whole.ts'

export const measures: Readonly<Record<string, Measure>> = {
  transitions: measureJournal,
  submissions: measureSubmissions,
  status: measureStatus,
  latency: measureLatency,
  whole: measureWhole,
  push: measurePush,
  failover: measureFailovers,
  isolation: measureIsolation,
  idle: measureIdle,
}

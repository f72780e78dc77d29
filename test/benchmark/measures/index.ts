/** All measures by the names that `--only` knows, in the order in which they run. One line each. */
import type { Measure } from '../bench.ts'
import { measureDatabaseRestart } from './database-restart.ts'
import { measureDownload } from './download.ts'
import { measureFailovers } from './failover.ts'
import { measureFalseTakeovers } from './false-takeovers.ts'
import { measureHistory } from './history.ts'
import { measureIdle } from './idle.ts'
import { measureIsolation } from './isolation.ts'
import { measureJournal } from './journal.ts'
import { measureLatency } from './latency.ts'
import { measureManyOrphans } from './many-orphans.ts'
import { measurePush } from './push.ts'
import { measurePushFaults } from './push-faults.ts'
import { measureReference } from './reference.ts'
import { measureRetention } from './retention.ts'
import { measureRollingRestart, measureRollingUpgrade } from './rolling-restart.ts'
import { measureRunning } from './running.ts'
import { measureScaling } from './scaling.ts'
import { measureStatus } from './status.ts'
import { measureSubmissions } from './submissions.ts'
import { measureWhole } from './whole.ts'

export const measures: Readonly<Record<string, Measure>> = {
  transitions: measureJournal,
  submissions: measureSubmissions,
  status: measureStatus,
  latency: measureLatency,
  whole: measureWhole,
  scaling: measureScaling,
  history: measureHistory,
  retention: measureRetention,
  running: measureRunning,
  download: measureDownload,
  push: measurePush,
  'push-faults': measurePushFaults,
  failover: measureFailovers,
  isolation: measureIsolation,
  'database-restart': measureDatabaseRestart,
  'many-orphans': measureManyOrphans,
  'false-takeovers': measureFalseTakeovers,
  'rolling-restart': measureRollingRestart,
  'rolling-upgrade': measureRollingUpgrade,
  reference: measureReference,
  idle: measureIdle,
}

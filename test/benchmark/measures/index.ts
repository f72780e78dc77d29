/** All measures by the names that `--only` knows, in the order in which they run. One line each. */
import type { Measure } from '../bench.ts'
import { measureFailovers } from './failover.ts'
import { measureHttp } from './http.ts'
import { measureIdle } from './idle.ts'
import { measureJournal } from './journal.ts'
import { measurePush } from './push.ts'

export const measures: Readonly<Record<string, Measure>> = {
  transitions: measureJournal,
  http: measureHttp,
  push: measurePush,
  failover: measureFailovers,
  idle: measureIdle,
}

/** What every store does, whatever its database: run over each dialect from `test/store`. */
import type { TestFn } from 'ava'
import { clusterConformance } from './store-cluster.ts'
import type { StoreUnderTest } from './store-fixtures.ts'
import { formatConformance } from './store-formats.ts'
import { queryConformance } from './store-queries.ts'
import { rateConformance } from './store-rates.ts'
import { retentionConformance } from './store-retention.ts'
import { sessionConformance } from './store-sessions.ts'
import { stepConformance } from './store-steps.ts'
import { webhookConformance } from './store-webhooks.ts'

export type { StoreUnderTest }

export function storeConformance(test: TestFn, stores: StoreUnderTest): void {
  queryConformance(test, stores)
  stepConformance(test, stores)
  sessionConformance(test, stores)
  rateConformance(test, stores)
  retentionConformance(test, stores)
  clusterConformance(test, stores)
  formatConformance(test, stores)
  webhookConformance(test, stores)
}

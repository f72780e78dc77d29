/** Table and column names for the statements, quoted, taken from the entities: an SQL text never spells one by hand. */
import type { MikroORM } from '@mikro-orm/core'
import * as entity from './entities.ts'

/** `` `column` `` by property; the object itself reads as `` `table` `` in a template. */
export type Names<Property extends string> = { readonly [P in Property]: string } & { toString(): string }

export type QueryNames = Names<keyof typeof entity.queryColumns>

export interface Tables {
  readonly session: Names<keyof typeof entity.sessionColumns>
  readonly sessionTransition: Names<keyof typeof entity.sessionTransitionColumns>
  readonly current: QueryNames
  readonly finished: QueryNames
  readonly transition: Names<keyof typeof entity.queryTransitionColumns>
  readonly failedAttempt: Names<keyof typeof entity.failedAttemptColumns>
  readonly cleanup: Names<keyof typeof entity.engineCleanupColumns>
  readonly prepared: Names<keyof typeof entity.preparedQueryColumns>
  readonly key: Names<keyof typeof entity.submissionKeyColumns>
  readonly page: Names<keyof typeof entity.resultPageColumns>
  readonly member: Names<keyof typeof entity.memberColumns>
  readonly heartbeat: Names<keyof typeof entity.heartbeatColumns>
  readonly memberConnection: Names<keyof typeof entity.memberConnectionColumns>
  readonly lease: Names<keyof typeof entity.leaseColumns>
  readonly snapshotFormat: Names<keyof typeof entity.snapshotFormatColumns>
  readonly budget: Names<keyof typeof entity.slotBudgetColumns>
  readonly counter: Names<keyof typeof entity.usageCounterColumns>
  readonly failover: Names<keyof typeof entity.failoverColumns>
  readonly rateBucket: Names<keyof typeof entity.rateBucketColumns>
  readonly delivery: Names<keyof typeof entity.webhookDeliveryColumns>
}

/** Backticks are understood by MySQL, MariaDB and SQLite alike. */
const quoted = (name: string) => `\`${name}\``

export function tablesOf(orm: MikroORM): Tables {
  const names = <Property extends string>(entityName: object): Names<Property> => {
    const meta = orm.getMetadata().get(entityName as never)
    const result: Record<string, unknown> = {}
    for (const property of meta.props) result[property.name] = quoted(property.fieldNames[0] as string)
    Object.defineProperty(result, 'toString', { value: () => quoted(meta.tableName), enumerable: false })
    return result as Names<Property>
  }
  return {
    session: names(entity.Session),
    sessionTransition: names(entity.SessionTransition),
    current: names(entity.CurrentQuery),
    finished: names(entity.FinishedQuery),
    transition: names(entity.QueryTransition),
    failedAttempt: names(entity.FailedAttempt),
    cleanup: names(entity.EngineCleanup),
    prepared: names(entity.PreparedQuery),
    key: names(entity.SubmissionKey),
    page: names(entity.ResultPage),
    member: names(entity.Member),
    heartbeat: names(entity.Heartbeat),
    memberConnection: names(entity.MemberConnection),
    lease: names(entity.Lease),
    snapshotFormat: names(entity.SnapshotFormatRow),
    budget: names(entity.SlotBudget),
    counter: names(entity.UsageCounter),
    failover: names(entity.Failover),
    rateBucket: names(entity.RateBucket),
    delivery: names(entity.WebhookDelivery),
  }
}

/** `(?, ?, ?)` for `count` values. */
export function placeholders(count: number): string {
  return `(${'?, '.repeat(count - 1)}?)`
}

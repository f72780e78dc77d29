import { engineTraceParent } from '../../domain/index.ts'
import type { StatementRequest } from '../../engines/index.ts'
import type { LiveQuery } from '../live-query.ts'

/** What the engine is asked for this attempt. */
export function statementOf(live: LiveQuery): StatementRequest {
  const { specification, context } = live
  return {
    handle: live.handle,
    attempt: context.attempt,
    sql: specification.sql,
    parameters: specification.parameters,
    database: specification.database,
    properties: specification.properties,
    traceparent: engineTraceParent(specification.traceparent, live.handle, context.attempt),
    isolated: (context.failures['engine-process'] ?? 0) > 0,
  }
}

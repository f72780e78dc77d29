/** From what an engine or the store says to the machine's events. */
import { type ErrorCode, type FailureKind, LensError, nextAfterFailure } from '../../domain/index.ts'
import { EngineError } from '../../engines/index.ts'
import { isoNow } from '../environment.ts'
import type { LiveQuery } from '../live-query.ts'
import type { EffectScope } from './effect.ts'

const byEngineFailure = {
  'sql-invalid': ['statement', 'SQL_INVALID'],
  failed: ['statement', 'EXECUTION_FAILED'],
  canceled: ['statement', 'EXECUTION_FAILED'],
  unavailable: ['engine', 'ENGINE_UNAVAILABLE'],
  'process-died': ['engine-process', 'ENGINE_UNAVAILABLE'],
} as const satisfies Record<string, readonly [FailureKind, ErrorCode]>

/** Fails the attempt by the failure policy. Rethrows what is neither the engine's nor in the catalogue. */
export function failBy(error: unknown, live: LiveQuery, scope: EffectScope): void {
  if (error instanceof EngineError) {
    const [kind, code] = byEngineFailure[error.failure]
    fail(live, scope, kind, code, error.message)
  } else if (error instanceof LensError && error.code !== 'INTERNAL')
    fail(live, scope, 'statement', error.code, error.detail)
  else throw error
}

export function fail(live: LiveQuery, scope: EffectScope, kind: FailureKind, code: ErrorCode, message: string): void {
  const { membership, settings } = scope.environment
  const decision = nextAfterFailure({ kind, code, message }, live.context.failures, settings.failurePolicy)
  const retryAt =
    decision.retryDelayMs === null
      ? null
      : new Date(Date.parse(isoNow(scope.environment)) + decision.retryDelayMs).toISOString()
  live.send({
    type: 'ATTEMPT_FAILED',
    kind,
    code: decision.code,
    message: decision.message,
    node: live.context.attemptNode ?? membership.nodeId,
    retryAt,
  })
}

/** From what an engine or the store says to the machine's events. */
import { type ErrorCode, type FailureKind, LensError, nextAfterFailure } from '../../domain/index.ts'
import { EngineError } from '../../engines/index.ts'
import { isoNow } from '../environment.ts'
import type { LiveQuery } from '../live-query.ts'
import type { EffectScope } from './effect.ts'
import { untilEngineAnswers } from './engine-answer.ts'
import { statementOf } from './statement.ts'

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

/**
 * The engine, or the way to it, was lost under a statement that it may have begun. What is not safe to repeat is asked for first:
 * another attempt follows only when it had no effect, or when its client wants it repeated all the same.
 */
export async function failLost(
  error: unknown,
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
): Promise<void> {
  const { context, specification } = live
  const driver = scope.environment.engines.choose(context.engine)
  const isLost = error instanceof EngineError && (error.failure === 'unavailable' || error.failure === 'process-died')
  // Without an identity nothing can have begun.
  if (!isLost || !driver || context.safeToRepeat || context.engineHandle === null) {
    failBy(error, live, scope)
    return
  }
  const ask = () => driver.inquire(statementOf(live), context.engineHandle)
  const answer = await untilEngineAnswers(ask, scope, signal)
  if (signal.aborted) return
  if (answer === 'committed')
    fail(live, scope, 'statement', 'RECOVERY_FAILED', 'The statement was executed, but its rows are lost.')
  else if (answer === 'ended' || (specification.onRecovery === 'rerun' && !live.cancelRequested))
    failBy(error, live, scope)
  else
    fail(
      live,
      scope,
      'statement',
      'EXECUTION_UNKNOWN',
      'Its engine was lost; the statement may or may not have been executed, and repeating it is not safe.',
    )
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

/** From what an engine or the store says to the machine's events. */
import {
  awaySince,
  type ErrorCode,
  type FailureKind,
  type FailurePolicy,
  LensError,
  nextAfterFailure,
} from '../../domain/index.ts'
import { EngineError } from '../../engines/index.ts'
import { type ActorSettings, isoNow } from '../environment.ts'
import type { LiveQuery } from '../live-query.ts'
import type { EffectScope } from './effect.ts'
import { endOrOwe, untilEngineAnswers } from './engine-answer.ts'
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
    fail(live, scope, kind === 'engine' && hasNotBegun(live) ? 'engine-away' : kind, code, error.message)
  } else if (error instanceof LensError && error.code !== 'INTERNAL')
    fail(live, scope, 'statement', error.code, error.detail)
  else throw error
}

/** Whoever asks for an estimate or a plan wants it now, or to hear that it is not to be had. */
const askingPatienceMs = 3_000

export function policyFor({ specification }: LiveQuery, { failurePolicy }: ActorSettings): FailurePolicy {
  if (specification.operation === 'execute') return failurePolicy
  return { ...failurePolicy, enginePatienceMs: Math.min(askingPatienceMs, failurePolicy.enginePatienceMs) }
}

/** Without an identity nothing was sent to an engine that gives one; and what only asks changes nothing. */
function hasNotBegun({ status, context, specification }: LiveQuery): boolean {
  return specification.operation !== 'execute' || (status === 'LAUNCHED' && context.engineHandle === null)
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
    // It may go on, for nobody: no other attempt before its end was asked for.
    if (isLost && driver && context.engineHandle !== null) await endOrOwe(live, driver, scope)
    if (!signal.aborted) failBy(error, live, scope)
    return
  }
  const ask = () => driver.inquire(statementOf(live), context.engineHandle)
  const answer = await untilEngineAnswers(ask, live, scope, signal)
  if (signal.aborted) return
  if (answer === 'committed') live.send({ type: 'EXECUTED', rowCount: 0, columns: [], plan: null, estimate: null })
  else if (answer === 'committed-with-rows')
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
  const { failures, failedAttempts } = live.context
  const now = Date.parse(isoNow(scope.environment))
  const policy = policyFor(live, settings)
  const awayMs = now - awaySince(failedAttempts, now, policy)
  const decision = nextAfterFailure({ kind, code, message }, failures, policy, awayMs)
  const retryAt = decision.retryDelayMs === null ? null : new Date(now + decision.retryDelayMs).toISOString()
  live.send({
    type: 'ATTEMPT_FAILED',
    kind,
    code: decision.code,
    message: decision.message,
    node: live.context.attemptNode ?? membership.nodeId,
    retryAt,
  })
}

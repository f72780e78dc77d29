/**
 * What becomes of a query after a failure, and what a claimant does with an orphan: decided here, purely, as tables.
 */
import type { ErrorCode } from './errors.ts'
import type { FailureKind } from './query-machine.ts'
import type { Mode, OnRecovery, QueryStatus } from './vocabulary.ts'

/** Bounds on repetition, per query. */
export interface FailurePolicy {
  /** Attempts that may fail because the engine could not be reached. */
  readonly engineFailuresMax: number
  /** Deaths of its engine's process; one more attempt never begins. */
  readonly engineDeathsMax: number
  /** Deaths of the node that ran it. */
  readonly nodeDeathsMax: number
  /** Delay before another attempt at an engine that could not be reached; doubles with each failure. */
  readonly retryDelayMs: number
}

export interface Failure {
  readonly kind: FailureKind
  readonly code: ErrorCode
  readonly message: string
}

export interface FailureDecision {
  readonly code: ErrorCode
  readonly message: string
  /** How long to wait before the next attempt, or null when there shall be none. */
  readonly retryDelayMs: number | null
}

/** Another attempt, or the end. `failures` counts those before this one. */
export function nextAfterFailure(
  failure: Failure,
  failures: Readonly<Partial<Record<FailureKind, number>>>,
  policy: FailurePolicy,
): FailureDecision {
  const count = (failures[failure.kind] ?? 0) + 1
  const { code, message } = failure
  const again = (retryDelayMs: number): FailureDecision => ({ code, message, retryDelayMs })
  const end = (endCode: ErrorCode, endMessage: string): FailureDecision => ({
    code: endCode,
    message: endMessage,
    retryDelayMs: null,
  })
  switch (failure.kind) {
    case 'statement':
      return end(code, message)
    case 'hand-over':
      return again(0)
    case 'engine':
      return count >= policy.engineFailuresMax ? end(code, message) : again(policy.retryDelayMs * 2 ** (count - 1))
    case 'engine-process':
      return count >= policy.engineDeathsMax
        ? end('RECOVERY_FAILED', `Its engine process died ${count} times while it ran: ${message}`)
        : again(0)
    case 'node':
      return count >= policy.nodeDeathsMax
        ? end('RECOVERY_FAILED', `Its node died ${count} times while it ran: ${message}`)
        : again(0)
  }
}

/** What the engine says of the run that an orphan left behind. */
export type EngineAnswer =
  /** Still there: can be reattached. */
  | 'running'
  /** Its effects are there for good. */
  | 'committed'
  /** It ended without effect. */
  | 'ended'
  /** The engine ended with the old owner, or its end was asked for; whether it had an effect is not known. */
  | 'unknown'

export interface OrphanFacts {
  readonly status: QueryStatus
  readonly cancelRequested: boolean
  readonly mode: Mode
  /** A synchronous query with an idempotency key: somebody will come back for it. */
  readonly keyed: boolean
  readonly onRecovery: OnRecovery
  /** Durable with EXECUTED; null before. */
  readonly rowCount: number | null
  /** Rows were announced but are not all durable. */
  readonly rowsOwed: boolean
  readonly safeToRepeat: boolean
  readonly engine: EngineAnswer
}

export type OrphanDecision =
  | { readonly do: 'go-on' }
  | { readonly do: 'cancel' }
  | { readonly do: 'finish' }
  | { readonly do: 'reattach' }
  | { readonly do: 'rerun' }
  | { readonly do: 'fail'; readonly code: ErrorCode; readonly message: string }

/** The table of `docs/architecture.md`, "What a claimant does": the first line that matches. */
export function decideOrphan(facts: OrphanFacts): OrphanDecision {
  const launched = facts.status === 'LAUNCHED' || facts.status === 'RUNNING' || facts.status === 'EXECUTED'
  if (facts.status === 'FAILING') return { do: 'go-on' }
  if (!launched && facts.cancelRequested) return { do: 'cancel' }
  if (facts.mode === 'sync' && !facts.keyed && facts.status !== 'EXECUTED')
    return { do: 'fail', code: 'NODE_LOST', message: 'The node that a client waited at is gone, and nobody waits any more.' }
  if (!launched) return { do: 'go-on' }
  if (facts.status === 'EXECUTED' && !facts.rowsOwed) return { do: 'finish' }
  if (facts.engine === 'running') return { do: 'reattach' }
  if (facts.engine === 'committed')
    return facts.rowsOwed
      ? { do: 'fail', code: 'RECOVERY_FAILED', message: 'The statement was executed, but its rows are lost.' }
      : { do: 'finish' }
  if (facts.engine === 'ended' || facts.safeToRepeat) {
    if (facts.cancelRequested) return { do: 'cancel' }
    return facts.onRecovery === 'fail'
      ? { do: 'fail', code: 'NODE_LOST', message: 'The node that ran it died.' }
      : { do: 'rerun' }
  }
  if (facts.onRecovery === 'rerun' && !facts.cancelRequested) return { do: 'rerun' }
  return {
    do: 'fail',
    code: 'EXECUTION_UNKNOWN',
    message: 'The node that ran it died; the statement may or may not have been executed, and repeating it is not safe.',
  }
}

/**
 * What becomes of a query after a failure, and what a claimant does with an orphan: decided here, purely, as tables.
 */
import type { ErrorCode } from './errors.ts'
import type { FailureKind } from './query-machine.ts'
import type { FailedAttempt } from './views.ts'
import { holdsSlot, isFinished, type Mode, type OnRecovery, type QueryStatus } from './vocabulary.ts'

/** Bounds on repetition, per query. */
export interface FailurePolicy {
  /** How often the engine may be lost under it. */
  readonly engineFailuresMax: number
  /** How long an engine that is away is waited for; meanwhile nothing counts that had not begun there. */
  readonly enginePatienceMs: number
  /** Deaths of its engine's process; one more attempt never begins. */
  readonly engineDeathsMax: number
  /** Deaths of the node that ran it. */
  readonly nodeDeathsMax: number
  /** Delay before another attempt at an engine that could not be reached; doubles with each failure, up to `retryDelayMsMax`. */
  readonly retryDelayMs: number
}

/** However often an engine could not be reached, it is asked again after this long. */
export const retryDelayMsMax = 60_000
/** The same for one under which nothing had begun: that it is back is noticed before the next attempt. */
export const awayDelayMsMax = 5_000

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

/**
 * Since when its engine has been away, in milliseconds since 1970: the first of the latest attempts that failed so, one soon after the other.
 * Between two that lie further apart than the patience reaches, it was there.
 */
export function awaySince(
  failedAttempts: readonly Pick<FailedAttempt, 'code' | 'at'>[],
  nowMs: number,
  { enginePatienceMs }: FailurePolicy,
): number {
  let since = nowMs
  for (const { code, at } of failedAttempts.toReversed()) {
    const atMs = Date.parse(at)
    if (code !== 'ENGINE_UNAVAILABLE' || since - atMs > enginePatienceMs) break
    since = Math.min(since, atMs)
  }
  return since
}

/** Another attempt, or the end. `failures` counts those before this one; `awayMs`: for how long its engine has been away. */
export function nextAfterFailure(
  failure: Failure,
  failures: Readonly<Partial<Record<FailureKind, number>>>,
  policy: FailurePolicy,
  awayMs: number,
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
    case 'engine-away':
      return count >= policy.engineFailuresMax && awayMs >= policy.enginePatienceMs
        ? end(code, message)
        : again(delayMs(policy, count, awayDelayMsMax))
    case 'engine':
      return count >= policy.engineFailuresMax ? end(code, message) : again(delayMs(policy, count, retryDelayMsMax))
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

function delayMs({ retryDelayMs }: FailurePolicy, count: number, longestMs: number): number {
  return Math.min(retryDelayMs * 2 ** (count - 1), Math.max(retryDelayMs, longestMs))
}

/** What the engine says of the run that an orphan left behind. */
export type EngineAnswer =
  /** Still there: can be reattached. */
  | 'running'
  /** Its effects are there for good, and it gave no rows. */
  | 'committed'
  /** Its effects are there for good; the rows that it gave are not to be had again. */
  | 'committed-with-rows'
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
  /** The ordinary path of the state in which it was found. */
  | { readonly do: 'go-on' }
  /** `STOP_REQUESTED` for `cancel`. */
  | { readonly do: 'cancel' }
  /** All that it owed is there: `STORED` (after `EXECUTED`, where that was not yet said). */
  | { readonly do: 'finish' }
  /** The engine has it: go on with that run. */
  | { readonly do: 'reattach' }
  /** The engine has it and nobody waits for it: `STOP_REQUESTED` for `abandoned`, so that it fails once the engine has confirmed the end. */
  | { readonly do: 'abandon' }
  /** The attempt has failed with its node; another follows. */
  | { readonly do: 'rerun' }
  | { readonly do: 'fail'; readonly code: ErrorCode; readonly message: string }

const fail = (code: ErrorCode, message: string): OrphanDecision => ({ do: 'fail', code, message })

/**
 * What a claimant does, the first line that matches:
 *
 * | found | done |
 * |---|---|
 * | FAILING, or finished | go on |
 * | nothing launched | cancel if that was asked for; fail `NODE_LOST` if nobody waits any more; else go on |
 * | EXECUTED and no rows owed | finish |
 * | the engine still has it | reattach; if nobody waits any more, and it is not EXECUTED, abandon |
 * | the engine's word: committed | no rows owed: finish; rows owed: fail `RECOVERY_FAILED` |
 * | ended without effect, or safe to repeat | cancel if that was asked for; fail `NODE_LOST` if nobody waits or `onRecovery` is `fail`; else rerun |
 * | `onRecovery` is `rerun`, no cancel was asked for, and somebody waits | rerun |
 * | else | fail `EXECUTION_UNKNOWN` |
 *
 * Nobody waits: it is synchronous and has no idempotency key. `NODE_LOST` says that a repetition is safe, so it stands
 * only where nothing was launched, the engine confirmed the end without effect, or the statement is safe to repeat.
 */
export function decideOrphan(facts: OrphanFacts): OrphanDecision {
  const { status, cancelRequested, onRecovery, rowsOwed, safeToRepeat, engine } = facts
  if (status === 'FAILING' || isFinished(status)) return { do: 'go-on' }
  const nobodyWaits = facts.mode === 'sync' && !facts.keyed
  const lostUnawaited = 'The node that a client waited at is gone, and nobody waits any more.'
  if (!holdsSlot(status)) {
    if (cancelRequested) return { do: 'cancel' }
    return nobodyWaits ? fail('NODE_LOST', lostUnawaited) : { do: 'go-on' }
  }
  if (status === 'EXECUTED' && !rowsOwed) return { do: 'finish' }
  // A cancel that was asked for reaches the run by the ordinary path, once it is followed again.
  if (engine === 'running')
    return { do: nobodyWaits && !cancelRequested && status !== 'EXECUTED' ? 'abandon' : 'reattach' }
  if (engine === 'committed' || engine === 'committed-with-rows')
    return rowsOwed ? fail('RECOVERY_FAILED', 'The statement was executed, but its rows are lost.') : { do: 'finish' }
  if (engine === 'ended' || safeToRepeat) {
    // EXECUTED takes a cancel only of what is safe to repeat; another attempt meets the cancel in QUEUED.
    if (cancelRequested) return { do: status === 'EXECUTED' && !safeToRepeat ? 'rerun' : 'cancel' }
    if (nobodyWaits) return fail('NODE_LOST', lostUnawaited)
    return onRecovery === 'fail' ? fail('NODE_LOST', 'The node that ran it died.') : { do: 'rerun' }
  }
  if (onRecovery === 'rerun' && !cancelRequested && !nobodyWaits) return { do: 'rerun' }
  return fail(
    'EXECUTION_UNKNOWN',
    'The node that ran it died; the statement may or may not have been executed, and repeating it is not safe.',
  )
}

/** The first thing that happens to a query that comes back to life: what its former owner left is looked at and decided. */
import { decideOrphan, type EngineAnswer } from '../../domain/index.ts'
import type { EngineDriver } from '../../engines/index.ts'
import type { LiveQuery } from '../live-query.ts'
import type { EffectScope } from './effect.ts'
import { endOrOwe, owe, patienceMs, untilEngineAnswers } from './engine-answer.ts'
import { fail } from './failure.ts'
import { statementOf } from './statement.ts'

/**
 * Applies the table of recovery once. True: the query goes on in the state in which it was found, by the ordinary path
 * (with `live.run` set where the engine still had it). False: an event was sent, and this effect is over.
 */
export async function resume(live: LiveQuery, scope: EffectScope, signal: AbortSignal): Promise<boolean> {
  if (!live.resumed) return true
  const { engines } = scope.environment
  const { context, status, specification } = live
  const launched = status === 'LAUNCHED' || status === 'RUNNING' || status === 'EXECUTED'
  const driver = launched ? engines.choose(context.engine) : undefined
  const { rowCount } = context
  const isWhole = rowCount !== null && live.storedRows.rows >= rowCount
  if (driver && !(status === 'EXECUTED' && isWhole)) {
    const attach = () => driver.attach(statementOf(live), context.engineHandle, live.storedRows.rows)
    const run = await untilEngineAnswers(attach, live, scope, signal, patienceMs(live, scope))
    if (run && !signal.aborted) live.run = Promise.resolve(run)
  }
  const engine = live.run ? 'running' : driver ? await wordOf(driver, live, scope, signal) : 'unknown'
  const isAwaited = await wasHandedOver(live, scope)
  // Left meanwhile: whoever follows in the next state looks for itself.
  if (live.detached || signal.aborted) return false
  live.resumed = false
  const decision = decideOrphan({
    status,
    cancelRequested: live.cancelRequested,
    mode: isAwaited ? 'async' : specification.mode,
    keyed: specification.idempotencyKey !== null,
    onRecovery: specification.onRecovery,
    rowCount,
    // How many there are is said with EXECUTED; before that, the engine knows whether there are any.
    rowsOwed: !(isWhole || (rowCount === null && engine === 'committed')),
    safeToRepeat: context.safeToRepeat,
    engine,
  })
  switch (decision.do) {
    case 'go-on':
      return true
    case 'reattach':
      if (status !== 'EXECUTED') return true
      // It was executed, and nothing follows its rows in this state: what is safe to repeat begins again.
      if (context.safeToRepeat) fail(live, scope, 'node', 'NODE_LOST', 'The node that read its rows is gone.')
      else fail(live, scope, 'statement', 'RECOVERY_FAILED', 'The statement was executed, but its rows are lost.')
      return false
    case 'finish':
      if (status === 'EXECUTED') return true
      // The engine's word: it was executed, and it owed no rows.
      live.send({ type: 'EXECUTED', rowCount: 0, columns: [], plan: null, estimate: null })
      return false
    case 'cancel':
      if (live.send({ type: 'STOP_REQUESTED', reason: 'cancel' })) return false
      // Found in `stopping`, it was asked to stop before: only the engine's confirmation is missing, and this is it.
      live.send({ type: 'STOPPED', node: context.attemptNode ?? scope.environment.membership.nodeId })
      return false
    case 'abandon':
      // Found in `stopping`: `stop` goes on with what the engine still has.
      return !live.send({ type: 'STOP_REQUESTED', reason: 'abandoned' })
    case 'rerun':
      fail(live, scope, 'node', 'NODE_LOST', 'The node that ran it is gone.')
      return false
    case 'fail':
      fail(live, scope, 'statement', decision.code, decision.message)
      return false
  }
}

/** What its engine says of it. What may be repeated, or shall be ended, does not wait for an engine that is away. */
async function wordOf(
  driver: EngineDriver,
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
): Promise<EngineAnswer> {
  if (live.context.safeToRepeat && live.context.engineHandle !== null) return endOrOwe(live, driver, scope)
  const ask = () => driver.inquire(statementOf(live), live.context.engineHandle)
  const answer = await untilEngineAnswers(ask, live, scope, signal, patienceMs(live, scope))
  if (answer === null) owe(live, driver)
  return answer ?? 'unknown'
}

/**
 * Moved by its living owner or the leader, not claimed from the dead: whoever waits for a synchronous query waits at a living
 * node. Asked only where that decides.
 */
async function wasHandedOver(live: LiveQuery, scope: EffectScope): Promise<boolean> {
  const { mode, idempotencyKey } = live.specification
  if (mode !== 'sync' || idempotencyKey !== null) return false
  const transitions = await scope.environment.store.queries.transitions(live.handle, 0)
  return transitions.some(({ epoch, event }) => epoch === live.epoch && event.type === 'HANDED_OVER')
}

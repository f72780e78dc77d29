/** RUNNING: follows the statement to its end; its rows become durable pages as they arrive. */
import { type EngineHandle, LensError } from '../../domain/index.ts'
import { type EngineDriver, EngineError, type Run } from '../../engines/index.ts'
import { FencedError, ResultTooLargeError, ResultWriter } from '../../results/index.ts'
import type { PageStore } from '../../store/index.ts'
import { DetachedError, type LiveQuery } from '../live-query.ts'
import type { Effect, EffectScope } from './effect.ts'
import { untilEngineAnswers } from './engine-answer.ts'
import { failLost } from './failure.ts'
import { resume } from './orphan.ts'
import { statementOf } from './statement.ts'

export const follow: Effect = async (live, scope, signal) => {
  if (!(await resume(live, scope, signal))) return
  const driver = scope.environment.engines.choose(live.context.engine)
  if (!driver) throw new Error(`engine ${live.context.engine} is not known here`)
  try {
    if (live.specification.operation === 'execute') await followRows(live, scope, signal)
    else await answerWithoutRows(live, driver, scope)
  } catch (error) {
    if (signal.aborted || error instanceof DetachedError) return
    if (error instanceof FencedError) scope.fenced(live)
    else await failLost(error, live, scope, signal)
  }
}

async function followRows(live: LiveQuery, scope: EffectScope, signal: AbortSignal): Promise<void> {
  const { settings, clock, events } = scope.environment
  const run = await live.run
  if (!run) throw new Error('a running query has no run')
  const stopProgress = clock.every(settings.progressMs, () => {
    const progress = run.progress()
    if (progress.fraction === live.progress.fraction && progress.message === live.progress.message) return
    live.progress = progress
    events.progressed(live.specification, progress)
  })
  try {
    const writer = new ResultWriter({
      pages: untilDetached(scope, signal),
      handle: live.handle,
      epoch: live.epoch,
      attempt: live.context.attempt,
      again: live.storedRows.pages > 0,
      stored: run.storedRows ? live.storedRows : null,
      bytesMax: settings.resultBytesMax,
      directory: settings.resultDirectory,
    })
    for await (const batch of run.rows()) {
      if (signal.aborted) throw new DetachedError()
      await writer.write(batch)
      if (batch.continues) await advance(live, batch.continues)
    }
    const stored = await writer.finish()
    const columns = await run.columns()
    await keepSession(live, run, scope, signal)
    if (signal.aborted) throw new DetachedError()
    live.lastPage = stored.lastPage ?? null
    live.storedResult = { pages: stored.pages, bytes: stored.bytes, rows: stored.rowCount }
    live.send({ type: 'EXECUTED', rowCount: stored.rowCount, columns, plan: null, estimate: null })
  } catch (error) {
    const owned = !signal.aborted && !(error instanceof DetachedError) && !(error instanceof FencedError)
    // It failed here, not at its engine, where it would run on for nobody.
    if (owned && !(error instanceof EngineError)) await untilEngineAnswers(() => run.cancel(), live, scope, signal)
    if (error instanceof ResultTooLargeError) throw new LensError('RESULT_TOO_LARGE', error.message)
    throw error
  } finally {
    stopProgress()
  }
}

/** Behind the rows that were stored: from then on the engine may forget what came before. */
async function advance(live: LiveQuery, engineHandle: EngineHandle): Promise<void> {
  if (!live.send({ type: 'ADVANCED', engineHandle })) throw new DetachedError()
  await live.durable()
}

/**
 * What the statement made of its session is there before its end is. Said by its last answers too, so whoever takes it over in between does
 * the same once more.
 */
async function keepSession(live: LiveQuery, run: Run, scope: EffectScope, signal: AbortSignal): Promise<void> {
  const change = run.sessionChange?.()
  if (!change) return
  const { changeSession, clock } = scope.environment
  for (;;)
    try {
      await changeSession(live.specification.sessionId, change)
      return
    } catch (error) {
      if (!(error instanceof LensError) || error.code !== 'STORE_UNAVAILABLE') throw error
      await clock.sleep(100, signal)
      if (signal.aborted) throw new DetachedError()
    }
}

async function answerWithoutRows(live: LiveQuery, driver: EngineDriver, scope: EffectScope): Promise<void> {
  const statement = statementOf(live)
  if (live.specification.operation === 'explain') {
    const plan = await driver.explain(statement)
    live.send({ type: 'EXECUTED', rowCount: 0, columns: [], plan, estimate: null })
    return
  }
  const { cost, rows } = await driver.estimate(statement)
  const lane = cost >= scope.environment.settings.heavyFromCost ? 'heavy' : 'light'
  live.send({ type: 'EXECUTED', rowCount: 0, columns: [], plan: null, estimate: { cost, rows, lane } })
}

/**
 * Pages are appended for as long as the query is ours: a store that is away is waited for, not failed for. It may have taken the page before it
 * went away.
 */
function untilDetached(scope: EffectScope, signal: AbortSignal): PageStore {
  const { pages, clock } = scope.environment
  const patiently = async <T>(write: (again: boolean) => Promise<T>): Promise<T> => {
    for (let again = false; ; again = true) {
      if (signal.aborted) throw new DetachedError()
      try {
        return await write(again)
      } catch (error) {
        if (!(error instanceof LensError) || error.code !== 'STORE_UNAVAILABLE') throw error
        await clock.sleep(100, signal)
      }
    }
  }
  return {
    append: (page, epoch) => patiently(again => pages.append(page, epoch, again)),
    reset: (handle, epoch, attempt) => patiently(() => pages.reset(handle, epoch, attempt)),
    from: (handle, attempt, row, limit) => pages.from(handle, attempt, row, limit),
    expire: (term, limit) => pages.expire(term, limit),
  }
}

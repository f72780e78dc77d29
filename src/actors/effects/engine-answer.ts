/**
 * What an engine is asked about a run that may be there. While it cannot be reached nobody knows, so it is asked again; whoever need
 * not know goes on after a while, and the end of the run is then owed: durable with the query's next step, asked for until the
 * engine has confirmed it (`OwedEnds`).
 */

import { backoffDelayMs } from '../../async/index.ts'
import type { EngineAnswer } from '../../domain/index.ts'
import { type EngineDriver, EngineError } from '../../engines/index.ts'
import { aboutQuery } from '../../observability/index.ts'
import type { LiveQuery } from '../live-query.ts'
import { type EffectScope, say } from './effect.ts'
import { statementOf } from './statement.ts'

const askBackoff = { firstMs: 100, limitMs: 2_000 }
/** Where another attempt follows whatever the engine says, it is asked no longer than that. */
const askMs = 1_000

/**
 * How long an engine that is away is asked about a run. About one that may have had an effect, and that nobody wants ended, for as long
 * as it takes: only its word is the truth.
 */
export function patienceMs({ context }: LiveQuery, { environment }: EffectScope): number {
  const { stopReason, safeToRepeat } = context
  const mayEnd = safeToRepeat || (stopReason !== null && stopReason !== 'hand-over')
  return mayEnd ? environment.settings.failurePolicy.enginePatienceMs : Number.POSITIVE_INFINITY
}

/** Null: it could not be reached for `patienceMs`. Rejects when the signal aborts. */
export async function untilEngineAnswers<T>(
  ask: () => Promise<T>,
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
  patienceMs: number,
): Promise<T | null>
export async function untilEngineAnswers<T>(
  ask: () => Promise<T>,
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
): Promise<T>
export async function untilEngineAnswers<T>(
  ask: () => Promise<T>,
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
  patienceMs = Number.POSITIVE_INFINITY,
): Promise<T | null> {
  const { clock, random, logger } = scope.environment
  const until = clock.monotonic() + patienceMs
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await ask()
      if (attempt > 0) say('', live, scope)
      return answer
    } catch (error) {
      if (!isAway(error)) throw error
      if (attempt === 0) {
        logger.warn({ err: error, ...aboutQuery(live) }, 'the engine cannot say what became of a run, asking again')
        say(`Waiting for the engine ${live.context.engine}, to hear what became of the statement.`, live, scope)
      }
      if (clock.monotonic() >= until) return null
      await clock.sleep(backoffDelayMs(askBackoff, attempt, random), signal)
    }
  }
}

/** Asks for the end of what may repeat. What the engine does not confirm at once is owed: the query goes on without it. */
export async function endOrOwe(
  live: LiveQuery,
  driver: EngineDriver,
  { environment: { clock } }: EffectScope,
): Promise<EngineAnswer> {
  const statement = statementOf(live)
  const { engineHandle } = live.context
  const patience = new AbortController()
  const waited = clock.sleep(askMs, patience.signal).then(
    () => null,
    () => null,
  )
  const asked = driver.inquire(statement, engineHandle)
  asked.catch(() => {})
  try {
    const answer = await Promise.race([asked, waited])
    if (answer !== null) return answer
  } catch (error) {
    if (!isAway(error)) throw error
  } finally {
    patience.abort()
  }
  owe(live, driver)
  return 'unknown'
}

/** From the step on that ends its attempt somebody asks the engine for its end, whatever becomes of the query. */
export function owe(live: LiveQuery, driver: EngineDriver): void {
  const { attempt, engineHandle } = live.context
  if (engineHandle === null || driver.capabilities.endsWithNode) return
  live.owedEnds.push({ attempt, engine: driver.name, engineHandle })
}

function isAway(error: unknown): boolean {
  return error instanceof EngineError && error.failure === 'unavailable'
}

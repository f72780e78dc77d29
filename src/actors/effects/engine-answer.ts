/** What an engine is asked about a run that may be there. While it cannot be reached nobody knows, so it is asked again. */
import { backoffDelayMs } from '../../async/index.ts'
import { EngineError } from '../../engines/index.ts'
import type { EffectScope } from './effect.ts'

const askBackoff = { firstMs: 100, limitMs: 2_000 }

/** Rejects when the signal aborts. */
export async function untilEngineAnswers<T>(
  ask: () => Promise<T>,
  { environment }: EffectScope,
  signal: AbortSignal,
): Promise<T> {
  const { clock, random, logger } = environment
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof EngineError) || error.failure !== 'unavailable') throw error
      if (attempt === 0) logger.warn({ err: error }, 'the engine cannot say what became of a run, asking again')
      await clock.sleep(backoffDelayMs(askBackoff, attempt, random), signal)
    }
  }
}

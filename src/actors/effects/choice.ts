/**
 * Which engine a query goes to: of a group, the one where it is expected to cost least for how full its lane is here. One that
 * does not answer is left out, and so is the one that was lost under the attempt before, as long as there is another.
 */
import { backoffDelayMs } from '../../async/index.ts'
import { awaySince, LensError, type QueryContext, type SlotLane } from '../../domain/index.ts'
import { type EngineDriver, EngineError, type EstimateAnswer } from '../../engines/index.ts'
import { isoNow } from '../environment.ts'
import type { LiveQuery } from '../live-query.ts'
import { type EffectScope, say } from './effect.ts'
import { fail, failBy, policyFor } from './failure.ts'
import { statementOf } from './statement.ts'

/** Engines that are all away are looked at again: that they are back is in memory. */
const engineBackoff = { firstMs: 50, limitMs: 1_000 }

interface Candidate {
  readonly driver: EngineDriver
  readonly estimate: EstimateAnswer
  readonly lane: SlotLane
}

/** The engine, with the lane of the query decided and noted; null: an event ended this effect. */
export async function chooseEngine(
  live: LiveQuery,
  scope: EffectScope,
  signal: AbortSignal,
): Promise<EngineDriver | null> {
  const { engines, clock, random, settings } = scope.environment
  const asked = live.specification.requestedEngine
  const policy = policyFor(live, settings)
  const now = Date.parse(isoNow(scope.environment))
  // Whoever had it before may have waited too, and launched it in vain.
  const awayUntil =
    clock.monotonic() + policy.enginePatienceMs - (now - awaySince(live.context.failedAttempts, now, policy))
  for (let attempt = 0; ; attempt++) {
    const drivers = engines.candidates(asked, lostEngine(live.context))
    const [only] = drivers
    if (!only) {
      const message = `No engine is named ${JSON.stringify(asked)} on this node.`
      failBy(new LensError('ENGINE_UNAVAILABLE', message), live, scope)
      return null
    }
    // (Of a group all are candidates when none is healthy.)
    if (only.healthy()) {
      const chosen = await chosenOf(live, drivers, scope, signal)
      if (chosen !== 'away') return chosen
    }
    const message = `The engine ${asked ?? only.name} cannot be reached.`
    if (clock.monotonic() >= awayUntil) {
      fail(live, scope, 'statement', 'ENGINE_UNAVAILABLE', message)
      return null
    }
    say(`${message} Waiting for it.`, live, scope)
    await clock.sleep(backoffDelayMs(engineBackoff, attempt, random), signal)
  }
}

/** Null: an event ended this effect. */
async function chosenOf(
  live: LiveQuery,
  drivers: readonly EngineDriver[],
  scope: EffectScope,
  signal: AbortSignal,
): Promise<EngineDriver | null | 'away'> {
  if (live.context.lane !== 'auto') return freest(live.context.lane, drivers, scope)
  const answers = await Promise.all(drivers.map(driver => candidateOf(live, driver, scope)))
  if (signal.aborted) return null
  const best = cheapest(
    answers.flatMap(answer => ('error' in answer ? [] : [answer])),
    scope,
  )
  if (best) {
    const { cost, rows } = best.estimate
    // The machine moves within its state: this effect goes on.
    return live.send({ type: 'ESTIMATED', lane: best.lane, cost, rows }) ? best.driver : null
  }
  const refusals = answers.flatMap(answer => ('error' in answer && !isAway(answer.error) ? [answer.error] : []))
  if (refusals.length === 0) return 'away'
  failBy(refusals[0], live, scope)
  return null
}

async function candidateOf(
  live: LiveQuery,
  driver: EngineDriver,
  { environment }: EffectScope,
): Promise<Candidate | { readonly error: unknown }> {
  // An estimate or a plan is itself light; asking twice for it would be work for nothing.
  const light = live.specification.operation !== 'execute' || !driver.capabilities.estimate
  try {
    const estimate = light ? { cost: 0, rows: null } : await driver.estimate(statementOf(live))
    return { driver, estimate, lane: estimate.cost >= environment.settings.heavyFromCost ? 'heavy' : 'light' }
  } catch (error) {
    return { error }
  }
}

function cheapest(candidates: readonly Candidate[], { lanes }: EffectScope): Candidate | undefined {
  // A statement that costs nothing waits for a full lane all the same.
  const score = ({ driver, estimate, lane }: Candidate) => (1 + estimate.cost) * lanes.fullness(driver.name, lane)
  return leastOf(candidates, score)
}

function freest(lane: SlotLane, drivers: readonly EngineDriver[], { lanes }: EffectScope): EngineDriver | null {
  return leastOf(drivers, driver => lanes.fullness(driver.name, lane)) ?? null
}

/** The first of those that have the least. */
function leastOf<T>(items: readonly T[], of: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (least, item) => (least === undefined || of(item) < of(least) ? item : least),
    undefined,
  )
}

function lostEngine({ failedAttempts }: QueryContext): string | null {
  const last = failedAttempts.at(-1)
  return last?.code === 'ENGINE_UNAVAILABLE' ? last.engine : null
}

function isAway(error: unknown): boolean {
  return error instanceof EngineError && (error.failure === 'unavailable' || error.failure === 'process-died')
}

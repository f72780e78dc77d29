/** QUEUED: chooses the lane by the engine's estimate, then waits for a slot of it. */
import { backoffDelayMs, deferred } from '../../async/index.ts'
import { LensError, type SlotLane } from '../../domain/index.ts'
import { type EngineDriver, EngineError } from '../../engines/index.ts'
import type { Slot } from '../lanes.ts'
import type { LiveQuery } from '../live-query.ts'
import type { Effect, EffectScope } from './effect.ts'
import { failBy } from './failure.ts'
import { resume } from './orphan.ts'
import { statementOf } from './statement.ts'

/** An engine that is away is asked again; the query stays QUEUED until its deadline. */
const engineBackoff = { firstMs: 100, limitMs: 5_000 }

export const schedule: Effect = async (live, scope, signal) => {
  if (!(await resume(live, scope, signal))) return
  if (live.cancelRequested) {
    live.send({ type: 'STOP_REQUESTED', reason: 'cancel' })
    return
  }
  const target = scope.handOverTarget()
  if (target && live.handOver(target)) return
  const driver = scope.environment.engines.choose(live.context.engine)
  if (!driver) {
    const message = `No engine is named ${JSON.stringify(live.context.engine)} on this node.`
    failBy(new LensError('ENGINE_UNAVAILABLE', message), live, scope)
    return
  }
  if (live.context.lane === 'auto' && !(await estimate(live, driver, scope, signal))) return
  const lane = live.context.lane === 'heavy' ? 'heavy' : 'light'
  const slot = await slotFor(live, driver.name, lane, scope, signal)
  if (signal.aborted || !live.send({ type: 'LAUNCHED', engine: driver.name })) {
    slot.release()
    return
  }
  live.slot = slot
}

/** False: an event ended this effect. */
async function estimate(
  live: LiveQuery,
  driver: EngineDriver,
  scope: EffectScope,
  signal: AbortSignal,
): Promise<boolean> {
  const { clock, random, settings } = scope.environment
  for (let attempt = 0; ; attempt++) {
    try {
      // An estimate or a plan is itself light; asking twice for it would be work for nothing.
      const light = live.specification.operation !== 'execute' || !driver.capabilities.estimate
      const { cost, rows } = light ? { cost: 0, rows: null } : await driver.estimate(statementOf(live))
      if (signal.aborted) return false
      const lane: SlotLane = cost >= settings.heavyFromCost ? 'heavy' : 'light'
      // The machine moves within its state: this effect goes on.
      return live.send({ type: 'ESTIMATED', lane, cost, rows })
    } catch (error) {
      if (signal.aborted) return false
      const away = error instanceof EngineError && (error.failure === 'unavailable' || error.failure === 'process-died')
      if (!away) {
        failBy(error, live, scope)
        return false
      }
      await clock.sleep(backoffDelayMs(engineBackoff, attempt, random), signal)
    }
  }
}

async function slotFor(
  live: LiveQuery,
  engine: string,
  lane: SlotLane,
  scope: EffectScope,
  signal: AbortSignal,
): Promise<Slot> {
  const { clock } = scope.environment
  const waitMs = live.launchNotBefore - clock.monotonic()
  if (waitMs > 0) await clock.sleep(waitMs, signal)
  const granted = deferred<Slot>()
  const takeBack = scope.lanes.request(engine, lane, {
    handle: live.handle,
    user: live.specification.user,
    priority: live.specification.priority,
    returning: live.context.attempt > 0,
    granted: slot => (signal.aborted ? slot.release() : granted.resolve(slot)),
  })
  const abort = () => {
    takeBack()
    granted.reject(signal.reason)
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await granted.promise
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** QUEUED: chooses engine and lane, then waits for a slot of them. */
import { deferred } from '../../async/index.ts'
import type { SlotLane } from '../../domain/index.ts'
import type { Slot } from '../lanes.ts'
import type { LiveQuery } from '../live-query.ts'
import { chooseEngine } from './choice.ts'
import { type Effect, type EffectScope, say } from './effect.ts'
import { resume } from './orphan.ts'

export const schedule: Effect = async (live, scope, signal) => {
  if (!(await resume(live, scope, signal))) return
  if (live.cancelRequested) {
    live.send({ type: 'STOP_REQUESTED', reason: 'cancel' })
    return
  }
  const target = scope.handOverTarget()
  if (target && live.handOver(target)) return
  for (;;) {
    const driver = await chooseEngine(live, scope, signal)
    if (!driver) return
    say('', live, scope)
    const lane = live.context.lane === 'heavy' ? 'heavy' : 'light'
    const slot = await slotFor(live, driver.name, lane, scope, signal)
    // It went away while the query waited for its turn: nobody holds a slot of what is away.
    if (!signal.aborted && !driver.healthy()) {
      slot.release()
      continue
    }
    if (signal.aborted || !live.send({ type: 'LAUNCHED', engine: driver.name })) {
      slot.release()
      return
    }
    live.slot = slot
    return
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

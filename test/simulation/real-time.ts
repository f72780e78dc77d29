/** A world whose time goes on by itself, for tests that were written for real databases: they wait in real time. */
import type { Teardown } from '../support/folders.ts'
import type { Scheduler } from './scheduler.ts'

/** Virtual milliseconds in a real one. */
const speed = 4

/** Runs what is due, again and again, until the test ends. */
export function inRealTime(t: Teardown, scheduler: Scheduler): void {
  const startedAtMs = performance.now() - scheduler.nowMs / speed
  let ended = false
  const going = (async () => {
    while (!ended) await scheduler.run({ untilMs: (performance.now() - startedAtMs) * speed })
  })()
  t.teardown(async () => {
    ended = true
    await going
  })
}

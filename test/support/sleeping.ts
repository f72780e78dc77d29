/** Statements that hold a slot and an engine for as long as a test wants, and cost nothing meanwhile. */

/** One row, true, after this long; can be cancelled at any instant. */
export function sleepingFor(ms: number): string {
  return `select sleep_ms(${ms}) is null slept`
}

/** For what never ends by itself within a test. */
export const endless = sleepingFor(3_600_000)

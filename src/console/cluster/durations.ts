/** How long takeovers took. */
import type { FailoverView } from '../../client/index.ts'

/** null for one that is not done. */
export function durationMs({ detectedAt, doneAt }: FailoverView): number | null {
  return doneAt === null ? null : Date.parse(doneAt) - Date.parse(detectedAt)
}

/** The middle one of those that are done (the mean of the middle two) and the longest; null where none is. */
export function durationsOf(failovers: readonly FailoverView[]): { medianMs: number; longestMs: number } | null {
  const sorted = failovers
    .map(durationMs)
    .filter(ms => ms !== null)
    .sort((a, b) => a - b)
  const middle = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]]
  const [low, high] = middle
  const longestMs = sorted.at(-1)
  if (low === undefined || high === undefined || longestMs === undefined) return null
  return { medianMs: (low + high) / 2, longestMs }
}

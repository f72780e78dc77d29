/**
 * Makes a failing plan small: takes items away, halves first, as long as what is left still violates the same invariant. (Delta
 * debugging: every item has a seed of its own, so those that stay do what they did.)
 */

import { planOf, type RunSettings, runWorld } from './run-world.ts'
import type { WorldOptions } from './world.ts'

export interface Shrunk {
  readonly keep: readonly number[]
  readonly runs: number
  readonly what: string
}

/** At most `runsMax` worlds are tried. */
export async function shrink(
  seed: string,
  settings: RunSettings,
  runsMax: number,
  more: Partial<WorldOptions> = {},
): Promise<Shrunk> {
  let runs = 0
  const firstOf = async (keep: readonly number[]) => {
    runs++
    const report = await runWorld(seed, settings, { ...more, stopsAtFirst: true }, new Set(keep))
    return report.violations[0]
  }
  let keep = planOf(seed, settings).map(item => item.number)
  const first = await firstOf(keep)
  if (!first) return { keep, runs, what: 'nothing is violated' }
  const { invariant } = first
  let { what, atMs } = first
  const plan = planOf(seed, settings)
  keep = keep.filter(number => (plan[number]?.atMs ?? 0) <= atMs)
  let chunk = Math.ceil(keep.length / 2)
  while (chunk >= 1 && runs < runsMax) {
    let removed = false
    for (let from = 0; from < keep.length && runs < runsMax; ) {
      const rest = keep.filter((_, index) => index < from || index >= from + chunk)
      const found = await firstOf(rest)
      if (found?.invariant === invariant) {
        keep = rest
        what = found.what
        atMs = found.atMs
        removed = true
      } else from += chunk
    }
    if (chunk === 1 && !removed) break
    chunk = chunk === 1 ? 1 : Math.ceil(chunk / 2)
  }
  return { keep, runs, what }
}

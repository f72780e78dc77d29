/** The memory of a process as Linux counts it. */
import { readFileSync, writeFileSync } from 'node:fs'

/** In MiB: `VmRSS` now, `VmHWM` the most since the process began or its peak was forgotten. */
export function memoryMiB(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1]) / 1024
}

/** How much more than now a process takes at its highest, from now on; in MiB. */
export function watchedPeak(pid: number): () => number {
  const before = memoryMiB(pid, 'VmRSS')
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  return () => memoryMiB(pid, 'VmHWM') - before
}

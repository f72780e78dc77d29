/**
 * How large and how long a measure is, where one size does not fit all machines: its own default, the brief one of `--brief`,
 * or what the environment says (`LENS_BENCH_REQUESTS=20000`).
 */
import type { Bench } from './bench.ts'

/** A whole number from `LENS_BENCH_<name>`, else the default for this run. */
export function sizeOf(bench: Pick<Bench, 'brief'>, name: string, whole: number, brief: number): number {
  const text = process.env[`LENS_BENCH_${name}`]
  if (text === undefined || text === '') return bench.brief ? brief : whole
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`LENS_BENCH_${name}: expected a whole number`)
  return value
}

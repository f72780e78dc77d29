/**
 * Whether a quantity is flat. The first third of a run is warming up: code is compiled, caches and pools fill, retention has not begun.
 * The medians of the other two thirds are compared: a leak grows with every query, so it shows between them, while a peak moves no
 * median. A quantity may grow by a tenth, and by what it varies by from minute to minute.
 */

export interface Series {
  readonly name: string
  /** In the order of time, at equal distances. */
  readonly values: readonly number[]
  /** By how much it may grow beyond the tenth, in its own unit: what it varies by. */
  readonly slack: number
}

export interface Verdict {
  readonly name: string
  readonly first: number
  readonly middle: number
  readonly last: number
  readonly most: number
  readonly flat: boolean
}

export const samplesMin = 6

/** Throws on fewer than `samplesMin` values: nothing could be said. */
export function judge({ name, values, slack }: Series): Verdict {
  if (values.length < samplesMin) throw new Error(`${name}: ${values.length} samples, expected ${samplesMin} or more`)
  const third = Math.floor(values.length / 3)
  const first = median(values.slice(0, values.length - 2 * third))
  const middle = median(values.slice(values.length - 2 * third, values.length - third))
  const last = median(values.slice(values.length - third))
  return { name, first, middle, last, most: Math.max(...values), flat: last <= middle * 1.1 + slack }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[half] as number)
    : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2
}

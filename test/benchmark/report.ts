/** What a benchmark prints: each figure beside its floor of the same run, and whether it meets its target. */

export interface Row {
  readonly name: string
  /** The target in words, as `met` judges it. */
  readonly target: string
  readonly measured: string
  /** What it was compared with in the same run; empty where the target is absolute. */
  readonly floor: string
  /** The median over the rounds of measured ÷ floor; null where the target is absolute. */
  readonly ratio: number | null
  /** Null: shown for comparison, judged by nothing. */
  readonly met: boolean | null
  /** Every number that `measured` and `floor` state, so that a missing one is noticed. */
  readonly figures: readonly number[]
}

export interface Spread {
  readonly n: number
  readonly min: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (fraction: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN
  return {
    n: sorted.length,
    min: sorted[0] ?? Number.NaN,
    p50: at(0.5),
    p99: at(0.99),
    max: sorted.at(-1) ?? Number.NaN,
  }
}

/** Of an even number of values: the mean of the middle two, so that two rounds are not judged by the better one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN
  return (lower + upper) / 2
}

export function milliseconds({ n, p50, p99, max }: Spread): string {
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms (n = ${n})`
}

export function perSecond(rate: number): string {
  return `${Math.round(rate).toLocaleString('en')}/s`
}

/** The median of several rounds with its range: `3,100/s (2,900–3,200, n = 5)`. */
export function rates(values: readonly number[]): string {
  const { n, min, max } = spreadOf(values)
  const whole = (value: number) => Math.round(value).toLocaleString('en')
  return `${perSecond(median(values))} (${whole(min)}–${whole(max)}, n = ${n})`
}

/** A figure and the processor time of one operation, where that is known. */
export function withCost(measured: string, cost: string): string {
  return cost === '' ? measured : `${measured}; ${cost}`
}

/** What each round gave, in the order of the rounds. */
export interface Rounds {
  readonly measured: readonly number[]
  readonly floor: readonly number[]
}

/**
 * Floor and measure in turns, so that a change of the machine's load meets both. Both give a rate (or another figure) of a
 * short round. The first round of each, uncounted, warms it up.
 */
export async function inTurns(
  rounds: number,
  floor: () => Promise<number>,
  measure: () => Promise<number>,
): Promise<Rounds> {
  const floors: number[] = []
  const measured: number[] = []
  await floor()
  await measure()
  for (let round = 0; round < rounds; round++) {
    floors.push(await floor())
    measured.push(await measure())
  }
  return { floor: floors, measured }
}

/** Rates against their floors of the same rounds. `atLeast` null: for comparison only; `cost`: what one of them costs. */
export function rateRow(name: string, rounds: Rounds, floorName: string, atLeast: number | null, cost = ''): Row {
  const ratio = ratioOf(rounds)
  return {
    name,
    target: atLeast === null ? '' : `≥ ${atLeast} × ${floorName}`,
    measured: withCost(rates(rounds.measured), cost),
    floor: `${floorName}: ${rates(rounds.floor)}`,
    ratio,
    met: atLeast === null ? null : ratio >= atLeast,
    figures: [...rounds.measured, ...rounds.floor],
  }
}

/** Each round is compared with its own floor. */
export function ratioOf({ measured, floor }: Rounds): number {
  return median(measured.map((rate, round) => rate / (floor[round] as number)))
}

/** A latency against two bounds in milliseconds. */
export function latencyRow(name: string, spread: Spread, p50Ms: number, p99Ms: number, floor = ''): Row {
  return {
    name,
    target: `p50 ≤ ${p50Ms} ms, p99 ≤ ${p99Ms} ms`,
    measured: milliseconds(spread),
    floor,
    ratio: null,
    met: spread.p50 <= p50Ms && spread.p99 <= p99Ms,
    figures: [spread.p50, spread.p99, spread.max],
  }
}

/** One number against an absolute bound, such as `≤ 120 MB`. */
export function boundRow(name: string, value: number, atMost: number, unit: string, digits = 0): Row {
  return {
    name,
    target: `≤ ${atMost}${unit}`,
    measured: `${value.toFixed(digits)}${unit}`,
    floor: '',
    ratio: null,
    met: value <= atMost,
    figures: [value],
  }
}

export function markdown(rows: readonly Row[]): string {
  const cells = rows.map(row => [
    row.name,
    row.target,
    row.measured,
    row.floor,
    row.ratio === null ? '' : row.ratio.toFixed(2),
    row.met === null ? '' : row.met ? 'met' : 'not met',
  ])
  const head = ['what', 'target', 'measured', 'floor or peer in the same run', 'ratio', '']
  return [head, head.map(() => '---'), ...cells].map(line => `| ${line.join(' | ')} |`).join('\n')
}

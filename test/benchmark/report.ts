/** What a benchmark prints: each figure beside its floor of the same run, and whether it meets its target. */

export interface Row {
  readonly name: string
  /** The target in words, as `met` judges it. */
  readonly target: string
  readonly measured: string
  /** What it was compared with in the same run; empty where the target is absolute. */
  readonly floor: string
  readonly ratio: number | null
  readonly met: boolean
}

export interface Spread {
  readonly n: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (fraction: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN
  return { n: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? Number.NaN }
}

export function milliseconds({ n, p50, p99, max }: Spread): string {
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms (n = ${n})`
}

export function perSecond(rate: number): string {
  return `${Math.round(rate).toLocaleString('en')}/s`
}

/** A rate against a floor that was measured in the same run. */
export function rateRow(name: string, rate: number, floorName: string, floor: number, atLeast: number): Row {
  const ratio = rate / floor
  return {
    name,
    target: `≥ ${atLeast} × ${floorName}`,
    measured: perSecond(rate),
    floor: `${floorName}: ${perSecond(floor)}`,
    ratio,
    met: ratio >= atLeast,
  }
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
  }
}

export function markdown(rows: readonly Row[]): string {
  const cells = rows.map(row => [
    row.name,
    row.target,
    row.measured,
    row.floor,
    row.ratio === null ? '' : row.ratio.toFixed(2),
    row.met ? 'met' : 'not met',
  ])
  const head = ['what', 'target', 'measured', 'floor in the same run', 'ratio', '']
  return [head, head.map(() => '---'), ...cells].map(line => `| ${line.join(' | ')} |`).join('\n')
}

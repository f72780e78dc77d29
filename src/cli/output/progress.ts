/** What a query is doing while one waits: one line that rewrites itself on a terminal, and lines of history for `--watch`. */
import type { Progress, QueryView } from '../../client/index.ts'
import type { Terminal } from '../terminal.ts'
import { truncated } from './cell.ts'

const clear = '\r\u001b[K'

export class ProgressLine {
  readonly #terminal: Terminal
  #shown = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  show(query: QueryView, progress: Progress): void {
    if (!this.#terminal.progressive) return
    const parts = [query.status.padEnd(10), query.owner.node]
    if (query.attempt > 1) parts.push(`attempt ${query.attempt}`)
    if (query.status === 'QUEUED' && query.queuePosition !== null) parts.push(`position ${query.queuePosition}`)
    if (progress.fraction !== null) parts.push(bar(progress.fraction))
    if (progress.message !== '') parts.push(progress.message)
    const width = Number.isFinite(this.#terminal.columns) ? this.#terminal.columns - 1 : 79
    this.#terminal.err(clear + truncated(parts.join('  '), width))
    this.#shown = true
  }

  hide(): void {
    if (this.#shown) this.#terminal.err(clear)
    this.#shown = false
  }
}

function bar(fraction: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * 20)
  return `[${'#'.repeat(filled)}${'.'.repeat(20 - filled)}] ${Math.floor(fraction * 100)} %`
}

/** One change of a query as a line: `v3  LAUNCHED -> RUNNING  node-1, epoch 1`. */
export function changeLine(before: QueryView | null, query: QueryView): string {
  const from = before?.status ?? 'NEW'
  const step = from === query.status ? sameStatus(before, query) : `${from} -> ${query.status}`
  const lastFailure = query.failedAttempts.at(-1)
  const failedNow = lastFailure && query.failedAttempts.length > (before?.failedAttempts.length ?? 0)
  const reason = failedNow ? `  (attempt ${lastFailure.attempt}: ${lastFailure.code})` : ''
  return `v${String(query.version).padEnd(3)} ${step.padEnd(31)}  ${query.owner.node}, epoch ${query.owner.epoch}${reason}\n`
}

/** A transition that leaves the status as it is: another owner, or the estimate. */
function sameStatus(before: QueryView | null, query: QueryView): string {
  if (before && before.owner.epoch !== query.owner.epoch) return `${query.status}, moved from ${before.owner.node}`
  return before?.lane === query.lane ? query.status : `${query.status}, ${query.lane} lane`
}

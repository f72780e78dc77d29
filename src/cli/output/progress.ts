/** What a query is doing while one waits: one line that rewrites itself on a terminal, and lines of history for `--watch`. */
import type { Progress, QueryView } from '../../client/index.ts'
import { line } from '../screen/lines.ts'
import { LiveLine } from '../screen/live-line.ts'
import type { Terminal } from '../terminal.ts'
import { progressBar } from './progress-bar.ts'

export class ProgressLine {
  readonly #terminal: Terminal
  readonly #line: LiveLine

  constructor(terminal: Terminal) {
    this.#terminal = terminal
    this.#line = new LiveLine(
      text => terminal.err(text),
      () => terminal.columns,
      false,
    )
  }

  show(query: QueryView, progress: Progress): void {
    if (!this.#terminal.progressive) return
    const parts = [query.status.padEnd(10), query.owner.node]
    if (query.attempt > 1) parts.push(`attempt ${query.attempt}`)
    if (query.status === 'QUEUED' && query.queuePosition !== null) parts.push(`position ${query.queuePosition}`)
    if (progress.fraction !== null) parts.push(progressBar(progress.fraction, 20))
    if (progress.message !== '') parts.push(progress.message)
    this.#line.show(line(parts.join('  ')))
  }

  hide(): void {
    this.#line.hide()
  }
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

/**
 * The steps of a query on a terminal: those that are over stay, each with how long it took; the present one is a line that
 * moves.
 *
 *     ✓ QUEUED      0.02 s  node-1  position 3
 *     ✓ RUNNING     12.3 s  node-1
 *     ↷ RUNNING     0.04 s  node-1 → node-2, taken over, epoch 2
 *     ● RUNNING    for 3.4 s  node-2  attempt 2  [####............] 25 %
 */
import type { CancelTimer, Clock } from '../../async/index.ts'
import type { QueryView, TransitionView } from '../../client/index.ts'
import { durationText } from '../output/duration.ts'
import { progressBar } from '../output/progress-bar.ts'
import { type Line, line, piece, type Tone, usesColours } from '../screen/lines.ts'
import { LiveLine } from '../screen/live-line.ts'
import type { Terminal } from '../terminal.ts'
import type { Steps } from './watch.ts'

const hideCursor = '\u001b[?25l'
const showCursor = '\u001b[?25h'
const redrawMs = 250
const statusWidth = 10
const durationWidth = 11

interface Current {
  readonly query: QueryView
  /** Milliseconds since 1970. */
  readonly sinceMs: number
  readonly symbol: string
  readonly tone: Tone
  readonly notes: readonly string[]
}

export class TerminalSteps implements Steps {
  readonly #terminal: Terminal
  readonly #clock: Clock
  readonly #line: LiveLine
  readonly #stopRedrawing: CancelTimer
  readonly #stopWatchingExit: () => void
  #current: Current | null = null
  #progress: QueryView['progress'] = { fraction: null, message: '' }
  #ended = false

  constructor(terminal: Terminal, clock: Clock) {
    this.#terminal = terminal
    this.#clock = clock
    this.#line = new LiveLine(
      text => void terminal.out(text),
      () => terminal.columns,
      usesColours(terminal.env),
    )
    this.#stopWatchingExit = terminal.onExit(showCursor)
    this.#stopRedrawing = clock.every(redrawMs, () => this.#draw())
    void terminal.out(hideCursor)
  }

  async begin({ handle, user, sql }: QueryView): Promise<void> {
    this.#line.keep(line(piece(handle, 'strong'), '  ', user, '  ', piece(sql.replace(/\s+/g, ' ').trim(), 'dim')))
  }

  async step(query: QueryView, transition: TransitionView | null): Promise<void> {
    const sinceMs = transition ? Date.parse(transition.at) : this.#clock.now()
    const before = this.#current
    if (before) this.#line.keep(pastLine(before, sinceMs - before.sinceMs))
    this.#progress = query.progress
    this.#current = {
      query,
      sinceMs,
      ...markOf(query, transition),
      notes: notesOf(before?.query ?? null, query, transition),
    }
    if (query.outcome === null) this.#draw()
    else {
      this.#line.keep(pastLine(this.#current, null))
      this.#current = null
    }
  }

  progress(progress: QueryView['progress']): void {
    this.#progress = progress
    this.#draw()
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#stopRedrawing()
    this.#stopWatchingExit()
    if (this.#current) this.#line.keep(this.#presentLine(this.#current))
    void this.#terminal.out(showCursor)
  }

  #draw(): void {
    if (this.#current && !this.#ended) this.#line.show(this.#presentLine(this.#current))
  }

  #presentLine({ query, sinceMs, notes }: Current): Line {
    const { fraction, message } = this.#progress
    const position = query.status === 'QUEUED' ? query.queuePosition : null
    return line(
      piece(`● ${query.status.padEnd(statusWidth)}`, 'accent'),
      ` ${`for ${durationText(this.#clock.now() - sinceMs)}`.padStart(durationWidth)}  ${query.owner.node}`,
      ...[...notes, position === null ? '' : `position ${position}`].filter(Boolean).map(note => `  ${note}`),
      fraction === null ? '' : `  ${progressBar(fraction, 16)}`,
      piece(message === '' ? '' : `  ${message}`, 'dim'),
    )
  }
}

function pastLine({ query, symbol, tone, notes }: Current, tookMs: number | null): Line {
  const took = (tookMs === null ? '' : durationText(tookMs)).padStart(durationWidth)
  // Where hands changed, the note names both nodes.
  const [first = '', ...others] = symbol === '↷' ? notes : [query.owner.node, ...notes]
  return line(
    piece(`${symbol} ${query.status.padEnd(statusWidth)}`, tone),
    ` ${took}  ${first}`,
    ...others.map(note => `  ${note}`),
  )
}

function markOf(query: QueryView, transition: TransitionView | null): { symbol: string; tone: Tone } {
  if (isChangeOfHands(transition)) return { symbol: '↷', tone: 'waiting' }
  if (query.status === 'FAILING' || query.status === 'FAILED') return { symbol: '✗', tone: 'bad' }
  if (query.status === 'CANCELED') return { symbol: '■', tone: 'waiting' }
  return { symbol: '✓', tone: 'good' }
}

function isChangeOfHands(transition: TransitionView | null): boolean {
  return transition?.event === 'CLAIMED' || transition?.event === 'HANDED_OVER'
}

function notesOf(before: QueryView | null, query: QueryView, transition: TransitionView | null): string[] {
  const { owner, attempt, status, failedAttempts, result } = query
  if (isChangeOfHands(transition)) {
    const how = transition?.event === 'CLAIMED' ? 'taken over' : 'handed over'
    return [`${before?.owner.node ?? '?'} → ${owner.node}, ${how}, epoch ${owner.epoch}`]
  }
  const notes: string[] = []
  const failed = failedAttempts.at(-1)
  if (status === 'FAILING' && failed) notes.push(`attempt ${failed.attempt}: ${failed.code}`)
  else if (attempt > 1 && status !== 'FAILING') notes.push(`attempt ${attempt}`)
  if (before && before.lane !== query.lane) notes.push(`${query.lane} lane`)
  if (status === 'FAILED' && query.error) notes.push(query.error.code)
  if (query.outcome === 'SUCCESSFUL' && result)
    notes.push(`${result.rowCount} ${result.rowCount === 1 ? 'row' : 'rows'}`)
  return notes
}

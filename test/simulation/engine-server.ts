/**
 * An engine of a simulated world: what it runs, for whom, and how often it ran it. It knows nothing of nodes that die, only
 * of statements that somebody begins, asks for, or ends.
 *
 *     opened (has an identity, runs nothing) ──begin──▶ running ──▶ done | failed
 *         └──────────────end────────────┬────────────────┘
 *                                       ▼
 *                                     ended          (a restart ends all, and forgets all but what was committed)
 *
 * One whose engine ends with its node is made for every process, with no identities to find anything by.
 */
import type { EngineAnswer } from '../../src/domain/index.ts'
import type { Scheduler } from './scheduler.ts'
import type { Statement } from './statement.ts'

export type RunState = 'opened' | 'running' | 'done' | 'failed' | 'ended' | 'died'

export interface EngineRun {
  readonly id: string
  readonly handle: string
  readonly attempt: number
  readonly statement: Statement
  /** The process that asked for it first. */
  readonly by: string
  state: RunState
  beganAtMs: number | null
  endedAtMs: number | null
}

/** How long what has ended can still be read. */
const keptMs = 600_000

export class EngineServer {
  readonly name: string
  /** All that was ever begun, by query. */
  readonly executions: Map<string, EngineRun[]>
  readonly #scheduler: Scheduler
  readonly #runs = new Map<string, EngineRun>()
  readonly #waiting = new Map<string, Set<() => void>>()
  #ids = 0
  #unavailableUntilMs = 0
  #life = 1

  /** `executions` is shared by the engines of all nodes where each has its own. */
  constructor(scheduler: Scheduler, name: string, executions: Map<string, EngineRun[]> = new Map()) {
    this.#scheduler = scheduler
    this.name = name
    this.executions = executions
  }

  get available(): boolean {
    return this.#scheduler.nowMs >= this.#unavailableUntilMs
  }

  /** Grows with every restart. */
  get life(): number {
    return this.#life
  }

  running(): EngineRun[] {
    return [...this.#runs.values()].filter(run => run.state === 'running')
  }

  // ------------------------------------------------------------ what drivers ask

  open(handle: string, attempt: number, statement: Statement, by: string): EngineRun {
    const run: EngineRun = {
      id: `${this.name}-${this.#life}-${++this.#ids}`,
      ...{ handle, attempt, statement, by },
      state: 'opened',
      beganAtMs: null,
      endedAtMs: null,
    }
    this.#runs.set(run.id, run)
    return run
  }

  find(id: string): EngineRun | undefined {
    const run = this.#runs.get(id)
    if (!run?.endedAtMs || this.#scheduler.nowMs - run.endedAtMs < keptMs) return run
    this.#runs.delete(id)
    return undefined
  }

  /** Safe twice: an identity runs once. */
  begin(run: EngineRun): void {
    if (run.state !== 'opened') return
    run.state = 'running'
    run.beganAtMs = this.#scheduler.nowMs
    const known = this.executions.get(run.handle)
    if (known) known.push(run)
    else this.executions.set(run.handle, [run])
    this.#scheduler.schedule(run.statement.runsMs, 'engine', () => {
      if (run.state === 'running') this.#settle(run, run.statement.fails ? 'failed' : 'done')
    })
  }

  end(run: EngineRun): void {
    if (run.state === 'opened' || run.state === 'running') this.#settle(run, 'ended')
  }

  /** Calls back when batch `batch` of its rows is there, or the run is over. */
  whenReady(run: EngineRun, batch: number, ready: () => void): void {
    const { runsMs, batches } = run.statement
    if (run.state !== 'running') {
      ready()
      return
    }
    const waiting = this.#waiting.get(run.id) ?? new Set()
    this.#waiting.set(run.id, waiting)
    const once = () => {
      if (waiting.delete(once)) ready()
    }
    waiting.add(once)
    const readyAtMs = (run.beganAtMs ?? 0) + (batch + 1 < batches ? (runsMs * (batch + 1)) / batches : runsMs + 1)
    this.#scheduler.schedule(readyAtMs - this.#scheduler.nowMs, 'engine', once)
  }

  /** What became of it; whoever asks has asked for its end before. */
  outcome(id: string | null, handle: string): EngineAnswer {
    // Its identity is durable before anything can run: without one nothing ran.
    if (id === null) return 'ended'
    const run = this.#runs.get(id)
    const execution = this.executions.get(handle)?.find(known => known.id === id)
    if (!execution) return 'ended'
    if (run && (run.state === 'opened' || run.state === 'running')) return 'running'
    switch (execution.statement.kind) {
      case 'select':
        return 'ended'
      case 'insert':
        return execution.state === 'done' ? 'committed' : 'ended'
      case 'call':
        return 'unknown'
    }
  }

  // ------------------------------------------------------------ what happens to it

  /** Nobody reaches it for this time; what runs goes on. */
  becomeUnavailable(forMs: number): void {
    this.#unavailableUntilMs = Math.max(this.#unavailableUntilMs, this.#scheduler.nowMs + forMs)
  }

  /** Its process dies: all that ran dies with it, and what was opened is forgotten. */
  restart(downMs: number): void {
    this.#life++
    for (const run of [...this.#runs.values()])
      if (run.state === 'running' || run.state === 'opened') this.#settle(run, 'died')
    this.#runs.clear()
    this.becomeUnavailable(downMs)
  }

  #settle(run: EngineRun, state: RunState): void {
    run.state = state
    run.endedAtMs = this.#scheduler.nowMs
    const waiting = this.#waiting.get(run.id)
    this.#waiting.delete(run.id)
    for (const ready of [...(waiting ?? [])]) ready()
  }
}

/** It had, or may have had, its effect. */
export function hadEffect(run: EngineRun): boolean {
  return run.statement.kind === 'call'
    ? run.beganAtMs !== null
    : run.statement.kind === 'insert' && run.state === 'done'
}

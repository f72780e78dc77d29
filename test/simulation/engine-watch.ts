/**
 * Looks at what the engines run: nothing goes on for long for a query that is finished, or of which a later attempt runs (I7).
 * How long is long: a takeover, the way to an engine that may be away, and a node that may be frozen, together.
 */
import type { SimulatedDatabase } from './database-contract.ts'
import type { EngineRun } from './engine-server.ts'
import type { History } from './history.ts'

export const uselessMsMax = 60_000

export class EngineWatch {
  readonly #database: SimulatedDatabase
  readonly #history: History
  readonly #running: () => readonly EngineRun[]
  readonly #uselessSinceMs = new Map<string, number>()

  constructor(database: SimulatedDatabase, history: History, running: () => readonly EngineRun[]) {
    this.#database = database
    this.#history = history
    this.#running = running
  }

  look(nowMs: number): void {
    const running = this.#running()
    const ids = new Set(running.map(run => run.id))
    for (const id of this.#uselessSinceMs.keys()) if (!ids.has(id)) this.#uselessSinceMs.delete(id)
    for (const run of running) {
      if (!this.#isUseless(run, running)) {
        this.#uselessSinceMs.delete(run.id)
        continue
      }
      const sinceMs = this.#uselessSinceMs.get(run.id)
      if (sinceMs === undefined) this.#uselessSinceMs.set(run.id, nowMs)
      else if (nowMs - sinceMs > uselessMsMax) {
        this.#history.violated(
          'I7',
          `${run.handle}: ${run.id} (${run.statement.sql}) runs for nobody since ${sinceMs.toFixed(0)} ms`,
        )
        this.#uselessSinceMs.set(run.id, Number.POSITIVE_INFINITY)
      }
    }
  }

  #isUseless(run: EngineRun, running: readonly EngineRun[]): boolean {
    if (running.some(other => other.handle === run.handle && other.attempt > run.attempt)) return true
    const [unfinished] = this.#database.committed<{ attempt: number }>(
      'SELECT attempt FROM current_query WHERE handle = ?',
      run.handle,
    )
    return unfinished === undefined || unfinished.attempt > run.attempt
  }
}

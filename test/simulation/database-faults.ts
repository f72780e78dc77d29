/** What is wrong with a database at this moment: the faults that were injected, and whether it can be reached at all. */
import type { DatabaseFault, InjectedFault, StatementKind } from './database-contract.ts'
import type { SeededRandom } from './random.ts'
import type { Scheduler } from './scheduler.ts'

class Injected implements InjectedFault {
  readonly fault: DatabaseFault
  readonly endsAtMs: number
  hits = 0
  ended = false

  constructor(fault: DatabaseFault, nowMs: number) {
    this.fault = fault
    this.endsAtMs = nowMs + (fault.forMs ?? Number.POSITIVE_INFINITY)
  }

  end(): void {
    this.ended = true
  }
}

/** A statement, or whatever else travels to the server. */
export interface Travelling {
  /** The name of its process, and that of the process to which a thread belongs. */
  readonly processes: readonly string[]
  readonly kind: StatementKind
  readonly sql: string
  /** Whether the server would write for it. */
  readonly writes: () => boolean
}

export class FaultList {
  readonly #scheduler: Scheduler
  readonly #random: SeededRandom
  #injected: Injected[] = []
  readonly #cutUntilMs = new Map<string, number>()
  /** The server executes nothing before this time. */
  stalledUntilMs = 0
  /** Nobody can connect before this time. */
  downUntilMs = 0

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.#scheduler = scheduler
    this.#random = random
  }

  inject(fault: DatabaseFault): InjectedFault {
    const injected = new Injected(fault, this.#scheduler.nowMs)
    this.#injected.push(injected)
    return injected
  }

  cut(processes: readonly string[], forMs: number): void {
    const untilMs = this.#scheduler.nowMs + forMs
    for (const name of processes) this.#cutUntilMs.set(name, Math.max(untilMs, this.#cutUntilMs.get(name) ?? 0))
  }

  /** When something can pass between these processes and the server again; in the past when it can now. */
  cutUntilMs(processes: readonly string[]): number {
    if (this.#cutUntilMs.size === 0) return 0
    return Math.max(...processes.map(name => this.#cutUntilMs.get(name) ?? 0))
  }

  clear(): void {
    this.#injected = []
    this.#cutUntilMs.clear()
    this.stalledUntilMs = 0
    this.downUntilMs = 0
  }

  /** The fault that hits this one, counted as a hit; null for none. */
  hitting(travelling: Travelling): DatabaseFault | null {
    if (this.#injected.length === 0) return null
    const { nowMs } = this.#scheduler
    this.#injected = this.#injected.filter(one => !one.ended && one.endsAtMs > nowMs)
    for (const injected of this.#injected) {
      if (!matches(injected.fault, travelling)) continue
      if (injected.fault.chance !== undefined && !this.#random.chance(injected.fault.chance)) continue
      injected.hits++
      if (injected.hits >= (injected.fault.times ?? Number.POSITIVE_INFINITY)) injected.end()
      return injected.fault
    }
    return null
  }
}

function matches(fault: DatabaseFault, { processes, kind, sql, writes }: Travelling): boolean {
  if (fault.processes && !fault.processes.some(name => processes.includes(name))) return false
  if (fault.statements ? !fault.statements.includes(kind) : kind === 'rollback') return false
  if (fault.containing !== undefined && !sql.includes(fault.containing)) return false
  return fault.kind !== 'read-only' || writes()
}

/** Which requests are disturbed, and how; and who waits for a request to come. */
import type { Fault, HistoryEntry, Match } from './control.ts'

export class Faults {
  readonly #faults: { readonly fault: Fault; left: number }[] = []
  #held: (() => void)[] = []

  add(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? 1 })
  }

  /** The first that is meant for it, which counts as used. */
  take(entry: HistoryEntry): Fault | null {
    const found = this.#faults.find(({ fault, left }) => left !== 0 && matches(fault.match ?? {}, entry))
    if (!found) return null
    found.left--
    return found.fault
  }

  held(): Promise<void> {
    return new Promise(resolve => this.#held.push(resolve))
  }

  release(): void {
    for (const entry of this.#faults) if (entry.fault.what.startsWith('hold')) entry.left = 0
    const held = this.#held
    this.#held = []
    for (const go of held) go()
  }

  clear(): void {
    this.#faults.length = 0
    this.release()
  }
}

export function matches(match: Match, entry: HistoryEntry): boolean {
  if (match.method !== undefined && match.method !== entry.method) return false
  if (match.kind !== undefined && match.kind !== entry.kind) return false
  if (match.token !== undefined && match.token !== entry.token) return false
  if (match.queryId !== undefined && match.queryId !== entry.queryId) return false
  return match.sql === undefined || (entry.sql?.includes(match.sql) ?? false)
}

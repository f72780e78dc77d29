/** What a process of clients is told at its start. */
import type { NodeAddress } from './caller.ts'

export interface ClientSettings {
  /** Unique in the run. */
  readonly name: string
  readonly seed: string
  /** Where its part of the history goes. */
  readonly file: string
  readonly nodes: readonly NodeAddress[]
  readonly users: readonly string[]
  readonly workers: number
  /** Between two rounds of a worker, milliseconds, on average. */
  readonly pauseMs: number
}

/**
 * What a fault is: what it does to which nodes, for how long, and when it counts as recovered from.
 *
 *     fault ─────────────── recovery, while it lasts ──────────────▶ the others have taken over      `taken-over`
 *     fault ─────────────── recovery ──────────────────────────────▶ what was affected has moved on  `moved`
 *     fault … heal ──────── recovery ──────────────────────────────▶ every node serves, and writes   `serving`
 *     fault ─────────────── the fault itself measures ─────────────▶ the longest hand-over           `by-itself`
 */
import type { SeededRandom } from '../simulation/random.ts'
import type { Scene } from './scene.ts'

export type Recovery = 'taken-over' | 'moved' | 'serving' | 'by-itself'
/** What it makes of a node, in the words of the history. */
export type Effect = 'ends' | 'silences' | 'other'

export interface Fault {
  /** The nemesis's word for it, see `kinds`. */
  readonly kind: string
  /** What exactly was drawn. */
  readonly detail: string
  /** Nodes whose queries must go on. */
  readonly affected: readonly string[]
  readonly recovery: Recovery
  /** How long it lasts, in milliseconds; with `taken-over`: how long after that it goes on. */
  readonly lastsMs: number
  /** Of several at once. */
  readonly parts?: readonly Fault[]
  /** With `by-itself`: gives the time, in milliseconds. */
  begin(): Promise<unknown> | unknown
  heal(): Promise<unknown> | unknown
}

export interface Kind {
  /** Of how often it is drawn, beside the others. */
  readonly weight: number
  readonly needsNetwork?: true
  readonly effect: Effect
  draw(random: SeededRandom, scene: Scene): Omit<Fault, 'kind'>
}

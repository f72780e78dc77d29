/**
 * A statechart as boxes and arrows: what the layout engine takes. Transitions between the same two states share an arrow;
 * those that stay in their state are lines in its box, and those that every state accepts a note beside the chart.
 */
import type { MachineGraph } from '../../client/index.ts'

export type GraphState = MachineGraph['states'][number]
export type GraphTransition = MachineGraph['transitions'][number]

export interface Arrow {
  /** `source→target`. */
  readonly id: string
  readonly source: string
  readonly target: string
  readonly transitions: readonly GraphTransition[]
}

export interface ChartGraph {
  readonly machine: MachineGraph
  readonly arrows: readonly Arrow[]
  /** Transitions without a target, by the path of their state; under the empty path those of every state. */
  readonly inner: ReadonlyMap<string, readonly GraphTransition[]>
}

export function chartGraphOf(machine: MachineGraph): ChartGraph {
  const arrows = new Map<string, GraphTransition[]>()
  const inner = new Map<string, GraphTransition[]>()
  for (const transition of machine.transitions) {
    const { source, target } = transition
    if (target === null) inner.set(source, [...(inner.get(source) ?? []), transition])
    else {
      const id = arrowId(source, target)
      arrows.set(id, [...(arrows.get(id) ?? []), transition])
    }
  }
  return {
    machine,
    inner,
    arrows: [...arrows].map(([id, transitions]) => {
      const { source, target } = transitions[0] as GraphTransition
      return { id, source, target: target as string, transitions }
    }),
  }
}

export function arrowId(source: string, target: string): string {
  return `${source}→${target}`
}

/**
 * The paths of all states that a value of XState's is in, outer ones first: `{RUNNING: 'following'}` → `['RUNNING',
 * 'RUNNING.following']`.
 */
export function activePaths(value: unknown, parent = ''): string[] {
  const pathOf = (key: string) => (parent === '' ? key : `${parent}.${key}`)
  if (typeof value === 'string') return [pathOf(value)]
  if (value === null || typeof value !== 'object') return []
  return Object.entries(value).flatMap(([key, inside]) => [pathOf(key), ...activePaths(inside, pathOf(key))])
}

export interface Taken {
  /** The arrow that was taken; null where the state stayed. */
  readonly arrow: string | null
  readonly transition: GraphTransition
}

/** Which transition led from one value to the next by `event`; null where the definition knows none. */
export function takenBetween(machine: MachineGraph, event: string, before: unknown, after: unknown): Taken | null {
  const left = new Set(activePaths(before))
  const entered = new Set(activePaths(after))
  // The innermost state that accepts an event takes it.
  const candidates = machine.transitions
    .filter(({ source, event: accepted }) => accepted === event && (source === '' || left.has(source)))
    .sort((a, b) => b.source.length - a.source.length)
  const isSame = JSON.stringify(before) === JSON.stringify(after)
  for (const transition of candidates) {
    const { source, target } = transition
    if (target !== null && entered.has(target)) return { arrow: arrowId(source, target), transition }
    if (target === null && isSame) return { arrow: null, transition }
  }
  return null
}

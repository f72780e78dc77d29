/** Which node took each step of a query: one lane per node, in the order in which they came to it. */
import type { TransitionView } from '../../client/index.ts'

export interface LaneStep {
  readonly transition: TransitionView
  readonly lane: number
  /** The node that had the query before this step, where that is another one. */
  readonly tookFrom: string | null
}

export interface Lanes {
  readonly nodes: readonly string[]
  readonly steps: readonly LaneStep[]
}

export function lanesOf(transitions: readonly TransitionView[]): Lanes {
  const nodes = [...new Set(transitions.map(({ node }) => node))]
  const steps = transitions.map((transition, index) => {
    const before = transitions[index - 1]
    const changed = before !== undefined && before.node !== transition.node
    return { transition, lane: nodes.indexOf(transition.node), tookFrom: changed ? before.node : null }
  })
  return { nodes, steps }
}

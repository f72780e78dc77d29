/**
 * The statecharts as graphs, read off the machine definitions themselves: who draws them draws what runs, and nobody keeps
 * a picture by hand.
 */
import type { AnyStateNode } from 'xstate'
import { queryMachine, queryMachineVersion } from './query-machine.ts'
import { sessionMachine, sessionMachineVersion } from './session-machine.ts'

export interface MachineState {
  /** Keys from the top, joined by dots: `RUNNING.following`. */
  readonly path: string
  readonly key: string
  readonly parent: string | null
  readonly type: 'atomic' | 'compound' | 'parallel' | 'final' | 'history'
  /** The path of the state that is entered first, of a compound state. */
  readonly initial: string | null
  readonly description?: string
}

export interface MachineTransition {
  /** The path of a state; empty for what the machine accepts in every state. */
  readonly source: string
  /** Null: the state stays, and only the context changes. */
  readonly target: string | null
  readonly event: string
  readonly guard?: string
  readonly actions?: readonly string[]
  /** `EVENT`, or `EVENT [guard]`. */
  readonly label: string
}

export interface MachineGraph {
  readonly id: string
  readonly version: number
  readonly initial: string
  readonly states: readonly MachineState[]
  readonly transitions: readonly MachineTransition[]
}

/** The state of one machine at one of its versions; `value` is XState's: a key, or an object of them for nested states. */
export interface MachineMoment {
  readonly version: number
  readonly value: unknown
  readonly context: unknown
}

const pathOf = (node: AnyStateNode) => node.path.join('.')

/** Guards and actions are named in the definitions, as text or as an object with `type`. */
function nameOf(named: unknown): string {
  if (typeof named === 'string') return named
  return String((named as { readonly type: unknown }).type)
}

function graphOf(root: AnyStateNode, version: number): MachineGraph {
  const states: MachineState[] = []
  const transitions: MachineTransition[] = []
  const firstOf = (node: AnyStateNode) => {
    const [first] = node.type === 'compound' ? (node.initial.target ?? []) : []
    return first ? pathOf(first) : null
  }
  const visit = (node: AnyStateNode) => {
    const source = pathOf(node)
    if (node.parent) {
      const { key, type, description } = node
      const parent = node.parent.parent ? pathOf(node.parent) : null
      states.push({ path: source, key, parent, type, initial: firstOf(node), ...(description && { description }) })
    }
    for (const [event, candidates] of node.transitions)
      for (const { target, guard, actions } of candidates) {
        const guardName = guard === undefined ? undefined : nameOf(guard)
        transitions.push({
          source,
          target: target?.[0] ? pathOf(target[0]) : null,
          event,
          ...(guardName !== undefined && { guard: guardName }),
          ...(actions.length > 0 && { actions: actions.map(nameOf) }),
          label: guardName === undefined ? event : `${event} [${guardName}]`,
        })
      }
    for (const child of Object.values(node.states)) visit(child)
  }
  visit(root)
  return { id: root.machine.id, version, initial: firstOf(root) ?? '', states, transitions }
}

export const machineGraphs: { readonly session: MachineGraph; readonly query: MachineGraph } = {
  session: graphOf(sessionMachine.root, sessionMachineVersion),
  query: graphOf(queryMachine.root, queryMachineVersion),
}

/**
 * Where everything of a statechart goes: what elkjs is given, and what it answers, in the chart's own terms. Sizes and
 * places are in pixels at full size.
 */
import type { ElkExtendedEdge, ElkNode, ElkPoint } from 'elkjs/lib/elk-api.js'
import type { Arrow, ChartGraph, GraphState, GraphTransition } from './chart-graph.ts'

export interface Box {
  readonly state: GraphState
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly depth: number
  /** Transitions that stay in it. */
  readonly inner: readonly GraphTransition[]
}

export interface LabelLine {
  readonly text: string
  readonly isGuard: boolean
}

export interface Route {
  readonly arrow: Arrow
  readonly points: readonly ElkPoint[]
  readonly label: {
    readonly x: number
    readonly y: number
    readonly width: number
    readonly height: number
    readonly lines: readonly LabelLine[]
  } | null
}

export interface Chart {
  readonly width: number
  readonly height: number
  /** Outer ones first, so that they are drawn first. */
  readonly boxes: readonly Box[]
  readonly routes: readonly Route[]
  /** From the dot that marks a level's first state to that state. */
  readonly entries: readonly { readonly from: ElkPoint; readonly points: readonly ElkPoint[] }[]
}

/** Width of a text in pixels in one of the chart's fonts. */
export type Measure = (text: string, font: 'title' | 'label' | 'guard') => number

export const sizes = {
  titlePx: 30,
  innerLinePx: 16,
  labelLinePx: 14,
  paddingPx: 16,
  dotPx: 10,
  /** Room for the count beside a state's name. */
  countPx: 40,
} as const

const options = {
  'elk.algorithm': 'layered',
  'elk.direction': 'DOWN',
  'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
  'elk.layered.edgeLabels.centerLabelPlacementStrategy': 'SPACE_EFFICIENT_LAYER',
  'elk.layered.cycleBreaking.strategy': 'MODEL_ORDER',
  'elk.layered.spacing.nodeNodeBetweenLayers': '18',
  'elk.layered.spacing.edgeNodeBetweenLayers': '12',
  'elk.layered.spacing.edgeEdgeBetweenLayers': '9',
  'elk.spacing.nodeNode': '26',
  'elk.spacing.edgeNode': '16',
  'elk.spacing.edgeEdge': '14',
  'elk.spacing.edgeLabel': '4',
  'elk.spacing.nodeSelfLoop': '16',
  'elk.layered.thoroughness': '30',
}

const dotOf = (parent: string) => `●${parent}`

export function linesOf(transitions: readonly GraphTransition[]): LabelLine[] {
  return transitions.flatMap(({ event, guard }) => [
    { text: event, isGuard: false },
    ...(guard ? [{ text: `[${guard}]`, isGuard: true }] : []),
  ])
}

/** The chart's nodes, nested, and all its edges at the top, as elkjs takes them. */
export function elkGraphOf(graph: ChartGraph, measure: Measure): ElkNode {
  const { machine, arrows, inner } = graph
  const hasChildren = (path: string) => machine.states.some(({ parent }) => parent === path)
  const level = (parent: string | null, initial: string | null): ElkNode[] => [
    ...(initial === null ? [] : [{ id: dotOf(parent ?? ''), width: sizes.dotPx, height: sizes.dotPx }]),
    ...machine.states
      .filter(state => state.parent === parent)
      .map(state => {
        const own = inner.get(state.path) ?? []
        const widest = Math.max(
          measure(state.key, 'title') + sizes.countPx,
          ...own.map(transition => measure(innerText(transition), 'label')),
        )
        const width = Math.ceil(widest) + 2 * sizes.paddingPx
        const head = sizes.titlePx + own.length * sizes.innerLinePx + (own.length > 0 ? 6 : 0)
        if (!hasChildren(state.path)) return { id: state.path, width, height: Math.max(head, 36) }
        return {
          id: state.path,
          children: level(state.path, state.initial),
          layoutOptions: {
            'elk.padding': `[top=${head + 10},left=16,bottom=16,right=16]`,
            'elk.nodeSize.constraints': '[MINIMUM_SIZE]',
            'elk.nodeSize.minimum': `(${width},${head})`,
          },
        }
      }),
  ]
  const entries = [
    { parent: '', initial: machine.initial },
    ...machine.states.map(({ path, initial }) => ({ parent: path, initial })),
  ]
  const edges: ElkExtendedEdge[] = [
    ...entries.flatMap(({ parent, initial }) =>
      initial ? [{ id: dotOf(parent), sources: [dotOf(parent)], targets: [initial] }] : [],
    ),
    ...arrows.map(({ id, source, target, transitions }) => {
      const lines = linesOf(transitions)
      const width = Math.max(...lines.map(({ text, isGuard }) => measure(text, isGuard ? 'guard' : 'label')))
      return {
        id,
        sources: [source],
        targets: [target],
        labels: [
          {
            id,
            text: id,
            width: Math.ceil(width) + 10,
            height: lines.length * sizes.labelLinePx + 4,
            layoutOptions: { 'elk.edgeLabels.inline': 'true' },
          },
        ],
      }
    }),
  ]
  return { id: '', layoutOptions: options, children: level(null, machine.initial), edges }
}

export function innerText({ event, guard }: GraphTransition): string {
  return `↻ ${event}${guard ? ` [${guard}]` : ''}`
}

/** Reads a graph that elkjs has laid out, with all places from the chart's own corner. */
export function chartOf(graph: ChartGraph, placed: ElkNode): Chart {
  const { machine, arrows, inner } = graph
  const states = new Map(machine.states.map(state => [state.path, state]))
  const boxes: Box[] = []
  const offsets = new Map<string, ElkPoint>([['', { x: 0, y: 0 }]])
  const dots = new Map<string, ElkPoint>()
  const visit = (node: ElkNode, at: ElkPoint, depth: number) => {
    for (const child of node.children ?? []) {
      const place = { x: at.x + (child.x ?? 0), y: at.y + (child.y ?? 0) }
      const { width = 0, height = 0 } = child
      offsets.set(child.id, place)
      const state = states.get(child.id)
      if (state) boxes.push({ state, ...place, width, height, depth, inner: inner.get(state.path) ?? [] })
      else dots.set(child.id, { x: place.x + width / 2, y: place.y + height / 2 })
      visit(child, place, depth + 1)
    }
  }
  visit(placed, { x: 0, y: 0 }, 0)
  const pointsOf = (edge: ElkExtendedEdge): ElkPoint[] => {
    // elkjs gives the places of an edge from the state that holds both its ends.
    const { x, y } = offsets.get((edge as { container?: string }).container ?? '') ?? { x: 0, y: 0 }
    return (edge.sections ?? []).flatMap(({ startPoint, bendPoints = [], endPoint }) =>
      [startPoint, ...bendPoints, endPoint].map(point => ({ x: x + point.x, y: y + point.y })),
    )
  }
  const edges = new Map((placed.edges ?? []).map(edge => [edge.id, edge as ElkExtendedEdge]))
  const routes = arrows.flatMap(arrow => {
    const edge = edges.get(arrow.id)
    if (!edge) return []
    const [label] = edge.labels ?? []
    const at = offsets.get((edge as { container?: string }).container ?? '') ?? { x: 0, y: 0 }
    const { x = 0, y = 0, width = 0, height = 0 } = label ?? {}
    const lines = linesOf(arrow.transitions)
    return [{ arrow, points: pointsOf(edge), label: label ? { x: at.x + x, y: at.y + y, width, height, lines } : null }]
  })
  const entries = [...dots].flatMap(([id, from]) => {
    const edge = edges.get(id)
    return edge ? [{ from, points: pointsOf(edge) }] : []
  })
  return { width: placed.width ?? 0, height: placed.height ?? 0, boxes, routes, entries }
}

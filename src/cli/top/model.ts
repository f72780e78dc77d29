/**
 * What `lens top` knows and what it shows of it, without a terminal: facts that the feed brings, choices that keys make, and what
 * they have asked for.
 *
 *     browsing ──/──▶ filtering ──Enter, Esc──▶ browsing
 *        └──c, d──▶ confirming ──y──▶ (asked) browsing
 *                       └──anything else──▶ browsing
 */
import type {
  ClusterFrameBody,
  FailoverView,
  NodeView,
  OwnershipChangeView,
  QueryStatus,
  QueryView,
} from '../../client/index.ts'

/** Those that have not ended, in the order of a query's life. */
export const unfinished = [
  'QUEUED',
  'LAUNCHED',
  'RUNNING',
  'EXECUTED',
  'FAILING',
] as const satisfies readonly QueryStatus[]

export const sorts = ['age', 'status', 'node', 'user'] as const
export type Sort = (typeof sorts)[number]

export interface Facts {
  readonly endpoint: string
  readonly user: string
  readonly admin: boolean
  readonly cluster: ClusterFrameBody | null
  /** When `cluster` came, on the monotonic clock. */
  readonly clusterAtMs: number
  readonly queries: readonly QueryView[]
  /** There are more than were asked for. */
  readonly more: boolean
  /** When `queries` came, on the monotonic clock; null: not yet. */
  readonly queriesAtMs: number | null
  /** What was handed over, newest first, as it was pushed: what happened while nothing could be pushed is not among it. */
  readonly handOvers: readonly OwnershipChangeView[]
  /** The nodes that were lost since the command began, newest first. */
  readonly failovers: readonly FailoverView[]
}

export type Asked =
  | { readonly kind: 'cancel'; readonly handle: string }
  | { readonly kind: 'drain'; readonly node: string }

/** What is gone leaves its place to the next. */
export interface Selected {
  /** Handle of a query, or incarnation of a node. */
  readonly key: string | null
  /** Where it stood when it was chosen. */
  readonly at: number
}

export interface Choices {
  readonly table: 'queries' | 'nodes'
  readonly selected: Readonly<Record<'queries' | 'nodes', Selected>>
  readonly sort: Sort
  readonly filter: string
  readonly mode: 'browsing' | 'filtering' | Asked
  readonly details: boolean
  readonly message: string
}

export const firstChoices: Choices = {
  table: 'queries',
  selected: { queries: { key: null, at: 0 }, nodes: { key: null, at: 0 } },
  sort: 'age',
  filter: '',
  mode: 'browsing',
  details: false,
  message: '',
}

/** The queries that are shown, in order. */
export function shownQueries({ queries }: Facts, { sort, filter }: Choices): readonly QueryView[] {
  const wanted = filter.toLowerCase()
  const fits = (query: QueryView) =>
    [query.handle, query.user, query.owner.node, query.status, query.name ?? '', query.sql].some(text =>
      text.toLowerCase().includes(wanted),
    )
  const byAge = (a: QueryView, b: QueryView) => compare(a.submittedAt, b.submittedAt) || compare(a.handle, b.handle)
  const order: Record<Sort, (query: QueryView) => string> = {
    age: query => query.submittedAt,
    // What runs is looked for more often than what waits.
    status: query => String(9 - unfinished.indexOf(query.status as (typeof unfinished)[number])),
    node: query => query.owner.node,
    user: query => query.user,
  }
  return (wanted === '' ? [...queries] : queries.filter(fits)).sort(
    (a, b) => compare(order[sort](a), order[sort](b)) || byAge(a, b),
  )
}

export function shownNodes({ cluster }: Facts): readonly NodeView[] {
  return [...(cluster?.nodes ?? [])].sort((a, b) => compare(a.node, b.node) || compare(a.startedAt, b.startedAt))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Where the selection is among these; 0 where there are none. */
export function indexOfSelected(keys: readonly string[], { key, at }: Selected): number {
  const found = key === null ? -1 : keys.indexOf(key)
  return found >= 0 ? found : Math.max(0, Math.min(at, keys.length - 1))
}

export function keysOf(facts: Facts, choices: Choices): readonly string[] {
  return choices.table === 'queries'
    ? shownQueries(facts, choices).map(({ handle }) => handle)
    : shownNodes(facts).map(({ incarnation }) => incarnation)
}

/** A key as `node:readline` names it. */
export interface Pressed {
  readonly name?: string
  readonly sequence?: string
  readonly ctrl?: boolean
}

export interface Outcome {
  readonly choices: Choices
  readonly asked?: Asked
  readonly quit?: boolean
}

export function press(key: Pressed, facts: Facts, choices: Choices, pageLines: number): Outcome {
  if (key.ctrl && key.name === 'c') return { choices, quit: true }
  const { mode } = choices
  if (mode === 'filtering') return { choices: filtering(key, choices) }
  if (mode !== 'browsing') {
    const agreed = key.name === 'y'
    const left = { ...choices, mode: 'browsing' as const, message: agreed ? '' : 'Nothing was done.' }
    return agreed ? { choices: left, asked: mode } : { choices: left }
  }
  return browsing(key, facts, { ...choices, message: '' }, pageLines)
}

function filtering(key: Pressed, choices: Choices): Choices {
  const { filter } = choices
  if (key.name === 'return' || key.name === 'enter') return { ...choices, mode: 'browsing' }
  if (key.name === 'escape') return { ...choices, mode: 'browsing', filter: '' }
  if (key.name === 'backspace') return { ...choices, filter: [...filter].slice(0, -1).join('') }
  // What begins with an escape is an arrow or another key that is no text.
  const typed = key.ctrl || key.sequence?.startsWith('\u001b') ? '' : (key.sequence ?? '')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is left out
  return { ...choices, filter: filter + typed.replace(/[\u0000-\u001f\u007f]/g, '') }
}

function browsing(key: Pressed, facts: Facts, choices: Choices, pageLines: number): Outcome {
  const { table, selected } = choices
  const keys = keysOf(facts, choices)
  const at = indexOfSelected(keys, selected[table])
  const moved = (to: number): Outcome => {
    const next = Math.max(0, Math.min(keys.length - 1, to))
    return { choices: { ...choices, selected: { ...selected, [table]: { key: keys[next] ?? null, at: next } } } }
  }
  switch (key.sequence === '/' || key.sequence === '?' ? key.sequence : key.name) {
    case 'q':
      return { choices, quit: true }
    case 'up':
    case 'k':
      return moved(at - 1)
    case 'down':
    case 'j':
      return moved(at + 1)
    case 'pageup':
      return moved(at - pageLines)
    case 'pagedown':
      return moved(at + pageLines)
    case 'home':
      return moved(0)
    case 'end':
      return moved(keys.length - 1)
    case 'tab':
      return { choices: { ...choices, table: table === 'queries' ? 'nodes' : 'queries', details: false } }
    case 's':
      return { choices: { ...choices, sort: sorts[(sorts.indexOf(choices.sort) + 1) % sorts.length] ?? 'age' } }
    case '/':
      return { choices: { ...choices, table: 'queries', mode: 'filtering' } }
    case 'return':
    case 'enter':
      return { choices: { ...choices, details: table === 'queries' && !choices.details } }
    case 'escape':
      return { choices: { ...choices, details: false, filter: choices.details ? choices.filter : '' } }
    case 'c':
      return { choices: confirming(choices, table === 'queries' ? (keys[at] ?? null) : null) }
    case 'd':
      return { choices: draining(facts, choices, table === 'nodes' ? (keys[at] ?? null) : null) }
    default:
      return { choices }
  }
}

function confirming(choices: Choices, handle: string | null): Choices {
  if (handle === null) return { ...choices, message: 'Select a query to cancel it (Tab goes to the queries).' }
  return { ...choices, mode: { kind: 'cancel', handle } }
}

function draining(facts: Facts, choices: Choices, incarnation: string | null): Choices {
  const node = facts.cluster?.nodes.find(node => node.incarnation === incarnation)
  if (!node) return { ...choices, message: 'Select a node to drain it (Tab goes to the nodes).' }
  if (!facts.admin) return { ...choices, message: 'Only admins may drain a node; be one with --user.' }
  return { ...choices, mode: { kind: 'drain', node: node.node } }
}

/** What the Machines page computes: the chart of the real machines, which transition was taken, and the lanes of nodes. */
import test from 'ava'
import Elk from 'elkjs'
import { activePaths, chartGraphOf, takenBetween } from '../../src/console/machines/chart-graph.ts'
import { lanesOf } from '../../src/console/machines/lanes.ts'
import { type Chart, chartOf, elkGraphOf } from '../../src/console/machines/layout.ts'
import { fitted, readable, showing, zoomedAt } from '../../src/console/machines/pan-zoom.ts'
import { machineGraphs, type QueryEvent, replay } from '../../src/domain/index.ts'

interface Rectangle {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

const overlap = (a: Rectangle, b: Rectangle) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

async function chart(name: 'query' | 'session'): Promise<Chart> {
  const graph = chartGraphOf(machineGraphs[name])
  const measure = (text: string) => text.length * 7.5
  return chartOf(graph, await new Elk.default().layout(elkGraphOf(graph, measure)))
}

for (const name of ['query', 'session'] as const) {
  test(`the chart of a ${name} has every state and transition, and nothing lies over anything else`, async t => {
    const { boxes, routes, entries, width, height } = await chart(name)
    const machine = machineGraphs[name]
    t.deepEqual(boxes.map(({ state }) => state.path).sort(), machine.states.map(({ path }) => path).sort())
    const drawn = [...routes.flatMap(({ arrow }) => arrow.transitions), ...boxes.flatMap(({ inner }) => inner)]
    const everywhere = machine.transitions.filter(({ source }) => source === '')
    t.is(drawn.length + everywhere.length, machine.transitions.length)
    t.is(entries.length, 1 + machine.states.filter(({ initial }) => initial !== null).length)

    const parents = new Set(machine.states.map(({ parent }) => parent))
    const leaves = boxes.filter(({ state }) => !parents.has(state.path))
    const labels = routes.map(({ label }) => label as NonNullable<typeof label>)
    for (const [index, label] of labels.entries()) {
      t.true(label.x >= 0 && label.y >= 0 && label.x + label.width <= width && label.y + label.height <= height)
      for (const box of leaves) t.false(overlap(label, box), `${routes[index]?.arrow.id} lies over ${box.state.path}`)
      for (const other of labels.slice(index + 1)) t.false(overlap(label, other), `${routes[index]?.arrow.id}`)
    }
    for (const box of boxes) {
      const parent = boxes.find(({ state }) => state.path === box.state.parent)
      if (parent) t.true(box.x > parent.x && box.y > parent.y && box.x + box.width < parent.x + parent.width)
      for (const other of boxes)
        if (other !== box && other.state.parent === box.state.parent) t.false(overlap(box, other))
    }
    // An arrow begins and ends at the boxes that it connects.
    for (const { arrow, points } of routes) {
      for (const [path, point] of [
        [arrow.source, points[0]],
        [arrow.target, points.at(-1)],
      ] as const) {
        const box = boxes.find(({ state }) => state.path === path)
        const { x, y, width, height } = box as Rectangle
        const touches = overlap(
          { x: x - 1, y: y - 1, width: width + 2, height: height + 2 },
          { ...(point as Rectangle), width: 0.1, height: 0.1 },
        )
        t.true(touches, `${arrow.id} does not reach ${path}`)
      }
    }
  })
}

const at = '2026-01-01T00:00:00.000Z'
const life: QueryEvent[] = [
  { type: 'SUBMITTED', at, node: 'n1' },
  { type: 'ESTIMATED', at, lane: 'light', cost: 1, rows: 1 },
  { type: 'LAUNCHED', at, engine: 'duckdb' },
  { type: 'STARTED', at, engineHandle: null, safeToRepeat: true },
  { type: 'CLAIMED', at, node: 'n2', epoch: 2 },
  { type: 'STOP_REQUESTED', at, reason: 'hand-over' },
  { type: 'STOP_REQUESTED', at, reason: 'cancel' },
  { type: 'STOPPED', at, node: 'n2' },
]

test('the transition that was taken is found for every step of a life', t => {
  const machine = machineGraphs.query
  let before: unknown = 'NEW'
  const found = [...replay({ handle: 'h', lane: 'auto', engine: null }, life)].map(({ value }, index) => {
    const taken = takenBetween(machine, life[index]?.type ?? '', before, value)
    before = value
    return taken && (taken.arrow ?? `${taken.transition.source || 'everywhere'} ↻ ${taken.transition.event}`)
  })
  t.deepEqual(found, [
    'NEW→QUEUED',
    'QUEUED ↻ ESTIMATED',
    'QUEUED→LAUNCHED',
    'LAUNCHED.submitting→RUNNING',
    'everywhere ↻ CLAIMED',
    'RUNNING.following→RUNNING.stopping',
    'RUNNING.stopping→RUNNING.stopping',
    'RUNNING.stopping→CANCELED',
  ])
  t.is(takenBetween(machine, 'STORED', 'QUEUED', 'SUCCESSFUL'), null)
  // Where an outer state accepts the event too, the inner one takes it.
  const outer = { source: 'a', target: 'c', event: 'X', label: 'X' }
  const inner = { ...outer, source: 'a.b' }
  const nested = { ...machine, transitions: [outer, inner] }
  t.is(takenBetween(nested, 'X', { a: 'b' }, 'c')?.transition, inner)
})

test('a value names all states that it is in, outer ones first', t => {
  t.deepEqual(activePaths('QUEUED'), ['QUEUED'])
  t.deepEqual(activePaths({ RUNNING: 'following' }), ['RUNNING', 'RUNNING.following'])
  t.deepEqual(activePaths({ a: { b: 'c' }, d: 'e' }), ['a', 'a.b', 'a.b.c', 'd', 'd.e'])
  t.deepEqual(activePaths(null), [])
})

test('each node has one lane, and a step says from whom its node took the query', t => {
  const step = (version: number, node: string, epoch: number) =>
    ({ version, event: 'X', from: 'QUEUED', to: 'QUEUED', node, epoch, at }) as const
  const { nodes, steps } = lanesOf([step(1, 'b', 1), step(2, 'b', 1), step(3, 'a', 2), step(4, 'b', 3)])
  t.deepEqual(nodes, ['b', 'a'])
  t.deepEqual(
    steps.map(({ lane, tookFrom }) => [lane, tookFrom]),
    [
      [0, null],
      [0, null],
      [1, 'b'],
      [0, 'a'],
    ],
  )
})

test('a drawing is fitted, kept readable, zoomed at a point, and moved to show a place', t => {
  const drawing = { width: 1200, height: 1300 }
  const whole = fitted(drawing, { width: 800, height: 600 })
  t.true(whole.scale * drawing.height <= 600 && whole.scale * drawing.width <= 800)
  t.true(readable(drawing, { width: 360, height: 500 }).scale >= 0.6)
  t.true(readable(drawing, { width: 800, height: 600 }).scale * drawing.width <= 800)
  const zoomed = zoomedAt(whole, 2, { x: 100, y: 50 })
  t.is(Math.round((100 - zoomed.x) / zoomed.scale), Math.round((100 - whole.x) / whole.scale))
  t.is(zoomedAt(whole, 1e9, { x: 0, y: 0 }).scale, 3)
  const place = { x: 1_000, y: 1_200, width: 80, height: 40 }
  const shown = showing({ x: 0, y: 0, scale: 1 }, place, { width: 400, height: 300 })
  t.true(place.x + shown.x >= 0 && place.x + place.width + shown.x <= 400)
  t.true(place.y + shown.y >= 0 && place.y + place.height + shown.y <= 300)
})

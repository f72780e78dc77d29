import test from 'ava'
import fc from 'fast-check'
import { changesBudgets, planBudgets } from '../../src/cluster/budget-plan.ts'
import type { BudgetRow } from '../../src/store/contract.ts'

const lane = { engine: 'main', lane: 'heavy' } as const

function row(incarnation: string, granted: number, acknowledged: number): BudgetRow {
  return { incarnation, ...lane, granted, acknowledged }
}

test('slots are split equally, the remainder goes to the first', t => {
  const members = ['a', 'b', 'c'].map(incarnation => ({ incarnation, draining: false }))
  const plan = planBudgets([{ ...lane, slots: 8 }], members, [])
  t.deepEqual(
    plan.map(grant => grant.granted),
    [3, 3, 2],
  )
})

test('a newcomer gets what others have returned, and not before', t => {
  const members = ['a', 'b'].map(incarnation => ({ incarnation, draining: false }))
  const lanes = [{ ...lane, slots: 4 }]
  const first = planBudgets(lanes, members, [row('a', 4, 4)])
  t.deepEqual(
    first.map(grant => grant.granted),
    [2, 0],
  )
  t.deepEqual(
    planBudgets(lanes, members, [row('a', 2, 3), row('b', 0, 0)]).map(grant => grant.granted),
    [2, 1],
  )
  t.deepEqual(
    planBudgets(lanes, members, [row('a', 2, 2), row('b', 1, 1)]).map(grant => grant.granted),
    [2, 2],
  )
})

test('slots of queries that were taken over are free for nobody until they end', t => {
  const lanes = [{ ...lane, slots: 6 }]
  const members = ['a', 'b'].map(incarnation => ({ incarnation, draining: false }))
  const rows = [row('a', 2, 2), row('b', 2, 2)]
  const grants = (held: number) =>
    planBudgets(lanes, members, rows, [
      { incarnation: 'a', ...lane, count: held },
      { incarnation: 'b', ...lane, count: 2 },
    ]).map(grant => grant.granted)
  t.deepEqual(grants(4), [2, 2])
  t.deepEqual(grants(3), [2, 3])
  t.deepEqual(grants(2), [3, 3])
  // Also of one that has no budget yet.
  t.deepEqual(
    planBudgets(lanes, members, [row('b', 2, 2)], [{ incarnation: 'a', ...lane, count: 4 }]).map(
      grant => grant.granted,
    ),
    [0, 2],
  )
})

test('a draining member gets nothing, a dead one keeps its slots until its row is gone', t => {
  const lanes = [{ ...lane, slots: 4 }]
  const members = [
    { incarnation: 'a', draining: true },
    { incarnation: 'b', draining: false },
  ]
  const rows = [row('a', 1, 1), row('b', 1, 1), row('dead', 1, 2)]
  t.deepEqual(
    planBudgets(lanes, members, rows).map(grant => grant.granted),
    [0, 1],
  )
  t.true(changesBudgets(planBudgets(lanes, members, rows), rows))
  t.deepEqual(
    planBudgets(lanes, members, [row('a', 0, 0), row('b', 1, 1)]).map(grant => grant.granted),
    [0, 4],
  )
})

/**
 * The rows as the database holds them, and members that act on readings of any age. Each step is one statement of somebody,
 * so every interleaving of leader and members is one sequence of steps.
 */
interface World {
  slots: number
  living: { incarnation: string; draining: boolean }[]
  rows: Map<string, BudgetRow>
  /** What each member runs, and the row that it read last. */
  running: Map<string, number>
  known: Map<string, BudgetRow>
  /** The plan that the leader has made of an earlier reading and not written yet. */
  planned: ReturnType<typeof planBudgets> | null
  joined: number
}

type Step = (world: World, pick: number) => void

const steps: Readonly<Record<string, Step>> = {
  join(world) {
    if (world.living.length < 5) world.living.push({ incarnation: `m${world.joined++}`, draining: false })
  },
  drain(world, pick) {
    const member = world.living[pick % Math.max(1, world.living.length)]
    if (member) member.draining = true
  },
  die(world, pick) {
    world.living.splice(pick % Math.max(1, world.living.length), 1)
  },
  /** The queries of a dead member are claimed: nothing of it runs any more, its row goes. */
  recover(world) {
    const living = new Set(world.living.map(member => member.incarnation))
    for (const incarnation of world.rows.keys()) {
      if (living.has(incarnation)) continue
      world.rows.delete(incarnation)
      world.running.delete(incarnation)
      world.known.delete(incarnation)
    }
  },
  leaderReads(world) {
    world.planned = planBudgets([{ ...lane, slots: world.slots }], world.living, [...world.rows.values()])
  },
  leaderWrites(world) {
    for (const grant of world.planned ?? []) {
      if (!world.living.some(member => member.incarnation === grant.incarnation)) continue
      const acknowledged = world.rows.get(grant.incarnation)?.acknowledged ?? 0
      world.rows.set(grant.incarnation, { ...grant, acknowledged })
    }
    world.planned = null
  },
  memberReads(world, pick) {
    const member = world.living[pick % Math.max(1, world.living.length)]
    const read = member && world.rows.get(member.incarnation)
    if (read) world.known.set(read.incarnation, read)
  },
  memberAcknowledges(world, pick) {
    const known = [...world.known.values()][pick % Math.max(1, world.known.size)]
    const current = known && world.rows.get(known.incarnation)
    if (!known || !current) return
    if (known.acknowledged > known.granted && (world.running.get(known.incarnation) ?? 0) > known.granted) return
    // As the store does it: lowering is free, raising goes to no more than what is granted in that very statement.
    const acknowledged =
      known.granted <= current.acknowledged
        ? known.granted
        : Math.max(current.acknowledged, Math.min(known.granted, current.granted))
    world.rows.set(known.incarnation, { ...current, acknowledged })
    // Until it reads again it uses no more than both.
    world.known.set(known.incarnation, { ...known, acknowledged: Math.min(known.acknowledged, known.granted) })
  },
  memberLaunches(world, pick) {
    const known = [...world.known.values()][pick % Math.max(1, world.known.size)]
    if (!known) return
    const running = world.running.get(known.incarnation) ?? 0
    if (running < Math.min(known.granted, known.acknowledged)) world.running.set(known.incarnation, running + 1)
  },
  queryEnds(world, pick) {
    const [incarnation, running] = [...world.running][pick % Math.max(1, world.running.size)] ?? []
    if (incarnation && running) world.running.set(incarnation, running - 1)
  },
}

test('however leader and members interleave, no more runs than there are slots', t => {
  const script = fc.array(fc.tuple(fc.constantFrom(...Object.keys(steps)), fc.nat(20)), {
    minLength: 20,
    maxLength: 200,
    size: 'max',
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), script, (slots, moves) => {
      const world: World = {
        slots,
        living: [],
        rows: new Map(),
        running: new Map(),
        known: new Map(),
        planned: null,
        joined: 0,
      }
      for (const [name, pick] of moves) {
        steps[name]?.(world, pick)
        const counted = [...world.rows.values()].reduce(
          (sum, budget) => sum + Math.max(budget.granted, budget.acknowledged),
          0,
        )
        if (counted > slots) return false
        const running = [...world.running.values()].reduce((sum, count) => sum + count, 0)
        if (running > slots) return false
      }
      return true
    }),
    { numRuns: 1000 },
  )
  t.pass()
})

test('left alone, every slot ends up with somebody', t => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5 }), (slots, count) => {
      const members = Array.from({ length: count }, (_, index) => ({ incarnation: `m${index}`, draining: false }))
      let rows: BudgetRow[] = [row('m0', slots, slots)]
      for (let round = 0; round < 4; round++) {
        const plan = planBudgets([{ ...lane, slots }], members, rows)
        rows = plan.map(grant => ({ ...grant, acknowledged: grant.granted }))
      }
      return rows.reduce((sum, budget) => sum + budget.granted, 0) === slots
    }),
  )
  t.pass()
})

/**
 * A lane runs no more than its slots, however its members, its leader, claims and hand-overs interleave: the real budgets of the
 * members and the real plan of the leader, over rows in memory whose every statement begins, and is answered, when the test says.
 */
import test from 'ava'
import fc from 'fast-check'
import { planBudgets } from '../../src/cluster/budget-plan.ts'
import { slotKey } from '../../src/cluster/ports.ts'
import { SlotBudgets, type SlotBudgetsOptions } from '../../src/cluster/slot-budgets.ts'
import type { BudgetRow } from '../../src/store/contract.ts'
import { quietLog } from '../support/cluster/quiet-log.ts'

const lane = { engine: 'main', lane: 'heavy' } as const
const key = slotKey(lane.engine, lane.lane)

/** A rule of the store or the node that is left out. */
type Broken =
  | 'none'
  | 'gifts are acknowledged'
  | 'an acknowledgement is a compare-and-set'
  | 'who was given looks first'

interface Member {
  readonly incarnation: string
  readonly budgets: SlotBudgets
  /** Queries that fill its slots, as it knows. */
  readonly memory: Set<number>
  dead: boolean
  draining: boolean
}

const turn = () => new Promise(resolve => setImmediate(resolve))

class World {
  readonly members: Member[] = []
  readonly #slots: number
  readonly #broken: Broken
  readonly #rows = new Map<string, BudgetRow>()
  /** Owners of the queries that hold a slot. */
  readonly #owners = new Map<number, string>()
  /** Statements that wait to be executed, and answers to be received. */
  readonly #gates: { readonly pass: () => void; readonly acknowledges: boolean }[] = []
  #queries = 0
  #planning = false
  most = 0

  constructor(slots: number, broken: Broken) {
    this.#slots = slots
    this.#broken = broken
    for (const incarnation of ['a', 'b', 'c']) this.members.push(this.#member(incarnation))
  }

  #member(incarnation: string): Member {
    const memory = new Set<number>()
    const never = () => () => undefined
    const options = {
      store: {
        budgets: () => this.#statement(() => [...this.#rows.values()]),
        acknowledgeBudget: (_incarnation, _engine, _lane, acknowledged, instead) =>
          this.#statement(() => this.#acknowledge(incarnation, acknowledged, instead), true),
      },
      membership: { incarnation, joined: true, leaseValid: () => true },
      work: {
        look: async () => {
          if (this.#broken === 'who was given looks first') return
          for (const query of await this.#statement(() => this.#ownedBy(incarnation)))
            if (this.#owners.get(query) === incarnation) memory.add(query)
        },
        load: () => ({ running: 0, queued: 0, slots: new Map([[key, memory.size]]) }),
        budgetsChanged: () => undefined,
      },
      clock: { every: never, after: never },
      periods: { budgetsMs: 1, heartbeatMs: 1 },
      log: quietLog,
      onReturned: () => undefined,
    } satisfies {
      [Name in keyof SlotBudgetsOptions]: Name extends 'membership' | 'clock' ? object : SlotBudgetsOptions[Name]
    }
    const budgets = new SlotBudgets(options as unknown as SlotBudgetsOptions)
    void budgets.start()
    return { incarnation, budgets, memory, dead: false, draining: false }
  }

  async #statement<T>(execute: () => T, acknowledges = false): Promise<T> {
    await new Promise<void>(pass => this.#gates.push({ pass, acknowledges }))
    const answer = execute()
    await new Promise<void>(pass => this.#gates.push({ pass, acknowledges: false }))
    return answer
  }

  /** One statement begins, or one answer arrives. */
  pass(pick: number): void {
    this.#gates.splice(pick % Math.max(1, this.#gates.length), 1)[0]?.pass()
  }

  /** In order, until somebody is about to acknowledge something; false: there is nothing left to pass. */
  async passUntilAcknowledged(): Promise<boolean> {
    for (; this.#gates.length > 0; await turn()) {
      if (this.#gates[0]?.acknowledges) return true
      this.pass(0)
    }
    return false
  }

  /** So many of its queries run, and its row says this. */
  put({ incarnation }: Member, running: number, granted: number, acknowledged: number): void {
    for (let count = 0; count < running; count++) this.#owners.set(++this.#queries, incarnation)
    this.#rows.set(incarnation, { incarnation, ...lane, granted, acknowledged })
  }

  rowOf({ incarnation }: Member): string {
    const row = this.#rows.get(incarnation)
    return `${row?.granted} ${row?.acknowledged}`
  }

  #ownedBy(incarnation: string): number[] {
    return [...this.#owners].filter(([, owner]) => owner === incarnation).map(([query]) => query)
  }

  // ------------------------------------------------------------ what the statements of the store do

  #acknowledge(incarnation: string, acknowledged: number, instead: number): boolean {
    const row = this.#rows.get(incarnation)
    if (!row) return false
    if (this.#broken !== 'an acknowledgement is a compare-and-set' && row.acknowledged !== instead) return false
    const value =
      acknowledged <= row.acknowledged ? acknowledged : Math.max(row.acknowledged, Math.min(acknowledged, row.granted))
    this.#rows.set(incarnation, { ...row, acknowledged: value })
    return true
  }

  #give(queries: readonly number[], target: Member): void {
    for (const query of queries) this.#owners.set(query, target.incarnation)
    if (this.#broken === 'gifts are acknowledged' || queries.length === 0) return
    const { incarnation } = target
    const row = this.#rows.get(incarnation) ?? { incarnation, ...lane, granted: 0, acknowledged: 0 }
    this.#rows.set(incarnation, {
      ...row,
      acknowledged: Math.max(row.granted, row.acknowledged) + queries.length,
    })
  }

  // ------------------------------------------------------------ what happens

  launch(member: Member): void {
    if (member.dead || member.draining || member.memory.size >= member.budgets.budgetOf(lane.engine, lane.lane)) return
    const query = ++this.#queries
    member.memory.add(query)
    void this.#statement(() => {
      if (member.dead) return
      this.#owners.set(query, member.incarnation)
      this.most = Math.max(this.most, this.#owners.size)
    })
  }

  end(member: Member, pick: number): void {
    const durable = [...member.memory].filter(query => this.#owners.get(query) === member.incarnation)
    const query = durable[pick % Math.max(1, durable.length)]
    if (member.dead || query === undefined) return
    this.#owners.delete(query)
    member.memory.delete(query)
    member.budgets.hint()
  }

  die(member: Member): void {
    if (this.members.filter(({ dead }) => !dead).length > 1) member.dead = true
  }

  claim(target: Member, pick: number): void {
    const dead = this.members.filter(member => member.dead)[0]
    if (!dead || target.dead || target.draining) return
    this.#give(this.#ownedBy(dead.incarnation).slice(0, 1 + (pick % 3)), target)
  }

  /** Only one that leaves gives running queries away: from then on it launches nothing. */
  handOver(member: Member, target: Member): void {
    const [query] = [...member.memory].filter(known => this.#owners.get(known) === member.incarnation)
    if (member.dead || target.dead || target.draining || member === target || query === undefined) return
    member.draining = true
    this.#give([query], target)
    member.memory.delete(query)
  }

  plan(): void {
    if (this.#planning) return
    this.#planning = true
    const living = this.members
      .filter(({ dead }) => !dead)
      .map(({ incarnation, draining }) => ({ incarnation, draining }))
    const planNow = async () => {
      const rows = await this.#statement(() => [...this.#rows.values()])
      const held = await this.#statement(() =>
        this.members.map(({ incarnation }) => ({ incarnation, ...lane, count: this.#ownedBy(incarnation).length })),
      )
      const grants = planBudgets([{ ...lane, slots: this.#slots }], living, rows, held)
      await this.#statement(() => this.#grant(grants))
      this.#planning = false
    }
    void planNow()
  }

  #grant(grants: ReturnType<typeof planBudgets>): void {
    for (const [incarnation, row] of this.#rows) this.#rows.set(incarnation, { ...row, granted: 0 })
    for (const grant of grants)
      this.#rows.set(grant.incarnation, {
        ...grant,
        acknowledged: this.#rows.get(grant.incarnation)?.acknowledged ?? 0,
      })
    for (const { incarnation, dead } of this.members)
      if (dead && this.#ownedBy(incarnation).length === 0) this.#rows.delete(incarnation)
  }
}

const actions: readonly ((world: World, pick: number) => void)[] = [
  (world, pick) => world.launch(world.members[pick % 3] as Member),
  (world, pick) => world.launch(world.members[pick % 3] as Member),
  (world, pick) => world.members[pick % 3]?.budgets.hint(),
  (world, pick) => world.end(world.members[pick % 3] as Member, pick),
  (world, pick) => world.claim(world.members[pick % 3] as Member, pick),
  (world, pick) =>
    world.handOver(world.members[pick % 3] as Member, world.members[(pick + 1 + (pick % 2)) % 3] as Member),
  (world, pick) => {
    if (pick % 4 === 0) world.die(world.members[Math.floor(pick / 4) % 3] as Member)
  },
  world => world.plan(),
]

/** The most queries that ever ran at once. */
async function played(slots: number, broken: Broken, script: readonly (readonly [number, number])[]): Promise<number> {
  const world = new World(slots, broken)
  for (const [action, pick] of script) {
    if (action < actions.length) actions[action]?.(world, pick)
    else world.pass(pick)
    await turn()
  }
  return world.most
}

/** Statements pass more often than anything else happens. */
const scripts = fc.array(fc.tuple(fc.nat(actions.length * 3), fc.nat(1000)), {
  minLength: 100,
  maxLength: 300,
  size: 'max',
})
const slotCounts = fc.integer({ min: 2, max: 6 })

test('however members, leader, claims and hand-overs interleave, no more runs than there are slots', async t => {
  await fc.assert(
    fc.asyncProperty(slotCounts, scripts, async (slots, script) => (await played(slots, 'none', script)) <= slots),
    { numRuns: 300 },
  )
  t.pass()
})

test('a lane is filled to its last slot', async t => {
  let most = 0
  for (const [, script] of fc.sample(fc.tuple(slotCounts, scripts), { numRuns: 30, seed: 7 }))
    most = Math.max(most, await played(4, 'none', script))
  t.is(most, 4, 'or the bound would hold of a lane that runs nothing')
})

for (const broken of ['gifts are acknowledged', 'who was given looks first'] as const)
  test(`a lane runs too much without the rule: ${broken}`, async t => {
    const { failed } = await fc.check(
      fc.asyncProperty(slotCounts, scripts, async (slots, script) => (await played(slots, broken, script)) <= slots),
      { numRuns: 3000, seed: 1, endOnFailure: true },
    )
    t.true(failed)
  })

/** A claim comes between what a member has read and what it acknowledges; gives its row, and what it knows to run, in the end. */
async function crossed(broken: Broken, granted: number, acknowledged: number) {
  const world = new World(6, broken)
  const [member, dead] = world.members as [Member, Member]
  world.put(member, 1, granted, acknowledged)
  world.put(dead, 2, 0, 2)
  dead.dead = true
  if (!(await world.passUntilAcknowledged())) throw new Error('there is nothing to acknowledge')
  world.claim(member, 1)
  while (await world.passUntilAcknowledged()) {
    world.pass(0)
    await turn()
  }
  return [world.rowOf(member), member.memory.size]
}

test('a claim that crosses an acknowledgement is never undone by it', async t => {
  t.deepEqual(await crossed('none', 1, 3), ['1 3', 3], 'a smaller one: what it was given counts, beside its own')
  t.deepEqual(await crossed('none', 2, 1), ['2 3', 3], 'a greater one')
  const rule = 'an acknowledgement is a compare-and-set'
  t.deepEqual(await crossed(rule, 1, 3), ['1 1', 1], 'without the rule: nobody knows of two that run')
  t.deepEqual(await crossed(rule, 2, 1), ['2 2', 1])
})

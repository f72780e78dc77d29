/** Stored snapshots: those of every version restore for ever, broken ones are named, too new ones are left alone. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { createActor } from 'xstate'
import {
  checkSnapshot,
  downgradeSnapshot,
  outcomeOf,
  queryMachine,
  queryMachineVersion,
  queryView,
  restorable,
  type StoredSnapshot,
  statusOf,
  upgradeSnapshot,
} from '../../src/domain/index.ts'
import { alphabet, events, queryInput, waysInto } from '../support/domain/query-events.ts'
import { effectsOf, pathOf, specification } from '../support/domain/query-invariants.ts'

const folder = new URL('../fixtures/snapshots/', import.meta.url)

function* fixtures<Content>(name: string): Generator<[name: string, content: Content]> {
  for (const file of readdirSync(new URL(`${name}/`, folder)).sort())
    yield [`${name}/${file}`, JSON.parse(readFileSync(new URL(`${name}/${file}`, folder), 'utf8'))]
}

interface Good {
  readonly snapshot: StoredSnapshot
  /** The effects that run after restoring. */
  readonly effects: readonly string[]
  /** What clients saw. */
  readonly view: object
}

interface Bad {
  readonly snapshot: unknown
  readonly reason: string
}

function restored(snapshot: StoredSnapshot) {
  return createActor(queryMachine, { input: queryInput, snapshot: restorable(queryMachine, snapshot) }).start()
}

/** A checked snapshot can be lived in: an actor starts, takes every event without an error, and shows a view. */
function assertLivable(snapshot: StoredSnapshot): void {
  for (const event of Object.values(alphabet)) {
    const actor = restored(snapshot)
    assert.notEqual(actor.getSnapshot().status, 'error')
    assert.deepEqual(Object.keys(actor.getSnapshot().children), effectsOf[pathOf(snapshot.value)])
    actor.send(event)
    const { status, value, context } = actor.getSnapshot()
    assert.notEqual(status, 'error', `${event.type} in ${pathOf(snapshot.value)}`)
    queryView(specification, value, context)
    actor.stop()
  }
}

for (let version = 1; version <= queryMachineVersion; version++) {
  test(`version ${version}: every state restores, with its effects and its view`, t => {
    const states = new Set<string>()
    for (const [name, { snapshot, effects, view }] of fixtures<Good>(`v${version}`)) {
      const check = checkSnapshot(snapshot)
      if (!check.ok) {
        t.fail(`${name}: ${check.reason}`)
        continue
      }
      t.is(check.snapshot.machineVersion, queryMachineVersion, name)
      const actor = restored(check.snapshot)
      const live = actor.getSnapshot()
      t.deepEqual([live.value, live.context], [check.snapshot.value, check.snapshot.context], name)
      t.deepEqual(Object.keys(live.children), effects, name)
      actor.stop()
      const shown = queryView(specification, live.value, live.context)
      t.like(shown, view as never, name)
      t.notThrows(() => assertLivable(check.snapshot), name)
      states.add(pathOf(live.value))
    }
    t.deepEqual(
      [...states].sort(),
      Object.keys(effectsOf)
        .filter(state => state !== 'NEW')
        .sort(),
    )
  })
}

test('there is a fixture of the current version for every way into a state', t => {
  const names = [...fixtures(`v${queryMachineVersion}`)].map(([name]) => name)
  t.deepEqual(
    names,
    Object.keys(waysInto)
      .map(way => `v${queryMachineVersion}/${way}.json`)
      .sort(),
  )
})

test('a snapshot of this version is what the machine makes today', t => {
  for (const [name, { snapshot }] of fixtures<Good>(`v${queryMachineVersion}`)) {
    const actor = createActor(queryMachine, { input: queryInput }).start()
    const way = waysInto[name.replace(/^.*\/|\.json$/g, '')] ?? []
    for (const event of events(...way)) actor.send(event)
    const { value, context } = actor.getSnapshot()
    t.deepEqual(
      { machineVersion: queryMachineVersion, value, context },
      snapshot,
      `${name}: raise queryMachineVersion and write an upgrade`,
    )
    actor.stop()
  }
})

test('a broken snapshot is named for what is wrong with it', t => {
  let count = 0
  for (const [name, { snapshot, reason }] of fixtures<Bad>('broken')) {
    t.deepEqual(checkSnapshot(snapshot), { ok: false, tooNew: false, reason }, name)
    count++
  }
  t.true(count >= 25)
})

test('a snapshot of a newer node is too new, whatever is in it', t => {
  const { snapshot } = JSON.parse(readFileSync(new URL('too-new.json', folder), 'utf8')) as Bad
  const check = checkSnapshot(snapshot)
  t.like(check, { ok: false, tooNew: true })
  const next = checkSnapshot({ machineVersion: queryMachineVersion + 1 })
  t.deepEqual(next, {
    ok: false,
    tooNew: true,
    reason: `the snapshot has version ${queryMachineVersion + 1}, this node reads up to ${queryMachineVersion}`,
  })
})

test('upgrades go step by step, and a missing step is named', t => {
  const first = { machineVersion: 1, value: 'A', context: {} } as unknown as StoredSnapshot
  const upgrades = {
    1: (snapshot: StoredSnapshot) => ({ ...snapshot, value: `${snapshot.value}B` }),
    2: (snapshot: StoredSnapshot) => ({ ...snapshot, value: `${snapshot.value}C` }),
  }
  t.deepEqual(upgradeSnapshot(first, upgrades, 3), { ...first, machineVersion: 3, value: 'ABC' })
  t.deepEqual(upgradeSnapshot({ ...first, machineVersion: 2 }, upgrades, 3), {
    ...first,
    machineVersion: 3,
    value: 'AC',
  })
  t.is(upgradeSnapshot(first, upgrades, 1), first)
  t.throws(() => upgradeSnapshot(first, upgrades, 4), { message: 'nothing upgrades a snapshot of version 3' })
})

test('any JSON: checkSnapshot never throws, and lets nothing through that cannot be lived in', t => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.jsonValue(),
        fc.anything(),
        fc.record({ machineVersion: fc.constant(1), value: fc.anything(), context: fc.anything() }),
      ),
      stored => {
        const check = checkSnapshot(stored)
        if (check.ok) assertLivable(check.snapshot)
      },
    ),
    { numRuns: 3_000 },
  )
  t.pass()
})

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** All places in a value, innermost last. */
function* placesIn(value: Json, place: readonly string[] = []): Generator<readonly string[]> {
  yield place
  if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) yield* placesIn(inner, [...place, key])
}

function damaged(value: Json, [key, ...rest]: readonly string[], by: Json | undefined): Json | undefined {
  if (key === undefined) return by
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, Json>
  const inner = damaged(copy[key] as Json, rest, by)
  if (inner === undefined) delete copy[key]
  else copy[key] = inner
  return copy
}

test('any damage to a good snapshot: refused, or still livable', t => {
  const good = [...fixtures<Good>(`v${queryMachineVersion}`)].map(([, { snapshot }]) => snapshot as unknown as Json)
  const replacement = fc.oneof(
    fc.constant(undefined),
    fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<Json>,
    fc.constantFrom<Json>(null, true, 0, 1, -1, '', 'QUEUED', 'cancel', 'hand-over', [], {}, { RUNNING: 'stopping' }),
  )
  const counts = { refused: 0, livable: 0 }
  fc.assert(
    fc.property(fc.constantFrom(...good), fc.nat(), replacement, (snapshot, at, by) => {
      const places = [...placesIn(snapshot)]
      const stored = damaged(snapshot, places[at % places.length] as readonly string[], by)
      const check = checkSnapshot(stored)
      counts[check.ok ? 'livable' : 'refused']++
      if (!check.ok) return
      assertLivable(check.snapshot)
      const status = statusOf(check.snapshot.value)
      outcomeOf(status, check.snapshot.context)
    }),
    { numRuns: 3_000 },
  )
  t.true(counts.refused > 500 && counts.livable > 100, JSON.stringify(counts))
})

test('downgrades go step by step, and a missing step is named', t => {
  const third = { machineVersion: 3, value: 'ABC', context: {} } as unknown as StoredSnapshot
  const shorter = (snapshot: StoredSnapshot) => ({ ...snapshot, value: String(snapshot.value).slice(0, -1) })
  t.deepEqual(downgradeSnapshot(third, 1, { 2: shorter, 3: shorter }), { ...third, machineVersion: 1, value: 'A' })
  t.is(downgradeSnapshot(third, 3, {}), third)
  t.is(downgradeSnapshot(third, 7, {}), third)
  t.throws(() => downgradeSnapshot(third, 1, { 3: shorter }), { message: 'nothing downgrades a snapshot of version 2' })
})

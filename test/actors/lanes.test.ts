import test from 'ava'
import fc from 'fast-check'
import { Lanes, type Slot, type Waiting } from '../../src/actors/lanes.ts'
import { priorities } from '../../src/domain/index.ts'

function waiting(
  handle: string,
  user: string,
  order: string[],
  options: Partial<Waiting> = {},
  slots: Slot[] = [],
): Waiting {
  return {
    handle,
    user,
    priority: 'normal',
    returning: false,
    granted: slot => {
      order.push(handle)
      slots.push(slot)
    },
    ...options,
  }
}

test('a lane serves no more than its budget, and the next when a slot comes back', t => {
  const lanes = new Lanes(() => 2)
  lanes.serve(true)
  const order: string[] = []
  const slots: Slot[] = []
  for (const handle of ['a', 'b', 'c', 'd']) lanes.request('e', 'light', waiting(handle, 'u', order, {}, slots))
  t.deepEqual(order, ['a', 'b'])
  slots[0]?.release()
  slots[0]?.release()
  t.deepEqual(order, ['a', 'b', 'c'])
  t.is(lanes.inUse().get('e light'), 2)
})

test('heavy queries that fill their slots do not hold up a light one', t => {
  const lanes = new Lanes((_engine, lane) => (lane === 'heavy' ? 1 : 1))
  lanes.serve(true)
  const order: string[] = []
  lanes.request('e', 'heavy', waiting('h1', 'u', order))
  lanes.request('e', 'heavy', waiting('h2', 'u', order))
  lanes.request('e', 'light', waiting('l1', 'u', order))
  t.deepEqual(order, ['h1', 'l1'])
})

test('priority first, then users in turns, then arrival; who returns goes before its own', t => {
  const lanes = new Lanes(() => 100)
  const order: string[] = []
  const add = (handle: string, user: string, options: Partial<Waiting> = {}) =>
    lanes.request('e', 'light', waiting(handle, user, order, options))
  add('a1', 'alice')
  add('a2', 'alice')
  add('a3', 'alice')
  add('b1', 'bob')
  add('low', 'carol', { priority: 'low' })
  add('high', 'alice', { priority: 'high' })
  add('a0', 'alice', { returning: true })
  t.deepEqual(
    ['high', 'a0', 'b1', 'a1', 'a2', 'a3', 'low'].map(handle => lanes.positionOf(handle)),
    [1, 2, 3, 4, 5, 6, 7],
  )
  lanes.serve(true)
  t.deepEqual(order, ['high', 'a0', 'b1', 'a1', 'a2', 'a3', 'low'])
})

test('what is taken back is not served', t => {
  const lanes = new Lanes(() => 1)
  const order: string[] = []
  const takeBack = lanes.request('e', 'light', waiting('a', 'u', order))
  lanes.request('e', 'light', waiting('b', 'u', order))
  takeBack()
  takeBack()
  lanes.serve(true)
  t.deepEqual(order, ['b'])
})

test('whatever comes and goes: the budget holds, nobody is served twice, nobody is forgotten', t => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant('request' as const),
      user: fc.constantFrom('u1', 'u2', 'u3'),
      priority: fc.constantFrom(...priorities),
      returning: fc.boolean(),
    }),
    fc.record({ do: fc.constant('release' as const), index: fc.nat(50) }),
    fc.record({ do: fc.constant('takeBack' as const), index: fc.nat(50) }),
    fc.record({ do: fc.constant('budget' as const), slots: fc.nat(5) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      let budget = 1
      const lanes = new Lanes(() => budget)
      lanes.serve(true)
      const served: string[] = []
      const slots: Slot[] = []
      const waits: { handle: string; takeBack: () => void; gone: boolean }[] = []
      let held = 0
      for (const [index, action] of steps.entries()) {
        if (action.do === 'request') {
          const handle = `q${index}`
          const entry = { handle, takeBack: () => {}, gone: false }
          waits.push(entry)
          entry.takeBack = lanes.request('e', 'light', {
            handle,
            user: action.user,
            priority: action.priority,
            returning: action.returning,
            granted: slot => {
              held++
              served.push(handle)
              slots.push(slot)
            },
          })
        } else if (action.do === 'release') {
          const [slot] = slots.splice(action.index, 1)
          if (slot) {
            held--
            slot.release()
          }
        } else if (action.do === 'takeBack') {
          const entry = waits[action.index]
          if (entry) {
            entry.takeBack()
            entry.gone = true
          }
        } else {
          budget = action.slots
          lanes.serve()
        }
        if (action.do !== 'budget' && held > Math.max(budget, 5)) return false
      }
      budget = 1_000
      lanes.serve()
      const remaining = waits.filter(({ handle, gone }) => !gone && !served.includes(handle))
      return new Set(served).size === served.length && remaining.length === 0
    }),
  )
  t.pass()
})

test('while one is held nobody is served, and all are when it is let go of', t => {
  const lanes = new Lanes(() => 2)
  lanes.serve(true)
  const order: string[] = []
  const [first, second] = [lanes.hold(), lanes.hold()]
  lanes.request('e', 'light', waiting('a', 'u', order))
  first()
  first()
  lanes.serve(true)
  t.deepEqual(order, [])
  second()
  t.deepEqual(order, ['a'])
})

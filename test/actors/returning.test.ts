import test from 'ava'
import { Lanes } from '../../src/actors/lanes.ts'
import { Returning } from '../../src/actors/returning.ts'
import { ManualClock } from '../support/cluster/manual-clock.ts'

function stage() {
  const clock = new ManualClock()
  const lanes = new Lanes(() => 10)
  lanes.serve(true)
  const served: string[] = []
  const ask = (handle: string) =>
    lanes.request('e', 'light', {
      ...{ handle, user: 'u', priority: 'normal', returning: false, granted: () => served.push(handle) },
    })
  return { clock, served, ask, returning: new Returning(lanes, clock) }
}

test('nothing is launched while many come back: longer for more of them', async t => {
  const { clock, returning, served, ask } = stage()
  returning.add(20)
  returning.add(20)
  ask('a')
  await clock.advance(79)
  t.deepEqual(served, [])
  await clock.advance(1)
  t.deepEqual(served, ['a'])
})

test('never long, however many they are, and not for what held no slot', async t => {
  const { clock, returning, served, ask } = stage()
  returning.add(0)
  ask('a')
  t.deepEqual(served, ['a'])
  for (let batch = 0; batch < 10; batch++) returning.add(200)
  ask('b')
  await clock.advance(250)
  t.deepEqual(served, ['a', 'b'])
})

test('who is fenced holds nothing up when it is back', t => {
  const { returning, served, ask } = stage()
  returning.add(100)
  ask('a')
  returning.stop()
  t.deepEqual(served, ['a'])
})

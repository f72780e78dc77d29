/** The real clock and the real randomness: order, cancelling, aborting. Durations are not judged. */
import test from 'ava'
import { deferred, systemClock, systemRandom, WakeUp } from '../../src/async/index.ts'

test('the monotonic clock never goes back and counts milliseconds', async t => {
  const before = systemClock.monotonic()
  await systemClock.sleep(20)
  const after = systemClock.monotonic()
  // Timers may fire a little early; what is checked is the unit.
  t.true(after - before > 15, String(after - before))
  t.true(Math.abs(systemClock.now() - Date.now()) < 60_000)
})

test('a shorter wait ends first', async t => {
  const order: string[] = []
  const done = deferred()
  systemClock.after(50, () => {
    order.push('late')
    done.resolve()
  })
  systemClock.after(1, () => order.push('early'))
  // The timers do not keep the process alive; this does.
  await Promise.all([done.promise, systemClock.sleep(60)])
  t.deepEqual(order, ['early', 'late'])
})

test('a cancelled timer does not fire; cancelling twice and afterwards is allowed', async t => {
  let fired = 0
  const cancel = systemClock.after(1, () => fired++)
  cancel()
  cancel()
  const fire = deferred()
  const again = systemClock.after(5, () => fire.resolve())
  await Promise.all([fire.promise, systemClock.sleep(10)])
  again()
  t.is(fired, 0)
})

test('a period repeats until it is cancelled', async t => {
  const thrice = deferred()
  let ticks = 0
  const cancel = systemClock.every(1, () => {
    if (++ticks === 3) {
      cancel()
      thrice.resolve()
    }
  })
  await Promise.all([thrice.promise, systemClock.sleep(30)])
  t.is(ticks, 3)
})

test('a sleep ends with the reason of its signal, before and while it sleeps', async t => {
  await t.throwsAsync(systemClock.sleep(60_000, AbortSignal.abort(new Error('before'))), { message: 'before' })
  const controller = new AbortController()
  const asleep = systemClock.sleep(60_000, controller.signal)
  controller.abort(new Error('meanwhile'))
  await t.throwsAsync(asleep, { message: 'meanwhile' })
})

test('a wait beyond what a timer can hold does not fire at once', async t => {
  let fired = false
  const cancel = systemClock.after(Number.MAX_SAFE_INTEGER, () => {
    fired = true
  })
  await systemClock.sleep(5)
  cancel()
  t.false(fired)
})

test('a wake-up that comes first is kept, several are one', async t => {
  const wakeUp = new WakeUp()
  wakeUp.wake()
  wakeUp.wake()
  await wakeUp.wait()
  const order: string[] = []
  const second = wakeUp.wait().then(() => order.push('woken'))
  await null
  order.push('asleep until now')
  wakeUp.wake()
  await second
  t.deepEqual(order, ['asleep until now', 'woken'])
})

test('all who wait are woken by one wake-up', async t => {
  const wakeUp = new WakeUp()
  const both = Promise.all([wakeUp.wait(), wakeUp.wait()])
  wakeUp.wake()
  t.is((await both).length, 2)
})

test('randomness: distinct ids, secrets of the asked strength, fractions in [0, 1)', t => {
  const ids = new Set(Array.from({ length: 1000 }, () => systemRandom.uuid()))
  t.is(ids.size, 1000)
  t.is(Buffer.from(systemRandom.secret(32), 'base64url').length, 32)
  t.true(Array.from({ length: 1000 }, () => systemRandom.fraction()).every(fraction => fraction >= 0 && fraction < 1))
})

test('what is to be done soon is done after this turn, in order', async t => {
  const order: string[] = []
  const done = deferred()
  systemClock.soon(() => order.push('first'))
  systemClock.soon(done.resolve)
  await null
  order.push('this turn')
  await done.promise
  t.deepEqual(order, ['this turn', 'first'])
})

test('ids of a time are UUIDv7 of it, and grow', t => {
  const atMs = Date.UTC(2026, 1, 3)
  const ids = Array.from({ length: 100 }, () => systemRandom.uuidOfTime(atMs + 0.5))
  t.deepEqual(ids.toSorted(), ids)
  t.is(new Set(ids).size, 100)
  t.is(Number.parseInt((ids[0] as string).replace('-', '').slice(0, 12), 16), atMs)
  t.is((ids[0] as string)[14], '7')
})

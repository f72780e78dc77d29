import test from 'ava'
import { Scheduler, type TracedEvent, UncaughtInSimulation } from './scheduler.ts'

/** Processes that wait for each other in every way that a clock offers. */
async function chatter(seed: string, preemption?: { chance: number; delayMsMax: number }) {
  const events: TracedEvent[] = []
  const scheduler = new Scheduler({ seed, preemption, trace: event => events.push(event) })
  const said: string[] = []
  for (const name of ['a', 'b', 'c']) {
    const process = scheduler.process(name)
    const { clock, random } = process
    const live = async () => {
      for (let round = 0; ; round++) {
        await clock.sleep(random.fraction() * 10)
        said.push(`${name} ${round} ${random.uuid()} ${clock.now()}`)
        await new Promise<void>(resolve => clock.soon(resolve))
      }
    }
    void live()
    clock.every(3, () => said.push(`${name} tick`))
  }
  await scheduler.run({ untilMs: 500 })
  return { hash: scheduler.hash, said, events }
}

test('a seed gives the same events, draws and times again; another seed gives others', async t => {
  const preemption = { chance: 0.2, delayMsMax: 5 }
  const [once, again, other] = [await chatter('1', preemption), await chatter('1', preemption), await chatter('2')]
  t.true(once.events.length > 300)
  t.deepEqual(again, once)
  t.not(other.hash, once.hash)
})

test('the hash tells one event at another time, and the order of two', async t => {
  const hashWith = async (delays: readonly number[]) => {
    const scheduler = new Scheduler({ seed: '1' })
    const process = scheduler.process('a')
    delays.forEach((delayMs, index) => void process.schedule(delayMs, `event ${index}`, () => undefined))
    await scheduler.run()
    return scheduler.hash
  }
  const first = await hashWith([1, 2])
  t.is(await hashWith([1, 2]), first)
  t.not(await hashWith([1, 2.001]), first)
  t.not(await hashWith([2, 1]), first)
})

test('pre-emption delays events of processes, by no more than its bound', async t => {
  const delayed = async (chance: number) => {
    const scheduler = new Scheduler({ seed: '1', preemption: { chance, delayMsMax: 7 } })
    const { clock } = scheduler.process('a')
    const late: number[] = []
    for (let index = 0; index < 200; index++) clock.after(index, () => late.push(clock.monotonic() - index))
    await scheduler.run()
    return late
  }
  t.true((await delayed(0)).every(late => late === 0))
  const late = await delayed(0.5)
  t.is(late.length, 200)
  t.true(late.every(ms => ms >= 0 && ms <= 7))
  t.true(late.some(ms => ms > 0) && late.some(ms => ms === 0))
})

test('events of one instant come in an order that the seed draws', async t => {
  const order = async (seed: string) => {
    const scheduler = new Scheduler({ seed })
    const came: number[] = []
    for (let index = 0; index < 8; index++) scheduler.schedule(5, 'one of many', () => came.push(index))
    await scheduler.run()
    return came.join('')
  }
  const orders = new Set(await Promise.all(['1', '2', '3', '4'].map(order)))
  t.is(orders.size, 4)
})

test('a crashed process never hears of anything again, whatever it awaits', async t => {
  const scheduler = new Scheduler({ seed: '1' })
  const process = scheduler.process('a')
  const { clock } = process
  const heard: string[] = []
  void clock.sleep(5).then(() => heard.push('early'))
  void clock.sleep(20).then(() => heard.push('sleep'))
  clock.every(15, () => heard.push('every'))
  process.stream().push(30, 'message', () => heard.push('message'))
  let told = 0
  process.onCrash(() => told++)
  scheduler.schedule(10, 'crash', () => {
    clock.soon(() => heard.push('soon'))
    process.crash()
    process.crash()
  })
  t.is(await scheduler.run({ untilMs: 1000 }), 'time')
  t.deepEqual(heard, ['early'])
  t.is(told, 1)
  t.is(process.state, 'crashed')
  const next = scheduler.process('a')
  t.not(next.random.uuid(), scheduler.process('a').random.uuid())
  t.not(next.random.uuid(), process.random.uuid())
})

test('a frozen process is told late and in order of all that it missed; its clocks went on', async t => {
  const scheduler = new Scheduler({ seed: '1' })
  const process = scheduler.process('a')
  const { clock } = process
  const heard: string[] = []
  const note = (what: string) => heard.push(`${what} ${clock.monotonic()} ${clock.now() - scheduler.startsAtMs}`)
  clock.after(30, () => note('third'))
  clock.after(10, () => note('first'))
  clock.after(20, () => note('second'))
  const cancel = clock.after(25, () => note('cancelled'))
  const stream = process.stream()
  for (const word of ['x', 'y', 'z']) stream.push(12, word, () => note(word))
  clock.every(4, () => heard.push('tick'))
  scheduler.schedule(5, 'freeze', () => process.freeze())
  scheduler.schedule(50, 'cancel', cancel)
  scheduler.schedule(100, 'resume', () => process.resume())
  await scheduler.run({ untilMs: 101 })
  t.deepEqual(
    heard.filter(word => word !== 'tick'),
    ['first', 'second', 'third', 'x', 'y', 'z'].sort((a, b) => heardAt(a) - heardAt(b)).map(word => `${word} 100 100`),
  )
  t.is(heard.filter(word => word === 'tick').length, 2)
  function heardAt(word: string): number {
    return heard.findIndex(one => one.startsWith(word))
  }
  t.true(heardAt('first') < heardAt('second') && heardAt('second') < heardAt('third'))
  t.true(heardAt('x') < heardAt('y') && heardAt('y') < heardAt('z'))
})

test('in a suspended machine the monotonic clock halts and the wall clock does not', async t => {
  const scheduler = new Scheduler({ seed: '1' })
  const process = scheduler.process('a')
  process.wallOffsetMs = 1000
  scheduler.schedule(5, 'suspend', () => process.freeze({ monotonicHalts: true }))
  scheduler.schedule(105, 'resume', () => process.resume())
  await scheduler.run({ untilMs: 200 })
  t.is(process.clock.monotonic(), 100)
  t.is(process.clock.now(), scheduler.startsAtMs + 1200)
})

test('a stream keeps its order under pre-emption; what is cleared never comes', async t => {
  const scheduler = new Scheduler({ seed: '1', preemption: { chance: 0.5, delayMsMax: 50 } })
  const stream = scheduler.process('a').stream()
  const came: number[] = []
  for (let index = 0; index < 100; index++) stream.push(100 - index, 'message', () => came.push(index))
  await scheduler.run({ until: () => came.length === 60 })
  stream.clear()
  stream.push(1, 'message', () => came.push(1000))
  t.is(await scheduler.run(), 'idle')
  t.deepEqual(came, [...Array.from({ length: 60 }, (_, index) => index), 1000])
})

test('a sleep that is aborted rejects at once and leaves nothing', async t => {
  const scheduler = new Scheduler({ seed: '1' })
  const { clock } = scheduler.process('a')
  const controller = new AbortController()
  scheduler.schedule(10, 'abort', () => controller.abort(new Error('enough')))
  await t.throwsAsync(scheduler.settled(clock.sleep(100, controller.signal)), { message: 'enough' })
  t.is(scheduler.nowMs, 10)
  t.is(await scheduler.run(), 'idle')
  t.is(scheduler.nowMs, 10)
})

test('what a task throws ends the run, and so does time that stands still', async t => {
  const scheduler = new Scheduler({ seed: '1' })
  const { clock } = scheduler.process('a')
  clock.after(1, () => {
    throw new Error('broken')
  })
  await t.throwsAsync(scheduler.run(), { instanceOf: UncaughtInSimulation, message: /timer of a .*broken/ })
  const again = () => scheduler.schedule(0, 'again', again, true)
  again()
  await t.throwsAsync(scheduler.run(), { message: /time stands still: again/ })
})

test('invariants are looked at after every step, when its microtasks are done', async t => {
  const scheduler = new Scheduler({ seed: '1' })
  const { clock } = scheduler.process('a')
  let depth = 0
  const deep = async () => {
    for (;;) {
      await clock.sleep(1)
      for (let index = 0; index < 50; index++) await null
      depth++
    }
  }
  void deep()
  let looks = 0
  await scheduler.run({ untilMs: 10, onStep: () => t.is(depth, ++looks) })
  t.is(looks, 10)
})

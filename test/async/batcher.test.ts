/** That requests share a flight, that a batch never starts before its requests arrived, and that failures reach whom they belong to. */
import test from 'ava'
import fc from 'fast-check'
import { Batcher, type Deferred, deferred, systemClock } from '../../src/async/index.ts'

/** Flights that land when the test says so. */
function controlled(options: { flightsMax?: number; sizeMax?: number; waitingMax?: number } = {}) {
  const flights: { requests: number[]; landing: Deferred<readonly (number | Error)[]> }[] = []
  const departed: Deferred<void>[] = []
  const batcher = new Batcher<number, number>({
    clock: systemClock,
    flightsMax: 1,
    sizeMax: 100,
    ...options,
    overflow: () => new Error('full'),
    run(requests) {
      const landing = deferred<readonly (number | Error)[]>()
      flights.push({ requests, landing })
      departed[flights.length - 1]?.resolve()
      return landing.promise
    },
  })
  /** Resolves when the flight with this number has departed. */
  const departure = (index: number) => {
    if (flights[index]) return Promise.resolve()
    departed[index] ??= deferred()
    return departed[index].promise
  }
  const land = (index: number) => flights[index]?.landing.resolve(flights[index].requests.map(request => request * 10))
  return { batcher, flights, departure, land }
}

test('requests of one tick travel together', async t => {
  const { batcher, flights, departure, land } = controlled()
  const answers = [1, 2, 3].map(request => batcher.add(request))
  await departure(0)
  land(0)
  t.deepEqual(await Promise.all(answers), [10, 20, 30])
  t.is(flights.length, 1)
})

test('what arrives while a flight is under way waits for the next, which starts after it arrived', async t => {
  const { batcher, flights, departure, land } = controlled()
  const first = batcher.add(1)
  await departure(0)
  const later = [batcher.add(2), batcher.add(3)]
  t.is(batcher.waiting, 2)
  t.is(flights.length, 1)
  land(0)
  t.is(await first, 10)
  await departure(1)
  t.deepEqual(flights[1]?.requests, [2, 3])
  land(1)
  t.deepEqual(await Promise.all(later), [20, 30])
  t.is(batcher.waiting, 0)
})

test('no flight is larger, and no more are under way, than allowed', async t => {
  const { batcher, flights, departure, land } = controlled({ flightsMax: 2, sizeMax: 2 })
  const answers = [1, 2, 3, 4, 5].map(request => batcher.add(request))
  await departure(1)
  t.deepEqual(
    flights.map(flight => flight.requests),
    [
      [1, 2],
      [3, 4],
    ],
  )
  t.is(batcher.waiting, 1)
  land(1)
  await departure(2)
  t.deepEqual(flights[2]?.requests, [5])
  land(2)
  land(0)
  t.deepEqual(await Promise.all(answers), [10, 20, 30, 40, 50])
})

test('a request too many is refused, and the others are served', async t => {
  const { batcher, departure, land } = controlled({ waitingMax: 1 })
  const first = batcher.add(1)
  await t.throwsAsync(batcher.add(2), { message: 'full' })
  await departure(0)
  land(0)
  t.is(await first, 10)
})

test('an error among the answers rejects its request alone', async t => {
  const { batcher, flights, departure } = controlled()
  const answers = Promise.allSettled([1, 2, 3].map(request => batcher.add(request)))
  await departure(0)
  flights[0]?.landing.resolve([10, new Error('not this one'), 30])
  t.deepEqual(
    (await answers).map(answer => answer.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
})

test('a failed flight fails all that were in it, and the next one flies', async t => {
  const { batcher, flights, departure, land } = controlled()
  const answers = Promise.allSettled([1, 2].map(request => batcher.add(request)))
  await departure(0)
  const later = batcher.add(3)
  flights[0]?.landing.reject(new Error('lost'))
  t.deepEqual(
    (await answers).map(answer => answer.status),
    ['rejected', 'rejected'],
  )
  await departure(1)
  land(1)
  t.is(await later, 30)
})

test('every request gets its own answer, whatever the sizes and the order of landing', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(), { maxLength: 50 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 7 }),
      async (requests, flightsMax, sizeMax) => {
        let underWay = 0
        const batcher = new Batcher<number, number>({
          clock: systemClock,
          flightsMax,
          sizeMax,
          async run(batch) {
            if (++underWay > flightsMax || batch.length > sizeMax || batch.length === 0)
              throw new Error('beyond the limits')
            // Later batches land earlier.
            for (let turns = batch[0] as number; turns % 3 !== 0; turns--) await null
            underWay--
            return batch.map(request => request + 1)
          },
        })
        const answers = await Promise.all(requests.map(request => batcher.add(request)))
        return answers.every((answer, index) => answer === (requests[index] as number) + 1)
      },
    ),
  )
  t.pass()
})

/** Delays between attempts, and what `retry` does with success, failure, and an end from outside. No test waits for real time. */
import test from 'ava'
import fc from 'fast-check'
import { backoffDelayMs, type Clock, type Random, retry, systemRandom } from '../../src/async/index.ts'

const backoff = { firstMs: 10, limitMs: 1000 }
const random: Random = { ...systemRandom, fraction: () => 1 }

/** A clock whose sleeps end at once and are remembered. */
function sleepless() {
  const slept: number[] = []
  const clock = {
    async sleep(delayMs: number, signal?: AbortSignal) {
      signal?.throwIfAborted()
      slept.push(delayMs)
    },
  } as Clock
  return { clock, slept }
}

test('delays double up to the limit', t => {
  t.deepEqual(
    [0, 1, 2, 6, 7, 100].map(attempt => backoffDelayMs(backoff, attempt, random)),
    [10, 20, 40, 640, 1000, 1000],
  )
})

test('jitter keeps a delay between half its step and the whole of it', t => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, fraction) => {
      const step = Math.min(1000, 10 * 2 ** Math.min(attempt, 30))
      const delay = backoffDelayMs(backoff, attempt, { ...systemRandom, fraction: () => fraction })
      return delay >= step / 2 && delay <= step
    }),
  )
  t.pass()
})

test('a task is repeated until it succeeds, after growing delays', async t => {
  const { clock, slept } = sleepless()
  const told: number[] = []
  const answer = await retry(async attempt => (attempt < 3 ? Promise.reject(new Error('not yet')) : attempt), {
    clock,
    random,
    backoff,
    retryable: () => true,
    onRetry: (_error, attempt) => told.push(attempt),
  })
  t.is(answer, 3)
  t.deepEqual(slept, [10, 20, 40])
  t.deepEqual(told, [0, 1, 2])
})

test('what is not retryable is thrown at once', async t => {
  const { clock, slept } = sleepless()
  let calls = 0
  const task = async () => {
    calls++
    throw new Error('for good')
  }
  await t.throwsAsync(retry(task, { clock, random, backoff, retryable: () => false }), { message: 'for good' })
  t.is(calls, 1)
  t.deepEqual(slept, [])
})

test('after the last repetition the last error is thrown', async t => {
  const { clock } = sleepless()
  let calls = 0
  const task = async () => {
    throw new Error(`failure ${++calls}`)
  }
  await t.throwsAsync(retry(task, { clock, random, backoff, retryable: () => true, repetitionsMax: 2 }), {
    message: 'failure 3',
  })
})

test('an aborted signal ends it: before the first attempt, and between two', async t => {
  const { clock } = sleepless()
  const options = { clock, random, backoff, retryable: () => true }
  let calls = 0
  await t.throwsAsync(
    retry(async () => ++calls, { ...options, signal: AbortSignal.abort(new Error('over')) }),
    { message: 'over' },
  )
  t.is(calls, 0)
  const controller = new AbortController()
  const task = async () => {
    calls++
    controller.abort(new Error('over'))
    throw new Error('the task’s own')
  }
  await t.throwsAsync(retry(task, { ...options, signal: controller.signal }), { message: 'the task’s own' })
  t.is(calls, 1)
})

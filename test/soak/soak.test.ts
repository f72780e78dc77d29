/** The rule by which a soak is judged, and a short one: `npm run soak` is the same for as long as one likes. */
import test from 'ava'
import { entities } from '../../src/store/entities.ts'
import { judge } from './flatness.ts'
import { soak } from './run.ts'
import { holdingNames } from './sampling.ts'

const series = (values: readonly number[], slack = 5) => ({ name: 'x', values, slack })
const wobbling = (count: number, level: number) =>
  Array.from({ length: count }, (_, index) => level + ((index * 7) % 5) - 2)

test('what stays, falls, or only warms up is flat; peaks are no growth', t => {
  t.true(judge(series(wobbling(30, 100))).flat)
  t.true(judge(series(wobbling(30, 100).map((value, index) => value - index))).flat)
  t.true(judge(series(wobbling(30, 100).map((value, index) => (index < 8 ? value / 2 : value)))).flat)
  t.true(judge(series(wobbling(30, 100).map((value, index) => (index % 9 === 0 ? value * 5 : value)))).flat)
})

test('what grows all the time is not, fast or slowly', t => {
  t.false(judge(series(wobbling(30, 100).map((value, index) => value + 4 * index))).flat)
  t.false(judge(series(wobbling(120, 100).map((value, index) => value + 0.6 * index))).flat)
  t.deepEqual(judge(series([0, 0, 10, 10, 100, 100])), {
    ...{ name: 'x', first: 0, middle: 10, last: 100, most: 100, flat: false },
  })
})

test('of too few looks nothing is said', t => {
  t.throws(() => judge(series([1, 2, 3])), { message: /expected 6 or more/ })
})

test('a short soak: nothing is left over when its clients have gone', async t => {
  t.timeout(240_000, 'a short soak')
  const outcome = await soak({
    seed: 'test',
    minutes: 0.3,
    everyMs: 1_500,
    pauseMs: 3_000,
    workers: 6,
    say: line => t.log(line),
  })
  t.deepEqual(outcome.wrong, [])
  t.true(outcome.samples >= 6 && outcome.queries > 0)
  t.true(Object.keys(outcome.faults).length > 0)
  // In so short a time everything warms up: what grows is for the long runs to say.
  const tables = entities.length + 1 // that of the migrations
  t.is(outcome.verdicts.length, 3 * holdingNames.length + tables + 2)
})

/**
 * About a minute of real faults: one of every kind where that can be had, each drawn from a fixed seed, while clients work; then
 * every invariant is decided. `npm run faults` is the same for as long as one likes.
 */
import test from 'ava'
import { describeReport, invariantNames } from './checker/index.ts'
import type { KindName } from './draw.ts'
import { describeRecoveries, evidenceOf } from './evidence.ts'
import { run } from './run.ts'

/** Left to the long runs: it alone takes a quarter of a minute. */
const tooLong: ReadonlySet<KindName> = new Set(['rolling-restart'])

test('a minute of faults breaks no invariant, and the cluster comes back after each', async t => {
  // Longer than AVA waits without a word.
  t.timeout(600_000, 'a minute of faults')
  const outcome = await run({
    seed: 'test',
    commit: 'test',
    minutes: 1.2,
    faults: 16,
    allowed: kind => !tooLong.has(kind),
    inTurn: true,
    pauseMs: 300,
    processes: 1,
    workers: 8,
    say: line => t.log(line),
    keep: false,
  })
  t.log(describeRecoveries([evidenceOf(outcome, 'test', new Date().toISOString())]))
  t.log(describeReport(outcome.report))
  t.deepEqual(
    outcome.report.violations.map(({ invariant, subject, words }) => `${invariant} ${subject} ${words}`),
    [],
  )
  t.deepEqual(outcome.unexpected, [])
  for (const name of invariantNames)
    t.true(
      Object.values(outcome.report.looked[name]).some(count => count > 0),
      `${name} was decided from something`,
    )
})

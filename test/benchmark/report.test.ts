/** What a row of the benchmark says, and when it says `met`. */
import test from 'ava'
import { boundRow, inTurns, latencyRow, markdown, median, rateRow, rates, ratioOf, spreadOf } from './report.ts'

test('a median lies between the middle two', t => {
  t.is(median([5, 1, 3]), 3)
  t.is(median([1, 2, 4, 100]), 3)
  t.is(median([]), Number.NaN)
})

test('each round is compared with its own floor, so that a drift of both leaves the ratio alone', t => {
  const drifting = { measured: [200, 100, 50], floor: [100, 50, 25] }
  t.is(ratioOf(drifting), 2)
  t.true(rateRow('a', drifting, 'floor', 2).met as boolean)
  t.false(rateRow('a', drifting, 'floor', 2.1).met as boolean)
})

test('one disturbed round of several decides nothing', t => {
  t.is(ratioOf({ measured: [200, 210, 10, 190, 200], floor: [100, 100, 100, 100, 100] }), 2)
})

test('floor and measure take turns after a round that is not counted', async t => {
  const calls: string[] = []
  const told = (who: string) => async () => {
    calls.push(who)
    return calls.length
  }
  const rounds = await inTurns(2, told('floor'), told('measure'))
  t.deepEqual(calls, ['floor', 'measure', 'floor', 'measure', 'floor', 'measure'])
  t.deepEqual(rounds, { floor: [3, 5], measured: [4, 6] })
})

test('a row for comparison is judged by nothing', t => {
  const row = rateRow('a', { measured: [1], floor: [2] }, 'floor', null)
  t.is(row.met, null)
  t.is(row.target, '')
})

test('a time must meet both of its bounds', t => {
  const spread = (p50: number, p99: number) => ({ n: 1, min: 0, p50, p99, max: p99 })
  t.true(latencyRow('a', spread(4, 15), 4, 15).met as boolean)
  t.false(latencyRow('a', spread(4.1, 15), 4, 15).met as boolean)
  t.false(latencyRow('a', spread(4, 15.1), 4, 15).met as boolean)
})

test('nothing measured meets nothing', t => {
  t.false(latencyRow('a', spreadOf([]), 4, 15).met as boolean)
  t.false(rateRow('a', { measured: [], floor: [] }, 'floor', 1).met as boolean)
  t.false(boundRow('a', Number.NaN, 5, '/s').met as boolean)
})

test('a rate shows its range and its rounds', t => {
  t.is(rates([3_000, 1_000, 2_000]), '2,000/s (1,000–3,000, n = 3)')
})

test('a table has a line for each row, and says which are met', t => {
  const lines = markdown([boundRow('memory', 100, 120, ' MB'), boundRow('other', 130, 120, ' MB')]).split('\n')
  t.is(lines.length, 4)
  t.is(lines[2], '| memory | ≤ 120 MB | 100 MB |  |  | met |')
  t.is(lines[3], '| other | ≤ 120 MB | 130 MB |  |  | not met |')
})

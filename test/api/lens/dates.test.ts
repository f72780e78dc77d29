/** Dates of Lens's filters. */
import test from 'ava'
import { instantOf } from '../../../src/api/lens/dates.ts'
import { WireRefusal } from '../../../src/api/lens/refusals.ts'

const now = Date.UTC(2024, 4, 31, 13, 45, 30, 250)

const dates: readonly [text: string | undefined, instant: string | undefined][] = [
  [undefined, undefined],
  [' ', undefined],
  ['-1', undefined],
  ['9223372036854775807', undefined],
  ['1717163130250', '2024-05-31T13:45:30.250Z'],
  ['2024', '2024-01-01T00:00:00.000Z'],
  ['2024-02', '2024-02-01T00:00:00.000Z'],
  ['2024-02-29', '2024-02-29T00:00:00.000Z'],
  ['2024-02-29-07', '2024-02-29T07:00:00.000Z'],
  ['2024-02-29-07-08', '2024-02-29T07:08:00.000Z'],
  ['2024-02-29-07-08-09', '2024-02-29T07:08:09.000Z'],
  ['2024-02-29-07-08-09-010', '2024-02-29T07:08:09.010Z'],
  ['now', '2024-05-31T13:45:30.250Z'],
  ['now.minute', '2024-05-31T13:45:00.000Z'],
  ['now.day', '2024-05-31T00:00:00.000Z'],
  ['now.week', '2024-05-26T00:00:00.000Z'],
  ['now.month', '2024-05-01T00:00:00.000Z'],
  ['now.quarter', '2024-04-01T00:00:00.000Z'],
  ['now.year', '2024-01-01T00:00:00.000Z'],
  ['now.day - 2 days', '2024-05-29T00:00:00.000Z'],
  ['now.day -2days +3 hours', '2024-05-29T03:00:00.000Z'],
  // The last day of a shorter month.
  ['now - 1 month', '2024-04-30T13:45:30.250Z'],
  ['now - 1 quarter', '2024-02-29T13:45:30.250Z'],
  ['NOW + 1 Year', '2025-05-31T13:45:30.250Z'],
]
for (const [text, instant] of dates)
  test(`${text} is ${instant}`, t => {
    t.is(instantOf(text, 'fromDate', now), instant)
  })

for (const text of [
  'soon',
  '2024-13',
  '2023-02-29',
  '2024-01-01-25',
  'now.fortnight',
  'now - days',
  '-5',
  '99999999999999999',
  'now - 100 years',
])
  test(`${text} is no date`, t => {
    const error = t.throws(() => instantOf(text, 'toDate', now), { instanceOf: WireRefusal })
    t.is(error?.wireCode, 1006)
    t.regex(error?.detail ?? '', /^toDate: expected/)
  })

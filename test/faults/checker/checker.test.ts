import test from 'ava'
import fc from 'fast-check'
import { type HistoryRecord, historyLine, historyOf } from '../history.ts'
import { falsifications, Records } from './falsifications.ts'
import { checkHistory, describeReport, invariantNames, type Report } from './index.ts'
import { shortRun } from './short-run.ts'

/** A right history: a real run, and statements with effect, which its read-only engine cannot give, beside. */
let right: Records

test.before('record a run', async t => {
  const over: (() => unknown)[] = []
  try {
    const records = await shortRun({ teardown: task => over.push(task) })
    right = new Records(withEffects(records))
  } finally {
    for (const task of over.reverse()) await task()
  }
  t.log(describeReport(check(right.all)))
})

const check = (records: readonly HistoryRecord[]): Report => checkHistory(historyOf(records))

/** As if each statement that succeeded had left a trace once. */
function withEffects(records: readonly HistoryRecord[]): HistoryRecord[] {
  const successes = new Set<unknown>()
  for (const record of records)
    if (record.record === 'row' && record.table === 'finished_query' && record.row.outcome === 'SUCCESSFUL')
      successes.add(record.row.handle)
  const effects = new Set<string>()
  const changed = records.map(record => {
    if (record.record !== 'operation' || record.kind !== 'submit' || !record.answer || !('query' in record.answer))
      return record
    const { handle } = record.answer.query
    if (successes.has(handle)) effects.add(`effect of ${handle}`)
    return { ...record, effect: `effect of ${handle}` }
  })
  return [...changed, ...[...effects].map(effect => ({ record: 'execution', effect }) as const)]
}

test('a right history is accepted, and every invariant looked at something', t => {
  const { violations, looked } = check(right.all)
  t.deepEqual(violations, [])
  // Which limits a short run reaches depends on the machine.
  for (const name of invariantNames)
    for (const [what, count] of Object.entries(looked[name]))
      if (!what.startsWith('limits reached')) t.true(count > 0, `${name}: ${what}`)
  for (const name of invariantNames) t.true(Object.keys(looked[name]).length > 0, name)
})

test('the order in which records were written does not matter', t => {
  fc.assert(
    fc.property(fc.shuffledSubarray([...right.all.keys()], { minLength: right.all.length }), order => {
      const records = order.map(index => right.all[index] as HistoryRecord)
      t.deepEqual(check(records.map(record => JSON.parse(historyLine(record)))).violations, [])
    }),
    { numRuns: 10 },
  )
})

for (const { breaks, words, of } of falsifications)
  test(`${breaks} is found broken when ${words}`, t => {
    const places = of(right)
    t.true(places.length > 0, 'the recorded run has no place for it')
    const { violations } = check(right.changed(places[0] ?? []))
    t.true(violations.some(({ invariant }) => invariant === breaks))
    for (const { words, evidence } of violations) t.true(words.length > 10 && Array.isArray(evidence))
  })

test('wherever a right history is broken, it is found', t => {
  const places = falsifications.map(({ breaks, words, of }) => ({ breaks, words, changes: of(right) }))
  fc.assert(
    fc.property(fc.constantFrom(...places), fc.nat(), ({ breaks, words, changes }, choice) => {
      const change = changes[choice % changes.length] ?? []
      const { violations } = check(right.changed(change))
      t.true(
        violations.some(({ invariant }) => invariant === breaks),
        `${breaks}, ${words}: ${JSON.stringify(change).slice(0, 2000)}`,
      )
    }),
    { numRuns: 300 },
  )
})

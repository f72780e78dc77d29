/** The short form of `npm run model`: small bounds, and for every property one removed rule that breaks it. */
import os from 'node:os'
import test from 'ava'
import { type Check, mutants, properties, rules, smallModels } from './catalogue.ts'
import { boundsOf, line } from './report.ts'
import { asExpected, ask, read, requiredTools } from './spin.ts'

const tools = requiredTools()
// Beside the other test files; each search takes one core and little memory at these bounds.
const slots = Math.max(1, Math.min(2, os.availableParallelism() - 1))
const turns: Promise<unknown>[] = Array.from({ length: slots }, () => tools)
let next = 0

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const slot = next++ % slots
  const mine = (turns[slot] as Promise<unknown>).then(work)
  turns[slot] = mine.catch(() => undefined)
  return mine
}

const name = (check: Check) => `${check.model} ${boundsOf(check)}`.trim()

for (const check of smallModels)
  test(`${name(check)} ${check.liveness ? 'ends' : 'is safe'} in all of its states`, async t => {
    const answer = await inTurn(async () => ask(check, await tools, false))
    t.true(asExpected(check, answer), line({ check, answer }))
  })

const firstOfProperty = mutants.filter(
  ({ model, refutes }, index) =>
    mutants.findIndex(other => other.model === model && other.refutes === refutes) === index,
)
for (const check of firstOfProperty)
  test(`${name(check)} without ${check.without}: Spin refutes ${check.refutes}`, async t => {
    const answer = await inTurn(async () => ask(check, await tools, false))
    t.true(asExpected(check, answer), line({ check, answer }))
  })

test('every property has a removed rule that breaks it, and every rule is removed once', t => {
  for (const [model, all] of Object.entries(properties))
    for (const property of Object.keys(all))
      t.true(
        mutants.some(mutant => mutant.model === model && mutant.refutes === property),
        `${model}: ${property}`,
      )
  for (const [model, all] of Object.entries(rules))
    for (const rule of Object.keys(all))
      t.true(
        mutants.some(mutant => mutant.model === model && mutant.without === rule),
        `${model}: ${rule}`,
      )
})

test('a search that was cut short is no answer', t => {
  const whole = 'Full statespace search for:\nState-vector 8 byte, depth reached 9, errors: 0\n  12 states, stored\n'
  t.is(read(whole).kind, 'holds')
  t.is(read(`error: max search depth too small\n${whole}`).kind, 'incomplete')
  t.is(read(`pan: reached -DMEMLIM bound\n${whole}`).kind, 'incomplete')
  t.is(read(whole.replace('errors: 0', 'errors: 1')).kind, 'incomplete')
  t.is(read('').kind, 'incomplete')
})

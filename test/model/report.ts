/** The answers as a table for the terminal and as the page of evidence. */
import { readFileSync } from 'node:fs'
import { type Check, properties, rules } from './catalogue.ts'
import { type Answer, asExpected } from './spin.ts'

export interface Asked {
  readonly check: Check
  readonly answer: Answer
}

export function boundsOf({ bounds }: Check): string {
  return Object.entries(bounds)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}

export function resultOf({ check, answer }: Asked): string {
  const said = answer.kind === 'holds' ? 'holds' : answer.kind === 'refuted' ? 'refuted' : 'no answer'
  const what = answer.what === '' || answer.what === check.refutes ? '' : `: ${answer.what}`
  return asExpected(check, answer) ? said : `WRONG: ${said}${what}`
}

const count = (value: number) => value.toLocaleString('en-US')

/** One line per check, as it ends. */
export function line(asked: Asked): string {
  const { check, answer } = asked
  const asks =
    check.without === null
      ? check.liveness
        ? 'it ends'
        : 'all properties'
      : `without ${check.without}: ${check.refutes}`
  return [
    resultOf(asked).padEnd(8),
    check.model.padEnd(10),
    asks.padEnd(62),
    `${count(answer.states)} states`.padStart(18),
    `depth ${count(answer.depth)}`.padStart(15),
    `${answer.seconds.toFixed(1)} s`.padStart(8),
    `  ${boundsOf(check)}`,
  ].join(' ')
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return [heads, heads.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** `preface.md` says what the models are and are not; the rest is what Spin answered. */
export function page(asked: readonly Asked[], version: string): string {
  const preface = readFileSync(new URL('preface.md', import.meta.url), 'utf8').trimEnd()
  const whole = asked.filter(({ check }) => check.without === null)
  const without = asked.filter(({ check }) => check.without !== null)
  const right = asked.filter(({ check, answer }) => asExpected(check, answer)).length
  const models = table(
    ['model', 'bounds', 'asked', 'states', 'transitions', 'depth', 'memory', 'time', 'result'],
    whole.map(one => [
      one.check.model,
      `${boundsOf(one.check)}${one.check.note ? ` (${one.check.note})` : ''}`,
      one.check.liveness ? '`it_ends`, weak fairness' : 'all safety properties',
      count(one.answer.states),
      count(one.answer.transitions),
      count(one.answer.depth),
      `${Math.round(one.answer.memoryMb)} MB`,
      `${one.answer.seconds.toFixed(1)} s`,
      resultOf(one),
    ]),
  )
  const mutants = table(
    ['model', 'removed rule', 'which is', 'property', 'states until refuted', 'result'],
    without.map(one => [
      one.check.model,
      `\`${one.check.without}\``,
      rules[one.check.model][one.check.without ?? ''] ?? '',
      `\`${one.check.refutes}\``,
      count(one.answer.states),
      resultOf(one),
    ]),
  )
  const said = Object.entries(properties).flatMap(([model, all]) =>
    Object.entries(all).map(([name, sentence]) => [model, `\`${name}\``, sentence]),
  )
  return `${preface}

## Properties

${table(['model', 'property', 'says'], said)}

## The models as they are

Every state was visited: Spin says so, and a search that was cut short by depth or memory fails the command.

${models}

## With a rule removed

${mutants}

${right} of ${asked.length} answers are the ones demanded. ${version}.
`
}

/**
 * `npm run model`: all models over their whole state spaces, and every model with each of its rules removed.
 *
 *     npm run model -- [--short] [--jobs N] [--write]
 *
 * `--short`: the bounds of `npm test`. `--write`: the answers become docs/evidence/model.md. Ends with 1 when any answer is another
 * than the one demanded.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Check, models, mutants, smallModels } from './catalogue.ts'
import { type Asked, line, page } from './report.ts'
import { asExpected, ask, requiredTools } from './spin.ts'

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '2' },
  },
})
const tools = await requiredTools()
const checks: readonly Check[] = [...(values.short ? smallModels : models), ...mutants]
const answers = new Map<Check, Asked>()
const waiting = [...checks]
await Promise.all(
  Array.from({ length: Math.max(1, Number(values.jobs)) }, async () => {
    for (let check = waiting.shift(); check; check = waiting.shift()) {
      const asked = { check, answer: await ask(check, tools, !values.short) }
      answers.set(check, asked)
      process.stdout.write(`${line(asked)}\n`)
    }
  }),
)
const asked = checks.map(check => answers.get(check) as Asked)
const wrong = asked.filter(({ check, answer }) => !asExpected(check, answer))
process.stdout.write(`${asked.length - wrong.length} of ${asked.length} answers are the ones demanded\n`)
if (values.write && !values.short) {
  const version = execFileSync(tools.spin, ['-V'], { encoding: 'utf8' }).trim()
  mkdirSync(new URL('../../docs/evidence/', import.meta.url), { recursive: true })
  writeFileSync(new URL('../../docs/evidence/model.md', import.meta.url), page(asked, version))
}
if (wrong.length > 0) process.exitCode = 1

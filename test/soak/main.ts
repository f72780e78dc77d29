/**
 * `npm run soak -- --minutes N [--seed S] [--every SECONDS] [--pause MS] [--workers N] [--record]`
 *
 * Ends with 1 where something grew, was left over, ended by itself or broke an invariant.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { appendEvidence, tableOf, writePage } from './evidence.ts'
import { soak } from './run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: randomBytes(4).toString('hex') },
    every: { type: 'string', default: '30' },
    pause: { type: 'string', default: '12000' },
    workers: { type: 'string', default: '12' },
    /** Appends to the evidence, and writes its page anew. */
    record: { type: 'boolean', default: false },
  },
})

const outcome = await soak({
  seed: values.seed,
  minutes: Number(values.minutes),
  everyMs: Number(values.every) * 1000,
  pauseMs: Number(values.pause),
  workers: Number(values.workers),
  say: line => process.stdout.write(`${line}\n`),
})
const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim()
const commit =
  git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : '+changes')
const evidence = { at: new Date().toISOString(), commit, ...outcome }
process.stdout.write(`${tableOf(evidence)}\n`)
for (const one of outcome.wrong) process.stdout.write(`wrong: ${one}\n`)
if (values.record) {
  appendEvidence(evidence)
  process.stdout.write(`written: ${writePage()}\n`)
}
process.exit(outcome.wrong.length === 0 && outcome.verdicts.every(({ flat }) => flat) ? 0 : 1)

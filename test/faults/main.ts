/**
 * `npm run faults -- --minutes N [--faults N] [--seed S] [--only kinds] [--clusters K] [--pause MS] [--record] [--keep]`
 * `npm run faults -- --table`
 *
 * Ends with 1 where an invariant was violated, a cluster did not come back, or a process ended that nobody had ended.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { describeReport } from './checker/index.ts'
import { type KindName, kindNames } from './draw.ts'
import { appendEvidence, describeRecoveries, type Evidence, evidenceOf, writePage } from './evidence.ts'
import { run } from './run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    faults: { type: 'string' },
    seed: { type: 'string', default: randomBytes(4).toString('hex') },
    only: { type: 'string' },
    clusters: { type: 'string', default: '1' },
    'in-turn': { type: 'boolean', default: false },
    pause: { type: 'string', default: '400' },
    workers: { type: 'string', default: '12' },
    /** Appends to the evidence. */
    record: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
  },
})

if (values.table) {
  process.stdout.write(`written: ${writePage()}\n`)
  process.exit(0)
}

const commit = commitNow()
const allowed = kindsNamed(values.only)
const clusters = Math.max(1, Number(values.clusters))
const minutes = Number(values.minutes ?? (values.faults === undefined ? 1 : Number.POSITIVE_INFINITY))
const faults = Number(values.faults ?? Number.POSITIVE_INFINITY)
let isGood = true
const evidences: Evidence[] = []
await Promise.all(Array.from({ length: clusters }, (_, index) => runOne(index)))
if (clusters > 1) process.stdout.write(`all clusters\n${describeRecoveries(evidences)}\n`)
process.exit(isGood ? 0 : 1)

async function runOne(index: number): Promise<void> {
  const seed = clusters === 1 ? values.seed : `${values.seed}-${index + 1}`
  const say = (line: string) => process.stdout.write(`${seed}: ${line}\n`)
  try {
    const outcome = await run({
      seed,
      commit,
      minutes,
      faults,
      allowed: kind => allowed.has(kind),
      inTurn: values['in-turn'],
      pauseMs: Number(values.pause),
      processes: 2,
      workers: Number(values.workers),
      say,
      keep: values.keep,
    })
    const evidence = evidenceOf(outcome, commit, new Date().toISOString())
    evidences.push(evidence)
    if (values.record) appendEvidence(evidence)
    const { report, unexpected, operations, durationMs, artefacts } = outcome
    const perSecond = (operations / (durationMs / 1000)).toFixed(1)
    say(
      `${outcome.faults.length} faults in ${(durationMs / 60_000).toFixed(1)} minutes, ${operations} operations (${perSecond}/s)`,
    )
    process.stdout.write(`${describeRecoveries([evidence])}\n${describeReport(report)}\n`)
    for (const one of unexpected) say(`unexpected: ${one}`)
    if (artefacts !== null) say(`kept: ${artefacts}`)
    if (report.violations.length > 0 || unexpected.length > 0) isGood = false
  } catch (error) {
    isGood = false
    say(`the run failed: ${error instanceof Error ? error.stack : error}`)
  }
}

function kindsNamed(only: string | undefined): ReadonlySet<KindName> {
  if (only === undefined) return new Set(kindNames)
  const named = only.split(',')
  const unknown = named.filter(name => !kindNames.includes(name as KindName))
  if (unknown.length > 0) {
    process.stderr.write(`unknown: ${unknown.join(', ')}; there are ${kindNames.join(', ')}\n`)
    process.exit(2)
  }
  return new Set(named as KindName[])
}

function commitNow(): string {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim()
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : '+changes')
  } catch {
    return 'unknown'
  }
}

/**
 * `npm run simulate -- --seeds N [--seed S] [--minutes M] [--workers K] [--record FILE]`: worlds from seeds, in threads.
 *
 * Says how many simulated hours passed, which faults were injected, how many queries ran and what was violated; a failing seed
 * is shrunk and shown with the command that replays it. `--keep` replays only those items of a plan, `--log` says all.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { countedHours, defaultSettings, planOf, type RunSettings, runWorld } from './run-world.ts'
import { shrink } from './shrink.ts'
import type { WorldReport } from './world.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    minutes: { type: 'string', default: `${defaultSettings.minutes}` },
    operations: { type: 'string', default: `${defaultSettings.operationsPerHour}` },
    faults: { type: 'string', default: `${defaultSettings.faultsPerHour}` },
    workers: { type: 'string', default: '2' },
    /** Stops to begin worlds after this many real seconds. */
    seconds: { type: 'string' },
    keep: { type: 'string' },
    log: { type: 'boolean', default: false },
    shrink: { type: 'string', default: '60' },
    /** A file of JSON lines to which the summary is added. */
    record: { type: 'string' },
    /** What is run, where that is no work tree of its own. */
    commit: { type: 'string' },
  },
})

const settings: RunSettings = {
  minutes: Number(values.minutes),
  operationsPerHour: Number(values.operations),
  faultsPerHour: Number(values.faults),
}
const say = (line: string) => process.stdout.write(`${line}\n`)

if (values.seeds === undefined) await replay(values.seed ?? '1')
else await runMany(Number(values.seeds), values.seed ?? '1')
process.exit(process.exitCode ?? 0)

/** One seed, here; with all that is to be known of it. */
async function replay(seed: string): Promise<void> {
  const keep = values.keep === undefined ? null : new Set(values.keep.split(',').map(Number))
  for (const item of planOf(seed, settings))
    if (keep?.has(item.number)) say(`${item.number} at ${item.atMs} ms: ${item.type} ${item.kind}`)
  const report = await runWorld(seed, settings, values.log ? { log: say, stopsAtFirst: true } : {}, keep)
  const { violations, ...rest } = report
  say(JSON.stringify(rest, null, 2))
  for (const { invariant, what, atMs } of violations) say(`${invariant} violated at ${atMs.toFixed(1)} ms: ${what}`)
  if (violations.length > 0) process.exitCode = 1
}

async function runMany(count: number, first: string): Promise<void> {
  const startedAtMs = Date.now()
  const deadlineMs =
    values.seconds === undefined ? Number.POSITIVE_INFINITY : startedAtMs + Number(values.seconds) * 1000
  const seeds = Array.from({ length: count }, (_, index) =>
    /^\d+$/.test(first) ? `${Number(first) + index}` : `${first}-${index}`,
  )
  const reports: WorldReport[] = []
  const broken: string[] = []
  const waiting = [...seeds]
  const next = () => (Date.now() < deadlineMs ? waiting.shift() : undefined)
  await Promise.all(
    Array.from({ length: Math.min(count, Number(values.workers)) }, async () => {
      let seed = next()
      while (seed !== undefined) {
        const worker = new Worker(new URL('./worker.ts', import.meta.url))
        // A thread is used for some worlds only: what a world leaves in memory goes with it.
        for (let worlds = 0; worlds < 20 && seed !== undefined; worlds++) {
          const { report, error } = await inThread(worker, seed)
          if (report) reports.push(report)
          else broken.push(`${seed}: ${error}`)
          if (!report || report.violations.length > 0)
            say(
              `seed ${seed}: ${report?.violations[0]?.invariant ?? 'broken'} ${(report?.violations[0]?.what ?? error ?? '').slice(0, 300)}`,
            )
          seed = next()
          // The thread of a world that broke is gone, and would answer to nothing.
          if (!report) break
        }
        await worker.terminate()
      }
    }),
  )
  await summarise(reports, broken, (Date.now() - startedAtMs) / 1000, seeds[0] as string)
}

function inThread(worker: Worker, seed: string): Promise<{ report?: WorldReport; error?: string }> {
  return new Promise(resolve => {
    const ended = (error: unknown) => answer({ error: String(error) })
    const answer = (given: { report?: WorldReport; error?: string }) => {
      worker.off('error', ended)
      worker.off('message', answer)
      resolve(given)
    }
    worker.once('error', ended)
    worker.once('message', answer)
    worker.postMessage({ seed, settings })
  })
}

async function summarise(
  reports: readonly WorldReport[],
  broken: readonly string[],
  seconds: number,
  firstSeed: string,
) {
  const sum = (of: (report: WorldReport) => number) => reports.reduce((total, report) => total + of(report), 0)
  const faults: Record<string, number> = {}
  for (const report of reports)
    for (const [kind, times] of Object.entries(report.faults)) faults[kind] = (faults[kind] ?? 0) + times
  const failing = reports.filter(report => report.violations.length > 0)
  const summary = {
    commit: values.commit ?? commitOf(),
    at: new Date().toISOString(),
    firstSeed,
    seeds: reports.length,
    ...settings,
    hours: round(sum(report => report.virtualMs) / 3_600_000),
    hoursCounted: round(sum(countedHours)),
    faults: Object.values(faults).reduce((total, times) => total + times, 0),
    faultsByKind: Object.fromEntries(Object.entries(faults).sort(([, a], [, b]) => b - a)),
    queries: sum(report => report.queries),
    commits: sum(report => report.commits),
    statements: sum(report => report.statements),
    transitions: sum(report => report.transitions),
    worldsWithViolations: failing.length + broken.length,
    violations: violationsByInvariant(failing),
    failingSeeds: [...failing.map(report => report.seed), ...broken.map(text => text.split(':')[0])],
    seconds: round(seconds),
  }
  say(JSON.stringify(summary, null, 2))
  if (values.record !== undefined) {
    mkdirSync(dirname(values.record), { recursive: true })
    appendFileSync(values.record, `${JSON.stringify(summary)}\n`)
  }
  for (const text of broken) say(text)
  if (failing.length + broken.length > 0) process.exitCode = 1
  const [first] = failing
  if (!first || Number(values.shrink) === 0) return
  const { keep, runs, what } = await shrink(first.seed, settings, Number(values.shrink))
  say(`\nseed ${first.seed}, shrunk to ${keep.length} items in ${runs} runs: ${what}`)
  say(
    `npm run simulate -- --seed ${first.seed} --minutes ${settings.minutes} --operations ${settings.operationsPerHour} --faults ${settings.faultsPerHour} --keep ${keep.join(',')} --log`,
  )
}

function violationsByInvariant(reports: readonly WorldReport[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { violations } of reports)
    for (const { invariant } of violations) counts[invariant] = (counts[invariant] ?? 0) + 1
  return counts
}

/** Of what was run; `+` when the tree had changes. */
function commitOf(): string {
  const git = (...words: string[]) => execFileSync('git', words, { encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--', 'src', 'test/simulation') !== ''
  return `${git('rev-parse', '--short', 'HEAD')}${changed ? '+' : ''}`
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

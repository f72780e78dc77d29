/**
 * `npm run bench`: what this software costs, beside what the same machine and database do without it, in one run.
 *
 *     npm run bench -- [--seconds N] [--rounds N] [--failovers N] [--only NAME,NAME] [--mysql URL]
 *                      [--no-peers] [--brief] [--profile [--profiles FOLDER]] [--write [--output FILE]]
 *
 * The names are those of `measures/index.ts`. `--seconds` is one round, `--rounds` how often floor and measure take turns.
 * `--write` leaves the report in `docs/evidence/bench.md`; it goes with neither `--brief` nor `--profile`, whose figures are
 * not what the software can do.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { dirname, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Bench } from './bench.ts'
import { commitMeasured, databaseVersion, page } from './evidence.ts'
import { measures } from './measures/index.ts'

const all = Object.keys(measures)
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    failovers: { type: 'string', default: '17' },
    only: { type: 'string', default: all.join(',') },
    mysql: { type: 'string' },
    'no-peers': { type: 'boolean', default: false },
    brief: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    profiles: { type: 'string', default: `${os.tmpdir()}/lens-ha-profiles` },
    write: { type: 'boolean', default: false },
    output: { type: 'string', default: fileURLToPath(new URL('../../docs/evidence/bench.md', import.meta.url)) },
  },
})
const wanted = all.filter(name => values.only.split(',').includes(name))
const unknown = values.only.split(',').filter(name => !(name in measures))
if (unknown.length > 0) throw new Error(`no such measure: ${unknown.join(', ')}; there are ${all.join(', ')}`)
if (values.write && (values.brief || values.profile)) throw new Error('--write goes with neither --brief nor --profile')

const startedAt = new Date()
const loadBefore = os.loadavg()
const bench = await Bench.open(
  {
    roundMs: Number(values.seconds) * 1_000,
    rounds: Number(values.rounds),
    failovers: Number(values.failovers),
    brief: values.brief,
    peers: !values['no-peers'],
    profiles: values.profile ? values.profiles : null,
  },
  values.mysql,
  ({ name, measured, target, floor, met }) =>
    process.stderr.write(
      `${met === null ? '' : met ? 'met ' : 'NOT MET '}${name}: ${measured} (${[target, floor].filter(Boolean).join('; ')})\n`,
    ),
)
let report = ''
try {
  for (const name of wanted) await bench.run(name, measures[name] as (typeof measures)[string])
  report = page(bench, wanted, all, {
    ...{ startedAt, loadBefore, loadAfter: os.loadavg(), commit: await commitMeasured() },
    database: await databaseVersion(bench.serverUrl),
  })
} finally {
  await bench.close()
}

process.stdout.write(report)
for (const summary of bench.summaries) process.stdout.write(`\n${summary}\n`)
if (values.profile) process.stdout.write(`\nprofiles: ${values.profiles}\n`)
if (values.write) {
  await mkdir(dirname(values.output), { recursive: true })
  await writeFile(values.output, report)
  process.stderr.write(`written: ${relative(process.cwd(), values.output)}\n`)
}
for (const failure of bench.failures) process.stderr.write(`${failure.stack}\n`)
if (bench.failures.length > 0) process.exitCode = 1

/**
 * `npm run bench`: what this software costs, beside what the same machine and database do without it, in one run.
 *
 *     npm run bench -- [--seconds N] [--rounds N] [--failovers N] [--only NAME,NAME] [--brief] [--mysql URL]
 *
 * The names are those of `measures/index.ts`. `--seconds` is one round, `--rounds` how often floor and measure take turns.
 */
import os from 'node:os'
import { parseArgs } from 'node:util'
import { Bench } from './bench.ts'
import { measures } from './measures/index.ts'
import { markdown } from './report.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    failovers: { type: 'string', default: '17' },
    only: { type: 'string', default: Object.keys(measures).join(',') },
    brief: { type: 'boolean', default: false },
    mysql: { type: 'string' },
  },
})
const wanted = values.only.split(',')
const unknown = wanted.filter(name => !(name in measures))
if (unknown.length > 0) throw new Error(`no such measure: ${unknown.join(', ')}`)

const bench = await Bench.open(
  {
    roundMs: Number(values.seconds) * 1_000,
    rounds: Number(values.rounds),
    failovers: Number(values.failovers),
    brief: values.brief,
  },
  values.mysql,
  ({ name, measured, target, floor, met }) =>
    process.stderr.write(
      `${met === null ? '' : met ? 'met ' : 'NOT MET '}${name}: ${measured} (${[target, floor].filter(Boolean).join('; ')})\n`,
    ),
)
try {
  for (const [name, measure] of Object.entries(measures)) if (wanted.includes(name)) await measure(bench)
} finally {
  await bench.close()
}

const load = os.loadavg()[0]?.toFixed(1)
process.stdout.write(
  `Node ${process.version}, ${os.cpus().length} cores, load ${load} at the end.\n\n${markdown(bench.rows)}\n`,
)

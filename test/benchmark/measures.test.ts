/**
 * The benchmark works: in their shortest form, without the job queues, the measures of the main path come out with numbers in each of
 * their rows. What they are says nothing here, where other tests run beside. `npm run bench -- --brief` does the same with all measures.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { temporaryFolder } from '../support/folders.ts'
import { Bench, type Measure } from './bench.ts'
import { page } from './evidence.ts'
import { measures } from './measures/index.ts'
import type { CpuProfile } from './profile.ts'

const brief = { roundMs: 150, rounds: 1, failovers: 1, brief: true, peers: false, profiles: null }
const names = Object.keys(measures)
/** Those that need no more than a few seconds of one node or three. */
const short = ['transitions', 'submissions', 'push', 'failover']
let bench: Bench | undefined

test.before(async () => {
  bench = await Bench.open(brief, process.env.LENS_TEST_MYSQL_URL, () => {})
})

test.after.always(async () => {
  await bench?.close()
})

for (const name of short)
  test.serial(`${name} gives each of its rows a number`, async t => {
    const { rows } = bench as Bench
    const from = rows.length
    await (measures[name] as Measure)(bench as Bench)
    const told = rows.slice(from)
    t.true(told.length > 0)
    for (const row of told) {
      t.true(row.figures.length > 0, `${row.name} states no number`)
      t.deepEqual(
        row.figures.filter(figure => !Number.isFinite(figure)),
        [],
        row.name,
      )
      t.regex(row.measured, /\d/, row.name)
      t.notRegex(`${row.measured} ${row.floor} ${row.ratio}`, /NaN|Infinity|undefined/, row.name)
      t.is(row.met === null, row.target === '', `${row.name}: who has a target is judged`)
    }
  })

test.serial('the report names the machine, what ran, and every row', t => {
  const around = {
    startedAt: new Date(),
    loadBefore: [0, 0, 0],
    loadAfter: [1, 2, 3],
    database: 'MariaDB 0',
    commit: 'c0',
  }
  const text = page(bench as Bench, names.slice(1), names, around)
  for (const { name } of (bench as Bench).rows) t.true(text.includes(`| ${name} |`), name)
  t.true(text.includes(`left out: ${names[0]}`))
  t.true(text.includes(process.version))
  t.true(text.includes('1.0, 2.0, 3.0 after'))
})

test.serial('a measure that fails is a row that is not met, and no end of the others', async t => {
  const other = await Bench.open(brief, (bench as Bench).serverUrl, () => {})
  t.teardown(() => other.close())
  await other.run('broken', async () => {
    throw new Error('no such thing')
  })
  t.deepEqual(
    other.rows.map(({ name, measured, met }) => ({ name, measured, met })),
    [{ name: 'broken', measured: 'failed: Error: no such thing', met: false }],
  )
  t.is(other.failures.length, 1)
})

test.serial('a profile of each node shows where its time went', async t => {
  const profiles = await temporaryFolder(t, 'profiles')
  const profiled = await Bench.open({ ...brief, profiles }, (bench as Bench).serverUrl, () => {})
  t.teardown(() => profiled.close())
  await profiled.run('submissions', measures.submissions as Measure)
  t.deepEqual(profiled.failures, [])
  const [file, ...others] = await readdir(profiles)
  t.deepEqual(others, [])
  t.is(file, 'submissions-n1-1.cpuprofile')
  const profile: CpuProfile = JSON.parse(await readFile(join(profiles, file as string), 'utf8'))
  t.true((profile.samples as number[]).length > 0)
  t.regex(profiled.summaries.join('\n'), /^submissions-n1-1: busy [1-9]\d* ms/)
  t.regex(profiled.summaries.join('\n'), / src\/(actors|store|gateway|api)\n/)
})

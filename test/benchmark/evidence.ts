/** The page that a benchmark leaves behind: on what machine, with what, how long, and every row. */
import { execFile } from 'node:child_process'
import os from 'node:os'
import { promisify } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { type Bench, durable } from './bench.ts'
import { markdown } from './report.ts'

const execute = promisify(execFile)

export interface Surroundings {
  readonly startedAt: Date
  /** The load averages when the benchmark began and ended: 1, 5 and 15 minutes. */
  readonly loadBefore: readonly number[]
  readonly loadAfter: readonly number[]
  readonly database: string
  readonly commit: string
}

export async function databaseVersion(url: string): Promise<string> {
  const connection = await createConnection({ uri: url })
  const [found] = await connection.query('SELECT VERSION() AS version')
  await connection.end()
  const { version } = (found as { version: string }[])[0] as { version: string }
  return version.includes('MariaDB') ? `MariaDB ${version.replace(/-MariaDB.*/, '')}` : `MySQL ${version}`
}

/** The commit that was measured, and whether the files differed from it. */
export async function commitMeasured(): Promise<string> {
  const folder = new URL('.', import.meta.url)
  try {
    const { stdout: head } = await execute('git', ['rev-parse', '--short', 'HEAD'], { cwd: folder })
    const { stdout: changes } = await execute('git', ['status', '--porcelain', '--', '../../src', '.'], { cwd: folder })
    return `${head.trim()}${changes === '' ? '' : ', with changes that are not committed'}`
  } catch {
    return 'not in a repository'
  }
}

export function page(bench: Bench, measures: readonly string[], all: readonly string[], around: Surroundings): string {
  const { startedAt, loadBefore, loadAfter, database, commit } = around
  const cpus = os.cpus()
  const load = (averages: readonly number[]) => averages.map(average => average.toFixed(1)).join(', ')
  const left = all.filter(name => !measures.includes(name))
  const judged = bench.rows.filter(({ met }) => met !== null)
  return `# Benchmark

Written by \`npm run bench -- --write\`. Floors and peers are measured in the same run, in turns with what stands beside them:
${bench.rounds} rounds of ${bench.roundMs / 1_000} s each, unless a row says otherwise. Rates are medians (lowest–highest, number of rounds);
a ratio is the median of the rounds' own ratios. A time is judged by its median and 99th percentile.

| | |
| --- | --- |
| begun | ${startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC, took ${Math.round((Date.now() - startedAt.getTime()) / 60_000)} min |
| commit | ${commit} |
| machine | ${cpus.length} cores, ${cpus[0]?.model ?? 'unknown'}, ${(os.totalmem() / 2 ** 30).toFixed(0)} GiB, ${os.type()} ${os.release()} |
| load (1, 5, 15 min) | ${load(loadBefore)} before; ${load(loadAfter)} after, its own included |
| Node | ${process.version} |
| database | ${database}, ${durable.map(option => option.replace(/^--/, '')).join(', ')} |
| measures | ${measures.join(', ')}${left.length === 0 ? '' : `; left out: ${left.join(', ')}`} |
| met | ${judged.filter(({ met }) => met).length} of ${judged.length} rows with a target |

${markdown(bench.rows)}
`
}

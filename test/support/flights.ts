/**
 * Statements over the flights that every node serves, and what they give when the same SQL runs directly in DuckDB, in this
 * process and over the same file: what a cluster answers is compared with that.
 */
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { sleepingFor } from './sleeping.ts'

const file = fileURLToPath(new URL('../../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url))

/** As on the wire: BIGINT and DECIMAL as strings, other numbers as numbers. */
export type Rows = readonly (readonly unknown[])[]

const known = new Map<string, Promise<Rows>>()

/** The rows of `sql`, run directly and without its sleep; each statement runs once per process. */
export function directRows(sql: string): Promise<Rows> {
  let rows = known.get(sql)
  if (!rows) {
    rows = run(sql)
    known.set(sql, rows)
  }
  return rows
}

async function run(sql: string): Promise<Rows> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
  const connection = await instance.connect()
  try {
    await connection.run(`create view flights as select * from read_parquet('${file}')`)
    return (await connection.runAndReadAll(sql.replace(/sleep_ms\(\d+\)/, 'sleep_ms(0)'))).getRowsJson() as Rows
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

/** A few milliseconds each: what keeps a cluster busy with many. */
export const shortStatements: readonly string[] = [
  'select count(*) n from flights where distance > 500',
  'select origin, count(*) n from flights where distance > 900 group by origin order by n desc, origin limit 20',
  'select destination, max(delay)::int worst from flights where distance < 300 group by destination order by destination',
  'select delay::int d, distance::int m, origin from flights order by date, delay, distance, origin, destination limit 700',
  'select 1::int one',
]

/**
 * Heavy by its plan's estimate, and runs for `factor` × 20 ms: nearly all of it asleep, so that the tests of a small machine do not
 * take the processor from the nodes that they test. Its rows depend on the factor.
 */
export function longStatement(factor: number): string {
  return (
    'select count(*) n, sum(a.distance)::bigint d ' +
    `from (${sleepingFor(factor * 20)}) s, (select distance from flights union all select distance + 1 from flights) a ` +
    `where s.slept and a.distance > ${factor % 1000} + 100`
  )
}

/** As long as that on one core, which it takes whole: where it is seen by the processor time whether a statement still runs. */
export function burningStatement(factor: number): string {
  return `select count(*) n, sum(a.distance)::bigint d from flights a, range(${factor}) b where a.distance > b.range + 100`
}

/** Opens PostgreSQL engines on fresh databases for tests; what they start ends with the test. */
import type { ExecutionContext } from 'ava'
import pg from 'pg'
import { type Clock, systemClock, systemRandom } from '../../src/async/index.ts'
import type { EngineDriver } from '../../src/engines/index.ts'
import { type PostgreSqlConfiguration, PostgreSqlDriver } from '../../src/engines/postgresql/driver.ts'
import type { LogEntry } from './support.ts'

export interface OpenedPostgreSql {
  readonly driver: EngineDriver
  readonly log: LogEntry[]
  /** One statement on a connection of the test's own; gives the rows of the last one. */
  sql(text: string, parameters?: readonly unknown[]): Promise<Record<string, unknown>[]>
}

export async function openPostgreSql(
  t: ExecutionContext,
  url: string,
  more: Partial<PostgreSqlConfiguration> = {},
  clock: Clock = systemClock,
): Promise<OpenedPostgreSql> {
  const log: LogEntry[] = []
  const note = (fields: object, message: string) => log.push({ fields: fields as LogEntry['fields'], message })
  const driver = new PostgreSqlDriver(
    'postgresql',
    { driver: 'postgresql', url, slots: { light: 4, heavy: 2 }, ...more },
    { clock, random: systemRandom, logger: { info: note, warn: note, error: note } },
  )
  t.teardown(() => driver.stop())
  await driver.start()
  return { driver, log, sql: (text, parameters) => sqlAt(url, text, parameters) }
}

export async function sqlAt(
  url: string,
  text: string,
  parameters: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const result: unknown = await client.query(text, parameters.length > 0 ? [...parameters] : undefined)
    return ((Array.isArray(result) ? result.at(-1) : result) as { rows: Record<string, unknown>[] }).rows
  } finally {
    await client.end()
  }
}

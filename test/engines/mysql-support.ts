/** Opens MySQL engines on fresh databases for tests; what they start ends with the test. */
import type { ExecutionContext } from 'ava'
import { createConnection } from 'mysql2/promise'
import { type Clock, systemClock, systemRandom } from '../../src/async/index.ts'
import type { EngineDriver } from '../../src/engines/index.ts'
import { type MySqlConfiguration, MySqlDriver } from '../../src/engines/mysql/driver.ts'
import type { LogEntry } from './support.ts'

export interface OpenedMySql {
  readonly driver: EngineDriver
  readonly log: LogEntry[]
  /** Statements on a connection of the test's own; gives the rows of the last one. */
  sql(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>
}

export async function openMySql(
  t: ExecutionContext,
  url: string,
  more: Partial<MySqlConfiguration> = {},
  clock: Clock = systemClock,
): Promise<OpenedMySql> {
  const log: LogEntry[] = []
  const note = (fields: object, message: string) => log.push({ fields: fields as LogEntry['fields'], message })
  const driver = new MySqlDriver(
    'mysql',
    { driver: 'mysql', url, slots: { light: 4, heavy: 2 }, ...more },
    { clock, random: systemRandom, logger: { info: note, warn: note, error: note } },
  )
  t.teardown(() => driver.stop())
  await driver.start()
  return { driver, log, sql: (text, values) => sqlAt(url, text, values) }
}

export async function sqlAt(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const connection = await createConnection({ uri: url, multipleStatements: true })
  try {
    const [result] = await connection.query<never>(text, values.length > 0 ? [...values] : undefined)
    const rows: unknown = result
    if (!Array.isArray(rows)) return []
    const last: unknown = rows.at(-1)
    return (Array.isArray(last) ? last : rows) as Record<string, unknown>[]
  } finally {
    connection.destroy()
  }
}

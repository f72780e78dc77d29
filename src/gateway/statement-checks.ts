/**
 * What an engine says of a statement before it becomes a query: for front doors whose clients are answered a refusal with the
 * submission. It is a courtesy, never a condition: an engine that is away or slow keeps nothing from being accepted.
 */
import type { Clock, Random } from '../async/index.ts'
import { EngineError, type Engines, type StatementRequest } from '../engines/index.ts'
import type { SessionRow } from '../store/index.ts'
import type { SubmitRequest } from './contract.ts'

export interface StatementChecksOptions {
  readonly engines: Engines
  readonly clock: Clock
  readonly random: Random
  readonly databaseNow: () => number
}

const patienceMs = 2_000

export class StatementChecks {
  readonly #options: StatementChecksOptions

  constructor(options: StatementChecksOptions) {
    this.#options = options
  }

  /** The default engine's own words; null when it takes the statement, or does not say in time. */
  refusal(
    { database, properties }: Pick<SessionRow, 'database' | 'properties'>,
    statement: Pick<SubmitRequest, 'sql' | 'properties'>,
  ): Promise<string | null> {
    return this.#ask({ sql: statement.sql, database, properties: { ...properties, ...statement.properties } })
  }

  async hasDatabase(database: string): Promise<boolean> {
    return (await this.#ask({ sql: 'SELECT 1', database, properties: {} })) === null
  }

  async #ask(statement: Pick<StatementRequest, 'sql' | 'database' | 'properties'>): Promise<string | null> {
    const { engines, clock, random, databaseNow } = this.#options
    const driver = engines.choose(null)
    if (!driver?.capabilities.estimate || !driver.healthy()) return null
    const request = { handle: random.uuidOfTime(databaseNow()), attempt: 0, parameters: [], isolated: false }
    const patience = new AbortController()
    const waited = clock.sleep(patienceMs, patience.signal).catch(() => {})
    try {
      const asked = driver.estimate({ ...request, ...statement })
      asked.catch(() => {})
      await Promise.race([asked, waited])
      return null
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      return error.failure === 'sql-invalid' ? error.message : null
    } finally {
      patience.abort()
    }
  }
}

/**
 * What is still owed to engines: runs of attempts that are over, whose end no engine has confirmed because it was away. Each is asked
 * about until the engine has answered, by the leader, and by whoever leads next; no query waits for it.
 */
import type { EngineDriver, StatementRequest } from '../engines/index.ts'
import type { CleanupRow, QueryRow } from '../store/index.ts'
import type { ActorEnvironment } from './environment.ts'

const rowsInOneLook = 100
/** After this long nobody can say any more what a run was. */
const keptMs = 8 * 24 * 3_600_000

export class OwedEnds {
  readonly #environment: Pick<ActorEnvironment, 'store' | 'engines' | 'logger' | 'membership'>

  constructor(environment: Pick<ActorEnvironment, 'store' | 'engines' | 'logger' | 'membership'>) {
    this.#environment = environment
  }

  /** Asks once about each; `goesOn` false ends it early. Rejects when the store cannot be reached. */
  async settle(goesOn: () => boolean): Promise<void> {
    const { cleanups, queries } = this.#environment.store
    const away = new Set<string>()
    for (let after: CleanupRow | null = null; goesOn(); ) {
      const rows: readonly CleanupRow[] = await cleanups.list(rowsInOneLook, after)
      const asked = rows.filter(row => !away.has(row.engine))
      const statements = new Map((await queries.read(asked.map(row => row.handle))).map(row => [row.handle, row]))
      for (const row of asked)
        if (goesOn() && !away.has(row.engine) && !(await this.#settled(row, statements.get(row.handle))))
          away.add(row.engine)
      after = rows.at(-1) ?? null
      if (rows.length < rowsInOneLook) return
    }
  }

  /** False: its engine cannot be asked now. */
  async #settled(row: CleanupRow, query: QueryRow | undefined): Promise<boolean> {
    const { store, engines, logger, membership } = this.#environment
    const { handle, attempt, engine } = row
    const about = { handle, session: query?.sessionId, epoch: query?.epoch, attempt, engine }
    const driver = engines.drivers.find(({ name }) => name === engine)
    const isOld = membership.databaseNow() - Date.parse(row.createdAt) > keptMs
    if (!isOld && !(driver?.healthy() && (await this.#ended(driver, row, query)))) return false
    if (isOld) logger.warn({ ...about }, 'an engine was away too long to end what ran on it')
    else logger.info({ ...about }, 'an engine has confirmed the end of a run that was given up')
    await store.cleanups.done(handle, attempt)
    return true
  }

  async #ended(driver: EngineDriver, row: CleanupRow, query: QueryRow | undefined): Promise<boolean> {
    try {
      await driver.inquire(statementOf(row, query), row.engineHandle)
      return true
    } catch (error) {
      const { handle, attempt, engine } = row
      const about = { handle, session: query?.sessionId, epoch: query?.epoch, attempt, engine }
      this.#environment.logger.debug({ err: error, ...about }, 'an engine cannot end a run yet')
      return false
    }
  }
}

/** What was asked of the engine, as far as it is still known: a query may be forgotten before its engine is back. */
function statementOf({ handle, attempt }: CleanupRow, query: QueryRow | undefined): StatementRequest {
  const { sql = '', parameters = [], database = null, properties = {} } = query ?? {}
  return { handle, attempt, sql, parameters, database, properties, isolated: false }
}

/** Slot budgets: granted by the leader under its term, acknowledged by their holders; and the recount of the limit counters. */
import { type Lane, lanes, type QueryStatus, type SlotLane, slotStatuses } from '../domain/index.ts'
import type { BudgetRow, SlotsHeld } from './contract.ts'
import type { Database, SqlValue, Statements } from './database.ts'
import { underTerm } from './leadership.ts'
import { placeholders } from './names.ts'
import { type SelectedRow, selection, unselected } from './rows.ts'
import { scopes, usesOf } from './usage.ts'

/** So that `usesOf` names every scope. */
const allLimits = { queuedPerUser: 1, runningPerUser: 1, queuedPerLane: 1 }

export class Budgets {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async all(): Promise<readonly BudgetRow[]> {
    const b = this.#database.tables.budget
    const rows = await this.#database.rows(
      `SELECT ${selection(b, ['incarnation', 'engine', 'lane', 'granted', 'acknowledged'])} FROM ${b} ORDER BY ${b.incarnation}, ${b.engine}, ${b.lane}`,
    )
    return rows.map(selected => {
      const row = unselected<SelectedRow>(selected)
      return {
        incarnation: row.incarnation as string,
        engine: row.engine as string,
        lane: row.lane as SlotLane,
        granted: Number(row.granted),
        acknowledged: Number(row.acknowledged),
      }
    })
  }

  async held(): Promise<readonly SlotsHeld[]> {
    const q = this.#database.tables.current
    const rows = await this.#database.rows<{ owner_: string; engine_: string; lane_: Lane; count_: number }>(
      `SELECT ${q.ownerIncarnation} AS owner_, ${q.engine} AS engine_, ${q.lane} AS lane_, COUNT(*) AS count_ FROM ${q} ` +
        `WHERE ${q.status} IN ${placeholders(slotStatuses.length)} GROUP BY ${q.ownerIncarnation}, ${q.engine}, ${q.lane}`,
      [...slotStatuses],
    )
    return rows.map(row => ({
      incarnation: row.owner_,
      engine: row.engine_,
      lane: row.lane_ === 'heavy' ? 'heavy' : 'light',
      count: Number(row.count_),
    }))
  }

  async grant(term: number, grants: readonly Omit<BudgetRow, 'acknowledged'>[]): Promise<boolean> {
    const { budget: b, member: m, current: q } = this.#database.tables
    const { dialect } = this.#database
    return underTerm(this.#database, term, false, async transaction => {
      await transaction.run(`UPDATE ${b} SET ${b.granted} = 0`)
      if (grants.length > 0)
        await transaction.run(
          `INSERT INTO ${b} (${b.incarnation}, ${b.engine}, ${b.lane}, ${b.granted}, ${b.acknowledged}) VALUES ` +
            `${grants.map(() => '(?, ?, ?, ?, 0)').join(', ')}${dialect.overwrite([b.incarnation, b.engine, b.lane], [b.granted])}`,
          grants.flatMap(({ incarnation, engine, lane, granted }) => [incarnation, engine, lane, granted]),
        )
      const gone = await transaction.rows<{ id_: string }>(
        `SELECT DISTINCT ${b}.${b.incarnation} AS id_ FROM ${b} LEFT JOIN ${m} AS m ON m.${m.incarnation} = ${b}.${b.incarnation} AND m.${m.state} <> 'dead' ` +
          `WHERE m.${m.incarnation} IS NULL AND NOT EXISTS (SELECT 1 FROM ${q} WHERE ${q}.${q.ownerIncarnation} = ${b}.${b.incarnation})`,
      )
      for (const { id_ } of gone) await transaction.run(`DELETE FROM ${b} WHERE ${b.incarnation} = ?`, [id_])
      return true
    })
  }

  async acknowledge(
    incarnation: string,
    engine: string,
    lane: SlotLane,
    acknowledged: number,
    instead: number,
  ): Promise<boolean> {
    const b = this.#database.tables.budget
    const bound = this.#database.dialect.greatest(b.acknowledged, b.granted)
    const counted = await this.#database.run(
      `UPDATE ${b} SET ${b.acknowledged} = CASE WHEN ? <= ${b.acknowledged} THEN ? WHEN ? <= ${b.granted} THEN ? ELSE ${bound} END ` +
        `WHERE ${b.incarnation} = ? AND ${b.engine} = ? AND ${b.lane} = ? AND ${b.acknowledged} = ?`,
      [acknowledged, acknowledged, acknowledged, acknowledged, incarnation, engine, lane, instead],
    )
    return counted > 0
  }

  /**
   * All counters are locked while the rows are counted: whoever has changed a counter has committed its rows, and whoever waits for
   * one has not. Scopes that have no counter yet get theirs before, since one that appears later counts by itself.
   */
  async recountLimits(term: number): Promise<boolean> {
    const c = this.#database.tables.counter
    const { dialect } = this.#database
    const missing = [
      ...(await this.#database.repeat(() => this.#count(this.#database.connector.statements))).keys(),
    ].sort()
    for (let begin = 0; begin < missing.length; begin += dialect.rowsMax) {
      const some = missing.slice(begin, begin + dialect.rowsMax)
      await this.#database.run(
        `INSERT INTO ${c} (${c.scope}, ${c.value}) VALUES ${some.map(() => '(?, 0)').join(', ')}${dialect.keepExisting(c.scope)}`,
        some,
      )
    }
    return underTerm(this.#database, term, false, async transaction => {
      const stored = await transaction.rows<{ scope_: string; value_: number }>(
        `SELECT ${c.scope} AS scope_, ${c.value} AS value_ FROM ${c} ORDER BY ${c.scope}${dialect.lockExclusive}`,
      )
      const counted = await this.#count(transaction)
      const wrong = stored.filter(({ scope_, value_ }) => (counted.get(scope_) ?? 0) !== Number(value_))
      for (let begin = 0; begin < wrong.length; begin += dialect.rowsMax) {
        const some = wrong.slice(begin, begin + dialect.rowsMax)
        const values: SqlValue[] = some.flatMap(({ scope_ }) => [scope_, counted.get(scope_) ?? 0])
        await transaction.run(
          `UPDATE ${c} SET ${c.value} = CASE ${c.scope} ${some.map(() => 'WHEN ? THEN ?').join(' ')} ELSE ${c.value} END WHERE ${c.scope} IN ${placeholders(some.length)}`,
          [...values, ...some.map(({ scope_ }) => scope_)],
        )
      }
      // Users come and go; a counter at zero is made again when it is needed.
      await transaction.run(`DELETE FROM ${c} WHERE ${c.value} = 0`)
      return true
    })
  }

  async #count(statements: Statements): Promise<Map<string, number>> {
    const { current: q, session: s } = this.#database.tables
    const counts = new Map<string, number>()
    const add = (scope: string, count: number) => counts.set(scope, (counts.get(scope) ?? 0) + count)
    for (const lane of lanes) add(scopes.queuedOfLane(lane), 0)
    const queries = await statements.rows<{ user_: string; status_: QueryStatus; lane_: Lane; count_: number }>(
      `SELECT ${q.user} AS user_, ${q.status} AS status_, ${q.lane} AS lane_, COUNT(*) AS count_ FROM ${q} GROUP BY ${q.user}, ${q.status}, ${q.lane}`,
    )
    for (const row of queries)
      for (const { scope } of usesOf(row.user_, row.status_, row.lane_, allLimits)) add(scope, Number(row.count_))
    const sessions = await statements.rows<{ user_: string; count_: number }>(
      `SELECT ${s.user} AS user_, COUNT(*) AS count_ FROM ${s} WHERE ${s.status} = 'OPEN' GROUP BY ${s.user}`,
    )
    for (const row of sessions) add(scopes.sessionsOfUser(row.user_), Number(row.count_))
    return counts
  }
}

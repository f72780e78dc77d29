/**
 * Limits that hold for the cluster: one counter row per scope, changed in the transaction of what it counts, and as its last
 * statement, since these rows are what everybody waits for. A counter is kept only where its limit is on; when it was off for
 * a while the leader's recount makes it true again.
 */
import { holdsSlot, type Lane, type QueryStatus } from '../domain/index.ts'
import type { QueryLimits } from './contract.ts'
import type { Database, SqlValue, Statements } from './database.ts'
import { placeholders } from './names.ts'

export const scopes = {
  queuedOfUser: (user: string) => `queued:user:${user}`,
  queuedOfLane: (lane: Lane) => `queued:lane:${lane === 'auto' ? 'light' : lane}`,
  runningOfUser: (user: string) => `running:user:${user}`,
  sessionsOfUser: (user: string) => `sessions:user:${user}`,
}

/** One unit in one scope. `limit` null: may always be taken (a decrement, or one that is only counted). */
export interface Use {
  readonly scope: string
  readonly by: 1 | -1
  readonly limit: number | null
}

/** What a query in this status uses. */
export function usesOf(
  user: string,
  status: QueryStatus,
  lane: Lane,
  limits: QueryLimits,
): { scope: string; limit: number }[] {
  const uses: { scope: string; limit: number }[] = []
  if (status === 'QUEUED') {
    if (limits.queuedPerUser > 0) uses.push({ scope: scopes.queuedOfUser(user), limit: limits.queuedPerUser })
    if (limits.queuedPerLane > 0) uses.push({ scope: scopes.queuedOfLane(lane), limit: limits.queuedPerLane })
  }
  if (holdsSlot(status) && limits.runningPerUser > 0)
    uses.push({ scope: scopes.runningOfUser(user), limit: limits.runningPerUser })
  return uses
}

/**
 * Applies all uses at once. False: some scope has no room, or no row yet; then the transaction must be undone, and
 * `roomIn` asked outside of it.
 */
export async function applyUses(database: Database, transaction: Statements, uses: readonly Use[]): Promise<boolean> {
  const sums = new Map<string, { by: number; limit: number | null }>()
  for (const { scope, by, limit } of uses) {
    const sum = sums.get(scope) ?? { by: 0, limit: null }
    // Beside one that is only counted, a limited one stays limited.
    sums.set(scope, { by: sum.by + by, limit: by > 0 ? (limit ?? sum.limit) : sum.limit })
  }
  // Everybody takes the rows' locks in the same order.
  const changed = [...sums].filter(([, { by }]) => by !== 0).sort(([a], [b]) => (a < b ? -1 : 1))
  if (changed.length === 0) return true
  const { dialect } = database
  const c = database.tables.counter
  const values: SqlValue[] = []
  const cases = changed.map(([scope, { by }]) => {
    values.push(scope, by)
    return 'WHEN ? THEN ?'
  })
  const conditions = changed.map(([scope, { by, limit }]) => {
    values.push(scope)
    if (by < 0 || limit === null) return `${c.scope} = ?`
    values.push(by, limit)
    return `(${c.scope} = ? AND ${c.value} + ? <= ?)`
  })
  const sum = `${c.value} + CASE ${c.scope} ${cases.join(' ')} ELSE 0 END`
  const found = await transaction.run(
    `UPDATE ${c} AS q${dialect.byPrimary} SET ${c.value} = ${dialect.greatest('0', sum)} WHERE ${conditions.join(' OR ')}`,
    values,
  )
  return found === changed.length
}

/** How much more fits into each limited scope; makes the rows of scopes that have none yet. */
export async function roomIn(database: Database, uses: readonly Use[]): Promise<Map<string, number>> {
  const limits = new Map<string, number | null>()
  for (const { scope, by, limit } of uses) limits.set(scope, (by > 0 ? limit : null) ?? limits.get(scope) ?? null)
  const c = database.tables.counter
  const scopeList = [...limits.keys()].sort()
  const stored = new Map(
    (
      await database.rows<{ scope_: string; value_: number }>(
        `SELECT ${c.scope} AS scope_, ${c.value} AS value_ FROM ${c} WHERE ${c.scope} IN ${placeholders(scopeList.length)}`,
        scopeList,
      )
    ).map(row => [row.scope_, Number(row.value_)]),
  )
  const missing = scopeList.filter(scope => !stored.has(scope))
  if (missing.length > 0)
    await database.run(
      `INSERT INTO ${c} (${c.scope}, ${c.value}) VALUES ${missing.map(() => '(?, 0)').join(', ')}${database.dialect.keepExisting(c.scope)}`,
      missing,
    )
  const room = new Map<string, number>()
  for (const [scope, limit] of limits) if (limit !== null) room.set(scope, limit - (stored.get(scope) ?? 0))
  return room
}

/**
 * Token buckets that hold for the cluster. A bucket is one number, the instant at which it is full again, in microseconds by
 * the database's clock: taking a token moves it on by the time that one takes to come back (the generic cell rate algorithm),
 * so that a bucket nobody takes from needs no upkeep, and a full one no row.
 */
import type { RateStore, TokenGrant, TokenWish } from './contract.ts'
import type { Database } from './database.ts'
import { placeholders } from './names.ts'

const microseconds = 1_000_000

export class Rates implements RateStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async take(wishes: readonly TokenWish[]): Promise<readonly TokenGrant[]> {
    if (wishes.length === 0) return []
    const { dialect, tables } = this.#database
    const r = tables.rateBucket
    // Everybody takes the rows' locks in the same order.
    const ids = [...new Set(wishes.map(({ bucket }) => bucket))].sort()
    return this.#database.transaction(async transaction => {
      transaction.later(
        `INSERT INTO ${r} (${r.id}, ${r.fullAt}) VALUES ${ids.map(() => '(?, 0)').join(', ')}${dialect.keepExisting(r.fullAt)}`,
        ids,
      )
      const rows = await transaction.rows<{ id_: string; fullAt_: number; now_: number }>(
        `SELECT ${r.id} AS id_, ${r.fullAt} AS fullAt_, ${dialect.now} * 1000 AS now_ FROM ${r}${dialect.byPrimary} ` +
          `WHERE ${r.id} IN ${placeholders(ids.length)} ORDER BY ${r.id}${dialect.lockExclusive}`,
        ids,
      )
      const now = Number(rows[0]?.now_)
      const fullAt = new Map(rows.map(row => [row.id_, Math.max(now, Number(row.fullAt_))]))
      const grants = wishes.map(wish => grant(fullAt, now, wish))
      const changed = [...fullAt].sort(([a], [b]) => (a < b ? -1 : 1))
      transaction.later(
        `UPDATE ${r} SET ${r.fullAt} = CASE ${r.id}${changed.map(() => ' WHEN ? THEN ?').join('')} END WHERE ${r.id} IN ${placeholders(changed.length)}`,
        [...changed.flat(), ...changed.map(([id]) => id)],
      )
      return grants
    })
  }

  async sweep(limit: number): Promise<number> {
    const { dialect, tables } = this.#database
    const r = tables.rateBucket
    const rows = await this.#database.rows<{ id_: string }>(
      `SELECT ${r.id} AS id_ FROM ${r} WHERE ${r.fullAt} < ${dialect.now} * 1000 ORDER BY ${r.id} LIMIT ${Number(limit)}`,
    )
    if (rows.length === 0) return 0
    const ids = rows.map(({ id_ }) => id_)
    return this.#database.run(
      `DELETE FROM ${r} WHERE ${r.id} IN ${placeholders(ids.length)} AND ${r.fullAt} < ${dialect.now} * 1000`,
      ids,
    )
  }
}

/** What the bucket gives, which it then has no more; a wish below 0 puts back what was taken. */
function grant(fullAt: Map<string, number>, now: number, { bucket, tokens, perSecond, burst }: TokenWish): TokenGrant {
  const each = microseconds / perSecond
  const before = fullAt.get(bucket) ?? now
  const there = burst - (before - now) / each
  const given = tokens < 0 ? tokens : Math.max(0, Math.min(tokens, Math.floor(there + 1e-6)))
  fullAt.set(bucket, Math.max(now, Math.round(before + given * each)))
  const left = there - given
  return { granted: Math.max(0, given), retryAfterMs: left >= 1 ? 0 : Math.ceil(((1 - left) * each) / 1000) }
}

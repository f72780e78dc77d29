/** Ownership that the leader moves: orphans to living members, queued work from one living member to another. */
import { type QueryStatus, queryMachineVersion, type SlotLane } from '../domain/index.ts'
import type { ClaimedQuery } from './contract.ts'
import type { Database, SqlValue, Statements } from './database.ts'
import { expression, type GuardedRow, guardedUpdate, value } from './guarded-update.ts'
import { isLeader } from './leadership.ts'
import { placeholders } from './names.ts'
import { databaseNow, insertion, isoOf, selection, unselected } from './rows.ts'

interface Target {
  readonly incarnation: string
  readonly node: string
}

/** What one transaction moved, and the id of its first transition, by which it is recognised. */
interface Moved {
  readonly transitionId: string
  readonly queries: readonly ClaimedQuery[]
}

type Moving = Record<'handle' | 'sessionId' | 'user' | 'status', string> &
  Record<'version' | 'epoch' | 'machineVersion' | 'now', number>

export class Claims {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async orphanOwners(): Promise<readonly { readonly incarnation: string; readonly count: number }[]> {
    const { current: q, member: m } = this.#database.tables
    const rows = await this.#database.rows<{ owner_: string; count_: number }>(
      `SELECT o.owner_ AS owner_, o.count_ AS count_ FROM (SELECT ${q.ownerIncarnation} AS owner_, COUNT(*) AS count_ FROM ${q} GROUP BY ${q.ownerIncarnation}) AS o ` +
        `LEFT JOIN ${m} AS m ON m.${m.incarnation} = o.owner_ AND m.${m.state} <> 'dead' WHERE m.${m.incarnation} IS NULL`,
    )
    return rows.map(row => ({ incarnation: row.owner_, count: Number(row.count_) }))
  }

  async claim(
    term: number,
    deadIncarnation: string,
    target: Target,
    limit: number,
  ): Promise<{ readonly claimed: readonly ClaimedQuery[]; readonly remaining: boolean } | null> {
    const { current: q, member: m } = this.#database.tables
    const wanted = Math.min(Number(limit), this.#database.dialect.rowsMax)
    const claimed = await this.#moveSome(
      term,
      'CLAIMED',
      target,
      `${q.ownerIncarnation} = ? AND NOT EXISTS (SELECT 1 FROM ${m} AS m WHERE m.${m.incarnation} = ? AND m.${m.state} <> 'dead') ORDER BY ${q.handle}`,
      [deadIncarnation, deadIncarnation],
      wanted,
    )
    if (claimed === null) return null
    const owns = await this.#ownsAny(deadIncarnation)
    const remaining = owns.any
    // Locked by a connection that the dead one opened after it was fenced, or that was not registered yet.
    if (remaining && owns.dead && claimed.length < wanted)
      await this.#database.repeat(() => this.#database.connector.killConnectionsOf(deadIncarnation))
    return { claimed, remaining }
  }

  async rebalance(
    term: number,
    fromIncarnation: string,
    target: Target,
    limit: number,
    lane?: SlotLane,
    exceptUsers: readonly string[] = [],
  ): Promise<readonly ClaimedQuery[] | null> {
    const q = this.#database.tables.current
    const ofLane = lane === undefined ? '' : ` AND ${q.lane} = ?`
    const ofOthers = exceptUsers.length === 0 ? '' : ` AND ${q.user} NOT IN ${placeholders(exceptUsers.length)}`
    return this.#moveSome(
      term,
      'HANDED_OVER',
      target,
      `${q.ownerIncarnation} = ? AND ${q.status} = 'QUEUED'${ofLane}${ofOthers} ORDER BY ${lastServedFirst(q.priority)}, ${q.submittedAt} DESC, ${q.handle} DESC`,
      [fromIncarnation, ...(lane === undefined ? [] : [lane]), ...exceptUsers],
      Math.min(Number(limit), this.#database.dialect.rowsMax),
    )
  }

  /** Null: not the leader, or the target is no member that accepts work. */
  async #moveSome(
    term: number,
    type: 'CLAIMED' | 'HANDED_OVER',
    target: Target,
    condition: string,
    values: readonly SqlValue[],
    limit: number,
  ): Promise<readonly ClaimedQuery[] | null> {
    let earlier: Moved | null = null
    return this.#database.transaction(async transaction => {
      // The answer to the commit of an earlier attempt was lost: who is told of these queries must be told now.
      if (earlier && (await this.#isRecorded(transaction, earlier))) return earlier.queries
      earlier = null
      if (!(await isLeader(this.#database, transaction, term))) return null
      if (!(await this.#accepts(transaction, target.incarnation))) return null
      earlier = await this.#move(transaction, type, target, condition, values, limit)
      return earlier?.queries ?? []
    })
  }

  async #isRecorded(transaction: Statements, { transitionId, queries }: Moved): Promise<boolean> {
    const t = this.#database.tables.transition
    const [first] = queries
    if (!first) return false
    const rows = await transaction.rows<{ id_: string }>(
      `SELECT ${t.id} AS id_ FROM ${t} WHERE ${t.handle} = ? AND ${t.version} = ?`,
      [first.handle, first.version],
    )
    return rows[0]?.id_ === transitionId
  }

  /** One that leaves is given nothing from its word on: it may have looked at its rows for the last time. */
  async #accepts(transaction: Statements, incarnation: string): Promise<boolean> {
    const m = this.#database.tables.member
    const rows = await transaction.rows(
      `SELECT 1 AS one FROM ${m}${this.#database.dialect.byPrimary} WHERE ${m.incarnation} = ? AND ${m.state} = 'alive'${this.#database.dialect.lockShared}`,
      [incarnation],
    )
    return rows.length > 0
  }

  async #ownsAny(incarnation: string): Promise<{ any: boolean; dead: boolean }> {
    const { current: q, member: m } = this.#database.tables
    const rows = await this.#database.rows<{ state_: string | null }>(
      `SELECT (SELECT m.${m.state} FROM ${m} AS m WHERE m.${m.incarnation} = ?) AS state_ FROM ${q} WHERE ${q.ownerIncarnation} = ? LIMIT 1`,
      [incarnation, incarnation],
    )
    return { any: rows.length > 0, dead: rows.every(row => row.state_ === null || row.state_ === 'dead') }
  }

  async #move(
    transaction: Statements,
    type: 'CLAIMED' | 'HANDED_OVER',
    target: Target,
    condition: string,
    values: readonly SqlValue[],
    limit: number,
  ): Promise<Moved | null> {
    const { current: q, transition: t } = this.#database.tables
    const { dialect } = this.#database
    const rows = await transaction.rows(
      `SELECT ${selection(q, ['handle', 'sessionId', 'user', 'status', 'version', 'epoch', 'machineVersion'])}, ${dialect.now} AS now_ ` +
        `FROM ${q} WHERE ${condition} LIMIT ${limit}${dialect.lockSkipping}`,
      values,
    )
    if (rows.length === 0) return null
    const moving = rows.map(row => unselected<Moving>(row))
    const moved = moving.map(row => ({ row, id: this.#database.random.uuid() }))
    const update = guardedUpdate(
      dialect,
      q,
      q.handle,
      moved.map(({ row, id }) => movedRow(this.#database, row, id, target)),
    )
    const count = await transaction.run(update.sql, update.values)
    if (count !== moved.length) throw new Error('rows that are locked did not count')
    const { sql, values: inserted } = insertion(
      t,
      moved.map(({ row, id }) => ({
        handle: row.handle,
        version: Number(row.version) + 1,
        id,
        epoch: Number(row.epoch) + 1,
        // A claim changes nothing but the owner, which every version knows: the row keeps the format that it has.
        machineVersion: Number(row.machineVersion) || queryMachineVersion,
        node: target.node,
        event: JSON.stringify({ type, at: isoOf(row.now), node: target.node, epoch: Number(row.epoch) + 1 }),
        fromStatus: row.status,
        toStatus: row.status,
        at: databaseNow,
      })),
      dialect.now,
    )
    await transaction.run(sql, inserted)
    const queries = moving.map(row => ({
      handle: row.handle,
      sessionId: row.sessionId,
      user: row.user,
      status: row.status as QueryStatus,
      version: Number(row.version) + 1,
      epoch: Number(row.epoch) + 1,
      toIncarnation: target.incarnation,
    }))
    return { transitionId: moved[0]?.id ?? '', queries }
  }
}

/** Priorities from the one that waits longest. */
function lastServedFirst(column: string): string {
  return `CASE ${column} WHEN 'very_low' THEN 0 WHEN 'low' THEN 1 WHEN 'normal' THEN 2 WHEN 'high' THEN 3 ELSE 4 END`
}

/**
 * The row and, in its snapshot, the context's version and owner. A snapshot that is no JSON, or has no such place, stays as it is:
 * its new owner will find out, and no other row suffers from it.
 */
function movedRow({ dialect, tables: { current: q } }: Database, row: Moving, id: string, target: Target): GuardedRow {
  const changed = `JSON_SET(${q.snapshot}, '$.context.version', ${q.version} + 1, '$.context.owner.node', ?, '$.context.owner.epoch', ${q.epoch} + 1)`
  const stored = dialect.besideJson(q.snapshot)
  return {
    key: row.handle,
    where: expression(`${q.epoch} = ? AND ${q.version} = ?`, Number(row.epoch), Number(row.version)),
    set: {
      // First: MySQL would show it the new version and epoch otherwise.
      [q.snapshot]: expression(
        `CASE WHEN JSON_VALID(${q.snapshot}) THEN COALESCE(${changed}, ${stored}) ELSE ${stored} END`,
        target.node,
      ),
      [q.ownerIncarnation]: value(target.incarnation),
      [q.ownerNode]: value(target.node),
      [q.transitionId]: value(id),
      [q.version]: expression(`${q.version} + 1`),
      [q.epoch]: expression(`${q.epoch} + 1`),
    },
  }
}

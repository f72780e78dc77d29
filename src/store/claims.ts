/** Ownership that the leader moves: orphans to living members, queued work from one living member to another. */
import { type Lane, type QueryStatus, queryMachineVersion, type SlotLane } from '../domain/index.ts'
import type { ClaimedQuery } from './contract.ts'
import { type Database, type Later, type SqlValue, type Statements, type Transaction, Undo } from './database.ts'
import { acknowledgeGiven } from './given-slots.ts'
import { isLeader } from './leadership.ts'
import { placeholders } from './names.ts'
import { databaseNow, insertion, isoOf, selection, unselected } from './rows.ts'

interface Target {
  readonly incarnation: string
  readonly node: string
}

/** Of a UUID, all but its last group: random enough for a transaction. */
const idSharedLength = 24

/** What one transaction moved, and the id of its first transition, by which it is recognised. */
interface Moved {
  readonly transitionId: string
  readonly queries: readonly ClaimedQuery[]
}

type Moving = Record<'handle' | 'sessionId' | 'user', string> &
  Record<'version' | 'epoch' | 'machineVersion' | 'now', number> & {
    readonly status: QueryStatus
    readonly engine: string | null
    readonly lane: Lane
  }

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
    launchedOnly = false,
  ): Promise<{ readonly claimed: readonly ClaimedQuery[]; readonly remaining: boolean } | null> {
    const { current: q, member: m } = this.#database.tables
    const launched = launchedOnly ? ` AND ${q.status} <> 'QUEUED'` : ''
    const wanted = Math.min(Number(limit), this.#database.dialect.rowsMax)
    const claimed = await this.#moveSome(
      term,
      'CLAIMED',
      target,
      `${q.ownerIncarnation} = ? AND NOT EXISTS (SELECT 1 FROM ${m} AS m WHERE m.${m.incarnation} = ? AND m.${m.state} <> 'dead')${launched} ORDER BY ${q.handle}`,
      [deadIncarnation, deadIncarnation],
      wanted,
    )
    if (claimed === null) return null
    if (claimed.length === wanted || launchedOnly) return { claimed, remaining: claimed.length === wanted }
    const owns = await this.#ownsAny(deadIncarnation)
    const remaining = owns.any
    // Locked by a connection that the dead one opened after it was fenced, or that was not registered yet.
    if (remaining && owns.dead)
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
    try {
      return await this.#database.transaction(async transaction => {
        // The answer to the commit of an earlier attempt was lost: who is told of these queries must be told now, whoever leads.
        if (earlier && (await this.#isRecorded(transaction, earlier))) return earlier.queries
        earlier = null
        const accepting = this.#accepting(transaction, target.incarnation)
        const rows = await this.#lockSome(transaction, target, condition, values, limit)
        if (accepting.rows.length === 0) throw new Undo(null)
        const moving = this.#move(transaction, type, target, rows)
        if (!(await isLeader(this.#database, transaction, term))) throw new Undo(null)
        if (!moving) return []
        if (moving.update.count !== rows.length) throw new Error('rows that are locked did not count')
        earlier = moving.moved
        return earlier.queries
      })
    } catch (error) {
      if (error instanceof Undo) return null
      throw error
    }
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
  #accepting(transaction: Transaction, incarnation: string): Later {
    const m = this.#database.tables.member
    return transaction.later(
      `SELECT 1 AS one FROM ${m}${this.#database.dialect.byPrimary} WHERE ${m.incarnation} = ? AND ${m.state} = 'alive'${this.#database.dialect.lockShared}`,
      [incarnation],
    )
  }

  /** Of what somebody could be given; the rest waits until one joins who reads it. */
  async #ownsAny(incarnation: string): Promise<{ any: boolean; dead: boolean }> {
    const { current: q, member: m } = this.#database.tables
    const rows = await this.#database.rows<{ state_: string | null }>(
      `SELECT (SELECT m.${m.state} FROM ${m} AS m WHERE m.${m.incarnation} = ?) AS state_ FROM ${q} WHERE ${q.ownerIncarnation} = ? ` +
        `AND ${q.machineVersion} <= (SELECT MAX(r.${m.snapshotVersion}) FROM ${m} AS r WHERE r.${m.state} = 'alive') LIMIT 1`,
      [incarnation, incarnation],
    )
    return { any: rows.length > 0, dead: rows.every(row => row.state_ === null || row.state_ === 'dead') }
  }

  async #lockSome(
    transaction: Transaction,
    target: Target,
    condition: string,
    values: readonly SqlValue[],
    limit: number,
  ): Promise<readonly Moving[]> {
    const { current: q, member: m } = this.#database.tables
    const { dialect } = this.#database
    const rows = await transaction.rows(
      `SELECT ${selection(q, ['handle', 'sessionId', 'user', 'status', 'engine', 'lane', 'version', 'epoch', 'machineVersion'])}, ${dialect.now} AS now_ ` +
        // Who cannot read a row is not given it: it waits for one who can.
        `FROM ${q} WHERE ${q.machineVersion} <= (SELECT r.${m.snapshotVersion} FROM ${m} AS r WHERE r.${m.incarnation} = ?) AND ${condition} LIMIT ${limit}${dialect.lockSkipping}`,
      [target.incarnation, ...values],
    )
    return rows.map(row => unselected<Moving>(row))
  }

  /** All of it goes with the statement after it. Null: there is nothing to move. */
  #move(
    transaction: Transaction,
    type: 'CLAIMED' | 'HANDED_OVER',
    target: Target,
    moving: readonly Moving[],
  ): { readonly moved: Moved; readonly update: Later } | null {
    if (moving.length === 0) return null
    const { transition: t } = this.#database.tables
    const { dialect } = this.#database
    // What moves together shares the beginning of its ids, the end is that of the handle: so the statement is short, and can say them.
    const shared = this.#database.random.uuid().slice(0, idSharedLength)
    const idOf = (handle: string) => shared + handle.slice(idSharedLength)
    const update = moveOf(
      this.#database,
      moving.map(({ handle }) => handle),
      shared,
      target,
    )
    const updating = transaction.later(update.sql, update.values)
    const { sql, values: inserted } = insertion(
      t,
      moving.map(row => ({
        handle: row.handle,
        version: Number(row.version) + 1,
        id: idOf(row.handle),
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
    transaction.later(sql, inserted)
    acknowledgeGiven(
      this.#database,
      transaction,
      moving.map(({ status, engine, lane }) => ({ toIncarnation: target.incarnation, status, engine, lane })),
    )
    const queries = moving.map(row => ({
      handle: row.handle,
      sessionId: row.sessionId,
      user: row.user,
      status: row.status,
      version: Number(row.version) + 1,
      epoch: Number(row.epoch) + 1,
      toIncarnation: target.incarnation,
    }))
    return { moved: { transitionId: idOf(moving[0]?.handle ?? ''), queries }, update: updating }
  }
}

/** Priorities from the one that waits longest. */
function lastServedFirst(column: string): string {
  return `CASE ${column} WHEN 'very_low' THEN 0 WHEN 'low' THEN 1 WHEN 'normal' THEN 2 WHEN 'high' THEN 3 ELSE 4 END`
}

/**
 * The rows, which are locked and as they were read, and, in their snapshots, the context's version and owner. A snapshot that is no
 * JSON, or has no such place, stays as it is: its new owner will find out, and no other row suffers from it.
 */
function moveOf(
  { dialect, tables: { current: q } }: Database,
  handles: readonly string[],
  shared: string,
  target: Target,
): { sql: string; values: readonly SqlValue[] } {
  const changed = `JSON_SET(${q.snapshot}, '$.context.version', ${q.version} + 1, '$.context.owner.node', ?, '$.context.owner.epoch', ${q.epoch} + 1)`
  const stored = dialect.besideJson(q.snapshot)
  return {
    // The snapshot first: MySQL, which goes from left to right, would show it the new version and epoch otherwise.
    sql:
      `UPDATE ${q} AS q${dialect.byPrimary} SET ${q.snapshot} = CASE WHEN JSON_VALID(${q.snapshot}) THEN COALESCE(${changed}, ${stored}) ELSE ${stored} END, ` +
      `${q.ownerIncarnation} = ?, ${q.ownerNode} = ?, ${q.transitionId} = CONCAT(?, SUBSTR(${q.handle}, ${idSharedLength + 1})), ${q.version} = ${q.version} + 1, ${q.epoch} = ${q.epoch} + 1 ` +
      `WHERE ${q.handle} IN ${placeholders(handles.length)}`,
    values: [target.node, target.incarnation, target.node, shared, ...handles],
  }
}

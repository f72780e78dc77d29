/** Members and the leader's lease, as the database sees them: its clock decides what has run out. */
import type { MemberState } from '../domain/index.ts'
import type { FailoverRow, JoinAnswer, LeaseRow, MemberRow, NewMember } from './contract.ts'
import type { Database, Later, Statements, Transaction } from './database.ts'
import { underTerm } from './leadership.ts'
import { databaseNow, insertion, isoOf, isoOrNull, type SelectedRow, selection, unselected } from './rows.ts'

export class Members {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async join(member: NewMember): Promise<JoinAnswer> {
    // One at a time, so that two processes with one node id cannot both find nobody. No row is locked for it: who is frozen
    // while it joins is nobody's member yet, and its connections nobody's to end.
    return this.#database.repeat(() =>
      this.#database.connector.alone(`join ${member.nodeId}`, () => this.#joinAlone(member)),
    )
  }

  #joinAlone(member: NewMember): Promise<JoinAnswer> {
    const { member: m, heartbeat: h, snapshotFormat: f } = this.#database.tables
    const { dialect } = this.#database
    return this.#database.transaction(async transaction => {
      const sameNode = (
        await this.#select(transaction, `m.${m.state} <> 'dead' AND m.${m.nodeId} = ?`, [member.nodeId])
      ).members
      if (sameNode.some(row => row.incarnation === member.incarnation)) {
        // Whoever is told that it has joined counts its lease from this attempt on.
        await transaction.run(`UPDATE ${h} SET ${h.leaseExpiresAt} = ${dialect.now} + ? WHERE ${h.incarnation} = ?`, [
          member.leaseMs,
          member.incarnation,
        ])
        return { joined: true as const }
      }
      // Frozen since an earlier attempt, and fenced.
      if (await this.#wasFenced(transaction, member.incarnation)) return { joined: false as const, by: null }
      const living = sameNode.find(row => row.leaseLeftMs > 0 && row.incarnation !== member.supersedes)
      if (living) return { joined: false as const, by: living }
      // Until it has joined: who raises the format sees this member, or this member sees the format.
      const [format] = await transaction.rows<{ version_: number }>(
        `SELECT ${f.version} AS version_ FROM ${f} WHERE ${f.id} = 1${dialect.lockShared}`,
      )
      const snapshotFormat = Number(format?.version_ ?? 1)
      if (member.snapshotVersion < snapshotFormat) return { joined: false as const, by: null, snapshotFormat }
      this.#database.format.learn(snapshotFormat)
      const { earlyTakeoverAfterMs: after } = member
      await transaction.run(
        `INSERT INTO ${m} (${[m.incarnation, m.nodeId, m.address, m.state, m.softwareVersion, m.snapshotVersion, m.startedAt, m.earlyTakeoverFrom].join(', ')}) ` +
          `VALUES (?, ?, ?, 'alive', ?, ?, ${dialect.now}, ${after === null ? 'NULL' : `${dialect.now} + ?`})`,
        [
          member.incarnation,
          member.nodeId,
          member.address,
          member.softwareVersion,
          member.snapshotVersion,
          ...(after === null ? [] : [after]),
        ],
      )
      await transaction.run(
        `INSERT INTO ${h} (${h.incarnation}, ${h.leaseExpiresAt}, ${h.running}, ${h.queued}) VALUES (?, ${dialect.now} + ?, 0, 0)`,
        [member.incarnation, member.leaseMs],
      )
      return { joined: true as const }
    })
  }

  /** By its row, or, once that is swept, by its failover. */
  async #wasFenced(statements: Statements, incarnation: string): Promise<boolean> {
    const { member: m, failover: f } = this.#database.tables
    const rows = await statements.rows(
      `SELECT ${m.incarnation} AS id_ FROM ${m} WHERE ${m.incarnation} = ? AND ${m.state} = 'dead' UNION ALL SELECT ${f.incarnation} AS id_ FROM ${f} WHERE ${f.incarnation} = ?`,
      [incarnation, incarnation],
    )
    return rows.length > 0
  }

  async members(): Promise<{
    readonly members: readonly MemberRow[]
    readonly lease: LeaseRow | null
    readonly snapshotFormat: number
    readonly now: string
  }> {
    const m = this.#database.tables.member
    const found = await this.#database.repeat(() =>
      this.#select(this.#database.connector.statements, `m.${m.state} <> 'dead'`, []),
    )
    this.#database.format.learn(found.snapshotFormat)
    return found
  }

  async raiseSnapshotFormat(term: number): Promise<number | null> {
    const { member: m, snapshotFormat: f } = this.#database.tables
    const { dialect } = this.#database
    return underTerm(this.#database, term, null, async transaction => {
      // First, so that whoever joins meanwhile waits for this transaction, or this one for the end of the join.
      const [row] = await transaction.rows<{ version_: number }>(
        `SELECT ${f.version} AS version_ FROM ${f} WHERE ${f.id} = 1${dialect.lockExclusive}`,
      )
      const reads = await transaction.rows<{ reads_: number }>(
        `SELECT ${m.snapshotVersion} AS reads_ FROM ${m} WHERE ${m.state} <> 'dead'${dialect.lockShared}`,
      )
      const version = Math.min(...reads.map(({ reads_ }) => Number(reads_)))
      if (reads.length === 0 || !row || version <= Number(row.version_)) return null
      await transaction.run(`UPDATE ${f} SET ${f.version} = ? WHERE ${f.id} = 1`, [version])
      return version
    })
  }

  async memberOf(incarnation: string): Promise<MemberRow | null> {
    const m = this.#database.tables.member
    const { members } = await this.#database.repeat(() =>
      this.#select(this.#database.connector.statements, `m.${m.incarnation} = ?`, [incarnation]),
    )
    return members[0] ?? null
  }

  /** Members and the lease in one statement: the lease's row is always there, and each member's comes beside it. */
  async #select(statements: Statements, condition: string, values: readonly string[]) {
    const { member: m, heartbeat: h, lease: l, snapshotFormat: f } = this.#database.tables
    const { now } = this.#database.dialect
    const rows = await statements.rows(
      `SELECT ${now} AS now_, (SELECT ${f.version} FROM ${f} WHERE ${f.id} = 1) AS snapshotFormat_, ${selection(l, ['holderIncarnation', 'holderNode', 'term', 'expiresAt'], 'l.')}, ` +
        `${selection(m, ['incarnation', 'nodeId', 'address', 'state', 'softwareVersion', 'snapshotVersion', 'startedAt', 'earlyTakeoverFrom'], 'm.')}, ` +
        `${selection(h, ['leaseExpiresAt', 'running', 'queued'], 'h.')} ` +
        `FROM ${l} AS l LEFT JOIN (${m} AS m JOIN ${h} AS h ON h.${h.incarnation} = m.${m.incarnation}) ON ${condition} ` +
        `WHERE l.${l.id} = 1 ORDER BY m.${m.startedAt}, m.${m.incarnation}`,
      values,
    )
    const found = rows.map(row => unselected<SelectedRow>(row))
    const [first] = found
    const nowMs = Number(first?.now)
    const lease =
      !first || first.holderIncarnation === ''
        ? null
        : {
            holderIncarnation: first.holderIncarnation as string,
            holderNode: first.holderNode as string,
            term: Number(first.term),
            expiresAt: isoOf(first.expiresAt as number),
            leftMs: Number(first.expiresAt) - nowMs,
          }
    const members = found
      .filter(row => row.incarnation !== null)
      .map(
        (row): MemberRow => ({
          incarnation: row.incarnation as string,
          nodeId: row.nodeId as string,
          address: row.address as string,
          state: row.state as MemberState,
          softwareVersion: row.softwareVersion as string,
          snapshotVersion: Number(row.snapshotVersion),
          startedAt: isoOf(row.startedAt as number),
          leaseExpiresAt: isoOf(row.leaseExpiresAt as number),
          leaseLeftMs: Number(row.leaseExpiresAt) - nowMs,
          earlyTakeover: row.earlyTakeoverFrom !== null && Number(row.earlyTakeoverFrom) <= nowMs,
          running: Number(row.running),
          queued: Number(row.queued),
        }),
      )
    return { members, lease, snapshotFormat: Number(first?.snapshotFormat ?? 1), now: isoOf(nowMs) }
  }

  async setState(incarnation: string, state: 'alive' | 'draining'): Promise<boolean> {
    const m = this.#database.tables.member
    const count = await this.#database.run(
      `UPDATE ${m} SET ${m.state} = ? WHERE ${m.incarnation} = ? AND ${m.state} <> 'dead'`,
      [state, incarnation],
    )
    return count > 0
  }

  async allowEarlyTakeover(incarnation: string): Promise<void> {
    const m = this.#database.tables.member
    await this.#database.run(
      `UPDATE ${m} SET ${m.earlyTakeoverFrom} = ${this.#database.dialect.now} WHERE ${m.incarnation} = ? AND ${m.state} <> 'dead'`,
      [incarnation],
    )
  }

  async leave(incarnation: string): Promise<boolean> {
    const { member: m, heartbeat: h, current: q, memberConnection: c } = this.#database.tables
    const { dialect } = this.#database
    return this.#database.transaction(async transaction => {
      // Submissions hold a shared lock on their member until their queries are there to be seen.
      const [row] = await transaction.rows<{ state_: string }>(
        `SELECT ${m.state} AS state_ FROM ${m} WHERE ${m.incarnation} = ?${dialect.lockExclusive}`,
        [incarnation],
      )
      const owned = await transaction.rows(`SELECT 1 AS one FROM ${q} WHERE ${q.ownerIncarnation} = ? LIMIT 1`, [
        incarnation,
      ])
      if (owned.length > 0) return false
      if (!row) return true
      await transaction.run(`UPDATE ${m} SET ${m.state} = 'dead' WHERE ${m.incarnation} = ?`, [incarnation])
      await transaction.run(`UPDATE ${h} SET ${h.leaseExpiresAt} = 0 WHERE ${h.incarnation} = ?`, [incarnation])
      await transaction.run(`DELETE FROM ${c} WHERE ${c.incarnation} = ?`, [incarnation])
      return true
    })
  }

  async acquireLease(
    holder: { incarnation: string; node: string; leaseMs: number },
    deadHolder: { incarnation: string; term: number } | null,
  ): Promise<number | null> {
    const { lease: l, member: m } = this.#database.tables
    const { now } = this.#database.dialect
    // Plainly first: most who ask find it held, and a frozen leader's connections may still hold the row's lock.
    const { lease } = await this.members()
    const isDead =
      lease !== null && lease.holderIncarnation === deadHolder?.incarnation && lease.term === deadHolder.term
    if (lease !== null && lease.leftMs > 0 && !isDead) return null
    if (lease !== null && lease.holderIncarnation !== holder.incarnation)
      await this.#database.repeat(() => this.#database.connector.killConnectionsOf(lease.holderIncarnation))
    return this.#database.transaction(async (transaction, attempt) => {
      const living = `EXISTS (SELECT 1 FROM ${m} WHERE ${m.incarnation} = ? AND ${m.state} <> 'dead')`
      const count = await transaction.run(
        `UPDATE ${l} SET ${l.term} = ${l.term} + 1, ${l.holderIncarnation} = ?, ${l.holderNode} = ?, ${l.expiresAt} = ${now} + ? ` +
          `WHERE ${l.id} = 1 AND (${l.expiresAt} <= ${now} OR (${l.holderIncarnation} = ? AND ${l.term} = ?)) AND ${living}`,
        [
          holder.incarnation,
          holder.node,
          holder.leaseMs,
          deadHolder?.incarnation ?? '',
          deadHolder?.term ?? -1,
          holder.incarnation,
        ],
      )
      const [row] = await transaction.rows<{ holder_: string; term_: number }>(
        `SELECT ${l.holderIncarnation} AS holder_, ${l.term} AS term_ FROM ${l} WHERE ${l.id} = 1`,
      )
      // Taken by an attempt whose answer was lost: only this incarnation asks under its own name.
      if (count > 0 || (attempt > 0 && row?.holder_ === holder.incarnation)) return Number(row?.term_)
      return null
    })
  }

  async resignLease(incarnation: string, term: number): Promise<void> {
    const l = this.#database.tables.lease
    await this.#database.run(
      `UPDATE ${l} SET ${l.holderIncarnation} = '', ${l.holderNode} = '', ${l.expiresAt} = 0 WHERE ${l.id} = 1 AND ${l.holderIncarnation} = ? AND ${l.term} = ?`,
      [incarnation, term],
    )
  }

  async fence(
    term: number,
    incarnation: string,
    cause: string,
    onlyIfExpiredByMs: number | null,
  ): Promise<FailoverRow | null> {
    const { member: m, heartbeat: h, failover: f } = this.#database.tables
    const { dialect } = this.#database
    const isDue = (lease: LeaseRow | null, member: MemberRow | null | undefined) =>
      lease?.term === term &&
      member !== null &&
      member !== undefined &&
      (member.state === 'dead' || onlyIfExpiredByMs === null || member.leaseLeftMs <= -onlyIfExpiredByMs)
    const asked = await this.#database.repeat(() =>
      this.#select(this.#database.connector.statements, `m.${m.incarnation} = ?`, [incarnation]),
    )
    if (!isDue(asked.lease, asked.members[0])) return null
    // Meanwhile its connections end: one frozen between its guard and its commit holds the very lock that is needed now.
    const killing = this.#kill(incarnation)
    killing.catch(() => undefined)
    const recorded = await underTerm(this.#database, term, null, async transaction => {
      // Against a heartbeat at this moment: the one or the other comes first.
      transaction.later(`SELECT ${h.incarnation} AS id_ FROM ${h} WHERE ${h.incarnation} = ?${dialect.lockExclusive}`, [
        incarnation,
      ])
      const [member] = (await this.#select(transaction, `m.${m.incarnation} = ?`, [incarnation])).members
      if (!member) return null
      if (member.state === 'dead') return this.#failoverOf(transaction, incarnation)
      if (onlyIfExpiredByMs !== null && member.leaseLeftMs > -onlyIfExpiredByMs) return null
      transaction.later(`UPDATE ${m} SET ${m.state} = 'dead' WHERE ${m.incarnation} = ?`, [incarnation])
      const { sql, values } = insertion(
        f,
        [
          {
            id: this.#database.random.uuid(),
            nodeId: member.nodeId,
            incarnation,
            cause,
            term,
            detectedAt: databaseNow,
            doneAt: null,
            queries: 0,
          },
        ],
        dialect.now,
      )
      transaction.later(sql, values)
      return this.#failoverOf(transaction, incarnation)
    })
    const [failover] = recorded?.rows ?? []
    if (!failover) return null
    // And those that it opened meanwhile, which nobody waits for: a claim skips what they lock, and ends them when it finds any.
    void killing.then(() => this.#kill(incarnation)).catch(() => undefined)
    return failoverOf(failover)
  }

  #kill(incarnation: string): Promise<void> {
    return this.#database.repeat(() => this.#database.connector.killConnectionsOf(incarnation))
  }

  #failoverOf(transaction: Transaction, incarnation: string): Later {
    const f = this.#database.tables.failover
    return transaction.later(
      `SELECT ${selection(f, failoverProperties)} FROM ${f} WHERE ${f.incarnation} = ? ORDER BY ${f.detectedAt} DESC LIMIT 1`,
      [incarnation],
    )
  }

  async failoverDone(id: string, queries: number): Promise<void> {
    const f = this.#database.tables.failover
    await this.#database.run(
      `UPDATE ${f} SET ${f.doneAt} = ${this.#database.dialect.now}, ${f.queries} = ? WHERE ${f.id} = ? AND ${f.doneAt} IS NULL`,
      [queries, id],
    )
  }

  async failovers(limit: number): Promise<readonly FailoverRow[]> {
    const f = this.#database.tables.failover
    const rows = await this.#database.rows(
      `SELECT ${selection(f, failoverProperties)} FROM ${f} ORDER BY ${f.detectedAt} DESC, ${f.id} LIMIT ${Number(limit)}`,
    )
    return rows.map(failoverOf)
  }

  async sweep(term: number): Promise<void> {
    const {
      member: m,
      heartbeat: h,
      memberConnection: c,
      current: q,
      budget: b,
      failover: f,
      lease: l,
    } = this.#database.tables
    await underTerm(this.#database, term, undefined, async transaction => {
      const dead = await transaction.rows<{ id_: string }>(
        `SELECT ${m.incarnation} AS id_ FROM ${m} WHERE ${m.state} = 'dead' AND NOT EXISTS (SELECT 1 FROM ${q} WHERE ${q}.${q.ownerIncarnation} = ${m}.${m.incarnation}) ` +
          `AND NOT EXISTS (SELECT 1 FROM ${l} WHERE ${l}.${l.holderIncarnation} = ${m}.${m.incarnation}) ORDER BY ${m.incarnation} LIMIT 50`,
      )
      for (const { id_ } of dead)
        for (const [table, column] of [
          [c, c.incarnation],
          [b, b.incarnation],
          [h, h.incarnation],
          [m, m.incarnation],
        ] as const)
          await transaction.run(`DELETE FROM ${table} WHERE ${column} = ?`, [id_])
      const [oldest] = await transaction.rows<{ at_: number }>(
        `SELECT ${f.detectedAt} AS at_ FROM ${f} ORDER BY ${f.detectedAt} DESC LIMIT 1 OFFSET 999`,
      )
      if (oldest) await transaction.run(`DELETE FROM ${f} WHERE ${f.detectedAt} < ?`, [oldest.at_])
    })
  }
}

const failoverProperties = ['id', 'nodeId', 'incarnation', 'cause', 'term', 'detectedAt', 'doneAt', 'queries'] as const

function failoverOf(selected: object): FailoverRow {
  const row = unselected<Record<(typeof failoverProperties)[number], string & number>>(selected)
  return {
    id: row.id,
    nodeId: row.nodeId,
    incarnation: row.incarnation,
    cause: row.cause,
    term: Number(row.term),
    detectedAt: isoOf(row.detectedAt),
    doneAt: isoOrNull(row.doneAt),
    queries: Number(row.queries),
  }
}

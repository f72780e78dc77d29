/** The store of sessions. No node owns one: each move is made of the locked row and raises its `version`, and the row's word is final. */
import type { SessionEvent, SessionStatus } from '../domain/index.ts'
import type { NewSession, OpenAnswer, SessionCheck, SessionMove, SessionRow, SessionStore } from './contract.ts'
import { type Database, Duplicate, type SqlValue, type Statements, Undo } from './database.ts'
import { placeholders } from './names.ts'
import { changedSinceRead } from './retry.ts'
import { askableIds, databaseNow, insertion, isoOf, parsed, type SelectedRow, selection, unselected } from './rows.ts'
import { SessionEnds } from './session-ends.ts'
import { applyUses, roomIn, scopes, type Use } from './usage.ts'

const rowProperties = [
  'id',
  'user',
  'secretHash',
  'database',
  'properties',
  'status',
  'version',
  'createdAt',
  'lastUsedAt',
  'idleMs',
  'admin',
] as const

/** How much longer than `idleMs` a session lives in the database: its last use is written only so often. */
const slack = (idle: string) => `CASE WHEN ${idle} > 600000 THEN 60000 ELSE ${idle} DIV 10 END`

export class Sessions implements SessionStore {
  readonly #database: Database
  readonly #ends: SessionEnds

  constructor(database: Database) {
    this.#database = database
    this.#ends = new SessionEnds(database)
  }

  removeClosed(id: string, node: string): Promise<boolean> {
    return this.#ends.removeClosed(id, node)
  }

  sweep(term: number, limit: number) {
    return this.#ends.sweep(term, limit)
  }

  /** `DIV` is MySQL's; on integers SQLite's `/` is the same. */
  #slack(idle: string): string {
    return this.#database.dialect.name === 'mysql' ? slack(idle) : slack(idle).replace('DIV', '/')
  }

  async open(session: NewSession, sessionsPerUser: number): Promise<OpenAnswer> {
    const use: Use = { scope: scopes.sessionsOfUser(session.user), by: 1, limit: sessionsPerUser }
    let repeated = false
    for (;;)
      try {
        return await this.#database.transaction((transaction, attempt) =>
          this.#open(transaction, session, sessionsPerUser > 0 ? use : null, repeated || attempt > 0),
        )
      } catch (error) {
        if (error instanceof Duplicate && !repeated) repeated = true
        else if (error instanceof Undo) {
          const room = await roomIn(this.#database, [use])
          if ((room.get(use.scope) ?? 0) <= 0) return { kind: 'limit', limit: sessionsPerUser }
        } else throw error
      }
  }

  async #open(
    transaction: Statements,
    session: NewSession,
    use: Use | null,
    mayHaveCommitted: boolean,
  ): Promise<OpenAnswer> {
    const { session: s, key: k } = this.#database.tables
    const { dialect } = this.#database
    if (mayHaveCommitted) {
      const row = await this.#readIn(transaction, session.id)
      if (row) return { kind: 'opened', session: row }
    }
    if (session.idempotencyKey !== null) {
      const requestHash = session.requestHash ?? ''
      const { sql, values } = insertion(
        k,
        [
          {
            user: session.user,
            kind: 'session',
            key: session.idempotencyKey,
            handle: session.id,
            requestHash,
            createdAt: databaseNow,
          },
        ],
        dialect.now,
      )
      await transaction.run(sql + dialect.keepExisting(k.handle), values)
      const [key] = await transaction.rows<{ handle_: string; requestHash_: string }>(
        `SELECT ${k.handle} AS handle_, ${k.requestHash} AS requestHash_ FROM ${k} WHERE ${k.user} = ? AND ${k.kind} = 'session' AND ${k.key} = ?`,
        [session.user, session.idempotencyKey],
      )
      if (key && key.handle_ !== session.id)
        return {
          kind: 'duplicate',
          session: await this.#readIn(transaction, key.handle_),
          sameRequest: key.requestHash_ === requestHash,
        }
    }
    const row = {
      id: session.id,
      user: session.user,
      secretHash: session.secretHash,
      database: session.database,
      properties: JSON.stringify(session.properties),
      status: 'OPEN',
      version: 1,
      idleMs: session.idleMs,
      admin: session.admin ? 1 : 0,
    }
    const columns = [
      ...Object.keys(row).map(property => s[property as keyof typeof row]),
      s.createdAt,
      s.lastUsedAt,
      s.sweepAt,
    ]
    await transaction.run(
      `INSERT INTO ${s} (${columns.join(', ')}) VALUES (${Object.keys(row)
        .map(() => '?')
        .join(', ')}, ${dialect.now}, ${dialect.now}, ${dialect.now} + ? + ${this.#slack('?')})`,
      [...Object.values(row), session.idleMs, session.idleMs, session.idleMs],
    )
    const created = (await this.#readIn(transaction, session.id)) as SessionRow
    const { database, properties } = session
    const event: SessionEvent = { type: 'OPENED', at: created.createdAt, database, properties }
    await this.#ends.record(transaction, [
      { id: session.id, version: 1, event, from: 'NEW', to: 'OPEN', node: session.node },
    ])
    if (use && !(await applyUses(this.#database, transaction, [use]))) throw new Undo(null)
    return { kind: 'opened', session: created }
  }

  async check(ids: readonly string[]): Promise<readonly SessionCheck[]> {
    const asked = askableIds(ids)
    if (asked.length === 0) return []
    const { session: s, current: q } = this.#database.tables
    const { now } = this.#database.dialect
    const rows = await this.#database.rows(
      `SELECT ${selection(s, ['id', 'user', 'secretHash', 'status', 'version', 'idleMs'])}, ` +
        `${now} - ${s.lastUsedAt} AS unusedMs_, CASE WHEN ${now} <= ${s.sweepAt} THEN 0 WHEN EXISTS ` +
        `(SELECT 1 FROM ${q} WHERE ${q}.${q.sessionId} = ${s}.${s.id}) THEN 0 ELSE 1 END AS expired_ FROM ${s} WHERE ${s.id} IN ${placeholders(asked.length)}`,
      asked,
    )
    return rows.map(selected => {
      const row = unselected<SelectedRow>(selected)
      return {
        id: row.id as string,
        user: row.user as string,
        secretHash: row.secretHash as string,
        status: row.status as SessionStatus,
        version: Number(row.version),
        idleMs: Number(row.idleMs),
        unusedMs: Math.max(0, Number(row.unusedMs)),
        expired: Number(row.expired) === 1,
      }
    })
  }

  read(id: string): Promise<SessionRow | null> {
    return this.#database.repeat(() => this.#readIn(this.#database.connector.statements, id))
  }

  async #readIn(statements: Statements, id: string): Promise<SessionRow | null> {
    const [asked] = askableIds([id])
    if (asked === undefined) return null
    const s = this.#database.tables.session
    const [row] = await statements.rows(`SELECT ${selection(s, rowProperties)} FROM ${s} WHERE ${s.id} = ?`, [asked])
    return row ? sessionRowOf(row) : null
  }

  async list(
    user: string | null,
    limit: number,
    cursor: { createdAt: string; id: string } | null,
  ): Promise<readonly SessionRow[]> {
    const s = this.#database.tables.session
    const conditions = [`${s.status} = 'OPEN'`]
    const values: SqlValue[] = []
    if (user !== null) {
      conditions.push(`${s.user} = ?`)
      values.push(user)
    }
    if (cursor) {
      const at = Date.parse(cursor.createdAt)
      conditions.push(`${s.createdAt} <= ? AND (${s.createdAt} < ? OR ${s.id} < ?)`)
      values.push(at, at, askableIds([cursor.id])[0] ?? '')
    }
    const rows = await this.#database.rows(
      `SELECT ${selection(s, rowProperties)} FROM ${s} WHERE ${conditions.join(' AND ')} ORDER BY ${s.createdAt} DESC, ${s.id} DESC LIMIT ${Number(limit)}`,
      values,
    )
    return rows.map(sessionRowOf)
  }

  /** The row is locked, not compared: among many who move one session each has a turn, and nobody has to try again. */
  async move(
    id: string,
    event: SessionEvent,
    node: string,
    next: (row: SessionRow) => SessionMove | null,
  ): Promise<SessionRow | null> {
    const [asked] = askableIds([id])
    if (asked === undefined) return null
    const { session: s, sessionTransition: t } = this.#database.tables
    const { dialect } = this.#database
    let moved: SessionRow | null = null
    return this.#database.transaction(async transaction => {
      const [selected] = await transaction.rows(
        `SELECT ${selection(s, rowProperties)} FROM ${s}${dialect.byPrimary} WHERE ${s.id} = ?${dialect.lockExclusive}`,
        [asked],
      )
      if (moved) {
        // Perhaps by an attempt whose answer was lost: then that version was made by this node with this very event.
        const [step] = await transaction.rows<{ event_: string; node_: string }>(
          `SELECT ${t.event} AS event_, ${t.node} AS node_ FROM ${t} WHERE ${t.sessionId} = ? AND ${t.version} = ?`,
          [asked, moved.version],
        )
        if (step?.event_ === JSON.stringify(event) && step.node_ === node) return moved
      }
      const row = selected ? sessionRowOf(selected) : null
      const wanted = row?.status === 'OPEN' ? next(row) : null
      if (!row || !wanted) return null
      moved = { ...row, ...wanted, version: row.version + 1 }
      const count = await transaction.run(
        `UPDATE ${s} SET ${s.database} = ?, ${s.properties} = ?, ${s.status} = ?, ${s.version} = ? ` +
          `WHERE ${s.id} = ? AND ${s.version} = ?`,
        [moved.database, JSON.stringify(moved.properties), moved.status, moved.version, asked, row.version],
      )
      // Where locks hold for one of several servers only, another may have been first: as after a deadlock, once more.
      if (count === 0) throw Object.assign(new Error('the session moved under its lock'), { errno: changedSinceRead })
      await this.#ends.record(transaction, [
        { id: asked, version: moved.version, event, from: row.status, to: moved.status, node },
      ])
      if (moved.status !== 'OPEN') await this.#ends.release(transaction, [asked])
      return moved
    })
  }

  async touch(ids: readonly string[]): Promise<void> {
    const asked = askableIds(ids).sort()
    if (asked.length === 0) return
    const s = this.#database.tables.session
    const { dialect } = this.#database
    await this.#database.transaction(async transaction => {
      // A session that somebody is submitting in is locked, and in use; its lock is not waited for.
      const rows = await transaction.rows<{ id_: string }>(
        `SELECT ${s.id} AS id_ FROM ${s}${dialect.byPrimary} WHERE ${s.id} IN ${placeholders(asked.length)} AND ${s.status} = 'OPEN' ` +
          `AND ${s.lastUsedAt} < ${dialect.now} - ${this.#slack(s.idleMs)}${dialect.lockSkipping}`,
        asked,
      )
      if (rows.length === 0) return
      await transaction.run(
        `UPDATE ${s} AS q${dialect.byPrimary} SET ${s.lastUsedAt} = ${dialect.now}, ${s.sweepAt} = ${dialect.now} + ${s.idleMs} + ${this.#slack(s.idleMs)} ` +
          `WHERE ${s.id} IN ${placeholders(rows.length)}`,
        rows.map(row => row.id_),
      )
    })
  }

  async count(user: string | null): Promise<Readonly<Record<string, number>>> {
    const s = this.#database.tables.session
    const where = user === null ? '' : ` WHERE ${s.user} = ?`
    const rows = await this.#database.rows<{ status_: string; count_: number }>(
      `SELECT ${s.status} AS status_, COUNT(*) AS count_ FROM ${s}${where} GROUP BY ${s.status}`,
      user === null ? [] : [user],
    )
    return Object.fromEntries(rows.map(row => [row.status_, Number(row.count_)]))
  }

  async transitions(id: string) {
    const [asked] = askableIds([id])
    if (asked === undefined) return []
    const t = this.#database.tables.sessionTransition
    const rows = await this.#database.rows(
      `SELECT ${selection(t, ['version', 'event', 'fromStatus', 'toStatus', 'node', 'at'])} FROM ${t} WHERE ${t.sessionId} = ? ORDER BY ${t.version}`,
      [asked],
    )
    return rows.map(selected => {
      const row = unselected<SelectedRow>(selected)
      return {
        version: Number(row.version),
        event: parsed(row.event as string) as SessionEvent,
        from: row.fromStatus as string,
        to: row.toStatus as string,
        node: row.node as string,
        at: isoOf(row.at as number),
      }
    })
  }
}

function sessionRowOf(selected: object): SessionRow {
  const row = unselected<Record<(typeof rowProperties)[number], string & number>>(selected)
  return {
    id: row.id,
    user: row.user,
    secretHash: row.secretHash,
    database: row.database,
    properties: parsed(row.properties) as SessionRow['properties'],
    status: row.status as SessionStatus,
    version: Number(row.version),
    createdAt: isoOf(row.createdAt),
    lastUsedAt: isoOf(row.lastUsedAt),
    idleMs: Number(row.idleMs),
    admin: Number(row.admin) === 1,
  }
}

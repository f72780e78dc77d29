/** The store of queries: the guarded writes of `submissions.ts` and `steps.ts`, the reads, and what others than the owner write. */
import {
  finishedStatuses,
  isFinished,
  type Lane,
  type Outcome,
  type QueryStatus,
  type StoredSnapshot,
} from '../domain/index.ts'
import type {
  NewQuery,
  OwnedQuery,
  QueryFilter,
  QueryLimits,
  QueryRow,
  QueryStore,
  QueryVersion,
  StepAnswer,
  StepGroup,
  StoredTransition,
  SubmitAnswer,
  TransitionRecord,
  WebhookInterest,
} from './contract.ts'
import type { Database, SqlValue } from './database.ts'
import { placeholders, type QueryNames } from './names.ts'
import {
  queryRowOf,
  queryVersionOf,
  rowSelection,
  storedTransitionOf,
  transitionSelection,
  transitionValues,
  versionSelection,
} from './query-rows.ts'
import { askableIds, insertion, type SelectedRow } from './rows.ts'
import { Steps } from './steps.ts'
import { Submissions } from './submissions.ts'

export class Queries implements QueryStore {
  readonly #database: Database
  readonly #submissions: Submissions
  readonly #steps: Steps

  constructor(database: Database, webhooks: readonly WebhookInterest[] = []) {
    this.#database = database
    this.#submissions = new Submissions(database)
    this.#steps = new Steps(database, webhooks)
  }

  submit(batch: readonly NewQuery[], limits: QueryLimits): Promise<readonly SubmitAnswer[]> {
    return this.#submissions.submit(batch, limits)
  }

  commit(batch: readonly StepGroup[], limits: QueryLimits): Promise<readonly StepAnswer[]> {
    return this.#steps.commit(batch, limits)
  }

  /** Both tables in one statement: what is moving between them is seen in exactly one. */
  async #fromBoth(
    select: (names: QueryNames, finished: boolean) => string,
    handles: readonly string[],
  ): Promise<object[]> {
    const ids = askableIds(handles)
    if (ids.length === 0) return []
    const { current, finished } = this.#database.tables
    const marks = placeholders(ids.length)
    return this.#database.rows(
      `SELECT ${select(current, false)} FROM ${current} WHERE ${current.handle} IN ${marks} ` +
        `UNION ALL SELECT ${select(finished, true)} FROM ${finished} WHERE ${finished.handle} IN ${marks}`,
      [...ids, ...ids],
    )
  }

  async versions(handles: readonly string[]): Promise<readonly QueryVersion[]> {
    return (await this.#fromBoth(versionSelection, handles)).map(queryVersionOf)
  }

  async read(handles: readonly string[]): Promise<readonly QueryRow[]> {
    return (await this.#fromBoth(rowSelection, handles)).map(queryRowOf)
  }

  async versionsOfSessions(sessionIds: readonly string[], finishedAfter?: string): Promise<readonly QueryVersion[]> {
    const ids = askableIds(sessionIds)
    if (ids.length === 0) return []
    const { current, finished } = this.#database.tables
    const marks = placeholders(ids.length)
    let sql = `SELECT ${versionSelection(current, false)} FROM ${current} WHERE ${current.sessionId} IN ${marks}`
    const values: SqlValue[] = [...ids]
    if (finishedAfter !== undefined) {
      sql += ` UNION ALL SELECT ${versionSelection(finished, true)} FROM ${finished} WHERE ${finished.sessionId} IN ${marks} AND ${finished.finishedAt} > ?`
      values.push(...ids, Date.parse(finishedAfter))
    }
    return (await this.#database.rows(sql, values)).map(queryVersionOf)
  }

  async transitions(handle: string, after: number): Promise<readonly StoredTransition[]> {
    const [id] = askableIds([handle])
    if (id === undefined) return []
    const t = this.#database.tables.transition
    const rows = await this.#database.rows(
      `SELECT ${transitionSelection(this.#database.tables)} FROM ${t} WHERE ${t.handle} = ? AND ${t.version} > ? ORDER BY ${t.version}`,
      [id, after],
    )
    return rows.map(storedTransitionOf)
  }

  async transitionsOf(handles: readonly string[]): Promise<ReadonlyMap<string, readonly StoredTransition[]>> {
    const ids = askableIds(handles)
    const of = new Map<string, StoredTransition[]>()
    if (ids.length === 0) return of
    const t = this.#database.tables.transition
    const rows = await this.#database.rows(
      `SELECT ${transitionSelection(this.#database.tables)} FROM ${t} WHERE ${t.handle} IN ${placeholders(ids.length)} ORDER BY ${t.handle}, ${t.version}`,
      ids,
    )
    for (const row of rows) {
      const transition = storedTransitionOf(row)
      const others = of.get(transition.handle)
      if (others) others.push(transition)
      else of.set(transition.handle, [transition])
    }
    return of
  }

  async list(
    filter: QueryFilter,
    limit: number,
    cursor: { submittedAt: string; handle: string } | null,
  ): Promise<readonly QueryRow[]> {
    const { current, finished } = this.#database.tables
    const { statuses } = filter
    const parts: { sql: string; values: SqlValue[] }[] = []
    // Each table is asked only for what can be in it: a search for running queries would read all that ever ended.
    const unfinished = statuses?.filter(status => !isFinished(status))
    if (unfinished?.length !== 0)
      parts.push(this.#listOf(current, false, { ...filter, statuses: unfinished }, limit, cursor))
    const ended = statuses && new Set(statuses.filter(isFinished))
    if (!ended || ended.size === finishedStatuses.length)
      parts.push(this.#listOf(finished, true, { ...filter, statuses: undefined }, limit, cursor))
    // One by one: an index gives the newest of one status in order, of several it would give all to be sorted.
    else
      for (const status of ended)
        parts.push(this.#listOf(finished, true, { ...filter, statuses: [status] }, limit, cursor))
    if (parts.length === 0) return []
    const rows = await this.#database.rows(
      `${parts.map(({ sql }, index) => `SELECT * FROM (${sql}) AS part${index}`).join(' UNION ALL ')} ORDER BY submittedAt_ DESC, handle_ DESC LIMIT ${Number(limit)}`,
      parts.flatMap(({ values }) => values),
    )
    return rows.map(queryRowOf)
  }

  #listOf(
    names: QueryNames,
    finished: boolean,
    filter: QueryFilter,
    limit: number,
    cursor: { submittedAt: string; handle: string } | null,
  ) {
    const conditions: string[] = []
    const values: SqlValue[] = []
    const where = (condition: string, ...more: SqlValue[]) => {
      conditions.push(condition)
      values.push(...more)
    }
    if (filter.user !== null) where(`${names.user} = ?`, filter.user)
    if (filter.statuses !== undefined)
      where(`${names.status} IN ${placeholders(filter.statuses.length)}`, ...filter.statuses)
    if (filter.engine !== undefined) where(`${names.engine} = ?`, filter.engine)
    if (filter.name !== undefined) where(`INSTR(${names.name}, ?) > 0`, filter.name)
    if (filter.from !== undefined) where(`${names.submittedAt} >= ?`, Date.parse(filter.from))
    if (filter.to !== undefined) where(`${names.submittedAt} < ?`, Date.parse(filter.to))
    if (filter.sessionId !== undefined) {
      const [id] = askableIds([filter.sessionId])
      if (id === undefined) where('1 = 0')
      else where(`${names.sessionId} = ?`, id)
    }
    if (cursor) {
      // A comparison of pairs would not use the index on MySQL.
      const at = Date.parse(cursor.submittedAt)
      const [handle = ''] = askableIds([cursor.handle])
      where(`${names.submittedAt} <= ? AND (${names.submittedAt} < ? OR ${names.handle} < ?)`, at, at, handle)
    }
    const condition = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : ''
    return {
      sql: `SELECT ${rowSelection(names, finished)} FROM ${names}${condition} ORDER BY ${names.submittedAt} DESC, ${names.handle} DESC LIMIT ${Number(limit)}`,
      values,
    }
  }

  async requestCancel(handle: string): Promise<boolean> {
    const [id] = askableIds([handle])
    if (id === undefined) return false
    const q = this.#database.tables.current
    return (await this.#database.run(`UPDATE ${q} SET ${q.cancelRequested} = 1 WHERE ${q.handle} = ?`, [id])) > 0
  }

  async requestCancelOfSession(sessionId: string): Promise<readonly string[]> {
    const [id] = askableIds([sessionId])
    if (id === undefined) return []
    const q = this.#database.tables.current
    return this.#database.transaction(async transaction => {
      const rows = await transaction.rows<{ handle_: string }>(
        `SELECT ${q.handle} AS handle_ FROM ${q} WHERE ${q.sessionId} = ?${this.#database.dialect.lockExclusive}`,
        [id],
      )
      const handles = rows.map(row => row.handle_)
      if (handles.length > 0)
        await transaction.run(
          `UPDATE ${q} AS q${this.#database.dialect.byPrimary} SET ${q.cancelRequested} = 1 WHERE ${q.handle} IN ${placeholders(handles.length)}`,
          handles,
        )
      return handles
    })
  }

  async makeAsync(handle: string): Promise<boolean> {
    const [id] = askableIds([handle])
    if (id === undefined) return false
    const q = this.#database.tables.current
    return (await this.#database.run(`UPDATE ${q} SET ${q.mode} = 'async' WHERE ${q.handle} = ?`, [id])) > 0
  }

  async ownedBy(incarnation: string, limit: number, afterHandle = ''): Promise<readonly OwnedQuery[]> {
    const q = this.#database.tables.current
    const rows = await this.#database.rows<SelectedRow>(
      `SELECT ${q.handle} AS handle_, ${q.epoch} AS epoch_, ${q.version} AS version_, ${q.status} AS status_, ${q.cancelRequested} AS cancelRequested_ ` +
        `FROM ${q} WHERE ${q.ownerIncarnation} = ? AND ${q.handle} > ? ORDER BY ${q.handle} LIMIT ${Number(limit)}`,
      [incarnation, afterHandle],
    )
    return rows.map(row => ({
      handle: row.handle_ as string,
      epoch: Number(row.epoch_),
      version: Number(row.version_),
      status: row.status_ as QueryStatus,
      cancelRequested: Number(row.cancelRequested_) === 1,
      ownerIncarnation: incarnation,
    }))
  }

  async release(handle: string, incarnation: string, epoch: number): Promise<void> {
    const q = this.#database.tables.current
    await this.#database.run(
      `UPDATE ${q} SET ${q.ownerIncarnation} = '' WHERE ${q.handle} = ? AND ${q.ownerIncarnation} = ? AND ${q.epoch} = ?`,
      [handle, incarnation, epoch],
    )
  }

  async cancelsRequested(incarnation: string): Promise<readonly string[]> {
    const q = this.#database.tables.current
    const rows = await this.#database.rows<{ handle_: string }>(
      `SELECT ${q.handle} AS handle_ FROM ${q} WHERE ${q.ownerIncarnation} = ? AND ${q.cancelRequested} = 1 ORDER BY ${q.handle}`,
      [incarnation],
    )
    return rows.map(row => row.handle_)
  }

  async dropResult(transition: TransitionRecord, snapshot: StoredSnapshot, outcome: Outcome): Promise<boolean> {
    const { finished: q, page, transition: t } = this.#database.tables
    const { dialect, format } = this.#database
    const written = format.snapshot(snapshot)
    const dropped = await this.#database.transaction(async (transaction, attempt) => {
      const count = await transaction.run(
        `UPDATE ${q} SET ${q.status} = ?, ${q.outcome} = ?, ${q.version} = ?, ${q.snapshot} = ?, ${q.machineVersion} = ?, ${q.transitionId} = ?, ` +
          `${q.storedPages} = 0, ${q.storedRows} = 0, ${q.storedBytes} = 0, ${q.pagesExpireAt} = ${dialect.now} ` +
          `WHERE ${q.handle} = ? AND ${q.version} = ? AND ${q.status} = ?`,
        [
          transition.to,
          outcome,
          transition.version,
          JSON.stringify(written),
          written.machineVersion,
          transition.id,
          transition.handle,
          transition.version - 1,
          transition.from,
        ],
      )
      if (count === 0) {
        if (attempt === 0) return false
        const [row] = await transaction.rows<{ id_: string }>(
          `SELECT ${t.id} AS id_ FROM ${t} WHERE ${t.handle} = ? AND ${t.version} = ?`,
          [transition.handle, transition.version],
        )
        return row?.id_ === transition.id
      }
      const { sql, values } = insertion(t, [transitionValues(format.transition(transition))], dialect.now)
      await transaction.run(sql, values)
      return true
    })
    // No reader sees them any more; what is left when this node dies now, the leader's sweep deletes.
    if (dropped) await this.#database.run(`${dialect.deleteFrom(page)} WHERE ${page.handle} = ?`, [transition.handle])
    return dropped
  }

  async countUnfinished() {
    const q = this.#database.tables.current
    const rows = await this.#database.rows<SelectedRow>(
      `SELECT ${q.user} AS user_, ${q.status} AS status_, ${q.lane} AS lane_, ${q.ownerIncarnation} AS owner_, COUNT(*) AS count_ ` +
        `FROM ${q} GROUP BY ${q.user}, ${q.status}, ${q.lane}, ${q.ownerIncarnation}`,
    )
    return rows.map(row => ({
      user: row.user_ as string,
      status: row.status_ as QueryStatus,
      lane: row.lane_ as Lane,
      ownerIncarnation: row.owner_ as string,
      count: Number(row.count_),
    }))
  }
}

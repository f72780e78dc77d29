/**
 * Steps of owned queries made durable: one transaction for a batch, with a predicate of its own for each row.
 *
 *     compare-and-set of all rows ─ as many counted as sent ─▶ transitions, pages, moves, counters ─▶ COMMIT
 *            └─ fewer: read the rows, go on with those that counted, and say of each other one why not
 */
import { holdsSlot, type Lane, type QueryStatus } from '../domain/index.ts'
import type { NewPage, QueryLimits, StepAnswer, StepGroup, TransitionRecord, WebhookInterest } from './contract.ts'
import { type Database, parts, type SqlValue, type Statements, type Transaction, Undo } from './database.ts'
import { queryColumns } from './entities.ts'
import { acknowledgeGiven } from './given-slots.ts'
import { expression, type GuardedRow, guardedUpdate } from './guarded-update.ts'
import { placeholders, type QueryNames } from './names.ts'
import { type QueryProperty, transitionValues } from './query-rows.ts'
import { databaseNow, insertion, msOrNull } from './rows.ts'
import { applyUses, roomIn, type Use, usesOf } from './usage.ts'
import { noteDeliveries } from './webhooks.ts'

/** In a transaction that must be undone: the running ones of these have no room. */
class Surplus extends Undo<{ readonly group: StepGroup; readonly uses: readonly Use[] }[]> {}

/** How a query was counted before its step. */
interface Counted {
  readonly user: string
  readonly lane: Lane
}

const usageClass = (status: QueryStatus) => (status === 'QUEUED' ? 'queued' : holdsSlot(status) ? 'running' : 'none')
const firstOf = (group: StepGroup) => group.transitions[0] as TransitionRecord
const lastOf = (group: StepGroup) => group.transitions.at(-1) as TransitionRecord

interface RowState {
  readonly handle_: string
  readonly epoch_: number
  readonly version_: number
  readonly transitionId_: string
  readonly cancelRequested_: number
  readonly storedPages_: number
}

export class Steps {
  readonly #database: Database
  readonly #copySql: string
  readonly #webhooks: readonly WebhookInterest[]

  constructor(database: Database, webhooks: readonly WebhookInterest[]) {
    this.#database = database
    this.#webhooks = webhooks
    this.#copySql = copyStatement(database)
  }

  async commit(batch: readonly StepGroup[], limits: QueryLimits): Promise<readonly StepAnswer[]> {
    const answers = new Map<StepGroup, StepAnswer>()
    const groups = batch.map(group => this.#database.format.group(group))
    for (const wave of waves(groups))
      for (const part of parts(wave, this.#database.dialect, sizeOf)) await this.#commitPart(part, limits, answers)
    return groups.map(group => answers.get(group) as StepAnswer)
  }

  async #commitPart(
    part: readonly StepGroup[],
    limits: QueryLimits,
    answers: Map<StepGroup, StepAnswer>,
  ): Promise<void> {
    let waiting = [...part].sort((a, b) => (a.handle < b.handle ? -1 : 1))
    while (waiting.length > 0)
      try {
        const decided = await this.#database.transaction(transaction => this.#attempt(transaction, waiting, limits))
        for (const [group, answer] of decided) answers.set(group, answer)
        return
      } catch (error) {
        if (!(error instanceof Surplus)) throw error
        for (const group of await this.#beyondLimit(error.value)) answers.set(group, { kind: 'limit' })
        waiting = waiting.filter(group => !answers.has(group))
      }
  }

  async #attempt(
    transaction: Transaction,
    batch: readonly StepGroup[],
    limits: QueryLimits,
  ): Promise<Map<StepGroup, StepAnswer>> {
    const answers = new Map<StepGroup, StepAnswer>()
    const groups = await this.#toLiving(transaction, batch)
    // (If this is a repetition that had committed: whoever looks at the row finds that it is not his any more.)
    for (const group of batch) if (!groups.includes(group)) answers.set(group, { kind: 'stale' })
    if (groups.length === 0) return answers
    const before = await this.#counted(transaction, groups, limits)
    const { current } = this.#database.tables
    const update = guardedUpdate(this.#database.dialect, current, current.handle, guardedRows(current, groups))
    const found = await transaction.run(update.sql, update.values)
    let moved = groups
    if (found < groups.length) {
      for (const [group, answer] of await this.#explain(transaction, groups)) answers.set(group, answer)
      moved = groups.filter(group => !answers.has(group))
    }
    if (moved.length > 0) {
      this.#record(transaction, moved)
      const uses = moved.map(group => ({ group, uses: usesOfStep(group, before.get(group.handle), limits) }))
      const all = uses.flatMap(one => one.uses)
      if (!(await applyUses(this.#database, transaction, all))) throw new Surplus(uses)
    }
    for (const group of moved) answers.set(group, { kind: 'committed' })
    return answers
  }

  /** Without those that would give their query to a member that is dead or does not read it; the others live until this transaction ends. */
  async #toLiving(transaction: Statements, groups: readonly StepGroup[]): Promise<readonly StepGroup[]> {
    const targets = [...new Set(groups.flatMap(({ newOwner }) => (newOwner ? [newOwner.incarnation] : [])))].sort()
    if (targets.length === 0) return groups
    const m = this.#database.tables.member
    const { byPrimary, lockShared } = this.#database.dialect
    const rows = await transaction.rows<{ id_: string; reads_: number }>(
      `SELECT ${m.incarnation} AS id_, ${m.snapshotVersion} AS reads_ FROM ${m}${byPrimary} WHERE ${m.incarnation} IN ${placeholders(targets.length)} AND ${m.state} <> 'dead'${lockShared}`,
      targets,
    )
    const reads = new Map(rows.map(row => [row.id_, Number(row.reads_)]))
    return groups.filter(
      ({ newOwner, snapshot }) => !newOwner || (reads.get(newOwner.incarnation) ?? 0) >= snapshot.machineVersion,
    )
  }

  /** Users and lanes by which queries were counted, where the steps themselves do not tell. */
  async #counted(
    transaction: Statements,
    groups: readonly StepGroup[],
    limits: QueryLimits,
  ): Promise<Map<string, Counted>> {
    const counted = new Map<string, Counted>()
    if (limits.queuedPerUser <= 0 && limits.queuedPerLane <= 0 && limits.runningPerUser <= 0) return counted
    const unknown: StepGroup[] = []
    for (const group of groups) {
      const estimated = group.transitions.some(({ event }) => event.type === 'ESTIMATED')
      if (group.user !== undefined && !estimated)
        counted.set(group.handle, { user: group.user, lane: group.snapshot.context.lane })
      else if (estimated || usageClass(firstOf(group).from) !== usageClass(lastOf(group).to)) unknown.push(group)
    }
    if (unknown.length === 0) return counted
    const q = this.#database.tables.current
    const rows = await transaction.rows<{ handle_: string; user_: string; lane_: Lane }>(
      `SELECT ${q.handle} AS handle_, ${q.user} AS user_, ${q.lane} AS lane_ FROM ${q} WHERE ${q.handle} IN ${placeholders(unknown.length)}`,
      unknown.map(group => group.handle),
    )
    for (const row of rows) counted.set(row.handle_, { user: row.user_, lane: row.lane_ })
    return counted
  }

  /** Why some of these did not count. Those that did are left out. */
  async #explain(transaction: Statements, groups: readonly StepGroup[]): Promise<Map<StepGroup, StepAnswer>> {
    const { current: q, transition: t } = this.#database.tables
    const rows = await transaction.rows<RowState>(
      `SELECT ${q.handle} AS handle_, ${q.epoch} AS epoch_, ${q.version} AS version_, ${q.transitionId} AS transitionId_, ` +
        `${q.cancelRequested} AS cancelRequested_, ${q.storedPages} AS storedPages_ FROM ${q} WHERE ${q.handle} IN ${placeholders(groups.length)}`,
      groups.map(group => group.handle),
    )
    const recorded = await transaction.rows<{ id_: string }>(
      `SELECT ${t.id} AS id_ FROM ${t} WHERE ${groups.map(() => `(${t.handle} = ? AND ${t.version} = ?)`).join(' OR ')}`,
      groups.flatMap(group => [group.handle, lastOf(group).version]),
    )
    const states = new Map(rows.map(row => [row.handle_, row]))
    const ids = new Set(recorded.map(row => row.id_))
    const answers = new Map<StepGroup, StepAnswer>()
    for (const group of groups) {
      const last = lastOf(group)
      const state = states.get(group.handle)
      // Recorded by an earlier attempt whose answer was lost, even if others followed or the query has ended since.
      if (ids.has(last.id)) answers.set(group, { kind: 'committed' })
      else if (state?.transitionId_ === last.id) continue
      else if (!state || Number(state.epoch_) !== group.epoch) answers.set(group, { kind: 'fenced' })
      else if (group.launches && Number(state.version_) === group.fromVersion && Number(state.cancelRequested_) === 1)
        answers.set(group, { kind: 'cancel-requested' })
      else answers.set(group, { kind: 'stale' })
    }
    return answers
  }

  /** All that follows from a compare-and-set that counted. */
  #record(transaction: Transaction, groups: readonly StepGroup[]): void {
    const { transition, failedAttempt, cleanup, page, current } = this.#database.tables
    const { dialect } = this.#database
    const insert = (statement: { sql: string; values: SqlValue[] }, end = '') =>
      transaction.later(statement.sql + end, statement.values)
    insert(
      insertion(
        transition,
        groups.flatMap(group => group.transitions.map(transitionValues)),
        dialect.now,
      ),
    )
    const failed = groups.flatMap(failedAttemptsOf)
    if (failed.length > 0)
      insert(insertion(failedAttempt, failed, dialect.now), dialect.keepExisting(failedAttempt.handle))
    const owed = groups.flatMap(owedEndsOf)
    if (owed.length > 0) insert(insertion(cleanup, owed, dialect.now), dialect.keepExisting(cleanup.handle))
    const pages = groups.flatMap(group => (group.page ? [pageValues(group.page)] : []))
    if (pages.length > 0)
      insert(
        insertion(page, pages, dialect.now),
        dialect.overwrite(
          [page.handle, page.attempt, page.page],
          [page.firstRow, page.rowCount, page.bytes, page.data],
        ),
      )
    const given = groups.flatMap(({ newOwner, status, snapshot: { context } }) =>
      newOwner ? [{ toIncarnation: newOwner.incarnation, status, engine: context.engine, lane: context.lane }] : [],
    )
    acknowledgeGiven(this.#database, transaction, given)
    const finished = groups.filter(group => group.finishes).map(group => group.handle)
    if (finished.length > 0) {
      noteDeliveries(this.#database, transaction, this.#webhooks, finished)
      const marks = placeholders(finished.length)
      transaction.later(`${this.#copySql} WHERE ${current.handle} IN ${marks}`, finished)
      transaction.later(`${dialect.deleteFrom(current)} WHERE ${current.handle} IN ${marks}`, finished)
    }
  }

  /** Which of these the limit on running queries leaves no room for: the last ones. */
  async #beyondLimit(steps: readonly { group: StepGroup; uses: readonly Use[] }[]): Promise<StepGroup[]> {
    const room = await roomIn(
      this.#database,
      steps.flatMap(step => step.uses),
    )
    for (const { uses } of steps)
      for (const { scope, by } of uses) if (by < 0 && room.has(scope)) room.set(scope, (room.get(scope) as number) + 1)
    const refused: StepGroup[] = []
    for (const { group, uses } of steps) {
      const taken = uses.filter(({ by, limit }) => by > 0 && limit !== null)
      if (taken.some(({ scope }) => (room.get(scope) ?? 0) <= 0)) refused.push(group)
      else for (const { scope } of taken) room.set(scope, (room.get(scope) as number) - 1)
    }
    return refused
  }
}

/** What a step changes in the counters. Only a launch can be refused: what was accepted may always queue again. */
function usesOfStep(group: StepGroup, counted: Counted | undefined, limits: QueryLimits): Use[] {
  if (!counted) return []
  const from = firstOf(group).from
  const to = lastOf(group).to
  const before = usesOf(counted.user, from, counted.lane, limits)
  const after = usesOf(counted.user, to, group.snapshot.context.lane, limits)
  // What it uses before and after is no change, and must not seem to be one that anybody may make.
  const stays = new Set(before.map(({ scope }) => scope).filter(scope => after.some(use => use.scope === scope)))
  return [
    ...before.filter(({ scope }) => !stays.has(scope)).map(({ scope }) => ({ scope, by: -1 as const, limit: null })),
    ...after
      .filter(({ scope }) => !stays.has(scope))
      .map(({ scope, limit }) => ({
        scope,
        by: 1 as const,
        limit: holdsSlot(to) && !holdsSlot(from) ? limit : null,
      })),
  ]
}

/** Steps of the same query go one after the other: a transaction updates a row once. */
function* waves(batch: readonly StepGroup[]): Generator<StepGroup[]> {
  let wave: StepGroup[] = []
  let handles = new Set<string>()
  for (const group of batch) {
    if (handles.has(group.handle)) {
      yield wave
      wave = []
      handles = new Set()
    }
    wave.push(group)
    handles.add(group.handle)
  }
  if (wave.length > 0) yield wave
}

/** The compare-and-set of each row: what must hold, and what it becomes. What changes in none of them is left out. */
function guardedRows(q: QueryNames, groups: readonly StepGroup[]): GuardedRow[] {
  const givesAway = groups.some(({ newOwner }) => newOwner)
  const stores = groups.some(({ page }) => page)
  const ends = groups.some(({ finishes }) => finishes)
  return groups.map(group => {
    const { snapshot, newOwner, page } = group
    const { context } = snapshot
    const last = lastOf(group)
    const conditions = [`${q.epoch} = ? AND ${q.version} = ?`]
    const values: SqlValue[] = [group.epoch, group.fromVersion]
    if (group.launches) conditions.push(`${q.cancelRequested} = 0`)
    if (page) {
      conditions.push(`${q.storedPages} = ?`)
      values.push(page.page)
    }
    return {
      key: group.handle,
      where: expression(conditions.join(' AND '), ...values),
      set: {
        [q.status]: group.status,
        [q.version]: last.version,
        [q.lane]: context.lane,
        [q.engine]: context.engine,
        [q.attempt]: context.attempt,
        [q.machineVersion]: snapshot.machineVersion,
        [q.snapshot]: JSON.stringify(snapshot),
        [q.transitionId]: last.id,
        [q.launchedAt]: msOrNull(context.launchedAt),
        [q.startedAt]: msOrNull(context.startedAt),
        ...(ends && {
          [q.outcome]: group.outcome,
          [q.finishedAt]: msOrNull(context.finishedAt),
          [q.resultExpiresAt]: msOrNull(context.result?.expiresAt),
        }),
        ...(givesAway && {
          [q.epoch]: newOwner ? group.epoch + 1 : expression(q.epoch),
          [q.ownerIncarnation]: newOwner ? newOwner.incarnation : expression(q.ownerIncarnation),
          [q.ownerNode]: newOwner ? newOwner.node : expression(q.ownerNode),
        }),
        ...(stores && {
          [q.storedRows]: page ? page.firstRow + page.rowCount : expression(q.storedRows),
          [q.storedBytes]: page ? expression(`${q.storedBytes} + ?`, page.bytes) : expression(q.storedBytes),
          [q.storedPages]: page ? page.page + 1 : expression(q.storedPages),
        }),
      },
    }
  })
}

/** `INSERT INTO finished_query SELECT … FROM current_query`; what has pages gets the time of their deletion. */
function copyStatement({ dialect, tables: { current, finished } }: Database): string {
  const properties = Object.keys(queryColumns) as QueryProperty[]
  const values = properties.map(property =>
    property === 'pagesExpireAt'
      ? `CASE WHEN ${current.storedPages} = 0 THEN NULL WHEN ${current.outcome} = 'SUCCESSFUL' THEN ${current.resultExpiresAt} ELSE ${dialect.now} END`
      : current[property],
  )
  return `INSERT INTO ${finished} (${properties.map(property => finished[property]).join(', ')}) SELECT ${values.join(', ')} FROM ${current}`
}

function failedAttemptsOf(group: StepGroup) {
  const failures = group.transitions.filter(
    ({ event }) => event.type === 'ATTEMPT_FAILED' || event.type === 'STOPPED',
  ).length
  if (failures === 0) return []
  return group.snapshot.context.failedAttempts.slice(-failures).map(failed => ({
    handle: group.handle,
    attempt: failed.attempt,
    node: failed.node,
    engine: failed.engine,
    code: failed.code,
    message: failed.message,
    at: databaseNow as typeof databaseNow,
  }))
}

function owedEndsOf({ handle, owedEnds = [] }: StepGroup) {
  return owedEnds.map(({ attempt, engine, engineHandle }) => ({
    ...{ handle, attempt, engine, engineHandle: JSON.stringify(engineHandle) },
    createdAt: databaseNow as typeof databaseNow,
  }))
}

export function pageValues(page: NewPage): Record<keyof NewPage, SqlValue> {
  const { handle, attempt, page: number, firstRow, rowCount, bytes, data } = page
  return { handle, attempt, page: number, firstRow, rowCount, bytes, data: data === null ? null : Buffer.from(data) }
}

function sizeOf({ snapshot, transitions, page, owedEnds = [] }: StepGroup): number {
  const { plan, result, engineHandle } = snapshot.context
  const variable = (plan?.length ?? 0) * 4 + (result ? result.columns.length * 200 : 0) + (engineHandle ? 1000 : 0)
  return 2000 + variable + (transitions.length + owedEnds.length) * 500 + (page?.data ? page.data.byteLength * 2 : 0)
}

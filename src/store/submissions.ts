/**
 * Submissions made durable: one transaction for a batch, guarded by the members that will own the queries, their sessions,
 * the idempotency keys, and the limits.
 */
import type { NewQuery, QueryLimits, SubmitAnswer } from './contract.ts'
import { type Database, Duplicate, parts, type Statements, type Transaction, Undo } from './database.ts'
import { placeholders } from './names.ts'
import { newQueryValues, transitionValues } from './query-rows.ts'
import { databaseNow, insertion } from './rows.ts'
import { applyUses, roomIn, type Use, usesOf } from './usage.ts'

/** In a transaction that must be undone: these would have been inserted, but their counters had no room. */
class Surplus extends Undo<readonly NewQuery[]> {}

const keyOf = ({ specification: { user, idempotencyKey } }: NewQuery) => JSON.stringify([user, idempotencyKey])

export class Submissions {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async submit(batch: readonly NewQuery[], limits: QueryLimits): Promise<readonly SubmitAnswer[]> {
    const answers = new Map<NewQuery, SubmitAnswer>()
    for (const part of parts(batch, this.#database.dialect, sizeOf)) await this.#submitPart(part, limits, answers)
    return batch.map(query => answers.get(query) as SubmitAnswer)
  }

  async #submitPart(
    part: readonly NewQuery[],
    limits: QueryLimits,
    answers: Map<NewQuery, SubmitAnswer>,
  ): Promise<void> {
    // A row was there already: some of these had committed, in an earlier call whose answer was lost.
    let repeated = false
    let waiting = [...part]
    while (waiting.length > 0)
      try {
        const decided = await this.#database.transaction((transaction, attempt) =>
          this.#attempt(transaction, waiting, limits, repeated || attempt > 0),
        )
        for (const [query, answer] of decided) answers.set(query, answer)
        return
      } catch (error) {
        if (error instanceof Surplus) {
          const refused = await this.#refuseSurplus(error.value, limits)
          for (const [query, answer] of refused) answers.set(query, answer)
          waiting = waiting.filter(query => !answers.has(query))
        } else if (error instanceof Duplicate && !repeated) repeated = true
        else throw error
      }
  }

  async #attempt(
    transaction: Transaction,
    part: readonly NewQuery[],
    limits: QueryLimits,
    mayHaveCommitted: boolean,
  ): Promise<Map<NewQuery, SubmitAnswer>> {
    const answers = new Map<NewQuery, SubmitAnswer>()
    const open = () => part.filter(query => !answers.has(query))
    if (mayHaveCommitted)
      for (const query of await this.#committed(transaction, part)) answers.set(query, { kind: 'accepted' })
    await this.#guardOwnersAndSessions(transaction, open(), answers)
    await this.#takeKeys(transaction, open(), answers)
    const accepted = open()
    if (accepted.length === 0) return answers
    const { dialect, format } = this.#database
    const { now } = dialect
    const { current, transition } = this.#database.tables
    const rows = insertion(
      current,
      accepted.map(query => newQueryValues({ ...query, snapshot: format.snapshot(query.snapshot) })),
      now,
    )
    transaction.later(rows.sql, rows.values)
    const steps = insertion(
      transition,
      accepted.map(query => transitionValues(format.transition(query.transition))),
      now,
    )
    transaction.later(steps.sql, steps.values)
    if (!(await applyUses(this.#database, transaction, usesOfAll(accepted, limits)))) throw new Surplus(accepted)
    for (const query of accepted) answers.set(query, { kind: 'accepted' })
    return answers
  }

  /** Those whose first transition is durable. */
  async #committed(transaction: Statements, part: readonly NewQuery[]): Promise<NewQuery[]> {
    const t = this.#database.tables.transition
    const rows = await transaction.rows<{ id_: string }>(
      `SELECT ${t.id} AS id_ FROM ${t} WHERE ${t.version} = 1 AND ${t.handle} IN ${placeholders(part.length)}`,
      part.map(query => query.specification.handle),
    )
    const ids = new Set(rows.map(({ id_ }) => id_))
    return part.filter(query => ids.has(query.transition.id))
  }

  /** Locks members, then sessions, against a fencing or a close until the commit; both in one statement. */
  async #guardOwnersAndSessions(
    transaction: Statements,
    part: readonly NewQuery[],
    answers: Map<NewQuery, SubmitAnswer>,
  ): Promise<void> {
    if (part.length === 0) return
    const incarnations = [...new Set(part.map(query => query.ownerIncarnation))].sort()
    const ids = [...new Set(part.map(query => query.specification.sessionId))].sort()
    const { byPrimary, lockShared, unionOf } = this.#database.dialect
    const { member: m, session: s } = this.#database.tables
    const rows = await transaction.rows<{ incarnation_: string | null; id_: string | null; user_: string | null }>(
      unionOf([
        `SELECT ${m.incarnation} AS incarnation_, NULL AS id_, NULL AS user_ FROM ${m}${byPrimary} WHERE ${m.state} <> 'dead' AND ${m.incarnation} IN ${placeholders(incarnations.length)}${lockShared}`,
        `SELECT NULL AS incarnation_, ${s.id} AS id_, ${s.user} AS user_ FROM ${s}${byPrimary} WHERE ${s.status} = 'OPEN' AND ${s.id} IN ${placeholders(ids.length)}${lockShared}`,
      ]),
      [...incarnations, ...ids],
    )
    const living = new Set(rows.map(row => row.incarnation_))
    const users = new Map(rows.map(row => [row.id_, row.user_]))
    for (const query of part) {
      const { sessionId, user } = query.specification
      if (!living.has(query.ownerIncarnation)) answers.set(query, { kind: 'fenced' })
      else if (users.get(sessionId) !== user) answers.set(query, { kind: 'session-invalid' })
    }
  }

  /** Inserts what keys are new and reads back whose they are; an uncommitted rival is waited for by the insert. */
  async #takeKeys(
    transaction: Statements,
    part: readonly NewQuery[],
    answers: Map<NewQuery, SubmitAnswer>,
  ): Promise<void> {
    const first = new Map<string, NewQuery>()
    for (const query of part)
      if (query.specification.idempotencyKey !== null && !first.has(keyOf(query))) first.set(keyOf(query), query)
    if (first.size === 0) return
    const k = this.#database.tables.key
    const { dialect } = this.#database
    const sorted = [...first].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, query]) => query)
    const { sql, values } = insertion(
      k,
      sorted.map(({ specification, requestHash }) => ({
        user: specification.user,
        kind: 'query',
        key: specification.idempotencyKey,
        handle: specification.handle,
        requestHash: requestHash ?? '',
        createdAt: databaseNow,
      })),
      dialect.now,
    )
    await transaction.run(sql + dialect.keepExisting(k.handle), values)
    const rows = await transaction.rows<{ user_: string; key_: string; handle_: string; requestHash_: string }>(
      `SELECT ${k.user} AS user_, ${k.key} AS key_, ${k.handle} AS handle_, ${k.requestHash} AS requestHash_ FROM ${k} ` +
        `WHERE ${k.kind} = 'query' AND (${sorted.map(() => `(${k.user} = ? AND ${k.key} = ?)`).join(' OR ')})`,
      sorted.flatMap(({ specification }) => [specification.user, specification.idempotencyKey]),
    )
    const taken = new Map(rows.map(row => [JSON.stringify([row.user_, row.key_]), row]))
    for (const query of part) {
      if (query.specification.idempotencyKey === null) continue
      const key = taken.get(keyOf(query))
      if (!key) throw new Error('a key that was just inserted is not there')
      if (key.handle_ !== query.specification.handle)
        answers.set(query, {
          kind: 'duplicate',
          handle: key.handle_,
          sameRequest: key.requestHash_ === (query.requestHash ?? ''),
        })
    }
  }

  /** The first ones that fit stay; gives the others with their refusal. */
  async #refuseSurplus(accepted: readonly NewQuery[], limits: QueryLimits): Promise<Map<NewQuery, SubmitAnswer>> {
    const room = await roomIn(this.#database, usesOfAll(accepted, limits))
    const refused = new Map<NewQuery, SubmitAnswer>()
    for (const query of accepted) {
      const uses = usesOfAll([query], limits)
      const full = uses.find(({ scope }) => (room.get(scope) ?? 0) <= 0)
      if (full) refused.set(query, { kind: 'queue-full', scope: full.scope, limit: full.limit as number })
      else for (const { scope } of uses) room.set(scope, (room.get(scope) as number) - 1)
    }
    return refused
  }
}

function usesOfAll(queries: readonly NewQuery[], limits: QueryLimits): Use[] {
  return queries.flatMap(({ specification, transition, snapshot }) =>
    usesOf(specification.user, transition.to, snapshot.context.lane, limits).map(use => ({ ...use, by: 1 as const })),
  )
}

/** An upper bound would need the texts encoded; characters are close enough to cut a batch by. */
function sizeOf({ specification, snapshot }: NewQuery): number {
  const propertyBytes = Object.entries(specification.properties).reduce(
    (sum, [key, value]) => sum + key.length + value.length,
    0,
  )
  return 2000 + specification.sql.length * 2 + propertyBytes + (snapshot.context.plan?.length ?? 0)
}

/**
 * What is owed to webhooks. A delivery is written by the commit that ends its query, so that no death in between can lose it; the
 * leader delivers it and records what became of it. Whoever leads afterwards goes by the row.
 */
import type { DeliveryState } from '../domain/index.ts'
import type {
  Backlog,
  Delivery,
  DeliveryFilter,
  DeliveryKey,
  DeliveryOutcome,
  WebhookInterest,
  WebhookStore,
} from './contract.ts'
import type { Database, SqlValue, Transaction } from './database.ts'
import { placeholders } from './names.ts'
import { askableIds, isoOf, isoOrNull, type SelectedRow, selection, unselected } from './rows.ts'

const properties = ['handle', 'webhook', 'state', 'attempts', 'createdAt', 'dueAt', 'lastError'] as const
const errorCharactersMax = 255

/** For each webhook what these queries, whose last step has just been written and which still are unfinished ones, owe to it. */
export function noteDeliveries(
  { tables, dialect }: Database,
  transaction: Transaction,
  webhooks: readonly WebhookInterest[],
  handles: readonly string[],
): void {
  const { delivery: d, current: q } = tables
  const columns = ['handle', 'webhook', 'state', 'attempts', 'createdAt', 'dueAt'] as const
  for (const { name, outcomes, users } of webhooks) {
    const conditions = [`${q.handle} IN ${placeholders(handles.length)}`]
    conditions.push(`${q.outcome} IN ${placeholders(outcomes.length)}`)
    if (users) conditions.push(`${q.user} IN ${placeholders(users.length)}`)
    transaction.later(
      `INSERT INTO ${d} (${columns.map(column => d[column]).join(', ')}) ` +
        `SELECT ${q.handle}, ?, 'PENDING', 0, ${dialect.now}, ${dialect.now} FROM ${q} WHERE ${conditions.join(' AND ')}`,
      [name, ...handles, ...outcomes, ...(users ?? [])],
    )
  }
}

export class Webhooks implements WebhookStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async due(webhook: string, limit: number): Promise<readonly Delivery[]> {
    const { tables, dialect } = this.#database
    const d = tables.delivery
    return this.#read(
      `WHERE ${d.webhook} = ? AND ${d.state} = 'PENDING' AND ${d.dueAt} <= ${dialect.now} ORDER BY ${d.dueAt} LIMIT ${Number(limit)}`,
      [webhook],
    )
  }

  async record({ handle, webhook, attempts }: Delivery, outcome: DeliveryOutcome): Promise<boolean> {
    const { tables, dialect } = this.#database
    const d = tables.delivery
    const state: DeliveryState =
      outcome.kind === 'delivered' ? 'DELIVERED' : outcome.kind === 'dead' ? 'DEAD' : 'PENDING'
    const error = outcome.kind === 'delivered' ? null : outcome.error.slice(0, errorCharactersMax)
    const delayMs = outcome.kind === 'failed' ? Math.max(0, Math.round(outcome.retryMs)) : 0
    const isFact = outcome.kind === 'delivered'
    const count = await this.#database.run(
      `UPDATE ${d} SET ${d.state} = ?, ${d.attempts} = ?, ${d.dueAt} = ${dialect.now} + ?, ${d.lastError} = ? ` +
        `WHERE ${d.handle} = ? AND ${d.webhook} = ?${isFact ? '' : ` AND ${d.state} = 'PENDING' AND ${d.attempts} = ?`}`,
      [state, attempts + 1, delayMs, error, handle, webhook, ...(isFact ? [] : [attempts])],
    )
    return count > 0
  }

  async again({ handle, webhook }: DeliveryKey): Promise<Delivery | null> {
    const [asked] = askableIds([handle])
    if (asked === undefined) return null
    const { tables, dialect } = this.#database
    const d = tables.delivery
    const count = await this.#database.run(
      `UPDATE ${d} SET ${d.state} = 'PENDING', ${d.attempts} = 0, ${d.createdAt} = ${dialect.now}, ${d.dueAt} = ${dialect.now} WHERE ${d.handle} = ? AND ${d.webhook} = ?`,
      [asked, webhook],
    )
    if (count === 0) return null
    const [found] = await this.#read(`WHERE ${d.handle} = ? AND ${d.webhook} = ?`, [asked, webhook])
    return found ?? null
  }

  async list(
    { webhook, state, handle }: DeliveryFilter,
    limit: number,
    after: DeliveryKey | null,
  ): Promise<readonly Delivery[]> {
    const d = this.#database.tables.delivery
    const conditions: string[] = []
    const values: SqlValue[] = []
    const where = (condition: string, ...more: SqlValue[]) => {
      conditions.push(condition)
      values.push(...more)
    }
    if (webhook !== undefined) where(`${d.webhook} = ?`, webhook)
    if (state !== undefined) where(`${d.state} = ?`, state)
    if (handle !== undefined) where(`${d.handle} = ?`, askableIds([handle])[0] ?? '')
    if (after) {
      const [last = ''] = askableIds([after.handle])
      where(`${d.handle} <= ? AND (${d.handle} < ? OR ${d.webhook} < ?)`, last, last, after.webhook)
    }
    const condition = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')} ` : ''
    return this.#read(`${condition}ORDER BY ${d.handle} DESC, ${d.webhook} DESC LIMIT ${Number(limit)}`, values)
  }

  async backlog(): Promise<readonly Backlog[]> {
    const d = this.#database.tables.delivery
    const rows = await this.#database.rows<SelectedRow>(
      `SELECT ${d.webhook} AS webhook_, ${d.state} AS state_, COUNT(*) AS count_, MIN(${d.createdAt}) AS oldest_ FROM ${d} ` +
        `WHERE ${d.state} IN ('PENDING', 'DEAD') GROUP BY ${d.state}, ${d.webhook}`,
    )
    const found = new Map<string, Backlog>()
    for (const { webhook_, state_, count_, oldest_ } of rows) {
      const known = found.get(webhook_) ?? { webhook: webhook_, pending: 0, dead: 0, oldestPendingAt: null }
      found.set(
        webhook_,
        state_ === 'DEAD'
          ? { ...known, dead: Number(count_) }
          : { ...known, pending: Number(count_), oldestPendingAt: isoOrNull(oldest_) },
      )
    }
    return [...found.values()]
  }

  async drop(keys: readonly DeliveryKey[]): Promise<void> {
    const { delivery: d, finished: q } = this.#database.tables
    for (const { handle, webhook } of keys)
      await this.#database.run(
        `DELETE FROM ${d} WHERE ${d.handle} = ? AND ${d.webhook} = ? AND NOT EXISTS (SELECT 1 FROM ${q} WHERE ${q.handle} = ?)`,
        [handle, webhook, handle],
      )
  }

  async #read(rest: string, values: readonly SqlValue[]): Promise<readonly Delivery[]> {
    const d = this.#database.tables.delivery
    const rows = await this.#database.rows(`SELECT ${selection(d, properties)} FROM ${d} ${rest}`, values)
    return rows.map(selected => {
      const row = unselected<Record<(typeof properties)[number], string & number>>(selected)
      return {
        ...{ handle: row.handle, webhook: row.webhook, lastError: row.lastError },
        state: row.state as unknown as DeliveryState,
        attempts: Number(row.attempts),
        ...{ createdAt: isoOf(row.createdAt), dueAt: isoOf(row.dueAt) },
      }
    })
  }
}

/** Runs that were given up while their engine could not confirm the end: listed until it has. */
import type { EngineHandle } from '../domain/index.ts'
import type { CleanupRow, CleanupStore } from './contract.ts'
import type { Database } from './database.ts'
import { askableIds, isoOf, parsed, type SelectedRow, selection, unselected } from './rows.ts'

export class Cleanups implements CleanupStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async list(limit: number, after: Pick<CleanupRow, 'handle' | 'attempt'> | null): Promise<readonly CleanupRow[]> {
    const c = this.#database.tables.cleanup
    const { handle = '', attempt = 0 } = after ?? {}
    const rows = await this.#database.rows<SelectedRow>(
      `SELECT ${selection(c, ['handle', 'attempt', 'engine', 'engineHandle', 'createdAt'])} FROM ${c} ` +
        `WHERE ${c.handle} > ? OR (${c.handle} = ? AND ${c.attempt} > ?) ORDER BY ${c.handle}, ${c.attempt} LIMIT ${Number(limit)}`,
      [handle, handle, attempt],
    )
    return rows.map(row => {
      const found = unselected<SelectedRow>(row)
      return {
        ...{ handle: found.handle, attempt: Number(found.attempt), engine: found.engine },
        engineHandle: parsed(found.engineHandle) as EngineHandle,
        createdAt: isoOf(found.createdAt),
      }
    })
  }

  async done(handle: string, attempt: number): Promise<void> {
    const [asked] = askableIds([handle])
    if (asked === undefined) return
    const c = this.#database.tables.cleanup
    await this.#database.run(`DELETE FROM ${c} WHERE ${c.handle} = ? AND ${c.attempt} = ?`, [asked, attempt])
  }
}

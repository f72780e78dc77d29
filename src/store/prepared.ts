/** Prepared queries: the one table that is asked too seldom to need more than the ORM's ordinary ways. */
import type { InferEntity, MikroORM } from '@mikro-orm/core'
import type { Column } from '../domain/index.ts'
import type { PreparedRow, PreparedStore } from './contract.ts'
import type { Database } from './database.ts'
import { PreparedQuery } from './entities.ts'
import { askableIds, databaseNow, insertion, isoOf, parsed } from './rows.ts'

export class Prepared implements PreparedStore {
  readonly #database: Database
  readonly #orm: MikroORM

  constructor(database: Database, orm: MikroORM) {
    this.#database = database
    this.#orm = orm
  }

  async insert(row: Omit<PreparedRow, 'createdAt'>): Promise<PreparedRow> {
    // Values are bound here; the ORM would write a client's text into the statement, where SQLite's parser ends it at a NUL.
    const { handle, user, sessionId, name, sql: text, engine, database, properties, parameterCount, columns } = row
    const table = this.#database.tables.prepared
    const { dialect } = this.#database
    const { sql, values } = insertion(
      table,
      [
        {
          handle,
          user,
          sessionId,
          name,
          sql: text,
          engine,
          database,
          properties: JSON.stringify(properties),
          parameterCount,
          columns: JSON.stringify(columns),
          createdAt: databaseNow,
        },
      ],
      dialect.now,
    )
    await this.#database.run(sql + dialect.keepExisting(table.handle), values)
    return (await this.read(row.handle)) as PreparedRow
  }

  async read(handle: string): Promise<PreparedRow | null> {
    const [asked] = askableIds([handle])
    if (asked === undefined) return null
    return this.#database.repeat(async () => {
      const found = await this.#orm.em.fork().findOne(PreparedQuery, { handle: asked })
      return found ? preparedRowOf(found) : null
    })
  }

  async list(
    user: string | null,
    limit: number,
    cursor: { createdAt: string; handle: string } | null,
  ): Promise<readonly PreparedRow[]> {
    const at = cursor ? Date.parse(cursor.createdAt) : 0
    const handle = cursor ? (askableIds([cursor.handle])[0] ?? '') : ''
    return this.#database.repeat(async () => {
      const found = await this.#orm.em.fork().find(
        PreparedQuery,
        {
          ...(user === null ? {} : { user }),
          ...(cursor
            ? { createdAt: { $lte: at }, $or: [{ createdAt: { $lt: at } }, { handle: { $lt: handle } }] }
            : {}),
        },
        { orderBy: [{ createdAt: 'desc' }, { handle: 'desc' }], limit },
      )
      return found.map(preparedRowOf)
    })
  }

  async remove(handle: string, user: string): Promise<boolean> {
    const [asked] = askableIds([handle])
    if (asked === undefined) return false
    return this.#database.repeat(async attempt => {
      const count = await this.#orm.em.fork().nativeDelete(PreparedQuery, { handle: asked, user })
      return count > 0 || attempt > 0
    })
  }
}

function preparedRowOf(found: InferEntity<typeof PreparedQuery>): PreparedRow {
  return {
    handle: found.handle,
    user: found.user,
    sessionId: found.sessionId,
    name: found.name ?? null,
    sql: found.sql,
    engine: found.engine,
    database: found.database ?? null,
    properties: parsed(found.properties) as PreparedRow['properties'],
    parameterCount: Number(found.parameterCount),
    columns: parsed(found.columns) as readonly Column[],
    createdAt: isoOf(found.createdAt),
  }
}

/** The SQL that differs between MySQL/MariaDB and SQLite. Everything else is written once. */

export type JsonColumnType = 'id' | 'word' | 'label' | 'text' | 'number'

export interface GuardedUpdate {
  readonly table: { toString(): string }
  /** Columns of the rows in the one JSON parameter, by their names there. */
  readonly columns: Readonly<Record<string, JsonColumnType>>
  /** The row's id: column of the table, and name in the JSON rows. */
  readonly key: readonly [column: string, json: string]
  /** What else must hold; `q` is the table, `j` the JSON row. */
  readonly where: readonly string[]
  /** Target column → expression over `q` and `j`. */
  readonly set: Readonly<Record<string, string>>
}

export interface SqlDialect {
  readonly name: 'mysql' | 'sqlite'
  /** Milliseconds since 1970 by the database's clock, fixed for the statement. */
  readonly now: string
  readonly lockShared: string
  readonly lockExclusive: string
  readonly lockSkipping: string
  /**
   * After a table's alias: never a scan, which on a small table the optimiser may prefer, and which would wait for the
   * locks of rows that are none of ours.
   */
  readonly byPrimary: string
  /** One statement that updates many rows, each under a predicate of its own; takes one JSON array as its parameter. */
  guardedUpdate(update: GuardedUpdate): string
  /** `DELETE` with the alias `q`, without its condition. */
  deleteFrom(table: { toString(): string }): string
  /** The end of an INSERT that leaves a row which is already there as it is. */
  keepExisting(anyColumn: string): string
  /** The end of an INSERT that overwrites these columns of a row which is already there. */
  overwrite(key: readonly string[], columns: readonly string[]): string
  greatest(a: string, b: string): string
  /** Where a text column stands beside the result of a JSON function: their collations differ (error 1267). */
  besideJson(column: string): string
  /** Rows in one transaction, and bytes of its largest statement. */
  readonly rowsMax: number
  readonly bytesMax: number
}

const mysqlJson: Readonly<Record<JsonColumnType, string>> = {
  id: 'varchar(64)',
  word: 'varchar(32)',
  label: 'varchar(255)',
  text: 'longtext',
  number: 'bigint',
}

export const mysqlDialect: SqlDialect = {
  name: 'mysql',
  now: 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)',
  lockShared: ' LOCK IN SHARE MODE',
  lockExclusive: ' FOR UPDATE',
  lockSkipping: ' FOR UPDATE SKIP LOCKED',
  byPrimary: ' FORCE INDEX (PRIMARY)',
  guardedUpdate({ table, columns, key: [column, json], where, set }) {
    const fields = Object.entries(columns).map(([name, type]) => `${name} ${mysqlJson[type]} PATH '$.${name}'`)
    // The servers' default collations differ (error 1267), so the key is compared as what its column is.
    const on = [`q.${column} = CONVERT(j.${json} USING ascii) COLLATE ascii_bin`, ...where].join(' AND ')
    const sets = Object.entries(set).map(([target, expression]) => `q.${target} = ${expression}`)
    return (
      `UPDATE JSON_TABLE(?, '$[*]' COLUMNS (${fields.join(', ')})) AS j ` +
      `STRAIGHT_JOIN ${table} AS q FORCE INDEX (PRIMARY) ON ${on} SET ${sets.join(', ')}`
    )
  },
  deleteFrom: table => `DELETE q FROM ${table} AS q FORCE INDEX (PRIMARY)`,
  keepExisting: anyColumn => ` ON DUPLICATE KEY UPDATE ${anyColumn} = ${anyColumn}`,
  overwrite: (_key, columns) =>
    ` ON DUPLICATE KEY UPDATE ${columns.map(column => `${column} = VALUES(${column})`).join(', ')}`,
  greatest: (a, b) => `GREATEST(${a}, ${b})`,
  besideJson: column => `${column} COLLATE utf8mb4_bin`,
  rowsMax: 500,
  bytesMax: 4 * 2 ** 20,
}

export const sqliteDialect: SqlDialect = {
  name: 'sqlite',
  now: "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
  lockShared: '',
  lockExclusive: '',
  lockSkipping: '',
  byPrimary: '',
  guardedUpdate({ table, columns, key: [column, json], where, set }) {
    const fields = Object.keys(columns).map(name => `value ->> '$.${name}' AS ${name}`)
    const conditions = [`q.${column} = j.${json}`, ...where].join(' AND ')
    const sets = Object.entries(set).map(([target, expression]) => `${target} = ${expression}`)
    return `UPDATE ${table} AS q SET ${sets.join(', ')} FROM (SELECT ${fields.join(', ')} FROM json_each(?)) AS j WHERE ${conditions}`
  },
  deleteFrom: table => `DELETE FROM ${table} AS q`,
  keepExisting: () => ' ON CONFLICT DO NOTHING',
  overwrite: (key, columns) =>
    ` ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${columns.map(column => `${column} = excluded.${column}`).join(', ')}`,
  greatest: (a, b) => `MAX(${a}, ${b})`,
  besideJson: column => column,
  rowsMax: 100,
  bytesMax: 2 ** 20,
}

/** The SQL that differs between MySQL/MariaDB and SQLite. Everything else is written once. */

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
  /** `DELETE` with the alias `q`, without its condition. */
  deleteFrom(table: { toString(): string }): string
  /** One statement of several SELECTs, each of which keeps its own locks. */
  unionOf(selects: readonly string[]): string
  /** The end of an INSERT that leaves a row which is already there as it is. */
  keepExisting(anyColumn: string): string
  /** The end of an INSERT that overwrites these columns of a row which is already there. */
  overwrite(key: readonly string[], columns: readonly string[]): string
  /** The end of an INSERT that changes a row which is already there by these assignments, in which `proposed` may stand. */
  orSet(key: readonly string[], assignments: string): string
  /** What the INSERT would have written into this column. */
  proposed(column: string): string
  greatest(a: string, b: string): string
  /** Where a text column stands beside the result of a JSON function: their collations differ (error 1267). */
  besideJson(column: string): string
  /** Rows in one transaction, and bytes of its largest statement. */
  readonly rowsMax: number
  readonly bytesMax: number
}

export const mysqlDialect: SqlDialect = {
  name: 'mysql',
  now: 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)',
  lockShared: ' LOCK IN SHARE MODE',
  lockExclusive: ' FOR UPDATE',
  lockSkipping: ' FOR UPDATE SKIP LOCKED',
  byPrimary: ' FORCE INDEX (PRIMARY)',
  deleteFrom: table => `DELETE q FROM ${table} AS q FORCE INDEX (PRIMARY)`,
  unionOf: selects => selects.map(select => `(${select})`).join(' UNION ALL '),
  keepExisting: anyColumn => ` ON DUPLICATE KEY UPDATE ${anyColumn} = ${anyColumn}`,
  overwrite: (_key, columns) =>
    ` ON DUPLICATE KEY UPDATE ${columns.map(column => `${column} = VALUES(${column})`).join(', ')}`,
  orSet: (_key, assignments) => ` ON DUPLICATE KEY UPDATE ${assignments}`,
  proposed: column => `VALUES(${column})`,
  greatest: (a, b) => `GREATEST(${a}, ${b})`,
  besideJson: column => `${column} COLLATE utf8mb4_bin`,
  rowsMax: 200,
  bytesMax: 4 * 2 ** 20,
}

export const sqliteDialect: SqlDialect = {
  name: 'sqlite',
  now: "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
  lockShared: '',
  lockExclusive: '',
  lockSkipping: '',
  byPrimary: '',
  deleteFrom: table => `DELETE FROM ${table} AS q`,
  unionOf: selects => selects.join(' UNION ALL '),
  keepExisting: () => ' ON CONFLICT DO NOTHING',
  overwrite: (key, columns) =>
    ` ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${columns.map(column => `${column} = excluded.${column}`).join(', ')}`,
  orSet: (key, assignments) => ` ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${assignments}`,
  proposed: column => `excluded.${column}`,
  greatest: (a, b) => `MAX(${a}, ${b})`,
  besideJson: column => column,
  rowsMax: 100,
  bytesMax: 2 ** 20,
}

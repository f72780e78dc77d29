/** Types of columns in the dialects, for all migrations. Like them it never changes once it was released: what differs is a new word. */
import type { AbstractSqlDriver } from '@mikro-orm/sql'

export interface ColumnTypes {
  readonly id: string
  readonly word: string
  readonly label: string
  readonly scope: string
  readonly text: string
  readonly number: string
  readonly blob: string
  readonly suffix: string
}

/** `collation` compares byte by byte and does not ignore trailing spaces: else one user could be taken for another. */
const mysqlTypes = (collation: string): ColumnTypes => ({
  id: 'varchar(64) character set ascii collate ascii_bin',
  word: 'varchar(32) character set ascii collate ascii_bin',
  label: `varchar(255) character set utf8mb4 collate ${collation}`,
  scope: `varchar(300) character set utf8mb4 collate ${collation}`,
  text: `longtext character set utf8mb4 collate ${collation}`,
  number: 'bigint',
  blob: 'longblob',
  suffix: ` engine=InnoDB default character set utf8mb4 collate ${collation}`,
})

const sqliteTypes: ColumnTypes = {
  id: 'text',
  word: 'text',
  label: 'text',
  scope: 'text',
  text: 'text',
  number: 'integer',
  blob: 'blob',
  suffix: '',
}

export function isMySql(driver: AbstractSqlDriver): boolean {
  return driver.getPlatform().constructor.name.startsWith('MySql')
}

/** `execute` runs a statement and gives its rows. */
export async function columnTypes(
  driver: AbstractSqlDriver,
  execute: (sql: string) => Promise<unknown>,
): Promise<ColumnTypes> {
  if (!isMySql(driver)) return sqliteTypes
  const [row] = (await execute('select version() as version')) as { version: string }[]
  return mysqlTypes(row?.version.includes('MariaDB') ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin')
}

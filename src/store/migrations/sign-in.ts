/**
 * Sign-in: whether a session's user is an admin by the word of who authenticated them, and the buckets of what is rationed.
 * Only adds: nodes of the version before insert sessions without naming the column, which then says no.
 */
import { Migration } from '@mikro-orm/migrations'
import { columnTypes, isMySql } from './column-types.ts'

export class SignIn extends Migration {
  override async up(): Promise<void> {
    const types = await columnTypes(this.driver, sql => this.execute(sql))
    // Neither MySQL nor SQLite adds a column only if it is missing, and a node may have died behind this statement.
    if (!(await this.#hasColumn('session', 'admin')))
      this.addSql(`alter table \`session\` add column \`admin\` ${types.number} not null default 0`)
    this.addSql(
      `create table if not exists \`rate_bucket\` (\`id\` ${types.id} not null, \`full_at\` ${types.number} not null, ` +
        `primary key (\`id\`))${types.suffix}`,
    )
  }

  async #hasColumn(table: string, column: string): Promise<boolean> {
    const sql = isMySql(this.driver)
      ? `select 1 as one from information_schema.columns where table_schema = database() and table_name = '${table}' and column_name = '${column}'`
      : `select 1 as one from pragma_table_info('${table}') where name = '${column}'`
    return ((await this.execute(sql)) as unknown as object[]).length > 0
  }
}

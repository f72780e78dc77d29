/** The trace that a query belongs to. Only adds, and a column that nodes of the version before neither read nor write. */
import { Migration } from '@mikro-orm/migrations'
import { columnTypes, isMySql } from './column-types.ts'

export class TraceParent extends Migration {
  override async up(): Promise<void> {
    const types = await columnTypes(this.driver, sql => this.execute(sql))
    for (const table of ['current_query', 'finished_query']) {
      // No dialect adds a column only if it is missing, and a node may have died between the two.
      const there = await this.execute(
        isMySql(this.driver)
          ? `select 1 as one from information_schema.columns where table_schema = database() and table_name = '${table}' and column_name = 'trace_parent'`
          : `select 1 as one from pragma_table_info('${table}') where name = 'trace_parent'`,
      )
      if ((there as unknown as object[]).length === 0)
        this.addSql(`alter table \`${table}\` add column \`trace_parent\` ${types.id} null`)
    }
  }
}

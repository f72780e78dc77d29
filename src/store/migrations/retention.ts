/** An index from which the bytes of all kept results can be summed without reading a row. Only adds: nodes of the version before do not name it. */
import { Migration } from '@mikro-orm/migrations'
import { isMySql } from './column-types.ts'

export class Retention extends Migration {
  override async up(): Promise<void> {
    const columns = '(`pages_expire_at`, `stored_bytes`)'
    if (!isMySql(this.driver)) {
      this.addSql(`create index if not exists \`finished_query_by_result\` on \`finished_query\` ${columns}`)
      return
    }
    // MySQL does not add an index only if it is missing, and a node may have died behind this statement.
    const there = await this.execute(
      "select 1 as one from information_schema.statistics where table_schema = database() and table_name = 'finished_query' and index_name = 'by_result'",
    )
    if ((there as unknown as object[]).length === 0)
      this.addSql(`alter table \`finished_query\` add index \`by_result\` ${columns}`)
  }
}

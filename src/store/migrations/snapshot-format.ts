/** The newest version in which snapshots are written (`snapshot_format`): one row. Only adds: who does not know it writes version 1. */
import { Migration } from '@mikro-orm/migrations'
import { columnTypes } from './column-types.ts'

export class SnapshotFormats extends Migration {
  override async up(): Promise<void> {
    const types = await columnTypes(this.driver, sql => this.execute(sql))
    this.addSql(
      `create table if not exists \`snapshot_format\` (\`id\` ${types.number} not null, \`version\` ${types.number} not null, ` +
        `primary key (\`id\`))${types.suffix}`,
    )
    this.addSql(
      'insert into `snapshot_format` (`id`, `version`) select 1, 1 from (select 1 as one) as single where not exists (select 1 from `snapshot_format`)',
    )
  }
}

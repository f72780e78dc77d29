/** What is still owed to engines (`engine_cleanup`): empty where no engine was ever away under a statement. */
import { Migration } from '@mikro-orm/migrations'
import { columnTypes } from './column-types.ts'

export class EngineCleanups extends Migration {
  override async up(): Promise<void> {
    const types = await columnTypes(this.driver, sql => this.execute(sql))
    this.addSql(
      `create table if not exists \`engine_cleanup\` (\`handle\` ${types.id} not null, \`attempt\` ${types.number} not null, ` +
        `\`engine\` ${types.label} not null, \`engine_handle\` ${types.text} not null, \`created_at\` ${types.number} not null, ` +
        `primary key (\`handle\`, \`attempt\`))${types.suffix}`,
    )
  }
}

/** What is owed to webhooks (`webhook_delivery`). Only adds: nodes of the version before write no deliveries, and read none. */
import { Migration } from '@mikro-orm/migrations'
import { columnTypes, isMySql } from './column-types.ts'

export class Webhooks extends Migration {
  override async up(): Promise<void> {
    const types = await columnTypes(this.driver, sql => this.execute(sql))
    // What is due of one webhook; what waits and what is dead, counted without a row.
    const indexes = {
      by_due: ['webhook', 'state', 'due_at'],
      by_state: ['state', 'webhook', 'created_at'],
    }
    const columnsOf = (columns: readonly string[]) => `(${columns.map(column => `\`${column}\``).join(', ')})`
    const inline = isMySql(this.driver)
      ? Object.entries(indexes).map(([name, columns]) => `, index \`${name}\` ${columnsOf(columns)}`)
      : []
    this.addSql(
      `create table if not exists \`webhook_delivery\` (\`handle\` ${types.id} not null, \`webhook\` ${types.id} not null, ` +
        `\`state\` ${types.word} not null, \`attempts\` ${types.number} not null, \`created_at\` ${types.number} not null, ` +
        `\`due_at\` ${types.number} not null, \`last_error\` ${types.label} null, ` +
        `primary key (\`handle\`, \`webhook\`)${inline.join('')})${types.suffix}`,
    )
    if (inline.length > 0) return
    for (const [name, columns] of Object.entries(indexes))
      this.addSql(
        `create index if not exists \`webhook_delivery_${name}\` on \`webhook_delivery\` ${columnsOf(columns)}`,
      )
  }
}

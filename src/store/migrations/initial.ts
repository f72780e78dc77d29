/**
 * The first schema. A migration never changes once it was released; it spells its names, because the entities move on.
 * Every statement can be repeated: MySQL commits each by itself, so a node that dies half-way leaves the rest to the next.
 */
import { Migration } from '@mikro-orm/migrations'
import { type ColumnTypes, columnTypes, isMySql } from './column-types.ts'

type Column = readonly [name: string, type: keyof ColumnTypes, nullable?: 'null']

interface Table {
  readonly name: string
  readonly columns: readonly Column[]
  readonly primary: readonly string[]
  readonly indexes: Readonly<Record<string, readonly string[]>>
}

const queryColumns: readonly Column[] = [
  ['handle', 'id'],
  ['session_id', 'id'],
  ['user', 'label'],
  ['name', 'label', 'null'],
  ['sql_text', 'text'],
  ['operation', 'word'],
  ['mode', 'word'],
  ['priority', 'word'],
  ['on_recovery', 'word'],
  ['database_name', 'label', 'null'],
  ['properties', 'text'],
  ['parameters', 'text'],
  ['requested_lane', 'word'],
  ['requested_engine', 'label', 'null'],
  ['idempotency_key', 'label', 'null'],
  ['deadline_at', 'number', 'null'],
  ['submitted_at', 'number'],
  ['status', 'word'],
  ['outcome', 'word', 'null'],
  ['version', 'number'],
  ['epoch', 'number'],
  ['owner_incarnation', 'id'],
  ['owner_node', 'label'],
  ['lane', 'word'],
  ['engine', 'label', 'null'],
  ['attempt', 'number'],
  ['cancel_requested', 'number'],
  ['machine_version', 'number'],
  ['snapshot', 'text'],
  ['transition_id', 'id'],
  ['stored_pages', 'number'],
  ['stored_rows', 'number'],
  ['stored_bytes', 'number'],
  ['launched_at', 'number', 'null'],
  ['started_at', 'number', 'null'],
  ['finished_at', 'number', 'null'],
  ['result_expires_at', 'number', 'null'],
  ['pages_expire_at', 'number', 'null'],
]

const listIndexes = {
  by_user: ['user', 'submitted_at', 'handle'],
  by_time: ['submitted_at', 'handle'],
  by_session: ['session_id', 'submitted_at'],
}

const tables: readonly Table[] = [
  {
    name: 'session',
    columns: [
      ['id', 'id'],
      ['user', 'label'],
      ['secret_hash', 'id'],
      ['database_name', 'label', 'null'],
      ['properties', 'text'],
      ['status', 'word'],
      ['version', 'number'],
      ['created_at', 'number'],
      ['last_used_at', 'number'],
      ['idle_ms', 'number'],
      ['sweep_at', 'number'],
    ],
    primary: ['id'],
    indexes: {
      by_user: ['user', 'created_at', 'id'],
      by_time: ['created_at', 'id'],
      by_sweep: ['status', 'sweep_at'],
    },
  },
  {
    name: 'session_transition',
    columns: [
      ['session_id', 'id'],
      ['version', 'number'],
      ['event', 'text'],
      ['from_status', 'word'],
      ['to_status', 'word'],
      ['node', 'label'],
      ['at', 'number'],
    ],
    primary: ['session_id', 'version'],
    indexes: { by_end: ['to_status', 'at'] },
  },
  {
    name: 'current_query',
    columns: queryColumns,
    primary: ['handle'],
    indexes: { ...listIndexes, by_owner: ['owner_incarnation', 'handle'] },
  },
  {
    name: 'finished_query',
    columns: queryColumns,
    primary: ['handle'],
    indexes: {
      ...listIndexes,
      by_user_status: ['user', 'status', 'submitted_at', 'handle'],
      by_status: ['status', 'submitted_at', 'handle'],
      by_end: ['finished_at'],
      by_pages: ['pages_expire_at'],
    },
  },
  {
    name: 'query_transition',
    columns: [
      ['handle', 'id'],
      ['version', 'number'],
      ['id', 'id'],
      ['epoch', 'number'],
      ['machine_version', 'number'],
      ['node', 'label'],
      ['event', 'text'],
      ['from_status', 'word'],
      ['to_status', 'word'],
      ['at', 'number'],
    ],
    primary: ['handle', 'version'],
    indexes: {},
  },
  {
    name: 'failed_attempt',
    columns: [
      ['handle', 'id'],
      ['attempt', 'number'],
      ['node', 'label'],
      ['engine', 'label', 'null'],
      ['code', 'word'],
      ['message', 'text'],
      ['at', 'number'],
    ],
    primary: ['handle', 'attempt'],
    indexes: {},
  },
  {
    name: 'prepared_query',
    columns: [
      ['handle', 'id'],
      ['user', 'label'],
      ['session_id', 'id'],
      ['name', 'label', 'null'],
      ['sql_text', 'text'],
      ['engine', 'label'],
      ['database_name', 'label', 'null'],
      ['properties', 'text'],
      ['parameter_count', 'number'],
      ['result_columns', 'text'],
      ['created_at', 'number'],
    ],
    primary: ['handle'],
    indexes: { by_user: ['user', 'created_at', 'handle'], by_time: ['created_at', 'handle'] },
  },
  {
    name: 'submission_key',
    columns: [
      ['user', 'label'],
      ['kind', 'word'],
      ['submission_key', 'label'],
      ['handle', 'id'],
      ['request_hash', 'id'],
      ['created_at', 'number'],
    ],
    primary: ['user', 'kind', 'submission_key'],
    indexes: { by_handle: ['handle'] },
  },
  {
    name: 'result_page',
    columns: [
      ['handle', 'id'],
      ['attempt', 'number'],
      ['page', 'number'],
      ['first_row', 'number'],
      ['row_count', 'number'],
      ['bytes', 'number'],
      ['data', 'blob', 'null'],
    ],
    primary: ['handle', 'attempt', 'page'],
    indexes: { by_row: ['handle', 'attempt', 'first_row'] },
  },
  {
    name: 'member',
    columns: [
      ['incarnation', 'id'],
      ['node_id', 'label'],
      ['address', 'label'],
      ['state', 'word'],
      ['software_version', 'label'],
      ['snapshot_version', 'number'],
      ['started_at', 'number'],
      ['early_takeover_from', 'number', 'null'],
    ],
    primary: ['incarnation'],
    indexes: { by_node: ['node_id'] },
  },
  {
    name: 'heartbeat',
    columns: [
      ['incarnation', 'id'],
      ['lease_expires_at', 'number'],
      ['running', 'number'],
      ['queued', 'number'],
    ],
    primary: ['incarnation'],
    indexes: {},
  },
  {
    name: 'member_connection',
    columns: [
      ['connection_id', 'number'],
      ['incarnation', 'id'],
      ['since', 'number'],
    ],
    primary: ['connection_id'],
    indexes: { by_incarnation: ['incarnation'] },
  },
  {
    name: 'lease',
    columns: [
      ['id', 'number'],
      ['holder_incarnation', 'id'],
      ['holder_node', 'label'],
      ['term', 'number'],
      ['expires_at', 'number'],
    ],
    primary: ['id'],
    indexes: {},
  },
  {
    name: 'slot_budget',
    columns: [
      ['incarnation', 'id'],
      ['engine', 'label'],
      ['lane', 'word'],
      ['granted', 'number'],
      ['acknowledged', 'number'],
    ],
    primary: ['incarnation', 'engine', 'lane'],
    indexes: {},
  },
  {
    name: 'usage_counter',
    columns: [
      ['scope', 'scope'],
      ['value', 'number'],
    ],
    primary: ['scope'],
    indexes: {},
  },
  {
    name: 'failover',
    columns: [
      ['id', 'id'],
      ['node_id', 'label'],
      ['incarnation', 'id'],
      ['cause', 'label'],
      ['term', 'number'],
      ['detected_at', 'number'],
      ['done_at', 'number', 'null'],
      ['queries', 'number'],
    ],
    primary: ['id'],
    indexes: { by_time: ['detected_at'], by_incarnation: ['incarnation'] },
  },
]

const quoted = (names: readonly string[]) => names.map(name => `\`${name}\``).join(', ')

export class InitialSchema extends Migration {
  override async up(): Promise<void> {
    const mysql = isMySql(this.driver)
    const types = await columnTypes(this.driver, sql => this.execute(sql))
    for (const table of tables) {
      const parts = table.columns.map(
        ([name, type, nullable]) => `\`${name}\` ${types[type]} ${nullable ? 'null' : 'not null'}`,
      )
      parts.push(`primary key (${quoted(table.primary)})`)
      if (mysql)
        for (const [index, columns] of Object.entries(table.indexes))
          parts.push(`key \`${index}\` (${quoted(columns)})`)
      this.addSql(`create table if not exists \`${table.name}\` (${parts.join(', ')})${types.suffix}`)
      if (!mysql)
        for (const [index, columns] of Object.entries(table.indexes))
          this.addSql(`create index if not exists \`${table.name}_${index}\` on \`${table.name}\` (${quoted(columns)})`)
    }
    this.addSql(
      "insert into `lease` (`id`, `holder_incarnation`, `holder_node`, `term`, `expires_at`) select 1, '', '', 0, 0 from (select 1 as one) as single where not exists (select 1 from `lease`)",
    )
  }
}

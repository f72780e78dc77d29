/** The tables of the preset catalog, or of all: as short as a session without a database may name them. */
import type { Column, TableView } from '../../domain/index.ts'
import type { StatementRequest } from '../contract.ts'
import type { AskAll } from './plan.ts'
import { quoted } from './statement.ts'
import { nameOfType } from './types.ts'

const request: StatementRequest = {
  ...{ handle: 'tables', attempt: 1, sql: '', parameters: [], database: null, properties: {}, isolated: false },
}

export async function readTables(
  askAll: AskAll,
  preset: { readonly catalog: string | null; readonly schema: string | null },
): Promise<readonly TableView[]> {
  const catalogs =
    preset.catalog === null
      ? (await askAll('SHOW CATALOGS', request)).map(([name]) => String(name)).filter(name => name !== 'system')
      : [preset.catalog]
  const tables = new Map<string, Column[]>()
  for (const catalog of catalogs) {
    const rows = await askAll(
      `SELECT table_schema, table_name, column_name, data_type FROM "${catalog.replaceAll('"', '""')}".information_schema.columns ` +
        `WHERE table_schema <> 'information_schema'${preset.schema === null ? '' : ` AND table_schema = ${quoted(preset.schema)}`} ` +
        'ORDER BY table_schema, table_name, ordinal_position',
      request,
    )
    for (const [schema, table, column, type] of rows) {
      const name = [
        ...(preset.catalog === null ? [catalog] : []),
        ...(preset.schema === null ? [schema] : []),
        table,
      ].join('.')
      const columns = tables.get(name) ?? []
      tables.set(name, columns)
      columns.push({ name: String(column), type: nameOfType(String(type)) })
    }
  }
  return [...tables].map(([name, columns]) => ({ name, columns }))
}

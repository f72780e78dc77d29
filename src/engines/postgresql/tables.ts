/** The tables that a statement without a session's database can name, and those of the other schemas by their full names. */
import type { Column, TableView } from '../../domain/index.ts'
import type { Connections } from './connections.ts'
import { outcomeTable } from './outcomes.ts'
import type { TypeCatalogue } from './types.ts'

interface ColumnRow {
  readonly table: string
  readonly column: string | null
  readonly type: number
  readonly modifier: number
}

const columnsSql = `
  SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END AS table,
         a.attname AS column, a.atttypid::int8::float8 AS type, a.atttypmod AS modifier
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> '${outcomeTable}'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
  ORDER BY n.nspname, c.relname, a.attnum`

export async function readTables(connections: Connections, catalogue: TypeCatalogue): Promise<readonly TableView[]> {
  const rows = await connections.query<ColumnRow>(columnsSql)
  await catalogue.learn(rows.flatMap(row => (row.column === null ? [] : [row.type])))
  const tables = new Map<string, Column[]>()
  for (const { table, column, type, modifier } of rows) {
    const columns = tables.get(table) ?? []
    tables.set(table, columns)
    if (column !== null)
      columns.push(catalogue.columnOf({ name: column, dataTypeID: type, dataTypeModifier: modifier }))
  }
  return [...tables].map(([name, columns]) => ({ name, columns }))
}

/** The tables of the database that the engine's URL names, and those of the other ones by their full names. */
import type { Column, TableView } from '../../domain/index.ts'
import type { Connections, Row } from './connections.ts'
import { outcomeTable } from './outcomes.ts'
import { decimalName } from './types.ts'

const columnsSql = `
  SELECT IF(TABLE_SCHEMA = DATABASE(), TABLE_NAME, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)) AS tab, COLUMN_NAME AS col,
         DATA_TYPE AS type, COLUMN_TYPE AS full, NUMERIC_PRECISION AS prec, NUMERIC_SCALE AS scale
  FROM information_schema.COLUMNS
  WHERE TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys') AND TABLE_NAME <> '${outcomeTable}'
  ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION`

const types: Readonly<Record<string, string>> = {
  ...{ float: 'FLOAT', double: 'DOUBLE', date: 'DATE', time: 'TIME', datetime: 'TIMESTAMP', year: 'SMALLINT' },
  ...{ timestamp: 'TIMESTAMP WITH TIME ZONE', json: 'JSON', bit: 'BIT', vector: 'FLOAT[]' },
  ...{ binary: 'BLOB', varbinary: 'BLOB', tinyblob: 'BLOB', blob: 'BLOB', mediumblob: 'BLOB', longblob: 'BLOB' },
  ...{ geometry: 'GEOMETRY', point: 'GEOMETRY', linestring: 'GEOMETRY', polygon: 'GEOMETRY' },
  ...{ multipoint: 'GEOMETRY', multilinestring: 'GEOMETRY', multipolygon: 'GEOMETRY', geometrycollection: 'GEOMETRY' },
}
const integers: Readonly<Record<string, string>> = {
  ...{ tinyint: 'TINYINT', smallint: 'SMALLINT', mediumint: 'INTEGER', int: 'INTEGER', bigint: 'BIGINT' },
}

export async function readTables(connections: Connections): Promise<readonly TableView[]> {
  const tables = new Map<string, Column[]>()
  for (const row of await connections.query(columnsSql)) {
    const columns = tables.get(String(row.tab)) ?? []
    tables.set(String(row.tab), columns)
    columns.push({ name: String(row.col), type: typeOf(row) })
  }
  return [...tables].map(([name, columns]) => ({ name, columns }))
}

function typeOf({ type, full, prec, scale }: Row): string {
  const name = String(type).toLowerCase()
  if (name === 'decimal') return decimalName(Number(prec), Number(scale))
  const integer = integers[name]
  if (integer) return String(full).includes('unsigned') ? `U${integer}` : integer
  return types[name] ?? 'VARCHAR'
}

/** The database's part of a history: all that it holds when the run is over, read at one instant. */
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { type RowRecord, tables } from './history.ts'

const columns: Partial<Record<(typeof tables)[number], string>> = {
  result_page: 'handle, attempt, page, first_row, row_count, bytes',
}

/** `storeUrl`: past every proxy. */
export async function* finalRows(storeUrl: string): AsyncGenerator<RowRecord> {
  const connection = await createConnection({ uri: storeUrl })
  try {
    await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT')
    for (const table of tables) {
      const [rows] = await connection.query<RowDataPacket[]>(`SELECT ${columns[table] ?? '*'} FROM ${table}`)
      for (const row of rows) yield { record: 'row', table, row: row as RowRecord['row'] }
    }
  } finally {
    connection.destroy()
  }
}

/** Lists of the system's own things (queries, sessions, nodes), in the same formats as rows. */
import type { WireValue } from '../../client/index.ts'
import type { Terminal } from '../terminal.ts'
import { type Format, rowWriter } from './writers.ts'

export interface Field<T> {
  readonly name: string
  readonly value: (record: T) => WireValue
  /** Aligned to the right. */
  readonly numeric?: boolean
}

export async function writeRecords<T>(
  terminal: Terminal,
  format: Format,
  fields: readonly Field<T>[],
  records: readonly T[],
): Promise<void> {
  const writer = rowWriter(format, terminal.columns)
  const columns = fields.map(({ name, numeric }) => ({ name, type: numeric ? 'INTEGER' : 'VARCHAR' }))
  const empty = format === 'table' ? '-' : null
  const rows = records.map(record => fields.map(({ value }) => value(record) ?? empty))
  await terminal.out(writer.page({ columns, rows }))
  await terminal.out(writer.end())
}

/** A date of the wire as people write it, in UTC: nodes and their logs have one time. */
export function shortTime(iso: string | null): string | null {
  return iso === null ? null : `${iso.slice(0, 10)} ${iso.slice(11, 19)}`
}

/**
 * What a statement of a simulated engine does, all of it written in its text, so that its rows can be computed anywhere:
 *
 *     SELECT n=3 ms=200 [batches=2] [cost=5] [fails] [salt=…]     safe to repeat
 *     INSERT ms=200 [fails] …                                     one transaction, whose outcome can be asked for
 *     CALL ms=200 [fails] …                                       has its effect whatever becomes of it, and nobody can ask
 */
import { zstdCompressSync } from 'node:zlib'
import type { WireValue } from '../../src/domain/index.ts'
import type { RowBatch } from '../../src/engines/index.ts'
import { hashOf } from './random.ts'

export interface Statement {
  readonly sql: string
  readonly kind: 'select' | 'insert' | 'call'
  readonly rows: number
  readonly batches: number
  /** How long it runs, in virtual milliseconds. */
  readonly runsMs: number
  readonly cost: number
  /** It fails at the end of its time. */
  readonly fails: boolean
}

/** Null: the engine refuses the text. */
export function parseStatement(sql: string): Statement | null {
  const match = /^(SELECT|INSERT|CALL)\b(.*)$/.exec(sql.trim())
  if (!match) return null
  const words = new Map(
    (match[2] ?? '')
      .trim()
      .split(/\s+/)
      .map(word => word.split('=') as [string, string | undefined]),
  )
  const number = (name: string, otherwise: number) => Number(words.get(name) ?? otherwise)
  const kind = (match[1] as string).toLowerCase() as Statement['kind']
  const rows = kind === 'select' ? number('n', 1) : 0
  const batches = rows === 0 ? 0 : Math.min(rows, number('batches', 1))
  return { sql, kind, rows, batches, runsMs: number('ms', 1), cost: number('cost', 1), fails: words.has('fails') }
}

export function rowOf(sql: string, row: number): WireValue[] {
  return [row, hashOf(`${sql}#${row}`)]
}

export function rowsOf(sql: string, first: number, count: number): WireValue[][] {
  return Array.from({ length: count }, (_, index) => rowOf(sql, first + index))
}

export function batchOf(statement: Statement, batch: number): RowBatch {
  const perBatch = Math.ceil(statement.rows / statement.batches)
  const first = batch * perBatch
  const rows = rowsOf(statement.sql, first, Math.max(0, Math.min(perBatch, statement.rows - first)))
  const text = Buffer.from(rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  return { rowCount: rows.length, bytes: text.length, data: zstdCompressSync(text) }
}

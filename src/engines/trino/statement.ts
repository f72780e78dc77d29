/** The text that Trino is given: the statement itself, or with its parameters as literals. */
import type { WireValue } from '../../domain/index.ts'
import { EngineError, type StatementRequest } from '../contract.ts'

const leading = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*/
/** Comments and what stands in quotes. */
const inert = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\//g
const transactional = new Set(['START', 'COMMIT', 'ROLLBACK'])

export function firstWord(sql: string): string {
  const rest = sql.slice(leading.exec(sql)?.[0].length ?? 0)
  return /^[A-Za-z]+/.exec(rest)?.[0].toUpperCase() ?? rest.charAt(0)
}

/** Throws `sql-invalid` for what a statement on its own cannot be. */
export function textOf({ sql, parameters }: Pick<StatementRequest, 'sql' | 'parameters'>): string {
  if (sql.includes('\0')) throw new EngineError('sql-invalid', 'A statement cannot hold NUL characters.')
  const text = sql.replace(/[\s;]+$/, '')
  if (text.slice(leading.exec(text)?.[0].length ?? 0) === '')
    throw new EngineError('sql-invalid', 'There is no statement.')
  if (text.replace(inert, '').includes(';'))
    throw new EngineError('sql-invalid', 'Several statements in one text are not allowed.')
  const word = firstWord(text)
  if (transactional.has(word))
    throw new EngineError('sql-invalid', `${word} is not allowed: every statement is a transaction of its own.`)
  return parameters.length === 0
    ? text
    : `EXECUTE IMMEDIATE ${quoted(text)} USING ${parameters.map(literal).join(', ')}`
}

export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** Of the type that fits the value; Trino converts where the other side has a wider one. */
function literal(value: WireValue): string {
  if (value === null) return 'NULL'
  if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE'
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value).toString() : `DOUBLE '${value}'`
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return `ARRAY[${value.map(literal).join(', ')}]`
  return `JSON ${quoted(JSON.stringify(value))}`
}

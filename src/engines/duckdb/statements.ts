/** What an engine process does with one statement: prepare it safely, estimate it, explain it, describe it. */
import {
  type DuckDBPreparedStatement,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
  listValue,
  StatementType,
  structValue,
} from '@duckdb/node-api'
import type { Column, WireValue } from '../../domain/index.ts'
import { EngineError, type EstimateAnswer, type PreparedAnswer } from '../contract.ts'
import { type EngineDatabase, type Lease, serialize } from './database.ts'
import { engineError } from './failures.ts'
import { type GuardedStatement, linesToAdd, prefixed } from './guard.ts'
import type { ProcessStatement } from './protocol.ts'

export interface Prepared {
  readonly guarded: GuardedStatement
  readonly statement: DuckDBPreparedStatement
  /** For the line numbers in errors of `statement`. */
  readonly linesAdded: number
}

/** Rejects with `EngineError`. `wrap` gives the text to prepare instead of the statement's own. */
export async function prepare(
  database: EngineDatabase,
  lease: Lease,
  request: ProcessStatement,
  wrap: (guarded: GuardedStatement) => string = guarded => guarded.sql,
): Promise<Prepared> {
  checkSchema(request.database)
  let linesAdded = 0
  try {
    const guarded = await database.guard.check(request.sql, sql => serialize(lease, sql))
    const sql = wrap(guarded)
    linesAdded = linesToAdd(sql, guarded)
    const statement = await lease.connection.prepare(sql)
    const expected = sql === guarded.sql && guarded.kind === 'select' ? StatementType.SELECT : StatementType.EXPLAIN
    if (statement.statementType !== expected) {
      statement.destroySync()
      throw new EngineError('sql-invalid', 'Only statements that read are allowed.')
    }
    return { guarded, statement, linesAdded }
  } catch (error) {
    throw engineError(error, 'prepare', request.sql, linesAdded)
  }
}

/** A session's `database` is a schema; the tables of the configuration are in `main`. */
function checkSchema(database: string | null): void {
  if (database === null || database === '' || database.toLowerCase() === 'main') return
  throw new EngineError(
    'sql-invalid',
    `Catalog Error: Schema with name ${database} does not exist; the tables are in "main".`,
  )
}

export function bind(statement: DuckDBPreparedStatement, parameters: readonly WireValue[]): void {
  const expected = statement.parameterCount
  if (parameters.length !== expected)
    throw new EngineError('sql-invalid', `The statement has ${expected} parameters, ${parameters.length} were given.`)
  parameters.forEach((parameter, index) => {
    try {
      bindOne(statement, index + 1, parameter)
    } catch (error) {
      throw new EngineError(
        'sql-invalid',
        `Parameter ${index + 1} cannot be used: ${error instanceof Error ? error.message : error}`,
      )
    }
  })
}

function bindOne(statement: DuckDBPreparedStatement, index: number, value: WireValue): void {
  if (value === null) statement.bindNull(index)
  else if (typeof value === 'boolean') statement.bindBoolean(index, value)
  else if (typeof value === 'string') statement.bindVarchar(index, value)
  else if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) statement.bindDouble(index, value)
    else if (Math.abs(value) < 2 ** 31) statement.bindInteger(index, value)
    else statement.bindBigInt(index, BigInt(value))
  } else statement.bindValue(index, engineValue(value))
}

function engineValue(value: WireValue): DuckDBValue {
  if (Array.isArray(value)) return listValue(value.map(engineValue))
  if (typeof value === 'object' && value !== null)
    return structValue(Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, engineValue(entry)])))
  if (typeof value === 'number' && Number.isSafeInteger(value) && Math.abs(value) >= 2 ** 31) return BigInt(value)
  return value
}

/** The plan's operators with their estimated rows. */
interface PlanNode {
  readonly name: string
  readonly children?: readonly PlanNode[]
  readonly extra_info?: Readonly<Record<string, unknown>>
}

/**
 * `cost` is the sum over all operators of the rows that DuckDB expects each to give: every row counts once for each step it
 * passes. `rows` is what the topmost operator is expected to give.
 */
export async function estimate(
  database: EngineDatabase,
  lease: Lease,
  request: ProcessStatement,
): Promise<EstimateAnswer> {
  const text = await explanation(database, lease, request, 'EXPLAIN (FORMAT JSON)')
  const roots = JSON.parse(text) as readonly PlanNode[]
  let cost = 0
  const open = [...roots]
  for (let node = open.pop(); node; node = open.pop()) {
    cost += cardinalityOf(node) ?? 0
    open.push(...(node.children ?? []))
  }
  const first = firstKnown(roots[0])
  return { cost, rows: first }
}

function firstKnown(node: PlanNode | undefined): number | null {
  for (let at = node; at; at = at.children?.[0]) {
    const rows = cardinalityOf(at)
    if (rows !== null) return rows
  }
  return null
}

function cardinalityOf(node: PlanNode): number | null {
  const value = Number(node.extra_info?.['Estimated Cardinality'] ?? Number.NaN)
  return Number.isFinite(value) ? value : null
}

export function explain(database: EngineDatabase, lease: Lease, request: ProcessStatement): Promise<string> {
  return explanation(database, lease, request, 'EXPLAIN')
}

async function explanation(
  database: EngineDatabase,
  lease: Lease,
  request: ProcessStatement,
  prefix: string,
): Promise<string> {
  const { statement, linesAdded } = await prepare(database, lease, request, guarded => prefixed(prefix, guarded))
  try {
    bind(statement, request.parameters)
    const rows = await (await statement.run()).getRows()
    return rows.map(row => `${row[1]}`).join('\n')
  } catch (error) {
    throw engineError(error, 'run', request.sql, linesAdded)
  } finally {
    statement.destroySync()
  }
}

/** No columns where their types depend on parameters: DuckDB knows none before these are given. */
export async function describe(
  database: EngineDatabase,
  lease: Lease,
  request: ProcessStatement,
): Promise<PreparedAnswer> {
  const { statement } = await prepare(database, lease, request)
  const columns: Column[] = []
  for (let index = 0; index < statement.columnCount; index++) {
    const known = statement.columnTypeId(index) !== DuckDBTypeId.INVALID
    columns.push({
      name: statement.columnName(index),
      type: known ? statement.columnType(index).toString() : 'UNKNOWN',
    })
  }
  const answer = { parameterCount: statement.parameterCount, columns }
  statement.destroySync()
  return answer
}

/** As DuckDB itself calls it: `JSON` where the type is an alias. */
export function typeName(type: DuckDBType): string {
  return type.alias ?? type.toString()
}

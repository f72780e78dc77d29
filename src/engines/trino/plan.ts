/** What Trino says of a statement without running it. */
import type { EstimateAnswer, PreparedAnswer, StatementRequest } from '../contract.ts'
import type { TrinoRow } from './protocol.ts'
import { firstWord, textOf } from './statement.ts'
import { nameOfType } from './types.ts'

/** Runs a statement of ours to its end, and gives its rows. */
export type AskAll = (
  sql: string,
  request: StatementRequest,
  headers?: Readonly<Record<string, string>>,
) => Promise<readonly TrinoRow[]>

const plannable = new Set([
  'SELECT',
  'WITH',
  'VALUES',
  'TABLE',
  '(',
  'INSERT',
  'UPDATE',
  'DELETE',
  'MERGE',
  'CREATE',
  'EXECUTE',
])
/** Of a session of ours: nobody else's statement bears it. */
const preparedName = 'lens_statement'

interface PlanEstimate {
  readonly outputRowCount?: number | string
}
interface IoPlan {
  readonly inputTableColumnInfos?: readonly { readonly estimate?: PlanEstimate }[]
  readonly estimate?: PlanEstimate
}

/** `cost`: rows that are read, by the planner's statistics, or rows that come out where those are more. */
export async function estimate(askAll: AskAll, request: StatementRequest): Promise<EstimateAnswer> {
  const text = textOf(request)
  if (!plannable.has(firstWord(request.sql))) return { cost: 0, rows: null }
  const [row] = await askAll(`EXPLAIN (TYPE IO, FORMAT JSON) ${text}`, request)
  const plan = JSON.parse(String(row?.[0] ?? '{}')) as IoPlan
  const read = (plan.inputTableColumnInfos ?? []).reduce((sum, { estimate }) => sum + count(estimate), 0)
  const out = count(plan.estimate)
  const isKnown = Number.isFinite(Number(plan.estimate?.outputRowCount ?? Number.NaN))
  return { cost: Math.round(Math.max(read, out)), rows: isKnown ? Math.round(out) : null }
}

export async function explain(askAll: AskAll, request: StatementRequest): Promise<string> {
  return (await askAll(`EXPLAIN ${textOf(request)}`, request)).map(([line]) => String(line)).join('\n')
}

export async function prepare(askAll: AskAll, request: StatementRequest): Promise<PreparedAnswer> {
  const text = textOf({ sql: request.sql, parameters: [] })
  const headers = { 'x-trino-prepared-statement': `${preparedName}=${encodeURIComponent(text)}` }
  const [inputs, outputs] = await Promise.all([
    askAll(`DESCRIBE INPUT ${preparedName}`, request, headers),
    askAll(`DESCRIBE OUTPUT ${preparedName}`, request, headers),
  ])
  return {
    parameterCount: inputs.length,
    columns: outputs.map(([name, , , , type]) => ({ name: String(name), type: nameOfType(String(type)) })),
  }
}

/** A planner's number may be NaN, which its JSON writes as text. */
function count(given: PlanEstimate | undefined): number {
  const value = Number(given?.outputRowCount ?? 0)
  return Number.isFinite(value) ? value : 0
}

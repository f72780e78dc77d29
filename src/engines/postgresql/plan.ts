/** What the planner says of a statement, without running it. */
import type { Client } from 'pg'
import { EngineError, type EstimateAnswer, type PreparedAnswer, type StatementRequest } from '../contract.ts'
import type { Connections } from './connections.ts'
import { type Description, describe, Execution } from './conversation.ts'
import { statementError, stateOf } from './failures.ts'
import { parameterTexts } from './parameters.ts'
import { beginStatement, type CheckedStatement } from './statement.ts'
import type { TypeCatalogue } from './types.ts'

export interface PlanOptions {
  readonly engine: string
  readonly connections: Connections
  readonly catalogue: TypeCatalogue
}

const plannable = new Set(['SELECT', 'WITH', 'VALUES', 'TABLE', '(', 'INSERT', 'UPDATE', 'DELETE', 'MERGE'])
/** The planner's unit is a page read one after the other; by its own default a row handled costs a hundredth of that. */
const rowsPerUnit = 100
/** Who asks for a plan does not wait for tables that are being altered, and keeps nobody else from asking. */
const lockMs = 1_000
/** Nor for ever for a plan; less than after which a server that is silent is taken for one that is away. */
const planMs = 5_000
/** Somebody else's lock, or our patience. */
const lateStates = ['55P03', '57014']
const unknown: EstimateAnswer = { cost: 0, rows: null }

interface PlanNode {
  readonly 'Total Cost': number
  readonly 'Plan Rows': number
}

/**
 * `cost`: the planner's total, in rows handled, which is what the cost of the other engines counts too. What has no plan, waits
 * for somebody's lock to be planned, or is planned for too long, costs nothing that anybody could know.
 */
export async function estimate(
  options: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
): Promise<EstimateAnswer> {
  try {
    if (!plannable.has(checked.words.first[0] ?? '')) {
      await prepare(options, request, checked)
      return unknown
    }
    const lines = await planned(options, request, checked, 'EXPLAIN (FORMAT JSON) ')
    const [{ Plan: plan }] = JSON.parse(lines.join('\n')) as [{ Plan: PlanNode }]
    return { cost: Math.round(plan['Total Cost'] * rowsPerUnit), rows: plan['Plan Rows'] }
  } catch (error) {
    if (error instanceof EngineError && lateStates.includes(stateOf(error.cause) ?? '')) return unknown
    throw error
  }
}

export async function explain(
  options: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
): Promise<string> {
  return (await planned(options, request, checked, 'EXPLAIN ')).join('\n')
}

/** What the server says of a statement's parameters and columns: nothing is planned, nothing runs. */
export async function prepare(
  options: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
): Promise<PreparedAnswer> {
  const { catalogue } = options
  return described(options, request, checked, '', async (_, { parameters, fields }) => ({
    parameterCount: parameters.length,
    columns: fields.map(field => catalogue.columnOf(field)),
  }))
}

/** The lines of the plan. */
function planned(
  options: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
  prefix: string,
): Promise<readonly string[]> {
  return described(options, request, checked, prefix, async (client, { parameters }) => {
    const execution = new Execution(client, parameterTexts(request.parameters, parameters, options.catalogue))
    execution.start()
    const lines: string[] = []
    for (let rows = await execution.next(); rows; rows = await execution.next())
      for (const [line] of rows) lines.push(line ?? '')
    return lines
  })
}

/** Writes nothing, whatever the statement is: what would have to run outside a transaction is only described. */
function described<T>(
  { engine, connections, catalogue }: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
  prefix: string,
  answer: (client: Client, description: Description) => Promise<T>,
): Promise<T> {
  return connections.ask(async ({ client }) => {
    try {
      const settings = { lock_timeout: `${lockMs}`, ...checked.settings, statement_timeout: `${planMs}` }
      const readOnly = { ...checked, settings, mode: 'read-only', isChosen: true } as const
      await beginStatement({ client, request, checked: readOnly })
      const description = await describe(client, prefix + checked.sql)
      await catalogue.learn([...description.parameters, ...description.fields.map(field => field.dataTypeID)])
      return await answer(client, description)
    } catch (error) {
      throw await statementError(client, error, engine, 'prepare', { sql: checked.sql, prefixed: prefix.length })
    } finally {
      await client.query('ROLLBACK').catch(() => {})
    }
  })
}

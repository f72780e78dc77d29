/** What the planner says of a statement, without running it. */
import { EngineError, type EstimateAnswer, type PreparedAnswer, type StatementRequest } from '../contract.ts'
import type { Connections, Lease, Row } from './connections.ts'
import { type Description, describe } from './conversation.ts'
import { bound } from './execution.ts'
import { engineError, errorNumbers, numberOf, takesNoWrites } from './failures.ts'
import { beginStatement, type CheckedStatement } from './statement.ts'
import { columnsOf } from './types.ts'

export interface PlanOptions {
  readonly engine: string
  readonly connections: Connections
}

const unknown: EstimateAnswer = { cost: 0, rows: null }
const plannable = new Set(['SELECT', 'WITH', 'VALUES', 'TABLE', '(', 'INSERT', 'REPLACE', 'UPDATE', 'DELETE'])

/**
 * `cost`: rows handled, which is what the cost of the other engines counts too. What has no plan costs nothing that anybody could
 * know.
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
    return costOf(
      await planned(options, request, checked, isMariaDb =>
        isMariaDb ? 'EXPLAIN EXTENDED ' : 'EXPLAIN FORMAT=TRADITIONAL ',
      ),
    )
  } catch (error) {
    // Somebody changes the table just now; or the server does not even plan a write, which its submission says better.
    const cause = error instanceof EngineError ? error.cause : error
    if (numberOf(cause) === errorNumbers.lockWait || takesNoWrites(cause, options.engine)) return unknown
    throw error
  }
}

/** Within a select every row of a table meets those of the next one. */
function costOf(steps: readonly Row[]): EstimateAnswer {
  const bySelect = new Map<string, { rows: number; cost: number }>()
  for (const step of steps) {
    const rows = Number(step.rows ?? 0)
    const select = String(step.id)
    const before = bySelect.get(select) ?? { rows: 1, cost: 0 }
    const met = before.rows * rows
    const kept = met * (Number(step.filtered ?? 100) / 100)
    bySelect.set(select, { rows: kept, cost: before.cost + met })
  }
  const selects = [...bySelect.values()]
  const cost = selects.reduce((sum, select) => sum + select.cost, 0)
  return { cost: Math.round(cost), rows: Math.round(selects[0]?.rows ?? 0) }
}

/** MySQL's tree; MariaDB's JSON, which says more than its table. */
export async function explain(
  options: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
): Promise<string> {
  const form = (isMariaDb: boolean) => `EXPLAIN FORMAT=${isMariaDb ? 'JSON' : 'TREE'} `
  const rows = await planned(options, request, checked, form)
  return rows.map(row => Object.values(row).join(' ')).join('\n')
}

/** What the server says of a statement's parameters and columns: nothing is planned, nothing runs. */
export function prepare(
  options: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
): Promise<PreparedAnswer> {
  return described(
    options,
    request,
    checked,
    () => '',
    async (_, { parameterCount, fields }) => ({ parameterCount, columns: columnsOf(fields) }),
  )
}

/** The rows of the plan. */
function planned(
  options: PlanOptions,
  request: StatementRequest,
  checked: CheckedStatement,
  prefixFor: (isMariaDb: boolean) => string,
): Promise<readonly Row[]> {
  return described(options, request, checked, prefixFor, ({ client, backend }, description) => {
    const values = [...bound(request.parameters, description)] as string[]
    const sql = prefixFor(backend.isMariaDb) + checked.sql
    return new Promise<readonly Row[]>((resolve, reject) =>
      client.execute({ sql, values }, (error, rows) => (error ? reject(error) : resolve(rows as readonly Row[]))),
    )
  })
}

/** Runs nothing, whatever the statement is. */
function described<T>(
  { engine, connections }: PlanOptions,
  request: StatementRequest,
  { sql, words, settings, mode: runsAs }: CheckedStatement,
  prefixFor: (isMariaDb: boolean) => string,
  answer: (lease: Lease, description: Description) => Promise<T>,
): Promise<T> {
  return connections.ask(async lease => {
    try {
      // In a read-only transaction the server would refuse even to plan a write; this one is never committed.
      const mode = runsAs === 'read-only' ? runsAs : 'transaction'
      await beginStatement({ lease, request, settings, mode, lock: null })
      return await answer(lease, await describe(lease.client, prefixFor(lease.backend.isMariaDb) + sql))
    } catch (error) {
      throw engineError(error, engine, 'prepare', words.isSeveral)
    }
  })
}

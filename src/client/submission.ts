/** What the two ways to submit share: a statement's text, and the execution of a prepared one. */
import type { ExecutionBody, SubmitBody } from '../api/v1/wire.ts'
import type { Connection } from './connection.ts'
import { QueryHandle } from './handle.ts'
import { Rows } from './rows.ts'

export interface ExecuteOptions extends Omit<ExecutionBody, 'mode' | 'operation' | 'timeoutMs' | 'parameters'> {
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

/** Submits and makes a handle of whatever was answered. */
export async function submitted(
  connection: Connection,
  path: string,
  body: SubmitBody | ExecutionBody,
  idempotencyKey: string = connection.settings.random.uuid(),
  signal?: AbortSignal,
): Promise<QueryHandle> {
  const answer = await connection.submit(path, body, idempotencyKey, signal)
  const query = 'query' in answer ? answer.query : answer
  return new QueryHandle(connection, query.handle, query)
}

/** Rows of a query that is submitted when they are first asked for; an abort of `signal` cancels it. */
export function rowsOf(connection: Connection, submit: () => Promise<QueryHandle>, signal?: AbortSignal): Rows {
  const ended = async () => {
    const handle = await submit()
    try {
      return await handle.rows({ signal }).query
    } catch (error) {
      // Nobody waits for the cancel: whoever aborted wants to go on.
      if (signal?.aborted) handle.cancel().catch(() => {})
      throw error
    }
  }
  return new Rows(ended, (handle, offset) => connection.page(handle, offset, signal))
}

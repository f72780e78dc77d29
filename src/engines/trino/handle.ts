/**
 * Where a query of Trino goes on: what must be durable before the address is asked. Each answer is kept by the server until the next
 * one is asked for, and gone from then on.
 */
import type { EngineHandle } from '../../domain/index.ts'

export interface Position {
  readonly queryId: string
  /** Asked next. */
  readonly nextUri: string
  /** How many answers were taken before; 0: nothing has begun. */
  readonly step: number
  /** Rows in those answers. */
  readonly rows: number
}

export function handleOf({ queryId, nextUri, step, rows }: Position): EngineHandle {
  return { engine: 'trino', queryId, nextUri, step, rows }
}

/** null for what is no handle of this driver. */
export function positionOf(handle: EngineHandle): Position | null {
  const { engine, queryId, nextUri, step, rows } = handle
  if (engine !== 'trino' || typeof queryId !== 'string' || typeof nextUri !== 'string') return null
  if (!URL.canParse(nextUri)) return null
  return { queryId, nextUri, step: Number(step), rows: Number(rows) }
}

/** Trino's errors, and those of the way to it, in the terms of the failure policy. */
import { EngineError } from '../contract.ts'
import type { TrinoError } from './protocol.ts'

/** The engine's own troubles, under which a statement is no worse than before. */
const away = new Set(['SERVER_STARTING_UP', 'SERVER_SHUTTING_DOWN', 'NO_NODES_AVAILABLE', 'REMOTE_TASK_ERROR'])
/** Of the statement's text, though Trino finds them while it runs. */
const canceled = new Set(['USER_CANCELED', 'ADMINISTRATIVELY_KILLED'])
/** User errors of the data, not of the text. */
const running = new Set([
  ...['DIVISION_BY_ZERO', 'NUMERIC_VALUE_OUT_OF_RANGE', 'INVALID_CAST_ARGUMENT', 'GENERIC_USER_ERROR'],
  ...[
    'INVALID_FUNCTION_ARGUMENT',
    'SUBQUERY_MULTIPLE_ROWS',
    'CONSTRAINT_VIOLATION',
    'MERGE_TARGET_ROW_MULTIPLE_MATCHES',
  ],
  ...['EXCEEDED_TIME_LIMIT', 'EXCEEDED_CPU_LIMIT', 'EXCEEDED_SCAN_LIMIT', 'ABANDONED_QUERY', 'QUERY_REJECTED'],
])

export function unavailable(engine: string, cause?: unknown): EngineError {
  return new EngineError('unavailable', `The engine ${engine} cannot be reached.`, { cause })
}

export function failureOf(error: TrinoError): EngineError {
  const { errorName, errorType, message, errorLocation } = error
  const place =
    errorLocation && !message.startsWith('line ')
      ? ` (line ${errorLocation.lineNumber}:${errorLocation.columnNumber})`
      : ''
  const text = `${errorName === 'SYNTAX_ERROR' ? 'Syntax error: ' : ''}${message}${place}`
  if (canceled.has(errorName)) return new EngineError('canceled', text)
  if (away.has(errorName)) return new EngineError('unavailable', text)
  return new EngineError(errorType === 'USER_ERROR' && !running.has(errorName) ? 'sql-invalid' : 'failed', text)
}

/** DuckDB's errors in the terms of the failure policy, and their messages without what a client must not see. */
import { EngineError, type EngineFailure } from '../contract.ts'

/** Kinds of error that say that the statement, not its execution, is wrong. */
const statementErrors =
  /^(?:Parser|Syntax|Binder|Catalog|Permission|Not implemented|Invalid Type|Dependency|Parameter Not (?:Resolved|Allowed)|Expression) Error|^Not implemented/i

/** After these the database refuses every further statement: its process has to be replaced. */
export function isFatal(error: unknown): boolean {
  return /^FATAL Error|database has been invalidated/i.test(messageOf(error))
}

/** `phase` says how far the statement had come; `linesAdded` turns DuckDB's line numbers into those of `sql`. */
export function engineError(error: unknown, phase: 'prepare' | 'run', sql: string, linesAdded = 0): EngineError {
  if (error instanceof EngineError) return error
  const message = messageOf(error)
  const exhausted = /^(?:Out of Memory|IO|INTERNAL|FATAL|INTERRUPT)\b/i.test(message)
  const failure: EngineFailure =
    (phase === 'prepare' && !exhausted) || statementErrors.test(message) ? 'sql-invalid' : 'failed'
  return new EngineError(failure, withoutPaths(withLines(message, linesAdded), sql))
}

function withLines(message: string, added: number): string {
  return message.replace(/(?<=\n\nLINE )\d+(?=: )/, line => `${Number(line) + added}`)
}

/** Absolute paths that the statement itself does not contain are the server's. */
export function withoutPaths(message: string, sql: string): string {
  const text = message.split(/\n\s*Stack Trace:/)[0] ?? ''
  return text.replace(/(?<![\w.])(?:\/[\w.@+~%-]+){2,}\/?/g, path => (sql.includes(path) ? path : '…'))
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/^Failed to (?:extract statements|prepare): /, '')
}

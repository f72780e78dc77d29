/** PostgreSQL's errors, and those of the way to it, in the terms of the failure policy. */
import type { Client } from 'pg'
import { EngineError, type EngineFailure } from '../contract.ts'

/** What the server sends with an error; of `pg`'s `DatabaseError` only what is read here. */
interface ServerError {
  readonly code: string
  readonly message: string
  readonly detail?: string
  readonly hint?: string
  /** In characters from 1. */
  readonly position?: string
  readonly routine?: string
  readonly table?: string
}

export interface StatementText {
  readonly sql: string
  /** Characters of ours before `sql` in the text that the server was given. */
  readonly prefixed: number
}

const noText: StatementText = { sql: '', prefixed: 0 }

/** SQLSTATE classes that say that the statement, not its execution, is wrong. */
const statementClasses = new Set(['0A', '26', '34', '3D', '3F', '42'])
/** The server ends the connection or lets none in. */
const awayStates = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '53300'])

/** True when the server answered, so that the connection is still good for something. */
export function isServerError(error: unknown): error is Error & ServerError {
  return error instanceof Error && 'severity' in error && typeof (error as { code?: unknown }).code === 'string'
}

export function stateOf(error: unknown): string | null {
  return isServerError(error) ? error.code : null
}

export function isAway(error: unknown): boolean {
  if (error instanceof EngineError) return error.failure === 'unavailable'
  if (!isServerError(error)) return true
  return awayStates.has(error.code) || error.code.startsWith('08') || error.code.startsWith('28')
}

export function unavailable(engine: string, cause?: unknown): EngineError {
  return new EngineError('unavailable', `The engine ${engine} cannot be reached.`, { cause })
}

/**
 * The statement's transaction could not begin, because a standby takes no writes: `transaction_read_only` does not let itself be changed. It
 * may be promoted soon, or another engine of the group writes.
 */
export function takesNoWrites(error: unknown, engine: string): EngineError | null {
  if (!isServerError(error) || error.code !== '0A000' || error.routine !== 'call_bool_check_hook') return null
  return new EngineError('unavailable', `The engine ${engine} takes no writes: ${error.message}`, {
    cause: error,
  })
}

/** `phase`: whether the statement was being checked or had begun. */
export function engineError(
  error: unknown,
  engine: string,
  phase: 'prepare' | 'run',
  text: StatementText = noText,
): EngineError {
  if (error instanceof EngineError) return error
  if (!isServerError(error) || isAway(error)) return unavailable(engine, error)
  if (error.code === '42601' && error.routine === 'exec_parse_message')
    return new EngineError('sql-invalid', 'Several statements in one text are not allowed.', { cause: error })
  return new EngineError(failureOf(error.code, phase), messageOf(error, text), { cause: error })
}

/**
 * The same of an error of a statement on its connection. A statement may give its errors any code, and one that reads from another
 * server tells what became of the way to that one: only a server that answers no more on the connection is away itself. Never rejects.
 */
export async function statementError(
  client: Client,
  error: unknown,
  engine: string,
  phase: 'prepare' | 'run',
  text: StatementText,
): Promise<EngineError> {
  const said = engineError(error, engine, phase, text)
  if (said.failure !== 'unavailable' || !isServerError(error)) return said
  const answers = await client.query('SELECT 1').then(
    () => true,
    (refusal: unknown) => isServerError(refusal) && !isAway(refusal),
  )
  return answers ? new EngineError(failureOf(error.code, phase), messageOf(error, text), { cause: error }) : said
}

function failureOf(code: string, phase: 'prepare' | 'run'): EngineFailure {
  if (statementClasses.has(code.slice(0, 2))) return 'sql-invalid'
  const exhausted = /^(?:53|54|55|57|58|XX)/.test(code)
  return phase === 'prepare' && !exhausted ? 'sql-invalid' : 'failed'
}

function messageOf(error: ServerError, text: StatementText): string {
  const parts = [error.message + place(error, text)]
  if (error.detail) parts.push(`DETAIL: ${error.detail}`)
  const hint = hintFor(error.code) ?? error.hint
  if (hint) parts.push(`HINT: ${hint}`)
  return parts.join('\n')
}

function hintFor(code: string): string | null {
  if (code === '25006')
    return 'It ran in a read-only transaction. With the property lens.transaction set to transaction it may write.'
  if (code === '25001' || code === '2D000')
    return 'With the property lens.transaction set to none it runs outside a transaction; then nobody can tell what became of it if its node dies.'
  return null
}

/** The line and a mark under the place, as psql shows them. */
function place({ position }: ServerError, { sql, prefixed }: StatementText): string {
  const at = Number(position ?? Number.NaN) - prefixed
  if (!Number.isSafeInteger(at) || at < 1) return ''
  // The server counts characters, not the units of UTF-16.
  const before = [...sql].slice(0, at - 1).join('')
  const lineStart = before.lastIndexOf('\n') + 1
  const line = sql.slice(lineStart).split('\n', 1)[0] ?? ''
  const label = `LINE ${before.split('\n').length}: `
  return `\n\n${label}${line}\n${' '.repeat(label.length + before.length - lineStart)}^`
}

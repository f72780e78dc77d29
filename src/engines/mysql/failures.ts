/** MySQL's errors, and those of the way to it, in the terms of the failure policy. */
import { EngineError, type EngineFailure } from '../contract.ts'

interface ServerError {
  readonly errno: number
  readonly sqlState: string
  readonly sqlMessage: string
  readonly fatal?: boolean
}

/** The server ends the connection, lets none in, or does not know us. */
const away = new Set([1040, 1053, 1077, 1079, 1080, 1129, 1130, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 3032])
/** No room, no memory, no lock: nothing that the statement's text could help. */
const exhausted = new Set([1021, 1037, 1038, 1041, 1114, 1135, 1205, 1213, 1614, 3024, 1969])
export const errorNumbers = {
  syntax: 1064,
  unknownDatabase: 1049,
  unknownThread: 1094,
  noTable: 1146,
  duplicate: 1062,
  notPreparable: 1295,
  readOnlyTransaction: 1792,
  interrupted: 1317,
  unknownVariable: 1193,
  lockWait: 1205,
  /** By an option of the server. */
  prevented: 1290,
  readOnlyServer: 1836,
} as const

/** True when the server answered, so that the connection is still good for something. */
export function isServerError(error: unknown): error is Error & ServerError {
  if (!(error instanceof Error)) return false
  const { errno, sqlState, sqlMessage } = error as Partial<ServerError>
  return typeof errno === 'number' && typeof sqlState === 'string' && typeof sqlMessage === 'string'
}

export function numberOf(error: unknown): number | null {
  return isServerError(error) ? error.errno : null
}

export function isAway(error: unknown): boolean {
  if (error instanceof EngineError) return error.failure === 'unavailable'
  return !isServerError(error) || away.has(error.errno) || error.fatal === true
}

export function unavailable(engine: string, cause?: unknown): EngineError {
  return new EngineError('unavailable', `The engine ${engine} cannot be reached.`, { cause })
}

/** A replica, or a server that is about to become one. It may be promoted soon, or another engine of the group writes. */
export function takesNoWrites(error: unknown, engine: string): EngineError | null {
  if (!isServerError(error)) return null
  const { errno, sqlMessage } = error
  if (errno !== errorNumbers.readOnlyServer && !(errno === errorNumbers.prevented && /read.only/i.test(sqlMessage)))
    return null
  return new EngineError('unavailable', `The engine ${engine} takes no writes: ${sqlMessage}`, { cause: error })
}

/** `phase`: whether the statement was being checked or had begun. `isSeveral`: something follows a semicolon in its text. */
export function engineError(error: unknown, engine: string, phase: 'prepare' | 'run', isSeveral = false): EngineError {
  if (error instanceof EngineError) return error
  if (!isServerError(error) || isAway(error)) return unavailable(engine, error)
  if (error.errno === errorNumbers.syntax && isSeveral)
    return new EngineError('sql-invalid', 'Several statements in one text are not allowed.', { cause: error })
  return new EngineError(failureOf(error, phase), messageOf(error), { cause: error })
}

function failureOf({ errno, sqlState }: ServerError, phase: 'prepare' | 'run'): EngineFailure {
  if (exhausted.has(errno) || errno === errorNumbers.readOnlyTransaction) return 'failed'
  return phase === 'prepare' || sqlState.startsWith('42') ? 'sql-invalid' : 'failed'
}

/** The server says of every syntax error which manual to read. */
function messageOf({ errno, sqlMessage }: ServerError): string {
  if (errno === errorNumbers.syntax)
    return sqlMessage.replace(
      /^You have an error in your SQL syntax; check the manual .*? to use near /s,
      'Syntax error near ',
    )
  if (errno === errorNumbers.readOnlyTransaction)
    return `${sqlMessage}\nHINT: It ran in a read-only transaction. With the property lens.transaction set to transaction or none it may write.`
  return sqlMessage
}

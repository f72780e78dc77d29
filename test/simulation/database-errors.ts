/** Errors as `mysql2` gives them, so that the store's table of failures decides about them as in production. */

export interface MySqlError extends Error {
  errno?: number
  code: string
  sqlState?: string
  fatal: boolean
}

const known: Readonly<Record<number, readonly [code: string, sqlState: string, message: string]>> = {
  1047: ['ER_UNKNOWN_COM_ERROR', '08S01', 'WSREP has not yet prepared node for application use'],
  1062: ['ER_DUP_ENTRY', '23000', 'Duplicate entry'],
  1094: ['ER_NO_SUCH_THREAD', 'HY000', 'Unknown thread id'],
  1205: ['ER_LOCK_WAIT_TIMEOUT', 'HY000', 'Lock wait timeout exceeded; try restarting transaction'],
  1213: ['ER_LOCK_DEADLOCK', '40001', 'Deadlock found when trying to get lock; try restarting transaction'],
  1290: ['ER_OPTION_PREVENTS_STATEMENT', 'HY000', 'The server is running with the --read-only option'],
}

/** What the server says of a statement; the connection stays. */
export function serverError(errno: number, cause?: unknown): MySqlError {
  const [code, sqlState, message] = known[errno] ?? ['ER_UNKNOWN_ERROR', 'HY000', `error ${errno}`]
  return Object.assign(new Error(message, { cause }), { errno, code, sqlState, sqlMessage: message, fatal: false })
}

export function connectionLost(): MySqlError {
  return fatal('PROTOCOL_CONNECTION_LOST', 'Connection lost: The server closed the connection.')
}

export function connectionRefused(): MySqlError {
  return fatal('ECONNREFUSED', 'connect ECONNREFUSED')
}

export function connectionTimedOut(): MySqlError {
  return fatal('ETIMEDOUT', 'connect ETIMEDOUT')
}

/** As mysql2 refuses a statement on a connection that is gone: with neither number nor useful code. */
export function connectionClosed(): MySqlError {
  return fatal('', "Can't add new command when connection is in closed state")
}

function fatal(code: string, message: string): MySqlError {
  return Object.assign(new Error(message), { code, fatal: true })
}

const sqliteConstraint = 19

/** SQLite's word for a row that is there already, as MySQL says it; every other error as it is: a defect. */
export function fromSqlite(error: unknown): unknown {
  const { errcode, message } = error as { errcode?: number; message?: string }
  if (errcode === undefined || (errcode & 0xff) !== sqliteConstraint || !message?.includes('UNIQUE')) return error
  return serverError(1062, error)
}

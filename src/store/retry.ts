/**
 * Which of the databases' errors are worth another attempt, and after how long: one table. Whatever is not in it is a
 * defect of ours and is not repeated.
 */

export type FailureClass =
  /** The transaction was rolled back by the server: begin it again. */
  | 'conflict'
  /** The server cannot be reached, or cannot be written for now. */
  | 'unreachable'
  /** A row was there already: ours from an attempt whose answer was lost, or a race; the caller looks. */
  | 'duplicate'
  /** Not for repetition. */
  | 'defect'

/** First delay and its bound, in milliseconds; doubles with each attempt. */
export const retryDelays: Readonly<Record<'conflict' | 'unreachable', { firstMs: number; limitMs: number }>> = {
  conflict: { firstMs: 2, limitMs: 50 },
  unreachable: { firstMs: 20, limitMs: 250 },
}

/** MySQL's number for a lock, of a row or of a whole table, that was not to be had in time. */
export const lockWaitTimeout = 1205

/** MySQL's number for a row that is not as it was read. */
export const changedSinceRead = 1020

/** MySQL's and MariaDB's error numbers. */
const mysqlErrors: Readonly<Record<number, FailureClass>> = {
  1213: 'conflict', // deadlock, or a lost certification
  [lockWaitTimeout]: 'conflict',
  3572: 'conflict', // lock not at once available
  3101: 'conflict', // rolled back by the group
  1180: 'conflict', // commit refused
  [changedSinceRead]: 'conflict',
  1047: 'unreachable', // not a member of the cluster's majority
  1290: 'unreachable', // read only
  1836: 'unreachable', // read only
  1792: 'unreachable', // read only transaction
  1040: 'unreachable', // too many connections
  1203: 'unreachable',
  1226: 'unreachable',
  1053: 'unreachable', // shutdown in progress
  1077: 'unreachable',
  1079: 'unreachable',
  1080: 'unreachable',
  1152: 'unreachable', // aborted connection
  1158: 'unreachable',
  1159: 'unreachable',
  1160: 'unreachable',
  1161: 'unreachable',
  1184: 'unreachable',
  1317: 'unreachable', // interrupted
  1927: 'unreachable', // connection was killed
  1969: 'unreachable',
  3024: 'unreachable',
  3168: 'unreachable', // server is starting or stopping
  3169: 'unreachable', // session was killed
  4031: 'unreachable', // disconnected for inactivity
  1021: 'unreachable', // disk full
  1114: 'unreachable', // table full
  1044: 'unreachable', // access denied: credentials are being changed, or wrong from the start
  1045: 'unreachable',
  1049: 'unreachable', // unknown database
  1698: 'unreachable',
  1062: 'duplicate',
}

/** Result codes of SQLite, without the extension. */
const sqliteErrors: Readonly<Record<number, FailureClass>> = {
  5: 'conflict', // SQLITE_BUSY
  6: 'conflict', // SQLITE_LOCKED
  8: 'unreachable', // SQLITE_READONLY
  10: 'unreachable', // SQLITE_IOERR
  13: 'unreachable', // SQLITE_FULL
  14: 'unreachable', // SQLITE_CANTOPEN
  15: 'unreachable', // SQLITE_PROTOCOL
}
const sqliteConstraint = 19

/** How the driver and the network name a connection that is gone or was never made. */
const lostConnection = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_PACKETS_OUT_OF_ORDER',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ERR_SOCKET_CLOSED',
])

export function isLockWaitTimeout(error: unknown): boolean {
  return (error as { errno?: unknown } | null)?.errno === lockWaitTimeout
}

export function failureClass(error: unknown): FailureClass {
  if (typeof error !== 'object' || error === null) return 'defect'
  const { errno, code, errcode, fatal, message } = error as {
    errno?: unknown
    code?: unknown
    errcode?: unknown
    fatal?: unknown
    message?: unknown
  }
  if (typeof errcode === 'number') {
    const primary = errcode & 0xff
    if (primary === sqliteConstraint) return String(message).includes('UNIQUE') ? 'duplicate' : 'defect'
    return sqliteErrors[primary] ?? 'defect'
  }
  if (typeof code === 'string' && lostConnection.has(code)) return 'unreachable'
  if (typeof errno === 'number' && mysqlErrors[errno]) return mysqlErrors[errno]
  // mysql2 marks what ends a connection; some of these carry neither number nor code ("closed state").
  if (fatal === true) return 'unreachable'
  return 'defect'
}

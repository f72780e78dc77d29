/** The words: statuses and their legal moves as Apache Lens has them, and one catalogue of errors. */
import test from 'ava'
import {
  errorCatalogue,
  finishedStatuses,
  holdsSlot,
  isErrorCode,
  isFinished,
  LensError,
  legalMoves,
  QueryStatus,
  unfinishedStatuses,
} from '../../src/domain/index.ts'

test('legal moves are those of Apache Lens, and unfinished states may be left as they are', t => {
  const lens: Record<QueryStatus, string[]> = {
    NEW: ['QUEUED'],
    QUEUED: ['LAUNCHED', 'FAILING', 'CANCELED'],
    LAUNCHED: ['LAUNCHED', 'RUNNING', 'CANCELED', 'FAILING', 'EXECUTED'],
    RUNNING: ['RUNNING', 'CANCELED', 'FAILING', 'EXECUTED'],
    EXECUTED: ['EXECUTED', 'SUCCESSFUL', 'FAILING', 'CANCELED'],
    FAILING: ['QUEUED', 'FAILED'],
    FAILED: ['CLOSED'],
    CANCELED: ['CLOSED'],
    SUCCESSFUL: ['CLOSED'],
    CLOSED: [],
  }
  for (const status of Object.values(QueryStatus)) {
    const expected = new Set(lens[status])
    // A change of owner is a transition of its own.
    if ((unfinishedStatuses as readonly string[]).includes(status)) expected.add(status)
    t.deepEqual([...legalMoves[status]].sort(), [...expected].sort(), status)
  }
})

test('every status but NEW is finished or unfinished, and only launched ones hold a slot', t => {
  t.deepEqual([...finishedStatuses, ...unfinishedStatuses, 'NEW'].sort(), Object.keys(QueryStatus).sort())
  t.deepEqual(Object.values(QueryStatus).filter(isFinished), [...finishedStatuses])
  t.deepEqual(Object.values(QueryStatus).filter(holdsSlot), ['LAUNCHED', 'RUNNING', 'EXECUTED'])
})

test('the catalogue holds every code of the wire contract with its status', t => {
  const statuses: Record<number, string[]> = {
    400: ['REQUEST_INVALID', 'SQL_INVALID'],
    401: ['SESSION_INVALID', 'UNAUTHENTICATED'],
    403: ['FORBIDDEN'],
    404: ['NOT_FOUND'],
    409: ['CONFLICT', 'RESULT_NOT_READY'],
    410: ['RESULT_EXPIRED'],
    413: ['TOO_LARGE'],
    429: ['SESSION_LIMIT', 'RATE_LIMITED', 'QUEUE_FULL'],
    503: ['NODE_STOPPING', 'STORE_UNAVAILABLE', 'ENGINE_UNAVAILABLE'],
  }
  for (const [status, codes] of Object.entries(statuses))
    for (const code of codes) t.is(String(isErrorCode(code) && errorCatalogue[code].status), status, code)
  const inFailedQueries = [
    'EXECUTION_FAILED',
    'EXECUTION_UNKNOWN',
    'NODE_LOST',
    'RECOVERY_FAILED',
    'DEADLINE_EXCEEDED',
    'RESULT_TOO_LARGE',
  ]
  for (const code of inFailedQueries) t.is(isErrorCode(code) && errorCatalogue[code].status, null, code)
  for (const code of ['toString', '__proto__', '', 'session_invalid']) t.false(isErrorCode(code), code)
})

test('a repetition that could execute twice is never called retryable', t => {
  for (const code of ['EXECUTION_UNKNOWN', 'RECOVERY_FAILED', 'EXECUTION_FAILED', 'DEADLINE_EXCEEDED'] as const)
    t.false(new LensError(code, 'x').retryable, code)
  t.true(new LensError('STORE_UNAVAILABLE', 'x').retryable)
  t.false(new LensError('STORE_UNAVAILABLE', 'x', { retryable: false }).retryable)
  const cause = new Error('inner')
  const error = new LensError('QUEUE_FULL', 'full', { retryAfterMs: 5, handle: 'h', cause })
  t.like(error, {
    code: 'QUEUE_FULL',
    detail: 'full',
    retryAfterMs: 5,
    handle: 'h',
    message: 'QUEUE_FULL: full',
    name: 'LensError',
  })
  t.is(error.cause, cause)
})

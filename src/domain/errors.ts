/**
 * The one catalogue of errors: code, HTTP status, whether a repetition can help, and the text. Front doors, the failed
 * queries' `error` and the documentation are made from it; nothing else in the project invents a code.
 */

export interface CatalogueEntry {
  /** HTTP status; null for a code that only stands in a failed query's `error`. */
  readonly status: number | null
  /** Whether repeating the same call can succeed without executing anything twice. Some throws narrow it per case. */
  readonly retryable: boolean
  /** Short and stable: `title` of the problem document. */
  readonly title: string
  /** When it is answered: for the documentation. */
  readonly when: string
}

export const errorCatalogue = {
  SESSION_INVALID: {
    status: 401,
    retryable: false,
    title: 'Invalid session',
    when: 'The session is unknown, closed or expired, or its secret is wrong: one answer for all.',
  },
  UNAUTHENTICATED: {
    status: 401,
    retryable: false,
    title: 'Not authenticated',
    when: 'The call carries no credentials, or ones that cannot be read.',
  },
  FORBIDDEN: {
    status: 403,
    retryable: false,
    title: 'Not allowed',
    when: 'The user is known but may not do this; only admins may.',
  },
  SESSION_LIMIT: {
    status: 429,
    retryable: true,
    title: 'Too many sessions',
    when: 'The user has as many open sessions as `limits.sessionsPerUser` allows in the cluster.',
  },
  RATE_LIMITED: {
    status: 429,
    retryable: true,
    title: 'Too many requests',
    when: 'The user or address sends more than its share.',
  },
  QUEUE_FULL: {
    status: 429,
    retryable: true,
    title: 'Queue full',
    when: 'The user, or the lane, has as many queued queries as its limit allows in the cluster.',
  },
  REQUEST_INVALID: {
    status: 400,
    retryable: false,
    title: 'Invalid request',
    when: 'The request does not have the expected form; the detail names the field and what was expected.',
  },
  SQL_INVALID: {
    status: 400,
    retryable: false,
    title: 'Invalid SQL',
    when: "The engine refuses the statement; the detail is the engine's own message. Also for statements that write, attach, copy, set or install on a read-only engine, and for several statements in one text.",
  },
  NOT_FOUND: {
    status: 404,
    retryable: false,
    title: 'Not found',
    when: 'There is no such thing, or it belongs to someone else.',
  },
  CONFLICT: {
    status: 409,
    retryable: false,
    title: 'Conflict',
    when: 'The idempotency key was used with other content, or the thing changed meanwhile.',
  },
  RESULT_NOT_READY: {
    status: 409,
    retryable: true,
    title: 'Result not ready',
    when: 'The query has not ended SUCCESSFUL (yet): it has no rows to read.',
  },
  RESULT_EXPIRED: {
    status: 410,
    retryable: false,
    title: 'Result gone',
    when: 'The rows were dropped, or their retention is over.',
  },
  TOO_LARGE: {
    status: 413,
    retryable: false,
    title: 'Too large',
    when: 'The body, the SQL text or the properties exceed their limit.',
  },
  INTERNAL: {
    status: 500,
    retryable: false,
    title: 'Internal error',
    when: 'A defect of the server; the log holds the cause under the request id.',
  },
  NODE_STOPPING: {
    status: 503,
    retryable: true,
    title: 'Node is stopping',
    when: 'The node leaves the cluster; another one answers.',
  },
  STORE_UNAVAILABLE: {
    status: 503,
    retryable: true,
    title: 'Store unavailable',
    when: 'The database does not answer; nothing was lost, repeat later.',
  },
  ENGINE_UNAVAILABLE: {
    status: 503,
    retryable: true,
    title: 'Engine unavailable',
    when: 'The engine cannot be reached.',
  },
  ISSUER_UNAVAILABLE: {
    status: 503,
    retryable: true,
    title: 'Issuer unavailable',
    when: 'The issuer of tokens (`auth.jwt.issuer`) cannot be asked for its keys; the token may be right.',
  },
  EXECUTION_FAILED: {
    status: null,
    retryable: false,
    title: 'Execution failed',
    when: "The engine failed the statement; the message is the engine's own.",
  },
  EXECUTION_UNKNOWN: {
    status: null,
    retryable: false,
    title: 'Outcome unknown',
    when: 'The statement may or may not have been executed, and repeating it is not safe.',
  },
  NODE_LOST: {
    status: null,
    retryable: true,
    title: 'Node lost',
    when: 'The node that ran it died, and nobody asked for another attempt.',
  },
  RECOVERY_FAILED: {
    status: null,
    retryable: false,
    title: 'Recovery failed',
    when: 'The query took its engine process or its node down too often, or its state could not be restored.',
  },
  DEADLINE_EXCEEDED: {
    status: null,
    retryable: false,
    title: 'Deadline exceeded',
    when: 'The query took longer than its `deadlineMs`.',
  },
  RESULT_TOO_LARGE: {
    status: null,
    retryable: false,
    title: 'Result too large',
    when: 'The rows exceed `limits.resultBytesMax`.',
  },
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof errorCatalogue

export interface LensErrorOptions {
  /** Overrides the catalogue where one case is narrower: a retry that could execute twice is not retryable. */
  readonly retryable?: boolean
  /** When to come back; `Retry-After` on the wire. */
  readonly retryAfterMs?: number
  /** The accepted query that this answer is about. */
  readonly handle?: string
  readonly cause?: unknown
}

/** Every failure that a client may see. `detail` is for people and never holds a secret, a stack or another user's data. */
export class LensError extends Error {
  readonly code: ErrorCode
  readonly detail: string
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly handle: string | undefined

  constructor(code: ErrorCode, detail: string, options: LensErrorOptions = {}) {
    super(`${code}: ${detail}`, { cause: options.cause })
    this.name = 'LensError'
    this.code = code
    this.detail = detail
    this.retryable = options.retryable ?? errorCatalogue[code].retryable
    this.retryAfterMs = options.retryAfterMs
    this.handle = options.handle
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code)
}

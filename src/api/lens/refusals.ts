/**
 * What went wrong, in Lens's numbers: the catalogue's errors have one each, and those that only this protocol knows are
 * thrown with theirs.
 */
import { type ErrorCode, errorCatalogue, LensError } from '../../domain/index.ts'

/** Numbers of Lens's own catalogue that requests of a wrong form get. */
export const wireCodes = {
  xmlInvalid: 1002,
  parameterMissing: 1005,
  parameterInvalid: 1006,
  sessionMissing: 2001,
  queryBlank: 2002,
  operationUnsupported: 2003,
  handleInvalid: 2006,
  nullValue: 2007,
} as const

/** A request that this protocol refuses with a number of its own. */
export class WireRefusal extends LensError {
  readonly wireCode: number
  /** The operations that would have been supported. */
  readonly supported: readonly string[] | undefined

  constructor(wireCode: number, detail: string, supported?: readonly string[]) {
    super('REQUEST_INVALID', detail)
    this.wireCode = wireCode
    this.supported = supported
  }
}

interface WireError {
  readonly status: number
  readonly code: number
}

const defaults: Partial<Record<ErrorCode, WireError>> = {
  SESSION_INVALID: { status: 410, code: 2005 },
  UNAUTHENTICATED: { status: 401, code: 2001 },
  FORBIDDEN: { status: 403, code: 1004 },
  SESSION_LIMIT: { status: 429, code: 2004 },
  QUEUE_FULL: { status: 429, code: 2008 },
  RATE_LIMITED: { status: 429, code: 2008 },
  REQUEST_INVALID: { status: 400, code: 1006 },
  TOO_LARGE: { status: 413, code: 1006 },
  NOT_FOUND: { status: 404, code: 1003 },
  // Lens calls both "not available", and its clients know nothing else.
  RESULT_NOT_READY: { status: 404, code: 1003 },
  RESULT_EXPIRED: { status: 404, code: 1003 },
  SQL_INVALID: { status: 400, code: 4001 },
  ENGINE_UNAVAILABLE: { status: 503, code: 4002 },
  NODE_STOPPING: { status: 503, code: 1001 },
  STORE_UNAVAILABLE: { status: 503, code: 1001 },
}

export function wireErrorOf(error: LensError): WireError {
  if (error instanceof WireRefusal) return { status: 400, code: error.wireCode }
  const known = defaults[error.code]
  if (known) return known
  // What ended the query that this very call waited for is the engine's failure; the rest is ours.
  const { status } = errorCatalogue[error.code]
  return { status: status ?? 500, code: status === null ? 4002 : 1001 }
}

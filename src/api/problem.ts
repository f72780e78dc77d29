/**
 * Everything that goes wrong at a front door ends here: Fastify's own errors, the gateway's, and whatever nobody foresaw
 * become one entry of the catalogue, and that a problem document (RFC 9457).
 */
import type { FastifyError } from 'fastify'
import { errorCatalogue, LensError } from '../domain/index.ts'
import { pathParameterCharactersMax } from './bounds.ts'
import { describeFaults } from './faults.ts'

export const problemType = 'application/problem+json'

/** A problem document as it stands on the wire. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly retryable: boolean
  readonly node: string
  readonly requestId: string
  /** The accepted query that this answer is about. */
  readonly handle?: string
}

export function invalid(detail: string): LensError {
  return new LensError('REQUEST_INVALID', detail)
}

/** What clients may see of `error`: itself when it is of the catalogue, else the entry that it stands for. */
export function asLensError(error: unknown): LensError {
  if (error instanceof LensError) return error
  const { code, statusCode, validation, validationContext } = (error ?? {}) as Partial<FastifyError>
  if (validation) return invalid(describeFaults(validation, validationContext ?? 'body'))
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new LensError('TOO_LARGE', 'The body is larger than limits.bodyBytesMax.')
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return invalid('header content-type: expected application/json')
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return invalid('header content-length: expected the length of the body')
    case 'FST_ERR_BAD_URL':
      return invalid('path: expected valid percent-encoding')
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return invalid(`path: expected parameters of at the most ${pathParameterCharactersMax} characters`)
  }
  if (code?.startsWith('FST_') && statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return invalid('The request cannot be read.')
  // The client went away, or broke off, while its body was being read; it will hardly see this.
  if (statusCode === 400 && code === 'ECONNRESET') return invalid('The body ended too early.')
  return new LensError('INTERNAL', 'The server failed; its log holds the cause under the request id.', { cause: error })
}

export function problemOf(error: LensError, node: string, requestId: string): Problem {
  const { status, title } = errorCatalogue[error.code]
  return {
    type: `urn:lens:error:${error.code}`,
    title,
    // A code without a status stands only in a failed query; answering one by itself is a defect.
    status: status ?? 500,
    code: error.code,
    detail: error.detail,
    retryable: error.retryable,
    node,
    requestId,
    ...(error.handle === undefined ? {} : { handle: error.handle }),
  }
}

/** Headers that belong to the problem, beside its content type. */
export function problemHeaders(error: LensError, challenge = 'Bearer'): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': problemType }
  if (error.retryable) headers['retry-after'] = String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1000) / 1000)))
  if (errorCatalogue[error.code].status === 401) headers['www-authenticate'] = challenge
  // Whoever comes back must not come back to this node.
  if (error.code === 'NODE_STOPPING') headers.connection = 'close'
  return headers
}

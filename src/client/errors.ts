/** The one error that the client library throws: a problem document of the server, or one of the client's own findings. */
import type { ProblemBody, QueryView } from '../api/v1/wire.ts'

/** Codes that no server sends. */
export type ClientCode =
  /** No endpoint answered within the deadline. */
  | 'UNREACHABLE'
  /** The client was closed while the call was under way, or before it. */
  | 'CLIENT_CLOSED'
  /** A download broke in a format that cannot be resumed. */
  | 'DOWNLOAD_INTERRUPTED'
  /** The rows of a cancelled query were asked for. */
  | 'CANCELED'
  /** Something answered that does not speak the wire contract. */
  | 'NOT_LENS'

export interface LensClientErrorFields {
  /** A code of the server's catalogue, or a `ClientCode`. */
  readonly code: string
  readonly detail: string
  /** HTTP status; null where there was no answer. */
  readonly status?: number | null
  readonly title?: string
  readonly retryable?: boolean
  /** When the server said to come back, in milliseconds; null where it did not say. */
  readonly retryAfterMs?: number | null
  readonly node?: string | null
  readonly requestId?: string | null
  readonly handle?: string | null
  readonly query?: QueryView | null
  readonly cause?: unknown
}

export class LensClientError extends Error {
  readonly code: string
  readonly detail: string
  readonly status: number | null
  readonly title: string
  readonly retryable: boolean
  readonly retryAfterMs: number | null
  /** The node that answered. */
  readonly node: string | null
  readonly requestId: string | null
  /** The query that the error is about, where there is one. */
  readonly handle: string | null
  /** That query as it ended, where it has. */
  readonly query: QueryView | null

  constructor(fields: LensClientErrorFields) {
    super(`${fields.code}: ${fields.detail}`, { cause: fields.cause })
    this.name = 'LensClientError'
    this.code = fields.code
    this.detail = fields.detail
    this.status = fields.status ?? null
    this.title = fields.title ?? fields.code
    this.retryable = fields.retryable ?? false
    this.retryAfterMs = fields.retryAfterMs ?? null
    this.node = fields.node ?? null
    this.requestId = fields.requestId ?? null
    this.handle = fields.handle ?? null
    this.query = fields.query ?? null
  }
}

/** The error that a query which did not end SUCCESSFUL stands for. */
export function failureOf(query: QueryView): LensClientError {
  const canceled = query.outcome === 'CANCELED'
  return new LensClientError({
    code: query.error?.code ?? (canceled ? 'CANCELED' : 'EXECUTION_FAILED'),
    detail: query.error?.message ?? (canceled ? 'The query was cancelled.' : 'The query failed.'),
    handle: query.handle,
    node: query.owner.node,
    query,
  })
}

/** Reads an answer that is not a success. A proxy's own 502 to 504 counts as a node that cannot be reached. */
export function errorOfAnswer(status: number, headers: Headers, text: string, url: string): LensClientError {
  const retryAfterMs = retryAfterMsOf(headers)
  const problem = problemOf(text)
  if (problem) return new LensClientError({ ...problem, status, retryAfterMs })
  const fromProxy = status === 502 || status === 503 || status === 504
  return new LensClientError({
    code: fromProxy ? 'UNREACHABLE' : 'NOT_LENS',
    detail: `${url} answered ${status} without a problem document`,
    status,
    retryable: fromProxy || status === 429,
    retryAfterMs,
  })
}

function problemOf(text: string): ProblemBody | null {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string') {
      const problem = body as ProblemBody
      return { ...problem, detail: problem.detail ?? problem.title ?? problem.code }
    }
  } catch {
    // Not JSON: a proxy's page.
  }
  return null
}

/** Seconds only: the server sends no dates, and a date would need this machine's clock to be right. */
function retryAfterMsOf(headers: Headers): number | null {
  const text = headers.get('retry-after')
  if (text === null) return null
  const seconds = Number(text)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null
}

/** A problem as the bytes of an HTTP answer: for sockets that no request handler owns. */
import type { LensError } from '../domain/index.ts'
import { problemHeaders, problemOf } from './problem.ts'

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  413: 'Content Too Large',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

export function rawProblem(error: LensError, node: string, requestId: string): string {
  const problem = problemOf(error, node, requestId)
  const body = JSON.stringify(problem)
  const headers = {
    ...problemHeaders(error),
    'x-request-id': requestId,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${problem.status} ${reasons[problem.status] ?? 'Error'}\r\n${lines.join('')}\r\n${body}`
}

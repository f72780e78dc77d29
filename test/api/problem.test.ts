/** Every code of the catalogue as a problem document, and what Fastify's own errors and surprises become. */
import test from 'ava'
import { asLensError, problemHeaders, problemOf } from '../../src/api/problem.ts'
import { rawProblem } from '../../src/api/raw-problem.ts'
import { type ErrorCode, errorCatalogue, LensError } from '../../src/domain/index.ts'

for (const [code, entry] of Object.entries(errorCatalogue))
  test(`${code} is a problem document with the status and title of the catalogue`, t => {
    const error = new LensError(code as ErrorCode, 'what happened', { handle: 'h' })
    const status = entry.status ?? 500
    t.deepEqual(problemOf(error, 'n1', 'r1'), {
      type: `urn:lens:error:${code}`,
      title: entry.title,
      status,
      code,
      detail: 'what happened',
      retryable: entry.retryable,
      node: 'n1',
      requestId: 'r1',
      handle: 'h',
    })
    const headers = problemHeaders(error)
    t.is(headers['content-type'], 'application/problem+json')
    t.is(headers['retry-after'] !== undefined, entry.retryable)
    t.is(headers['www-authenticate'], status === 401 ? 'Bearer' : undefined)
    t.is(headers.connection, code === 'NODE_STOPPING' ? 'close' : undefined)
  })

test('Retry-After is in whole seconds, at least one', t => {
  const after = (retryAfterMs: number) =>
    problemHeaders(new LensError('STORE_UNAVAILABLE', 'x', { retryAfterMs }))['retry-after']
  t.is(after(1), '1')
  t.is(after(2100), '3')
})

test('an error narrowed to not retryable carries no Retry-After', t => {
  t.is(problemHeaders(new LensError('NODE_STOPPING', 'x', { retryable: false }))['retry-after'], undefined)
})

test('what nobody foresaw is INTERNAL and tells nothing', t => {
  for (const thrown of [
    new Error('password=hunter2'),
    Object.assign(new Error('hunter2'), { statusCode: 418 }),
    'hunter2',
    {},
    null,
    undefined,
  ]) {
    const seen = asLensError(thrown)
    t.is(seen.code, 'INTERNAL')
    t.notRegex(JSON.stringify(problemOf(seen, 'n1', 'r1')), /hunter2/)
    t.is(seen.cause, thrown)
  }
})

test("Fastify's errors are those of the request", t => {
  const code = (name: string, statusCode: number) =>
    asLensError(Object.assign(new Error('x'), { code: name, statusCode })).code
  t.is(code('FST_ERR_CTP_BODY_TOO_LARGE', 413), 'TOO_LARGE')
  t.is(code('FST_ERR_CTP_INVALID_MEDIA_TYPE', 415), 'REQUEST_INVALID')
  t.is(code('FST_ERR_SOMETHING_NEW', 422), 'REQUEST_INVALID')
  t.is(code('FST_ERR_SOMETHING_NEW', 500), 'INTERNAL')
})

test('as bytes it is a whole HTTP answer', t => {
  const text = rawProblem(new LensError('NOT_FOUND', 'naïve'), 'n1', 'r1')
  const [head, body] = text.split('\r\n\r\n') as [string, string]
  t.true(head.startsWith('HTTP/1.1 404 Not Found\r\n'))
  t.regex(head, new RegExp(`content-length: ${Buffer.byteLength(body)}(\r|$)`))
  t.regex(head, /connection: close/)
  t.is(JSON.parse(body).detail, 'naïve')
})

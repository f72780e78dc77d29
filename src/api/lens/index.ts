/**
 * The wire protocol of Apache Lens under `/lensapi`, for clients that exist: another front door of the same gateway. It keeps
 * nothing: the handles that clients hold are rows of the database, good on every node.
 */

import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import { LensError } from '../../domain/index.ts'
import { aboutRequest } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { ClientLeft } from '../departure.ts'
import { asLensError } from '../problem.ts'
import { Call, type FailureShape, formOf, send } from './call.ts'
import type { Document } from './document.ts'
import { readForm } from './form.ts'
import { preparedQueryRoutes } from './prepared-queries.ts'
import { queryRoutes } from './queries.ts'
import { WireRefusal, wireCodes, wireErrorOf } from './refusals.ts'
import { resultRoutes } from './results.ts'
import { sessionRoutes } from './sessions.ts'

export const prefix = '/lensapi'

export type Answer = Document | string | FastifyReply
/** Hangs one route in, with and without a slash at its end. `path` is below the prefix. */
export type Route = (
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  shape: FailureShape,
  answer: (call: Call) => Answer | Promise<Answer>,
) => void

export async function lensRoutes(app: Application, context: ApiContext): Promise<void> {
  const { gateway } = context
  const refuse = lensRefusals(context)
  await app.register(
    async scope => {
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('multipart/form-data', { parseAs: 'buffer' }, (request, bytes, done) => {
        if (bytes.length === 0 || request.is404) return done(null)
        readForm(request.headers['content-type'] ?? '', bytes as Buffer).then(
          form => done(null, form),
          error => done(error),
        )
      })
      // Some clients name a type with every request, also with a DELETE that has no body; and what there is not takes any body.
      scope.addContentTypeParser('*', { parseAs: 'buffer' }, (request, bytes, done) =>
        bytes.length === 0 || request.is404 ? done(null) : done(noForm()),
      )
      scope.setErrorHandler((error, request, reply) => refuse(error, request, reply))
      scope.setNotFoundHandler((request, reply) =>
        refuse(new LensError('NOT_FOUND', 'There is nothing under this path and method.'), request, reply),
      )
      const route: Route = (method, path, shape, answer) => {
        const handler: RouteHandlerMethod = async (request, reply) => {
          const given = await answer(new Call(request, reply, gateway))
          return typeof given === 'string' || 'root' in given ? send(request, reply, given) : given
        }
        for (const url of [path, `${path}/`])
          scope.route({ method, url, handler, config: { failureShape: shape }, schema: { hide: true } as object })
      }
      sessionRoutes(route, context)
      queryRoutes(route, context)
      preparedQueryRoutes(route, context)
      resultRoutes(route, context)
    },
    { prefix },
  )
}

const noForm = () => new LensError('REQUEST_INVALID', 'header content-type: expected multipart/form-data')

/** Answers failures in this protocol, also those of requests that reach no route. */
export function lensRefusals({ logger }: Pick<ApiContext, 'logger'>) {
  return function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const seen = seenAs(error)
    if (seen.code === 'INTERNAL' && !reply.raw.destroyed && !(error instanceof ClientLeft))
      logger.error({ err: error, ...aboutRequest(request) }, 'a request failed')
    const { status, code } = wireErrorOf(seen)
    if (seen.retryable) reply.header('retry-after', String(Math.max(1, Math.ceil((seen.retryAfterMs ?? 1000) / 1000))))
    if (seen.code === 'NODE_STOPPING') reply.header('connection', 'close')
    else if (reply.hasHeader('connection') && reply.raw.shouldKeepAlive) reply.header('connection', 'keep-alive')
    send(request, reply.code(status), failureOf(seen, code, request))
  }
}

function seenAs(error: unknown): LensError {
  switch ((error as { code?: string } | null)?.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return noForm()
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new WireRefusal(wireCodes.handleInvalid, 'Invalid handle: it is too long')
    default:
      return asLensError(error)
  }
}

/** Who reads JSON gets every failure as one shape, for the existing clients parse it whatever was asked. */
function failureOf(error: LensError, code: number, request: FastifyRequest): Document | string {
  const shape = formOf(request) === 'json' ? 'lensAPIResult' : (request.routeOptions.config?.failureShape ?? 'text')
  const message = error.detail
  if (shape === 'text') return message
  if (shape === 'apiResult') return { root: 'apiResult', content: { status: 'FAILED', message } }
  const supported = error instanceof WireRefusal ? error.supported : undefined
  const payload = supported && { supportedOperations: supported }
  return { root: 'lensAPIResult', content: { id: request.id, error: { code, message, payload } } }
}

/** Prepared queries: made on one node, executed on any. */
import { Type } from 'typebox'
import type { PreparedQueryView } from '../../domain/index.ts'
import { requireSession } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { answerSubmission, submissionAnswers, waitOf } from './queries.ts'
import { checkSize, executePrepared, handlePath, idempotencyKey, page, prepareQuery } from './requests.ts'
import { answers, problems } from './schemas.ts'

export function preparedQueryRoutes(app: Application, context: ApiContext): void {
  const { gateway } = context
  const { limits } = context.config
  const onRequest = requireSession(context)
  const tags = ['Prepared queries']

  app.post(
    '/api/v1/prepared-queries',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'prepareQuery',
        summary: 'Has the engine check a statement, and keeps it for executions.',
        body: prepareQuery,
        response: { 201: answers.preparedQuery, ...problems },
      },
    },
    async (request, reply) => {
      checkSize(request.body, limits)
      const prepared = await gateway.prepare(request.principal, request.body)
      return reply.code(201).header('location', `/api/v1/prepared-queries/${prepared.handle}`).send(prepared)
    },
  )

  app.get(
    '/api/v1/prepared-queries',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'listPreparedQueries',
        summary: "The caller's prepared queries.",
        querystring: Type.Object(page(limits), { additionalProperties: false }),
        response: { 200: answers.pageOf('preparedQueries', 'PreparedQuery', {} as PreparedQueryView), ...problems },
      },
    },
    async request => gateway.listPrepared(request.principal, request.query.limit as number, request.query.cursor),
  )

  app.get(
    '/api/v1/prepared-queries/:handle',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readPreparedQuery',
        summary: 'A prepared query.',
        params: handlePath,
        response: { 200: answers.preparedQuery, ...problems },
      },
    },
    async request => gateway.prepared(request.principal, request.params.handle.toLowerCase()),
  )

  app.delete(
    '/api/v1/prepared-queries/:handle',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'removePreparedQuery',
        summary: 'Forgets a prepared query; its executions stay.',
        params: handlePath,
        response: { 204: answers.empty('Removed.'), ...problems },
      },
    },
    async (request, reply) => {
      await gateway.removePrepared(request.principal, request.params.handle.toLowerCase())
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/api/v1/prepared-queries/:handle/executions',
    {
      onRequest,
      preValidation: async request => {
        request.body ??= {}
      },
      schema: {
        tags,
        operationId: 'executePreparedQuery',
        summary: 'Submits a query of a prepared one, with values for its parameters; answers as `submitQuery`.',
        params: handlePath,
        body: executePrepared(limits),
        response: submissionAnswers,
      },
    },
    async (request, reply) => {
      checkSize(request.body, limits)
      const key = idempotencyKey(request.headers['idempotency-key'])
      const { signal, timeoutMs } = waitOf(request.body, limits, reply)
      const handle = request.params.handle.toLowerCase()
      const outcome = await gateway.executePrepared(
        request.principal,
        handle,
        { ...request.body, timeoutMs },
        key,
        signal,
      )
      return answerSubmission(reply, outcome)
    },
  )
}

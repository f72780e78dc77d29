/** Queries: submit, list, poll, history, cancel. Their rows are in `results.ts`. */
import type { FastifyReply } from 'fastify'
import { type Static, Type } from 'typebox'
import type { QueryView, TransitionView } from '../../domain/index.ts'
import type { SubmitOutcome } from '../../gateway/index.ts'
import { bearerToken, requireSession, requireToken } from '../access.ts'
import type { ApiConfig, ApiContext, Application } from '../context.ts'
import { neverAborted, whileConnected } from '../departure.ts'
import { invalid } from '../problem.ts'
import {
  checkSize,
  type executePrepared,
  handlePath,
  idempotencyKey,
  instantOf,
  listQueries,
  submitQuery,
} from './requests.ts'
import { resultRoutes } from './results.ts'
import { answers, problems } from './schemas.ts'

const tags = ['Queries']
const waitMsMax = 2 ** 31 - 1

export function queryRoutes(app: Application, context: ApiContext): void {
  const { gateway } = context
  const { limits } = context.config
  const onRequest = requireSession(context)

  app.post(
    '/api/v1/queries',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'submitQuery',
        summary: 'Submits a query. 202 once its row is durable; mode `sync` waits for its end.',
        body: submitQuery(limits),
        response: submissionAnswers,
      },
    },
    async (request, reply) => {
      checkSize(request.body, limits)
      const key = idempotencyKey(request.headers['idempotency-key'])
      const { signal, timeoutMs } = waitOf(request.body, limits, reply)
      return answerSubmission(
        reply,
        await gateway.submit(request.principal, { ...request.body, timeoutMs }, key, signal),
      )
    },
  )

  app.get(
    '/api/v1/queries',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'listQueries',
        summary: 'Unfinished and finished queries, newest first.',
        querystring: listQueries(limits),
        response: { 200: answers.pageOf('queries', 'Query', {} as QueryView), ...problems },
      },
    },
    async request => {
      const { status, from, to, limit, ...filter } = request.query
      return gateway.listQueries(request.principal, {
        ...filter,
        statuses: status,
        from: instantOf(from, 'from'),
        to: instantOf(to, 'to'),
        limit: limit as number,
      })
    },
  )

  app.get(
    '/api/v1/queries/:handle',
    {
      onRequest: requireToken,
      schema: {
        tags,
        operationId: 'readQuery',
        summary: 'A query. With `after` and `waitMs` waits until its version is greater, or the time is over.',
        params: handlePath,
        querystring: Type.Object(
          {
            after: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: Number.MAX_SAFE_INTEGER,
                description: 'The version that the client has.',
              }),
            ),
            waitMs: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: waitMsMax,
                description: 'How long to wait; shortened to `limits.longPollMs`.',
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: answers.query, ...problems },
      },
    },
    async (request, reply) => {
      const token = bearerToken(request.headers.authorization)
      const handle = request.params.handle.toLowerCase()
      const { after, waitMs = 0 } = request.query
      if (waitMs === 0) return gateway.poll(token, handle, null, neverAborted)
      if (after === undefined) throw invalid('query.after: required beside waitMs, but missing')
      const wait = { after, waitMs: Math.min(waitMs, limits.longPollMs) }
      return gateway.poll(token, handle, wait, whileConnected(reply))
    },
  )

  app.get(
    '/api/v1/queries/:handle/transitions',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'listTransitions',
        summary: 'Every durable step of a query, in order.',
        params: handlePath,
        response: { 200: answers.listOf('transitions', 'Transition', {} as TransitionView), ...problems },
      },
    },
    async request => ({
      transitions: await gateway.transitions(request.principal, request.params.handle.toLowerCase()),
    }),
  )

  app.delete(
    '/api/v1/queries/:handle',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'cancelQuery',
        summary: 'Cancels a query: 202 once the wish is durable; 200 when it had finished.',
        params: handlePath,
        response: { 200: answers.query, 202: answers.query, ...problems },
      },
    },
    async (request, reply) => {
      const { query, finished } = await gateway.cancel(request.principal, request.params.handle.toLowerCase())
      return reply.code(finished ? 200 : 202).send(query)
    },
  )

  resultRoutes(app, context)
}

export const submissionAnswers = { 200: answers.endedQuery, 202: answers.query, ...problems }

/** A synchronous submission waits as long as its client does; an asynchronous one goes on without it. */
export function waitOf(
  body: Static<ReturnType<typeof executePrepared>>,
  limits: ApiConfig['limits'],
  reply: FastifyReply,
) {
  if (body.mode === 'sync') return { signal: whileConnected(reply), timeoutMs: body.timeoutMs ?? limits.syncMs }
  if (body.timeoutMs !== undefined) throw invalid('body.timeoutMs: expected only with mode sync')
  if (body.cancelOnTimeout !== undefined) throw invalid('body.cancelOnTimeout: expected only with mode sync')
  return { signal: neverAborted, timeoutMs: undefined }
}

export function answerSubmission(reply: FastifyReply, outcome: SubmitOutcome): FastifyReply {
  const { query } = outcome
  reply.header('location', `/api/v1/queries/${query.handle}`)
  if (outcome.kind === 'accepted') return reply.code(202).send(query)
  const { columns, rows, nextOffset } = outcome
  return reply.code(200).send({ query, columns, rows, nextOffset })
}

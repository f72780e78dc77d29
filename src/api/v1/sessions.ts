/** Sessions: open, list, read, change, close. */
import { Type } from 'typebox'
import type { SessionView } from '../../domain/index.ts'
import { requireSession, signedIn } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { ChangeSession, checkSize, idempotencyKey, OpenSession, page, sessionPath } from './requests.ts'
import { answers, problems } from './schemas.ts'

const tags = ['Sessions']

export function sessionRoutes(app: Application, context: ApiContext): void {
  const { gateway } = context
  const { limits } = context.config
  const onRequest = requireSession(context)

  app.post(
    '/api/v1/sessions',
    {
      config: { opensSession: true },
      // Everything in the body may be left out, so the body too.
      preValidation: async request => {
        request.body ??= {}
      },
      schema: {
        tags,
        operationId: 'openSession',
        summary: 'Opens a session; `Idempotency-Key` makes a repetition answer the same one.',
        security: [{}, { password: [] }, { issuerToken: [] }],
        body: OpenSession,
        response: { 201: answers.openedSession, ...problems },
      },
    },
    async (request, reply) => {
      const { user, database, properties } = request.body
      checkSize(request.body, limits)
      const key = idempotencyKey(request.headers['idempotency-key'])
      const who = await signedIn(context, request, { user })
      const opened = await gateway.openSession({ ...who, database, properties }, key)
      return reply
        .code(201)
        .header('location', `/api/v1/sessions/${opened.session.id}`)
        .send({ ...opened.session, token: opened.token })
    },
  )

  app.get(
    '/api/v1/sessions',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'listSessions',
        summary: "The caller's sessions; admins see all.",
        querystring: Type.Object(page(limits), { additionalProperties: false }),
        response: { 200: answers.pageOf('sessions', 'Session', {} as SessionView), ...problems },
      },
    },
    async request => gateway.listSessions(request.principal, request.query.limit as number, request.query.cursor),
  )

  app.get(
    '/api/v1/sessions/:id',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readSession',
        summary: 'A session, without its token.',
        params: sessionPath,
        response: { 200: answers.session, ...problems },
      },
    },
    async request => gateway.session(request.principal, request.params.id.toLowerCase()),
  )

  app.patch(
    '/api/v1/sessions/:id',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'changeSession',
        summary: 'Changes the current database, sets properties, removes those that are null.',
        params: sessionPath,
        body: ChangeSession,
        response: { 200: answers.session, ...problems },
      },
    },
    async request => {
      checkSize(request.body, limits)
      return gateway.changeSession(request.principal, request.params.id.toLowerCase(), request.body)
    },
  )

  app.delete(
    '/api/v1/sessions/:id',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'closeSession',
        summary: 'Closes a session on all nodes. Its running queries run on unless `cancelQueries` is true.',
        params: sessionPath,
        querystring: Type.Object(
          {
            cancelQueries: Type.Optional(Type.Boolean({ default: false, description: 'Cancel its running queries.' })),
          },
          { additionalProperties: false },
        ),
        response: { 204: answers.empty('Closed.'), ...problems },
      },
    },
    async (request, reply) => {
      await gateway.closeSession(
        request.principal,
        request.params.id.toLowerCase(),
        request.query.cancelQueries === true,
      )
      return reply.code(204).send(null)
    },
  )
}

/** The statecharts, and where one query or session stands or stood in them: what the console draws. */
import { Type } from 'typebox'
import { type MachineGraph, type MachineMoment, machineGraphs } from '../../domain/index.ts'
import { requireSession } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { handlePath, sessionPath } from './requests.ts'
import { answers, problems } from './schemas.ts'

const version = (description: string) =>
  Type.Object(
    { version: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description })) },
    { additionalProperties: false },
  )

export function machineRoutes(app: Application, context: ApiContext): void {
  const { gateway } = context
  const onRequest = requireSession(context)
  const tags = ['Machines']

  app.get(
    '/api/v1/machines',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readMachines',
        summary: 'The statecharts of sessions and queries as graphs, from the machine definitions.',
        response: {
          200: Type.Object(
            {
              session: Type.Unsafe<MachineGraph>({ $ref: 'MachineGraph#' }),
              query: Type.Unsafe<MachineGraph>({ $ref: 'MachineGraph#' }),
            },
            { additionalProperties: false },
          ),
          ...problems,
        },
      },
    },
    async () => machineGraphs,
  )

  app.get(
    '/api/v1/queries/:handle/machine',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readQueryMachine',
        summary: 'Value and context of a query at one of its versions, secrets redacted.',
        params: handlePath,
        querystring: version('Any version up to the present one; absent: the present one.'),
        response: { 200: answers.machineMoment, ...problems },
      },
    },
    async (request): Promise<MachineMoment> =>
      gateway.queryMachine(request.principal, request.params.handle.toLowerCase(), request.query.version ?? null),
  )

  app.get(
    '/api/v1/sessions/:id/machine',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readSessionMachine',
        summary: 'Value and context of an open session, secrets redacted.',
        params: sessionPath,
        querystring: version('One of its versions; absent: the present one.'),
        response: { 200: answers.machineMoment, ...problems },
      },
    },
    async (request): Promise<MachineMoment> =>
      gateway.sessionMachine(request.principal, request.params.id.toLowerCase(), request.query.version ?? null),
  )
}

/** The cluster and its engines, as any node sees them. */
import { Type } from 'typebox'
import type { EngineView, FailoverView, TableView } from '../../domain/index.ts'
import { requireSession } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { namePath } from './requests.ts'
import { answers, problems } from './schemas.ts'

export function clusterRoutes(app: Application, context: ApiContext): void {
  const { gateway } = context
  const onRequest = requireSession(context)
  const tags = ['Cluster']

  app.get(
    '/api/v1/cluster',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readCluster',
        summary: 'Leader and members.',
        response: { 200: answers.cluster, ...problems },
      },
    },
    async request => gateway.cluster(request.principal),
  )

  app.get(
    '/api/v1/cluster/failovers',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'listFailovers',
        summary: 'Dead members and how long the takeover of their queries took, newest first.',
        response: { 200: answers.listOf('failovers', 'Failover', {} as FailoverView), ...problems },
      },
    },
    async request => ({ failovers: await gateway.failovers(request.principal) }),
  )

  app.post(
    '/api/v1/cluster/nodes/:node/drain',
    {
      onRequest,
      // The call says everything in its path; a body, if some client sends one, has to be empty.
      preValidation: async request => {
        request.body ??= {}
      },
      schema: {
        tags,
        operationId: 'drainNode',
        summary: 'Admins: makes a node leave the cluster without anyone noticing.',
        params: Type.Object(namePath('node')),
        body: Type.Object({}, { additionalProperties: false }),
        response: { 202: answers.empty('The drain has begun, or was under way.'), ...problems },
      },
    },
    async (request, reply) => {
      await gateway.drain(request.principal, request.params.node as string)
      return reply.code(202).send(null)
    },
  )

  app.get(
    '/api/v1/engines',
    {
      onRequest,
      schema: {
        tags: ['Engines'],
        operationId: 'listEngines',
        summary: 'The engines and their load.',
        response: { 200: answers.listOf('engines', 'Engine', {} as EngineView), ...problems },
      },
    },
    async request => ({ engines: await gateway.engines(request.principal) }),
  )

  app.get(
    '/api/v1/engines/:name/tables',
    {
      onRequest,
      schema: {
        tags: ['Engines'],
        operationId: 'listTables',
        summary: 'The tables that an engine offers.',
        params: Type.Object(namePath('name')),
        response: { 200: answers.listOf('tables', 'Table', {} as TableView), ...problems },
      },
    },
    async request => ({ tables: await gateway.tables(request.principal, request.params.name as string) }),
  )
}

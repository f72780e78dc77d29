/** Liveness, readiness, metrics, and the identity that peers probe: all answer before the node is ready. */
import { Type } from 'typebox'
import type { ApiContext, Application } from './context.ts'
import { problems } from './v1/schemas.ts'

const early = { early: true } as const
const open = { tags: ['Operations'], security: [] }

export function healthRoutes(app: Application, { gateway, identity, metrics }: ApiContext): void {
  app.get(
    '/healthz',
    {
      config: early,
      exposeHeadRoute: true,
      schema: {
        ...open,
        operationId: 'health',
        summary: 'Liveness: the process answers.',
        response: {
          200: Type.Object({ status: Type.Enum(['alive']) }, { additionalProperties: false, description: 'Alive.' }),
          ...problems,
        },
      },
    },
    async () => ({ status: 'alive' as const }),
  )

  const readiness = Type.Object(
    {
      status: Type.Enum(['ready', 'not ready']),
      reason: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'Why not.' }),
    },
    { additionalProperties: false, description: 'Whether proxies should send requests here.' },
  )
  app.get(
    '/readyz',
    {
      config: early,
      exposeHeadRoute: true,
      schema: {
        ...open,
        operationId: 'readiness',
        summary: 'Readiness: 503 while starting, draining, or cut off from the database for longer than the lease.',
        response: { 200: readiness, 503: readiness, '4xx': problems['4xx'] },
      },
    },
    async (_request, reply) => {
      const reason = gateway.notReady()
      if (reason === null) return { status: 'ready' as const, reason }
      return reply.code(503).send({ status: 'not ready', reason })
    },
  )

  app.get(
    '/metrics',
    {
      config: early,
      schema: {
        ...open,
        operationId: 'metrics',
        summary: 'Counters in the text format of Prometheus.',
        response: {
          200: { description: 'Metrics.', content: { 'text/plain': { schema: Type.String() } } },
          ...problems,
        },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  )

  app.get(
    '/cluster/v1/identity',
    {
      config: early,
      schema: {
        ...open,
        operationId: 'identity',
        summary: 'Which incarnation of which node answers here: what peers probe.',
        response: {
          200: Type.Object(
            { node: Type.String(), incarnation: Type.String() },
            { additionalProperties: false, description: 'The identity.' },
          ),
          ...problems,
        },
      },
    },
    async () => identity(),
  )
}

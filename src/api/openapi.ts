/** `/openapi.json`: made of the schemas that check requests, so that it cannot say anything else. */
import swagger from '@fastify/swagger'
import type { ApiConfig, Application } from './context.ts'

const version = '1.0.0'

export async function describeApi(app: Application, config: ApiConfig): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Lens HA',
        version,
        description:
          'A highly available SQL query service: open a session on any node, submit SQL, watch it and read its rows from any other. Status is also pushed over the WebSocket `/api/v1/stream`; see docs/api.md.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: config.node.advertiseUrl, description: 'The node that answered; every node serves the same.' }],
      components: {
        securitySchemes: {
          session: { type: 'http', scheme: 'bearer', description: 'The token that opening a session answered.' },
          password: { type: 'http', scheme: 'basic', description: 'With `auth.method: basic`: user and password.' },
          issuerToken: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description: 'With `auth.method: jwt`: a token of the issuer.',
          },
        },
      },
      security: [{ session: [] }],
      tags: [
        { name: 'Sessions' },
        { name: 'Queries' },
        { name: 'Prepared queries' },
        { name: 'Cluster' },
        { name: 'Engines' },
        { name: 'Operations', description: 'Without authentication.' },
      ],
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `schema${index}`) },
  })
  let text: string | undefined
  app.get('/openapi.json', { config: { early: true }, schema: { hide: true } }, async (_request, reply) => {
    text ??= JSON.stringify(app.swagger())
    return reply.type('application/json').send(text)
  })
}

/** How the server knows its users: what a client has to ask for before it can open a session, and who it is afterwards. */
import { Type } from 'typebox'
import { bearerToken } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { problems } from './schemas.ts'

const nullable = (type: 'string' | 'boolean', description: string) =>
  Type.Unsafe<string | boolean | null>({ type: [type, 'null'], description })

export function authRoutes(app: Application, { gateway, config }: ApiContext): void {
  app.get(
    '/api/v1/auth',
    {
      schema: {
        tags: ['Sessions'],
        operationId: 'readAuthentication',
        summary: 'How opening a session authenticates; with the token of a session also whose it is.',
        security: [],
        response: {
          200: Type.Object(
            {
              method: Type.Enum(['none', 'basic', 'jwt']),
              user: nullable('string', 'Null without a token.'),
              admin: nullable('boolean', 'Whether the user is an admin; null without a token.'),
            },
            { additionalProperties: false, description: 'The method, and the caller.' },
          ),
          ...problems,
        },
      },
    },
    async request => {
      const { method } = config.auth
      const { authorization } = request.headers
      if (authorization === undefined) return { method, user: null, admin: null }
      const { user, admin } = await gateway.authenticate(bearerToken(authorization))
      return { method, user, admin }
    },
  )
}

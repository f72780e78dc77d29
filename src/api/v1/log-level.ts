/** What nodes write to their logs: asked and changed while they run, by admins. */
import { Type } from 'typebox'
import { type LogLevel, type LogLevelView, logLevelMsMax, logLevels } from '../../domain/index.ts'
import { requireSession } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { problems } from './schemas.ts'

const closed = { additionalProperties: false } as const
const levelOrNull = (description: string) =>
  Type.Unsafe<LogLevel | null>({ type: ['string', 'null'], enum: [...logLevels, null], description })

const query = Type.Object(
  {
    node: Type.Optional(
      Type.String({
        pattern: '^(\\*|[A-Za-z0-9][A-Za-z0-9._-]{0,62})$',
        description: 'The name of a node, or `*` for all; without it the node that is asked',
      }),
    ),
  },
  closed,
)

const change = Type.Object(
  {
    level: levelOrNull('The least severe level that is written; null: as the configuration says.'),
    forMs: Type.Optional(
      Type.Unsafe<number | null>({
        type: ['integer', 'null'],
        minimum: 1,
        maximum: logLevelMsMax,
        description: 'After so many milliseconds the configured level returns; else when the node starts anew.',
      }),
    ),
  },
  closed,
)

const answer = Type.Unsafe<{ readonly nodes: readonly LogLevelView[] }>(
  Type.Object(
    {
      nodes: Type.Array(
        Type.Object(
          {
            node: Type.String(),
            level: levelOrNull('Null, like `configured`: the node did not answer, and was not told.'),
            configured: levelOrNull('What a restart brings back.'),
            revertsAt: Type.Unsafe<string | null>({
              type: ['string', 'null'],
              format: 'date-time',
              description: 'When the configured level returns by itself.',
            }),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
)

export function logLevelRoutes(app: Application, context: ApiContext): void {
  const { gateway } = context
  const onRequest = requireSession(context)
  const tags = ['Operations']

  app.get(
    '/api/v1/log-level',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'readLogLevel',
        summary: 'Admins: what nodes write to their logs.',
        querystring: query,
        response: { 200: answer, ...problems },
      },
    },
    async request => ({ nodes: await gateway.logLevels(request.principal, request.query.node ?? null, null) }),
  )

  app.put(
    '/api/v1/log-level',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'changeLogLevel',
        summary: 'Admins: another log level until the node starts anew, or for a time.',
        querystring: query,
        body: change,
        response: { 200: answer, ...problems },
      },
    },
    async request => {
      const { level, forMs = null } = request.body
      return { nodes: await gateway.logLevels(request.principal, request.query.node ?? null, { level, forMs }) }
    },
  )
}

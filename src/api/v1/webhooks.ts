/** Webhooks: what is owed to them, and to have it tried again; for admins. */
import { Type } from 'typebox'
import { type DeliveryView, deliveryStates, type WebhookView } from '../../domain/index.ts'
import { requireSession } from '../access.ts'
import type { ApiContext, Application } from '../context.ts'
import { handlePath, page } from './requests.ts'
import { problems } from './schemas.ts'

const closed = { additionalProperties: false } as const
const nameOf = (description: string) => Type.String({ pattern: '^[a-z][a-z0-9_-]{0,62}$', description })
const timeOrNull = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description })
const textOrNull = (description: string) => Type.Unsafe<string | null>({ type: ['string', 'null'], description })

const webhook = Type.Unsafe<WebhookView>(
  Type.Object(
    {
      name: Type.String(),
      url: textOrNull('Scheme, host and port; null where this node does not have it in its configuration.'),
      outcomes: Type.Array(Type.Enum(['SUCCESSFUL', 'FAILED', 'CANCELED'])),
      users: Type.Unsafe<readonly string[] | null>({
        type: ['array', 'null'],
        items: { type: 'string' },
        description: "Null: everybody's queries.",
      }),
      pending: Type.Integer(),
      dead: Type.Integer(),
      oldestPendingAt: timeOrNull('Since when the oldest of the pending waits.'),
    },
    closed,
  ),
)

const delivery = Type.Unsafe<DeliveryView>(
  Type.Object(
    {
      handle: Type.String(),
      webhook: Type.String(),
      state: Type.Enum([...deliveryStates]),
      attempts: Type.Integer(),
      createdAt: Type.String({ format: 'date-time' }),
      dueAt: timeOrNull('The next attempt; null when none will be made.'),
      lastError: textOrNull('Why the last attempt failed.'),
    },
    closed,
  ),
)

const webhooksAnswer = Type.Unsafe<{ readonly webhooks: readonly WebhookView[] }>(
  Type.Object({ webhooks: Type.Array(webhook) }, closed),
)

const pageAnswer = Type.Unsafe<{ readonly deliveries: readonly DeliveryView[]; readonly nextCursor: string | null }>(
  Type.Object({ deliveries: Type.Array(delivery), nextCursor: textOrNull('For the next page.') }, closed),
)

export function webhookRoutes(app: Application, context: ApiContext): void {
  const { gateway } = context
  const { limits } = context.config
  const onRequest = requireSession(context)
  const tags = ['Operations']

  app.get(
    '/api/v1/webhooks',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'listWebhooks',
        summary: 'Admins: the webhooks, and how much is owed to each.',
        response: { 200: webhooksAnswer, ...problems },
      },
    },
    async request => ({ webhooks: await gateway.webhooks.list(request.principal) }),
  )

  app.get(
    '/api/v1/webhooks/deliveries',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'listDeliveries',
        summary: 'Admins: what was owed to webhooks and what became of it, newest query first.',
        querystring: Type.Object(
          {
            webhook: Type.Optional(nameOf('Only to this one')),
            state: Type.Optional(Type.Enum([...deliveryStates])),
            handle: Type.Optional(Type.String({ maxLength: 64, description: 'Only of this query' })),
            ...page(limits),
          },
          closed,
        ),
        response: { 200: pageAnswer, ...problems },
      },
    },
    async request => {
      const { limit, ...query } = request.query
      return gateway.webhooks.deliveries(request.principal, { ...query, limit: limit as number })
    },
  )

  app.post(
    '/api/v1/webhooks/:name/deliveries/:handle',
    {
      onRequest,
      schema: {
        tags,
        operationId: 'repeatDelivery',
        summary: 'Admins: has a delivery tried again, whatever became of it.',
        params: Type.Object({ name: nameOf('The webhook'), ...handlePath.properties }, closed),
        response: { 202: delivery, ...problems },
      },
    },
    async (request, reply) => {
      const { name, handle } = request.params
      return reply.code(202).send(await gateway.webhooks.again(request.principal, name, handle.toLowerCase()))
    },
  )
}

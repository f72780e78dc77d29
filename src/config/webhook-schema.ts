/** One webhook: who is told of ends of queries, of which, and how patiently. */
import { Type } from 'typebox'
import { count, dayMs, flag, group, milliseconds } from './kinds.ts'

export const webhookSchema = group('One webhook.', {
  url: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description:
        'Where an end is told, by POST: an http or https URL without user and password (give `headers` for those). Required.',
    }),
  ),
  secret: Type.Optional(
    Type.String({
      minLength: 16,
      secret: true,
      description:
        'Signs what is sent, as Standard Webhooks do: `whsec_` and Base64, or any text of 16 characters and more. Required.',
    }),
  ),
  secretBefore: Type.Optional(
    Type.String({
      minLength: 16,
      secret: true,
      description: 'Signs too, so that the receiver can change its secret before or after the nodes.',
    }),
  ),
  outcomes: Type.Array(Type.Enum(['SUCCESSFUL', 'FAILED', 'CANCELED']), {
    default: ['SUCCESSFUL', 'FAILED', 'CANCELED'],
    minItems: 1,
    description: 'Ends that are told.',
  }),
  users: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    description: 'Whose queries; everybody’s when empty.',
  }),
  headers: Type.Record(Type.String({ pattern: '^[A-Za-z0-9-]{1,100}$' }), Type.String({ secret: true }), {
    default: {},
    description: 'Further headers of the request, such as `Authorization`.',
  }),
  sql: flag(false, { description: 'Whether the statement is told too; it may hold what the receiver should not see.' }),
  timeoutMs: milliseconds(10_000, 100, { description: 'How long the receiver has to answer.' }, 300_000),
  atOnce: count(8, 1, { description: 'Requests that are under way to it at once.' }, 256),
  retryMs: milliseconds(
    1_000,
    10,
    { description: 'Before the second attempt; doubles with each further one, to an hour at the most.' },
    3_600_000,
  ),
  giveUpMs: milliseconds(
    dayMs,
    0,
    { description: 'From the end of the query on; then a delivery is dead until somebody asks for it again.' },
    30 * dayMs,
  ),
})

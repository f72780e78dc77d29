/** What a webhook is told, and how the receiver knows that it comes from here: the form of Standard Webhooks. */
import { createHmac } from 'node:crypto'
import type { QueryView } from '../domain/index.ts'

/** A query as webhooks see it: without its plan, and with its statement only where that is wanted. */
export type EndedQuery = Omit<QueryView, 'sql' | 'plan' | 'progress' | 'queuePosition'> & { readonly sql?: string }

export interface WebhookMessage {
  readonly type: 'query.ended'
  /** ISO 8601: when the query ended. */
  readonly timestamp: string
  readonly data: EndedQuery
}

/** The body's text. */
export function messageOf(
  { sql, plan: _plan, progress: _progress, queuePosition: _position, ...query }: QueryView,
  withSql: boolean,
  endedAt: string,
): string {
  const message: WebhookMessage = {
    type: 'query.ended',
    timestamp: query.finishedAt ?? endedAt,
    data: withSql ? { ...query, sql } : query,
  }
  return JSON.stringify(message)
}

/** The same for every attempt: by it a receiver knows what it has had already. */
export function messageId(handle: string, webhook: string): string {
  return `${handle}_${webhook}`
}

/** `webhook-signature`: one `v1,<Base64>` for each secret, over `<id>.<seconds since 1970>.<body>`. */
export function signaturesOf(secrets: readonly string[], id: string, seconds: number, body: string): string {
  return secrets
    .map(secret => createHmac('sha256', keyOf(secret)).update(`${id}.${seconds}.${body}`).digest('base64'))
    .map(digest => `v1,${digest}`)
    .join(' ')
}

/** `whsec_` and Base64 are bytes; any other text is its own. */
function keyOf(secret: string): Buffer {
  return secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret)
}

/** Hands a statement to the cluster; gives the handle under which it can be followed from any node. */
import type { EndedQuery, LensClient, QueryView, SubmitBody } from '../../client/index.ts'
import { parametersOf, type RunSettings } from './settings.tsx'

/** How long a synchronous submission waits; what takes longer goes on asynchronously. */
const syncMs = 10_000

export async function submit(client: LensClient, sql: string, settings: RunSettings, key: string): Promise<QueryView> {
  const { operation, mode, lane, engine, name } = settings
  const body: SubmitBody = {
    sql,
    operation,
    mode,
    ...(mode === 'sync' ? { timeoutMs: syncMs } : {}),
    ...(lane === 'auto' ? {} : { lane }),
    ...(engine === '' ? {} : { engine }),
    ...(name.trim() === '' ? {} : { name: name.trim() }),
    parameters: parametersOf(settings.parameters),
  }
  const answer = await client.request<QueryView | EndedQuery>('POST', '/api/v1/queries', {
    body,
    // Repeated on another node it is the same query.
    idempotencyKey: key,
    waitMs: mode === 'sync' ? syncMs : 0,
  })
  return 'query' in answer ? answer.query : answer
}

/** A key of its own for each submission; `randomUUID` is missing on pages served without TLS from another machine. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
}

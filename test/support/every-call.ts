/** Every call that needs a session, made with a token that must not be good for it: nothing may come of any of them. */
import type { NodeProcess } from './nodes.ts'
import { StreamClient } from './wire.ts'

/** What there is to be reached for: an own session, an ended and an unfinished query, a prepared one. */
export interface Belongings {
  readonly sessionId: string
  readonly ended: string
  readonly unfinished: string
  readonly prepared: string
}

export interface ApiCall {
  readonly method: string
  readonly target: string
  readonly body?: unknown
}

/** Calls that name something of somebody's: who may not see it is told that it does not exist. */
export function callsOn({ sessionId, ended, unfinished, prepared }: Belongings): ApiCall[] {
  return [
    { method: 'GET', target: `/api/v1/sessions/${sessionId}` },
    { method: 'PATCH', target: `/api/v1/sessions/${sessionId}`, body: { properties: { taken: 'over' } } },
    { method: 'DELETE', target: `/api/v1/sessions/${sessionId}` },
    { method: 'DELETE', target: `/api/v1/sessions/${sessionId}?cancelQueries=true` },
    ...[ended, unfinished].flatMap(handle => [
      { method: 'GET', target: `/api/v1/queries/${handle}` },
      { method: 'GET', target: `/api/v1/queries/${handle}?after=0&waitMs=60000` },
      { method: 'GET', target: `/api/v1/queries/${handle}/transitions` },
      { method: 'GET', target: `/api/v1/queries/${handle}/results` },
      { method: 'DELETE', target: `/api/v1/queries/${handle}` },
      { method: 'DELETE', target: `/api/v1/queries/${handle}/results` },
    ]),
    { method: 'GET', target: `/api/v1/prepared-queries/${prepared}` },
    { method: 'POST', target: `/api/v1/prepared-queries/${prepared}/executions`, body: {} },
    { method: 'DELETE', target: `/api/v1/prepared-queries/${prepared}` },
  ]
}

const callsOnNothing: readonly ApiCall[] = [
  { method: 'GET', target: '/api/v1/sessions' },
  { method: 'POST', target: '/api/v1/queries', body: { sql: 'select 1' } },
  { method: 'POST', target: '/api/v1/queries', body: { sql: 'select 1', mode: 'sync' } },
  { method: 'GET', target: '/api/v1/queries' },
  { method: 'POST', target: '/api/v1/prepared-queries', body: { sql: 'select 1' } },
  { method: 'GET', target: '/api/v1/prepared-queries' },
  { method: 'GET', target: '/api/v1/cluster' },
  { method: 'GET', target: '/api/v1/cluster/failovers' },
  { method: 'GET', target: '/api/v1/engines' },
  { method: 'GET', target: '/api/v1/engines/duckdb/tables' },
]

/** What was answered to each call that was not refused as it should be; nothing, when all were. */
export async function notRefused(
  node: NodeProcess,
  token: string,
  calls: readonly ApiCall[],
  refusal: { readonly status: number; readonly code: string },
): Promise<string[]> {
  const faults = await Promise.all(
    calls.map(async ({ method, target, body }) => {
      const answer = await node.call(method, target, { token, ...(body === undefined ? {} : { body }) })
      return answer.status === refusal.status && answer.body.code === refusal.code
        ? []
        : [`${method} ${target} at ${node.name}: ${answer.status} ${JSON.stringify(answer.body)}`]
    }),
  )
  return faults.flat()
}

/** All that this token is still good for at this node; nothing, when its session counts as absent. */
export async function stillGoodFor(node: NodeProcess, token: string, belongings: Belongings): Promise<string[]> {
  const refusal = { status: 401, code: 'SESSION_INVALID' }
  const faults = await notRefused(node, token, [...callsOnNothing, ...callsOn(belongings)], refusal)
  const stream = await new StreamClient(node.url).opened()
  try {
    stream.send({ type: 'authenticate', token })
    stream.send({ type: 'subscribe', id: 'all', topic: 'session' })
    await stream.end()
  } finally {
    stream.terminate()
  }
  const [first, ...more] = stream.frames
  if (more.length > 0 || first?.code !== refusal.code) faults.push(`stream: ${JSON.stringify(stream.frames)}`)
  return faults
}

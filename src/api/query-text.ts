/**
 * Query strings are text; schemas ask for numbers, booleans and lists. Only what reads back as the same text is turned
 * into one, so that `1e3`, an empty text or `0x10` stay text and are refused by the schema.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'

interface QuerySchema {
  readonly properties?: Readonly<Record<string, { readonly type?: unknown }>>
}

/** A `preValidation` hook. */
export function readQueryText(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const schema = request.routeOptions.schema?.querystring as QuerySchema | undefined
  const query = request.query as Record<string, unknown>
  if (schema?.properties)
    for (const name of Object.keys(query))
      if (Object.hasOwn(schema.properties, name)) query[name] = typed(query[name], schema.properties[name]?.type)
  done()
}

function typed(value: unknown, type: unknown): unknown {
  if (type === 'array') return [value].flat().flatMap(text => String(text).split(','))
  if (typeof value !== 'string') return value
  if (type === 'integer' && /^(0|-?[1-9]\d{0,14})$/.test(value)) return Number(value)
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true'
  return value
}

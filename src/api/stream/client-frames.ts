/** What a client may send on the stream: read, checked against its schema, or refused with the field and what was expected. */
import { type TSchema, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { Topic } from '../../gateway/index.ts'
import { describeFaults } from '../faults.ts'
import { invalid } from '../problem.ts'

export type ClientFrame =
  | { readonly type: 'authenticate'; readonly token: string }
  | ({ readonly type: 'subscribe'; readonly id: string } & Topic)
  | { readonly type: 'unsubscribe'; readonly id: string }
  | { readonly type: 'ping' }

const closed = { additionalProperties: false } as const
const id = Type.String({ minLength: 1, maxLength: 128 })
const version = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const uuid = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

const frames = {
  authenticate: checkOf(
    Type.Object({ type: Type.Literal('authenticate'), token: Type.String({ minLength: 1, maxLength: 512 }) }, closed),
  ),
  unsubscribe: checkOf(Type.Object({ type: Type.Literal('unsubscribe'), id }, closed)),
  ping: checkOf(Type.Object({ type: Type.Literal('ping') }, closed)),
}

const subscriptions = {
  query: checkOf(
    Type.Object(
      {
        type: Type.Literal('subscribe'),
        id,
        topic: Type.Literal('query'),
        handle: Type.String({ pattern: uuid }),
        after: Type.Optional(version),
      },
      closed,
    ),
  ),
  session: checkOf(
    Type.Object(
      {
        type: Type.Literal('subscribe'),
        id,
        topic: Type.Literal('session'),
        after: Type.Optional(Type.Record(Type.String({ pattern: uuid }), version, closed)),
      },
      closed,
    ),
  ),
  cluster: checkOf(Type.Object({ type: Type.Literal('subscribe'), id, topic: Type.Literal('cluster') }, closed)),
  machines: checkOf(Type.Object({ type: Type.Literal('subscribe'), id, topic: Type.Literal('machines') }, closed)),
}

function checkOf(schema: TSchema): (frame: object) => void {
  const validator = Compile(schema)
  return frame => {
    if (validator.Check(frame)) return
    throw invalid(
      describeFaults(validator.Errors(frame).flatMap(fault => asNamedByAjv(fault, schema)) as never, 'frame'),
    )
  }
}

/**
 * TypeBox says several missing fields in one fault, and an unknown field twice: as a fault of its own, of which there may be
 * so many that it stops counting, and in a list.
 */
function asNamedByAjv(fault: { keyword: string; instancePath: string; params: object }, schema: TSchema): object[] {
  if (fault.keyword === 'additionalProperties') return []
  if (fault.keyword === 'boolean') {
    const end = fault.instancePath.lastIndexOf('/')
    const instancePath = fault.instancePath.slice(0, end)
    const params = { additionalProperty: fault.instancePath.slice(end + 1) }
    return [
      {
        ...fault,
        keyword: 'additionalProperties',
        instancePath,
        params,
        ...(end === 0 ? { parentSchema: schema } : {}),
      },
    ]
  }
  const { requiredProperties } = fault.params as { requiredProperties?: readonly string[] }
  return requiredProperties?.map(missingProperty => ({ ...fault, params: { missingProperty } })) ?? [fault]
}

/** The `id` of a frame that may be otherwise wrong, so that its error can name it. */
export function idOf(frame: unknown): string | undefined {
  const { id: given } = (typeof frame === 'object' && frame !== null ? frame : {}) as { id?: unknown }
  return typeof given === 'string' && given.length <= 128 ? given : undefined
}

/** Text of a frame → JSON. Throws REQUEST_INVALID. */
export function parseFrame(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw invalid('frame: expected JSON')
  }
}

/** Throws REQUEST_INVALID. */
export function checkFrame(frame: unknown): ClientFrame {
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) throw invalid('frame: expected an object')
  const { type, topic } = frame as { type?: unknown; topic?: unknown }
  if (type === 'subscribe') {
    if (!isNameIn(subscriptions, topic))
      throw invalid(`frame.topic: expected one of ${Object.keys(subscriptions).join(', ')}`)
    subscriptions[topic](frame)
  } else {
    if (!isNameIn(frames, type))
      throw invalid(`frame.type: expected one of subscribe, ${Object.keys(frames).join(', ')}`)
    frames[type](frame)
  }
  return frame as ClientFrame
}

function isNameIn<Table extends object>(table: Table, name: unknown): name is keyof Table {
  return typeof name === 'string' && Object.hasOwn(table, name)
}

/** The kinds of leaves that the schema is written with: each with its default, its range, its unit and its sentence. */
import { Type } from 'typebox'

export interface LeafNotes {
  /** A sentence; what the key means and, where it is not plain, why one would change it. */
  readonly description: string
  /** Instead of a default: where the value comes from when it is not set. */
  readonly derived?: string
  /** A short variable besides the one made from the path. */
  readonly env?: string
  /** Never repeated in a message. */
  readonly secret?: boolean
}

export const milliseconds = (value: number, minimum: number, notes: LeafNotes, maximum = 2 ** 31 - 1) =>
  Type.Integer({ default: value, minimum, maximum, unit: 'ms', ...notes })
export const bytes = (value: number, minimum: number, notes: LeafNotes, maximum = 2 ** 40) =>
  Type.Integer({ default: value, minimum, maximum, unit: 'bytes', ...notes })
export const count = (value: number, minimum: number, notes: LeafNotes, maximum = 1_000_000_000) =>
  Type.Integer({ default: value, minimum, maximum, ...notes })
export const flag = (value: boolean, notes: LeafNotes) => Type.Boolean({ default: value, ...notes })
export const text = (value: string, notes: LeafNotes) => Type.String({ default: value, minLength: 1, ...notes })
/** A text that is made from other keys when it is not set. */
export const derivedText = (notes: LeafNotes & { derived: string; pattern?: string; minLength?: number }) =>
  Type.String({ minLength: 1, ...notes })
export const derivedMilliseconds = (minimum: number, maximum: number, notes: LeafNotes & { derived: string }) =>
  Type.Integer({ minimum, maximum, unit: 'ms', ...notes })
export const group = <Properties extends Parameters<typeof Type.Object>[0]>(
  description: string,
  properties: Properties,
) => Type.Object(properties, { description, additionalProperties: false })

export const MiB = 2 ** 20
export const dayMs = 86_400_000

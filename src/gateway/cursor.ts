/** Cursors of lists: the last row's place in the order, opaque to clients. */
import { LensError } from '../domain/index.ts'

export function encodeCursor(fields: Readonly<Record<string, string>>): string {
  return Buffer.from(JSON.stringify(fields)).toString('base64url')
}

export function decodeCursor<Field extends string>(
  cursor: string | undefined,
  ...fields: Field[]
): Record<Field, string> | null {
  if (cursor === undefined) return null
  try {
    const decoded: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (typeof decoded === 'object' && decoded !== null) {
      const record = decoded as Record<string, unknown>
      if (fields.every(field => typeof record[field] === 'string')) return record as Record<Field, string>
    }
  } catch {
    // Falls through to the one answer for all that is no cursor.
  }
  throw new LensError('REQUEST_INVALID', 'cursor: expected the nextCursor of an earlier answer.')
}

/** Names of buckets: of one length whatever they are made of, and without anybody's name or address in the database. */
import { createHash } from 'node:crypto'

export function bucketOf(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

/** Where the heartbeat's thread finds its store: a module that loads no ORM, by URL, since a thread takes no functions. */
import { extname } from 'node:path'
import type { LeaseStoreOptions } from './lease.ts'

export function leaseModuleOf(options: LeaseStoreOptions): {
  readonly moduleUrl: string
  readonly options: LeaseStoreOptions
} {
  return { moduleUrl: new URL(`./lease${extname(import.meta.url)}`, import.meta.url).href, options }
}

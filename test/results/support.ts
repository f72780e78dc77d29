/** A query in a real store, whose owner writes pages; and results of real statements. */
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { Column, WireValue } from '../../src/domain/index.ts'
import type { RowBatch } from '../../src/engines/index.ts'
import {
  encodePage,
  ResultReader,
  ResultWriter,
  type ResultWriterOptions,
  type StreamFormat,
  type WrittenResult,
} from '../../src/results/index.ts'
import type { Store } from '../../src/store/index.ts'
import { joined, opened, storeOn, submitted, TestQuery } from '../conformance/store-fixtures.ts'
import { temporaryFolder } from '../support/folders.ts'

export interface OwnedQuery {
  readonly store: Store
  readonly handle: string
  readonly epoch: number
}

/** A store on SQLite with one query, owned under epoch 1. */
export async function ownedQuery(t: ExecutionContext): Promise<OwnedQuery> {
  const store = await storeOn(t, `sqlite:${join(await temporaryFolder(t, 'results'), 'lens.db')}`)
  const query = new TestQuery(await joined(store), await opened(store))
  await submitted(store, query)
  return { store, handle: query.handle, epoch: 1 }
}

export function writerFor(query: OwnedQuery, more: Partial<ResultWriterOptions> = {}): ResultWriter {
  return new ResultWriter({
    pages: query.store.pages,
    handle: query.handle,
    epoch: query.epoch,
    attempt: 1,
    bytesMax: 0,
    ...more,
  })
}

/** Writes the batches and the held page too, as the finishing transaction would. */
export async function written(
  query: OwnedQuery,
  batches: Iterable<RowBatch> | AsyncIterable<RowBatch>,
  more: Partial<ResultWriterOptions> = {},
): Promise<WrittenResult> {
  const writer = writerFor(query, more)
  for await (const batch of batches) await writer.write(batch)
  const result = await writer.finish()
  if (result.lastPage && !(await query.store.pages.append(result.lastPage, query.epoch))) throw new Error('fenced')
  return result
}

export function encoded(pages: readonly (readonly (readonly WireValue[])[])[]): Promise<RowBatch[]> {
  return Promise.all(pages.map(rows => encodePage(rows)))
}

export async function body(
  query: OwnedQuery,
  format: StreamFormat,
  columns: readonly Column[],
  rowCount: number,
  offset = 0,
  directory: string | null = null,
): Promise<Buffer> {
  const reader = new ResultReader({ pages: query.store.pages, directory })
  const chunks: Uint8Array[] = []
  for await (const chunk of reader.stream({ handle: query.handle, attempt: 1, columns, rowCount, format, offset }))
    chunks.push(chunk)
  return Buffer.concat(chunks)
}

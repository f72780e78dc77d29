import { randomBytes } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { LensError, type WireValue } from '../../src/domain/index.ts'
import {
  encodePage,
  FencedError,
  heldBytesMax,
  ResultReader,
  ResultTooLargeError,
  removeResultFiles,
} from '../../src/results/index.ts'
import { temporaryFolder } from '../support/folders.ts'
import { body, encoded, ownedQuery, writerFor, written } from './support.ts'

const columns = [
  { name: 'n', type: 'INTEGER' },
  { name: 's', type: 'VARCHAR' },
]

function rowsFrom(first: number, count: number): WireValue[][] {
  return Array.from({ length: count }, (_, index) => [
    first + index,
    index % 5 === 0 ? null : `text\n"${first + index}" ä`,
  ])
}

/** Pages of these sizes, rows numbered through. */
function pagesOf(sizes: readonly number[]): WireValue[][][] {
  let first = 0
  return sizes.map(size => {
    const rows = rowsFrom(first, size)
    first += size
    return rows
  })
}

test('any window of rows is what was written, over any sizes of pages', async t => {
  const query = await ownedQuery(t)
  let attempt = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(500), fc.nat(200)), { minLength: 1, maxLength: 8 }),
      async (sizes, windows) => {
        attempt++
        const pages = pagesOf(sizes)
        const all = pages.flat()
        const result = await written(query, await encoded(pages), { attempt })
        t.is(result.rowCount, all.length)
        t.is(result.pages, sizes.length)
        const reader = new ResultReader({ pages: query.store.pages })
        for (const [offset, limit] of windows) {
          t.deepEqual(await reader.rows(query.handle, attempt, offset, limit), all.slice(offset, offset + limit))
          const streamed: string[] = []
          const stream = reader.stream({
            handle: query.handle,
            attempt,
            columns,
            rowCount: all.length,
            format: 'ndjson',
            offset,
          })
          for await (const chunk of stream) streamed.push(Buffer.from(chunk).toString())
          t.is(
            streamed.join(''),
            all
              .slice(offset)
              .map(row => `${JSON.stringify(row)}\n`)
              .join(''),
          )
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('a small last page is left to the finishing transaction, with all counts', async t => {
  const query = await ownedQuery(t)
  const writer = writerFor(query)
  const pages = await encoded(pagesOf([3, 2]))
  for (const page of pages) await writer.write(page)
  const result = await writer.finish()
  t.like(result, { pages: 2, rowCount: 5, bytes: pages.reduce((sum, page) => sum + page.bytes, 0) })
  t.like(result.lastPage, { handle: query.handle, attempt: 1, page: 1, firstRow: 3, rowCount: 2, data: pages[1]?.data })
  const stored = await query.store.pages.from(query.handle, 1, 0, 10)
  t.deepEqual(
    stored.map(({ page, rowCount }) => [page, rowCount]),
    [[0, 3]],
  )
})

test('a large last page is appended at once', async t => {
  const query = await ownedQuery(t)
  const page = await encodePage([[randomBytes(heldBytesMax * 2).toString('base64')]])
  const writer = writerFor(query)
  await writer.write(page)
  const result = await writer.finish()
  t.is(result.lastPage, undefined)
  t.is((await query.store.pages.from(query.handle, 1, 0, 10)).length, 1)
})

test('a result without rows has no page', async t => {
  const query = await ownedQuery(t)
  t.deepEqual(await writerFor(query).finish(), { pages: 0, rowCount: 0, bytes: 0 })
  t.deepEqual(await new ResultReader({ pages: query.store.pages }).rows(query.handle, 1, 0, 10), [])
  t.is((await body(query, 'ndjson', columns, 0)).length, 0)
  t.is((await body(query, 'csv', columns, 0)).toString(), 'n,s\r\n')
})

test('a writer of another epoch is refused', async t => {
  const query = await ownedQuery(t)
  const [page] = await encoded(pagesOf([2]))
  if (!page) throw new Error('no page')
  const zombie = writerFor(query, { epoch: 7 })
  await zombie.write(page)
  await t.throwsAsync(() => zombie.write(page), { instanceOf: FencedError })
  await t.throwsAsync(() => writerFor(query, { epoch: 7, attempt: 2 }).write(page), { instanceOf: FencedError })
  await t.throwsAsync(() => writerFor(query, { epoch: 7, attempt: 2 }).finish(), { instanceOf: FencedError })
  t.deepEqual(await query.store.pages.from(query.handle, 1, 0, 10), [])
})

test('rows beyond the limit are refused before they are stored', async t => {
  const query = await ownedQuery(t)
  const [page] = await encoded(pagesOf([100]))
  if (!page) throw new Error('no page')
  const writer = writerFor(query, { bytesMax: page.bytes * 2 })
  await writer.write(page)
  await writer.write(page)
  await t.throwsAsync(() => writer.write(page), { instanceOf: ResultTooLargeError })
})

test('another attempt forgets what the one before had stored', async t => {
  const query = await ownedQuery(t)
  const directory = await temporaryFolder(t, 'pages')
  const [first, second, third] = await encoded(pagesOf([5, 5, 5]))
  if (!first || !second || !third) throw new Error('no pages')
  const abandoned = writerFor(query, { directory })
  for (const page of [first, second, third]) await abandoned.write(page)
  const result = await written(query, [first], { attempt: 2, directory })
  t.like(result, { pages: 1, rowCount: 5 })
  t.deepEqual(await query.store.pages.from(query.handle, 1, 0, 10), [])
  t.deepEqual(await readdir(join(directory, query.handle)), ['2-0'])
})

test('the rows of an attempt that its owner left come once more, in the place of those that were stored', async t => {
  const query = await ownedQuery(t)
  const former = writerFor(query)
  for (const batch of await encoded(pagesOf([5, 5, 5]))) await former.write(batch)
  const pages = pagesOf([3, 4, 5, 3])
  const result = await written(query, await encoded(pages), { again: true })
  t.is(result.pages, 4)
  const reader = new ResultReader({ pages: query.store.pages })
  t.deepEqual(await reader.rows(query.handle, 1, 0, 100), pages.flat())
})

test('pages in a directory are read from there, and their removal is an expired result', async t => {
  const query = await ownedQuery(t)
  const directory = await temporaryFolder(t, 'pages')
  const pages = pagesOf([4, 3, 2])
  const result = await written(query, await encoded(pages), { directory })
  t.is(result.lastPage?.data, null)
  t.true((await query.store.pages.from(query.handle, 1, 0, 10)).every(page => page.data === null))
  t.deepEqual((await readdir(join(directory, query.handle))).sort(), ['1-0', '1-1', '1-2'])
  const reader = new ResultReader({ pages: query.store.pages, directory })
  t.deepEqual(await reader.rows(query.handle, 1, 2, 5), pages.flat().slice(2, 7))
  t.is(
    (await body(query, 'ndjson', columns, 9, 3, directory)).toString(),
    pages
      .flat()
      .slice(3)
      .map(row => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  await rm(join(directory, query.handle, '1-1'))
  const error = await t.throwsAsync(() => body(query, 'ndjson', columns, 9, 0, directory), { instanceOf: LensError })
  t.is(error.code, 'RESULT_EXPIRED')
  await removeResultFiles(directory, query.handle)
  await removeResultFiles(directory, query.handle)
  t.deepEqual(await readdir(directory), [])
})

test('no path leads out of the directory', async t => {
  const directory = await temporaryFolder(t, 'pages')
  await t.throwsAsync(() => removeResultFiles(directory, '../elsewhere'), { instanceOf: LensError })
  await t.throwsAsync(() => removeResultFiles(directory, ''), { instanceOf: LensError })
})

test('a stream that finds fewer rows than the result has fails instead of ending', async t => {
  const query = await ownedQuery(t)
  await written(query, await encoded(pagesOf([4, 3])))
  for (const format of ['ndjson', 'csv', 'arrow'] as const) {
    const error = await t.throwsAsync(() => body(query, format, columns, 8), { instanceOf: LensError })
    t.is(error.code, 'RESULT_EXPIRED')
  }
})

test('rows behind pages that are gone are not taken for those that were asked for', async t => {
  const query = await ownedQuery(t)
  await written(query, await encoded(pagesOf([3, 3, 3])))
  const { pages } = query.store
  const withGap: Pick<typeof pages, 'from'> = {
    from: async (...asked) => (await pages.from(...asked)).filter(({ page }) => page !== 1),
  }
  const reader = new ResultReader({ pages: withGap })
  t.is((await reader.rows(query.handle, 1, 0, 3)).length, 3)
  t.is((await reader.rows(query.handle, 1, 6, 3)).length, 3)
  for (const [offset, limit] of [
    [0, 9],
    [2, 2],
    [4, 1],
  ] as const) {
    const error = await t.throwsAsync(() => reader.rows(query.handle, 1, offset, limit), { instanceOf: LensError })
    t.is(error.code, 'RESULT_EXPIRED')
  }
  const seen: string[] = []
  const stream = reader.stream({
    ...{ handle: query.handle, attempt: 1, columns, rowCount: 9, format: 'ndjson', offset: 0 },
  })
  await t.throwsAsync(
    async () => {
      for await (const chunk of stream) seen.push(...String(Buffer.from(chunk)).trim().split('\n'))
    },
    { instanceOf: LensError },
  )
  t.is(seen.length, 3)
})

test('a stream of rows that are gone fails before its first byte, in every form', async t => {
  const query = await ownedQuery(t)
  const reader = new ResultReader({ pages: query.store.pages })
  for (const format of ['csv', 'ndjson', 'arrow'] as const) {
    const stream = reader.stream({ handle: query.handle, attempt: 1, columns, rowCount: 9, format, offset: 0 })
    const error = await t.throwsAsync(() => stream.next(), { instanceOf: LensError })
    t.is(error.code, 'RESULT_EXPIRED')
  }
})

test('a stream that is left early stops reading', async t => {
  const query = await ownedQuery(t)
  await written(query, await encoded(pagesOf(Array.from({ length: 40 }, () => 3))))
  let reads = 0
  const { pages } = query.store
  const counting: Pick<typeof pages, 'from'> = {
    from(...asked) {
      reads++
      return pages.from(...asked)
    },
  }
  const reader = new ResultReader({ pages: counting })
  for await (const _ of reader.stream({
    handle: query.handle,
    attempt: 1,
    columns,
    rowCount: 120,
    format: 'ndjson',
    offset: 0,
  }))
    break
  t.true(reads <= 2)
})

test('a result of any size is streamed in constant memory', async t => {
  const query = await ownedQuery(t)
  // 300 pages of about 2 MiB of JSON text each, small when compressed.
  const page = await encodePage(Array.from({ length: 2000 }, (_, index) => [index, 'x'.repeat(1000)]))
  const pages = 300
  const result = await written(
    query,
    (function* () {
      for (let count = 0; count < pages; count++) yield page
    })(),
  )
  t.true(result.bytes > 600_000_000)
  const reader = new ResultReader({ pages: query.store.pages })
  for (const format of ['ndjson', 'csv', 'arrow'] as const) {
    const before = process.memoryUsage().rss
    let most = before
    let bytes = 0
    for await (const chunk of reader.stream({
      handle: query.handle,
      attempt: 1,
      columns,
      rowCount: result.rowCount,
      format,
      offset: 0,
    })) {
      bytes += chunk.length
      most = Math.max(most, process.memoryUsage().rss)
    }
    t.true(bytes > 590_000_000)
    t.true(most - before < 250_000_000, `${format}: ${most - before}`)
  }
})

/**
 * I6: rows once and in order. Hashes of adjoining ranges add up, so every page says how far the sums at its two ends are apart;
 * all pages of a query, from whichever nodes and of whatever sizes, must fit to one sequence of sums, and to the statement's own
 * where that is known.
 */
import { type Operation, type RowsSeen, subtractHashes } from '../history.ts'
import type { Findings } from './findings.ts'
import type { Ledger, Query, Row } from './ledger.ts'
import { listAt } from './ledger.ts'
import { Sums } from './sums.ts'

interface Page {
  readonly operation: Operation
  readonly rows: RowsSeen
  /** What was asked for; null: from the first row on, as a synchronous answer is. */
  readonly offset: number
  readonly limit: number | null
}

export function checkRows(ledger: Ledger, findings: Findings): void {
  const statements = new Map<string, string>()
  for (const { handle, submissions } of ledger.queries.values())
    if (submissions[0]) statements.set(handle, submissions[0].statement)
  for (const [handle, pages] of pagesOf(ledger)) {
    const query = ledger.queries.get(handle)
    const expected = ledger.history.expected.get(statements.get(handle) ?? '') ?? null
    findings.lookedAt('I6', 'pages read', pages.length)
    findings.lookedAt(
      'I6',
      'rows read',
      pages.reduce((sum, { rows }) => sum + rows.count, 0),
    )
    if (expected) findings.lookedAt('I6', 'pages compared with what is right', pages.length)
    checkFit(handle, pages, expected, findings)
    for (const page of pages) checkPage(query, handle, page, expected, findings)
  }
  const stored = Map.groupBy(ledger.history.rows.result_page, row => row.handle as string)
  for (const query of ledger.queries.values()) checkStored(query, stored.get(query.handle) ?? [], findings)
}

function pagesOf({ history }: Ledger): Map<string, Page[]> {
  const pages = new Map<string, Page[]>()
  for (const operation of history.operations) {
    const { kind, answer } = operation
    if (!answer || !('rows' in answer) || answer.rows === null) continue
    const { rows } = answer
    if (kind === 'rows') {
      const { handle, offset, limit } = operation
      listAt(pages, handle).push({ operation, rows, offset, limit })
    } else if (kind === 'submit' && 'query' in answer)
      listAt(pages, answer.query.handle).push({ operation, rows, offset: 0, limit: null })
  }
  return pages
}

function checkFit(
  handle: string,
  pages: readonly Page[],
  expected: readonly number[] | null,
  findings: Findings,
): void {
  const sums = new Sums()
  for (const { operation, rows } of pages) {
    const { offset, count, hash } = rows
    if (count === 0) continue
    const right = expected ? expectedHash(expected, offset, count) : null
    if (expected && right === null)
      findings.broken(
        'I6',
        handle,
        `rows ${offset} to ${offset + count} were delivered, the statement gives ${expected.length - 1}`,
        operation,
      )
    else if (right !== null && right !== hash)
      findings.broken(
        'I6',
        handle,
        `rows ${offset} to ${offset + count} are not those that the statement gives`,
        operation,
      )
    else if (!sums.add(offset, offset + count, hash))
      findings.broken(
        'I6',
        handle,
        `rows ${offset} to ${offset + count} differ from what was delivered before`,
        operation,
      )
  }
}

function expectedHash(prefix: readonly number[], offset: number, count: number): number | null {
  const [from, to] = [prefix[offset], prefix[offset + count]]
  return from === undefined || to === undefined ? null : subtractHashes(to, from)
}

function checkPage(
  query: Query | undefined,
  handle: string,
  { operation, rows, offset, limit }: Page,
  expected: readonly number[] | null,
  findings: Findings,
): void {
  const row = query?.row
  if (row && row.outcome !== 'SUCCESSFUL')
    findings.broken('I6', handle, `rows were delivered of a query that is ${row.outcome ?? row.status}`, operation, row)
  if (rows.offset !== offset)
    findings.broken('I6', handle, `rows from ${offset} on were asked for, ${rows.offset} came first`, operation)
  if (limit !== null && rows.count > limit)
    findings.broken('I6', handle, `${limit} rows were asked for, ${rows.count} came`, operation)
  if (!rows.complete) return
  const end = rows.offset + rows.count
  const total = expected ? expected.length - 1 : totalOf(row)
  const next = total === null ? rows.nextOffset : end < total ? end : null
  if (rows.nextOffset !== next)
    findings.broken(
      'I6',
      handle,
      `after rows ${rows.offset} to ${end} of ${total} it goes on at ${rows.nextOffset ?? 'nothing'}`,
      operation,
    )
}

/** How many rows the result has, as its row says; null where that is not known. */
function totalOf(row: Row | null | undefined): number | null {
  if (row?.outcome !== 'SUCCESSFUL') return null
  try {
    return JSON.parse(row.snapshot as string).context.rowCount ?? null
  } catch {
    return null
  }
}

/** In the database: the pages of the attempt that succeeded, each once, and none of another attempt. */
function checkStored({ handle, row }: Query, pages: readonly Row[], findings: Findings): void {
  if (row?.outcome !== 'SUCCESSFUL' || row.status === 'CLOSED') return
  findings.lookedAt('I6', 'stored results')
  const others = pages.filter(({ attempt }) => Number(attempt) !== Number(row.attempt))
  if (others.length > 0)
    findings.broken('I6', handle, `pages of other attempts lie beside those of attempt ${row.attempt}`, row, ...others)
  const own = pages.filter(page => !others.includes(page)).sort((a, b) => Number(a.page) - Number(b.page))
  let rows = 0
  for (const [index, page] of own.entries()) {
    if (Number(page.page) !== index || Number(page.first_row) !== rows) {
      findings.broken(
        'I6',
        handle,
        `page ${page.page} begins at row ${page.first_row}, where page ${index} and row ${rows} are due`,
        row,
        ...own,
      )
      return
    }
    rows += Number(page.row_count)
  }
  if (own.length !== Number(row.stored_pages) || rows !== Number(row.stored_rows))
    findings.broken(
      'I6',
      handle,
      `${own.length} pages with ${rows} rows are stored, noted are ${row.stored_pages} with ${row.stored_rows}`,
      row,
      ...own,
    )
}

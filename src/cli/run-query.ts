/** Submits one statement, shows how it goes, writes its rows: what `lens query` and the shell share. */
import {
  type LensClient,
  LensClientError,
  type QueryHandle,
  type QueryView,
  type SubmitOptions,
} from '../client/index.ts'
import { type ExitCode, exitCodes, reportFailure, sentenceOf } from './exit-codes.ts'
import { changeLine, ProgressLine } from './output/progress.ts'
import { type Format, rowWriter } from './output/writers.ts'
import type { Terminal } from './terminal.ts'

export interface RunOptions {
  readonly format: Format
  /** Print every change of status, on standard error. */
  readonly watch: boolean
  readonly submit?: SubmitOptions
  /** The first abort cancels the query and waits for its end. */
  readonly interrupt: AbortSignal
  /** Say how many rows and how long, on standard error. */
  readonly summary: boolean
}

export async function runQuery(
  client: LensClient,
  terminal: Terminal,
  sql: string,
  options: RunOptions,
): Promise<ExitCode> {
  const handle = await client.submit(sql, options.submit)
  if (options.watch) terminal.err(`query ${handle.handle}\n`)
  return follow(terminal, handle, options)
}

/** Follows a query to its end, then writes its rows. */
export async function follow(terminal: Terminal, handle: QueryHandle, options: RunOptions): Promise<ExitCode> {
  const { interrupt } = options
  const cancel = () => {
    if (options.watch) terminal.err('cancelling …\n')
    handle.cancel().catch(error => reportFailure(terminal, error))
  }
  if (interrupt.aborted) cancel()
  else interrupt.addEventListener('abort', cancel, { once: true })
  try {
    const query = await ended(terminal, handle, options.watch)
    if (query.outcome === 'SUCCESSFUL') return await writeRows(terminal, handle, query, options)
    terminal.err(`${failureLine(query)}\n`)
    return interrupt.aborted && query.outcome === 'CANCELED' ? exitCodes.interrupted : exitCodes.failed
  } finally {
    interrupt.removeEventListener('abort', cancel)
  }
}

async function ended(terminal: Terminal, handle: QueryHandle, watch: boolean): Promise<QueryView> {
  // Nothing to show: one long poll costs less than a subscription.
  if (!watch && !terminal.progressive) return handle.wait()
  const line = new ProgressLine(terminal)
  let latest: QueryView | null = null
  try {
    const onProgress = (progress: QueryView['progress']) => {
      if (latest && latest.outcome === null) line.show(latest, progress)
    }
    for await (const query of handle.changes({ onProgress })) {
      line.hide()
      if (watch) terminal.err(changeLine(latest, query))
      latest = query
      if (query.outcome === null) line.show(query, query.progress)
    }
  } finally {
    line.hide()
  }
  return latest ?? handle.wait()
}

async function writeRows(
  terminal: Terminal,
  handle: QueryHandle,
  query: QueryView,
  { format, summary, interrupt }: RunOptions,
): Promise<ExitCode> {
  const writer = rowWriter(format, terminal.columns)
  let count = 0
  for await (const page of handle.rows().pages()) {
    if (interrupt.aborted) return exitCodes.interrupted
    count += page.rows.length
    await terminal.out(writer.page(page))
  }
  await terminal.out(writer.end())
  if (summary) terminal.err(`(${count} ${count === 1 ? 'row' : 'rows'}${tookText(query)}, ${placeText(query)})\n`)
  return exitCodes.success
}

function tookText(query: QueryView): string {
  if (query.finishedAt === null) return ''
  const tookMs = Date.parse(query.finishedAt) - Date.parse(query.submittedAt)
  return `, ${(tookMs / 1000).toFixed(2)} s`
}

function placeText(query: QueryView): string {
  const attempts = query.attempt > 1 ? `, attempt ${query.attempt}` : ''
  return `${query.engine ?? 'no engine'} on ${query.owner.node}${attempts}`
}

/** Why a query that has ended gave no rows. */
export function failureLine(query: QueryView): string {
  if (query.outcome === 'CANCELED') return `CANCELED: query ${query.handle}`
  const { code = 'FAILED', message = 'The query failed.' } = query.error ?? {}
  return sentenceOf(new LensClientError({ code, detail: message }))
}

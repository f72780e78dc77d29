/** Listings of Lens have no pages: they are read to the end of the gateway's, up to a bound that protects the node. */
import type { QueryStatus, QueryView } from '../../domain/index.ts'
import { LensError, QueryStatus as statuses } from '../../domain/index.ts'
import type { Principal } from '../../gateway/index.ts'
import type { ApiContext } from '../context.ts'
import type { Call } from './call.ts'
import { instantOf } from './dates.ts'
import { WireRefusal, wireCodes } from './refusals.ts'

/** Newest first; who has more narrows the listing by its filters. */
const listedMax = 10_000

export async function allPages<Entry>(
  page: (cursor?: string) => Promise<{ entries: readonly Entry[]; nextCursor: string | null }>,
): Promise<Entry[]> {
  const all: Entry[] = []
  let cursor: string | undefined
  do {
    const { entries, nextCursor } = await page(cursor)
    all.push(...entries)
    cursor = nextCursor ?? undefined
  } while (cursor !== undefined && all.length < listedMax)
  return all.slice(0, listedMax)
}

/** How many of these were done; what went away after it was listed, for somebody else was faster, counts as not. */
export async function eachStillThere(handles: readonly string[], act: (handle: string) => Promise<boolean>) {
  let done = 0
  for (const handle of handles)
    try {
      if (await act(handle)) done++
    } catch (error) {
      if (!(error instanceof LensError && error.code === 'NOT_FOUND')) throw error
    }
  return done
}

/** The queries that the parameters of the call choose; `unfinishedOnly` where it names no state. */
export async function chosenQueries(
  call: Call,
  principal: Principal,
  { gateway, config, clock }: ApiContext,
  unfinishedOnly = false,
): Promise<QueryView[]> {
  const wanted = statesOf(call.text('state')) ?? (unfinishedOnly ? unfinished : undefined)
  const name = call.text('queryName')?.trim()
  const driver = call.text('driver')?.trim().toLowerCase()
  const { from, to } = spanOf(call, clock.now())
  const user = whose(call.text('user'), principal)
  const queries = await allPages(async cursor => {
    const { queries: entries, nextCursor } = await gateway.listQueries(principal, {
      limit: config.limits.listMax,
      ...(wanted ? { statuses: wanted } : {}),
      ...(user === undefined ? {} : { user }),
      ...(name ? { name } : {}),
      ...(from ? { from } : {}),
      ...(to ? { to } : {}),
      ...(cursor ? { cursor } : {}),
    })
    return { entries, nextCursor }
  })
  // Also by the last part of `type/name`, which Lens calls its drivers.
  return driver ? queries.filter(({ engine }) => engine?.toLowerCase() === driver.split('/').at(-1)) : queries
}

const unfinished: readonly QueryStatus[] = ['QUEUED', 'LAUNCHED', 'RUNNING', 'EXECUTED', 'FAILING']

function statesOf(text: string | undefined): readonly QueryStatus[] | undefined {
  const names = (text ?? '')
    .split(',')
    .map(name => name.trim().toUpperCase())
    .filter(name => name !== '')
  if (names.length === 0) return undefined
  for (const name of names)
    if (!Object.hasOwn(statuses, name))
      throw new WireRefusal(wireCodes.parameterInvalid, `state: expected some of ${Object.keys(statuses).join(', ')}`)
  return names as QueryStatus[]
}

/** Undefined: the caller's own. `all` is everything that the caller may see. */
export function whose(text: string | undefined, { admin, user }: Principal): string | undefined {
  const name = text?.trim() ?? ''
  if (name === '' || name === user) return undefined
  if (name.toLowerCase() === 'all') return admin ? '*' : undefined
  return name
}

export function spanOf(call: Call, nowMs: number): { from?: string; to?: string } {
  const from = instantOf(call.text('fromDate'), 'fromDate', nowMs)
  const to = instantOf(call.text('toDate'), 'toDate', nowMs)
  if (from !== undefined && to !== undefined && from > to)
    throw new WireRefusal(wireCodes.parameterInvalid, 'fromDate: expected not to be after toDate')
  return { ...(from ? { from } : {}), ...(to ? { to } : {}) }
}

/**
 * The invariants of the design, asked of the database itself after whatever a test did to the nodes: where each query is,
 * who wrote each of its versions, whether its events give its snapshot, and whether its rows are all there, once.
 */
import { isDeepStrictEqual } from 'node:util'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { type QueryEvent, type QueryInput, replay, type StoredSnapshot, statusOf } from '../../src/domain/index.ts'

export interface TransitionRow {
  readonly handle: string
  readonly version: number
  readonly epoch: number
  readonly id: string
  readonly node: string
  readonly event: QueryEvent
  readonly from_status: string
  readonly to_status: string
}

type Row = Record<string, any>

/** What the database holds of all queries, read at one instant. */
export interface Holdings {
  readonly current: readonly Row[]
  readonly finished: readonly Row[]
  readonly transitions: ReadonlyMap<string, readonly TransitionRow[]>
  readonly pages: ReadonlyMap<string, readonly Row[]>
  readonly counters: readonly Row[]
}

/** Rows of one statement, straight from the database. */
export async function ask(storeUrl: string, sql: string, values: readonly (string | number)[] = []): Promise<Row[]> {
  const connection = await createConnection({ uri: storeUrl })
  try {
    const [rows] = await connection.query<RowDataPacket[]>(sql, values as unknown[])
    return Array.isArray(rows) ? rows : []
  } finally {
    connection.destroy()
  }
}

export async function holdingsOf(storeUrl: string): Promise<Holdings> {
  const connection = await createConnection({ uri: storeUrl })
  const rows = async (sql: string): Promise<Row[]> => (await connection.query<RowDataPacket[]>(sql))[0]
  try {
    await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT')
    const transitions = (await rows('SELECT * FROM query_transition ORDER BY handle, version')).map(row => ({
      ...(row as TransitionRow),
      event: JSON.parse(row.event),
    }))
    const pages = await rows(
      'SELECT handle, attempt, page, first_row, row_count, bytes FROM result_page ORDER BY handle, attempt, page',
    )
    return {
      current: await rows('SELECT * FROM current_query'),
      finished: await rows('SELECT * FROM finished_query'),
      transitions: Map.groupBy(transitions, ({ handle }) => handle),
      pages: Map.groupBy(pages, ({ handle }) => handle),
      counters: await rows("SELECT scope, value FROM usage_counter WHERE scope NOT LIKE 'sessions:%'"),
    }
  } finally {
    connection.destroy()
  }
}

const ends = new Set(['SUCCESSFUL', 'FAILED', 'CANCELED'])

/**
 * All that is wrong; nothing, when all is well. Counters are kept only where their limit is on: a cluster of a test that asks this
 * sets one. `unreadable`: handles whose snapshot the test broke, which cannot be replayed.
 */
export async function brokenInvariants(
  storeUrl: string,
  handles: readonly string[],
  unreadable: readonly string[] = [],
): Promise<string[]> {
  return faultsOfHoldings(await holdingsOf(storeUrl), handles, unreadable)
}

/** Without what is said of the counters: they are kept only where a limit is on. */
export function besidesCounters(faults: readonly string[]): string[] {
  return faults.filter(fault => !/ counts \d+, nothing is left$/.test(fault))
}

/** The same of what was read already. */
export function faultsOfHoldings(
  holdings: Holdings,
  handles: readonly string[],
  unreadable: readonly string[] = [],
): string[] {
  const { current, finished, transitions, pages, counters } = holdings
  const faults: string[] = []
  const places = new Map<string, number>()
  for (const { handle } of [...current, ...finished]) places.set(handle, (places.get(handle) ?? 0) + 1)
  for (const handle of new Set([...handles, ...places.keys()]))
    if (places.get(handle) !== 1) faults.push(`${handle} is in ${places.get(handle) ?? 0} tables`)
  for (const handle of transitions.keys()) if (!places.has(handle)) faults.push(`${handle} has transitions and no row`)
  for (const row of [...current, ...finished]) {
    const steps = transitions.get(row.handle) ?? []
    faults.push(
      ...faultsOfSteps(row, steps, finished.includes(row)),
      ...(unreadable.includes(row.handle) ? [] : faultsOfReplay(row, steps)),
      ...faultsOfPages(row, pages.get(row.handle) ?? []),
    )
  }
  if (current.length === 0)
    for (const { scope, value } of counters)
      if (Number(value) !== 0) faults.push(`${scope} counts ${value}, nothing is left`)
  return faults
}

/** Versions without a gap, one end, one writer per epoch, epochs that only a change of owner raises. */
function faultsOfSteps(row: Row, steps: readonly TransitionRow[], isFinished: boolean): string[] {
  const faults: string[] = []
  const say = (what: string) =>
    faults.push(
      `${row.handle}: ${what}: ${steps.map(({ version, epoch, event, node }) => `${version}/${epoch} ${event.type} ${node}`).join(', ')}`,
    )
  if (steps.some(({ version }, index) => Number(version) !== index + 1)) say('its versions have a gap')
  if (Number(row.version) !== steps.length) say(`its row has version ${row.version}`)
  const last = steps.at(-1)
  if (last?.id !== row.transition_id || Number(last?.epoch) !== Number(row.epoch) || last?.to_status !== row.status)
    say(`its row (${row.status}, epoch ${row.epoch}) is not what its last transition made`)
  const terminal = steps.filter(({ to_status, from_status }) => ends.has(to_status) && to_status !== from_status)
  if (terminal.length !== (isFinished ? 1 : 0)) say(`it has ${terminal.length} terminal states`)
  if (isFinished && terminal[0]?.to_status !== row.outcome) say(`its outcome is ${row.outcome}`)
  steps.forEach((step, index) => {
    const before = steps[index - 1]
    if (!before) return
    if (step.from_status !== before.to_status) say(`version ${step.version} begins elsewhere than the one before ended`)
    const changes = step.event.type === 'CLAIMED' || step.event.type === 'HANDED_OVER'
    if (Number(step.epoch) !== Number(before.epoch) + (changes ? 1 : 0))
      say(`version ${step.version} has a wrong epoch`)
    // The first version may be written by a node that leaves; a claim is noted under its new owner's name.
    // What has ended is nobody's: any node drops its result.
    const ofAnyNode = step.event.type === 'RESULT_DROPPED'
    if (!changes && !ofAnyNode && index > 1 && step.node !== before.node && before.event.type !== 'HANDED_OVER')
      say(`version ${step.version} has another writer in the same epoch`)
  })
  return faults
}

function faultsOfReplay(row: Row, steps: readonly TransitionRow[]): string[] {
  const input: QueryInput = { handle: row.handle, lane: row.requested_lane, engine: row.requested_engine }
  const states = [
    ...replay(
      input,
      steps.map(({ event }) => event),
    ),
  ]
  const replayed = states.at(-1)
  const stored = JSON.parse(row.snapshot) as StoredSnapshot
  const faults: string[] = []
  if (!replayed || !isDeepStrictEqual(plain({ ...replayed }), plain({ value: stored.value, context: stored.context })))
    faults.push(
      `${row.handle}: its transitions give ${JSON.stringify(replayed)}, its snapshot is ${JSON.stringify(stored)}`,
    )
  states.forEach(({ value, context }, index) => {
    if (context.version !== index + 1 || statusOf(value) !== steps[index]?.to_status)
      faults.push(`${row.handle}: replaying version ${index + 1} gives ${statusOf(value)}, version ${context.version}`)
  })
  return faults
}

/** The pages of the attempt that succeeded, each once, and none that anybody else wrote. */
function faultsOfPages(row: Row, pages: readonly Row[]): string[] {
  if (row.outcome !== 'SUCCESSFUL' || row.status === 'CLOSED') return []
  const wrong = pages.filter(({ attempt }) => Number(attempt) !== Number(row.attempt))
  const own = pages.filter(({ attempt }) => Number(attempt) === Number(row.attempt))
  const faults: string[] = []
  if (wrong.length > 0)
    faults.push(`${row.handle}: pages of attempts ${wrong.map(({ attempt }) => attempt)} beside attempt ${row.attempt}`)
  let rows = 0
  for (const [index, { page, first_row, row_count }] of own.entries()) {
    if (Number(page) !== index || Number(first_row) !== rows)
      faults.push(`${row.handle}: page ${page} begins at ${first_row}`)
    rows += Number(row_count)
  }
  // Its retention is over: the pages went, and how many rows there were is still known.
  if (row.pages_expire_at === null && Number(row.stored_pages) === 0 && own.length === 0) return faults
  if (own.length !== Number(row.stored_pages) || rows !== Number(row.stored_rows))
    faults.push(
      `${row.handle}: ${own.length} pages with ${rows} rows, noted are ${row.stored_pages} and ${row.stored_rows}`,
    )
  return faults
}

const plain = (value: unknown) => JSON.parse(JSON.stringify(value))

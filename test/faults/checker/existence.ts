/** A handle that was answered exists from then on, in answers and lists; rows that were there stay, until they are dropped, and then are gone. */
import type { Operation } from '../history.ts'
import type { Findings } from './findings.ts'
import { handleOf, type Ledger, listAt, queriesSeenBy, refusalOf, succeeded } from './ledger.ts'

interface Milestones {
  /** When it was first known to exist, to be SUCCESSFUL, to be dropped; and when anybody first asked to drop it. */
  existsMs: number
  successMs: number
  droppedMs: number
  dropAskedMs: number
}

const never = Number.POSITIVE_INFINITY
/** How far the database's clock and the clients' may have drifted apart in a run. */
const driftMs = 100

export function checkExistence(ledger: Ledger, findings: Findings): void {
  const milestones = milestonesOf(ledger)
  const known = knownByUser(ledger, milestones)
  for (const operation of ledger.history.operations) {
    if ('handle' in operation && operation.handle !== null)
      checkAnswer(ledger, operation, operation.handle, milestones.get(operation.handle), findings)
    if (operation.kind === 'list') checkList(ledger, operation, known, findings)
  }
}

function milestonesOf({ history }: Ledger): Map<string, Milestones> {
  const all = new Map<string, Milestones>()
  const of = (handle: string) => {
    let one = all.get(handle)
    if (!one) {
      one = { existsMs: never, successMs: never, droppedMs: never, dropAskedMs: never }
      all.set(handle, one)
    }
    return one
  }
  const see = (handle: string, status: string | null, atMs: number) => {
    const one = of(handle)
    one.existsMs = Math.min(one.existsMs, atMs)
    if (status === 'SUCCESSFUL') one.successMs = Math.min(one.successMs, atMs)
    if (status === 'CLOSED') one.droppedMs = Math.min(one.droppedMs, atMs)
  }
  for (const operation of history.operations) {
    const { beginMs, endMs } = operation
    if (operation.kind === 'drop')
      of(operation.handle).dropAskedMs = Math.min(of(operation.handle).dropAskedMs, beginMs)
    if (endMs === null) continue
    for (const { handle, status } of queriesSeenBy(operation)) see(handle, status, endMs)
    if (operation.kind === 'submit' && !succeeded(operation)) {
      const handle = handleOf(operation)
      if (handle !== null) see(handle, null, endMs)
    }
    if (operation.kind === 'drop' && succeeded(operation)) see(operation.handle, 'CLOSED', endMs)
  }
  for (const frames of history.frames.values())
    for (const { query, atMs } of frames) see(query.handle, query.status, atMs)
  return all
}

function checkAnswer(
  ledger: Ledger,
  operation: Operation,
  handle: string,
  known: Milestones | undefined,
  findings: Findings,
): void {
  if (!known) return
  const { beginMs, user, kind } = operation
  const endMs = operation.endMs ?? never
  const query = ledger.queries.get(handle)
  const mine = query?.user === user || ledger.isAdmin(user)
  const code = kind === 'subscribe' ? operation.ended : (refusalOf(operation)?.code ?? null)
  if (!mine) return
  if (known.existsMs < beginMs) {
    findings.lookedAt('I9', 'questions after what is known to exist')
    if (code === 'NOT_FOUND')
      findings.broken(
        'I9',
        handle,
        `${operation.node ?? 'a node'} said that there is no such query, which had been answered before`,
        operation,
      )
  }
  if (kind !== 'rows') return
  if (known.successMs < beginMs && code === 'RESULT_NOT_READY')
    findings.broken('I9', handle, 'its rows were called not ready after it had been seen SUCCESSFUL', operation)
  if (code === 'RESULT_EXPIRED' && known.dropAskedMs > endMs)
    findings.broken('I9', handle, 'its rows were called gone, and nobody had dropped them', operation)
  if (known.droppedMs < beginMs && succeeded(operation))
    findings.broken('I9', handle, 'its rows were delivered after their dropping had been answered', operation)
}

interface KnownHandle {
  readonly handle: string
  /** When a client first knew of it. */
  readonly atMs: number
  /** When it was submitted, on the clients' clock: what lists are ordered by. */
  readonly submittedMs: number
}

/** By user, in the order of their submission; under '*' those of all. */
function knownByUser(ledger: Ledger, milestones: ReadonlyMap<string, Milestones>): Map<string, KnownHandle[]> {
  const known = new Map<string, KnownHandle[]>()
  for (const [handle, { existsMs: atMs }] of milestones) {
    const query = ledger.queries.get(handle)
    if (!query?.user || !query.row || atMs === never) continue
    const one = { handle, atMs, submittedMs: ledger.monotonic(Number(query.row.submitted_at)) }
    listAt(known, query.user).push(one)
    listAt(known, '*').push(one)
  }
  for (const list of known.values()) list.sort((a, b) => a.submittedMs - b.submittedMs)
  return known
}

/** What was known before it was asked, and is no older than the last that is listed, is listed. */
function checkList(
  ledger: Ledger,
  operation: Operation & { kind: 'list' },
  known: ReadonlyMap<string, readonly KnownHandle[]>,
  findings: Findings,
): void {
  const { answer, user, beginMs, of = user } = operation
  if (!answer || !('queries' in answer)) return
  findings.lookedAt('I9', answer.whole ? 'whole lists' : 'lists of the newest')
  const listed = new Set(answer.queries.map(({ handle }) => handle))
  if (listed.size < answer.queries.length) findings.broken('I9', user, 'a list names a query twice', operation)
  const times = answer.queries.map(({ handle }) => Number(ledger.queries.get(handle)?.row?.submitted_at))
  const oldestMs = answer.whole ? -never : ledger.monotonic(Math.min(...times))
  const all = known.get(of) ?? []
  for (let index = countUntil(all, beginMs + driftMs) - 1; index >= 0; index--) {
    const { handle, atMs, submittedMs } = all[index] as KnownHandle
    if (submittedMs <= oldestMs) break
    if (atMs >= beginMs) continue
    findings.lookedAt('I9', 'queries looked for in lists')
    if (!listed.has(handle)) findings.broken('I9', handle, `a list of the queries of ${of} leaves it out`, operation)
  }
}

/** How many of these were submitted by `byMs`. */
function countUntil(all: readonly KnownHandle[], byMs: number): number {
  let [from, to] = [0, all.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if ((all[middle] as KnownHandle).submittedMs <= byMs) from = middle + 1
    else to = middle
  }
  return from
}

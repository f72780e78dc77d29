/** A session that was answered is good on every node, says its last change everywhere, and is closed everywhere once that was answered. */
import type { OpenSession, Operation, Submit } from '../history.ts'
import type { Findings } from './findings.ts'
import { type KnownSession, type Ledger, listAt, refusalOf, succeeded } from './ledger.ts'
import { wasZombie } from './silences.ts'

export function checkSessionsInTime(ledger: Ledger, findings: Findings): void {
  const ends = new Map([...ledger.sessions.values()].map(session => [session.id, endOf(session)]))
  for (const operation of ledger.history.operations) {
    // Of a session that a call is about, the call is made with that session's own token.
    const session = operation.session === null ? undefined : ledger.sessions.get(operation.session)
    if (session) checkUse(ledger, operation, session, ends.get(session.id) as End, findings)
  }
  checkRevisions(ledger, findings)
  checkKeys(ledger, findings)
  checkStored(ledger, findings)
}

interface End {
  /** When somebody first may have closed it. */
  readonly possibleMs: number
  /** When that was answered; from then on it is closed. */
  readonly certainMs: number
}

function endOf({ closes, expiredMs }: KnownSession): End {
  let [possibleMs, certainMs] = [expiredMs, Number.POSITIVE_INFINITY]
  for (const close of closes) {
    possibleMs = Math.min(possibleMs, close.beginMs)
    if (succeeded(close)) certainMs = Math.min(certainMs, close.endMs ?? Number.POSITIVE_INFINITY)
  }
  return { possibleMs, certainMs }
}

function checkUse(ledger: Ledger, operation: Operation, session: KnownSession, end: End, findings: Findings): void {
  const { beginMs, node } = operation
  const endMs = operation.endMs ?? Number.POSITIVE_INFINITY
  const code = operation.kind === 'subscribe' ? operation.ended : (refusalOf(operation)?.code ?? null)
  const accepted = operation.kind === 'subscribe' ? operation.subscribedMs !== null : succeeded(operation)
  if (end.certainMs < beginMs) {
    findings.lookedAt('I9', 'uses of closed sessions')
    if (!accepted) return
    const words = `${node ?? 'a node'} took a session whose closing had been answered`
    findings.broken('I9', session.id, words, ...session.closes, operation)
    if (wasZombie(ledger, node, beginMs))
      findings.broken('I8', session.id, `${words}; it had been cut off or frozen`, operation)
    return
  }
  if (session.openedMs >= beginMs || end.possibleMs <= endMs) return
  findings.lookedAt('I9', 'uses of open sessions')
  if (code === 'SESSION_INVALID')
    findings.broken('I9', session.id, `${node ?? 'a node'} refused a session that was open`, operation)
}

interface Revision {
  readonly atMs: number
  readonly revision: number
  readonly source: Operation
}

/** The property `revision` only grows, so what was written or read is the least that is read later, and that queries take along. */
function checkRevisions(ledger: Ledger, findings: Findings): void {
  const known = new Map<string, Revision[]>()
  const read = new Map<string, Revision[]>()
  for (const operation of ledger.history.operations) {
    const { answer, beginMs, endMs } = operation
    if (!answer || endMs === null || !('revision' in answer)) continue
    if (operation.kind !== 'read-session' && operation.kind !== 'change-session') continue
    const { revision } = answer
    listAt(known, operation.target).push({ atMs: endMs, revision, source: operation })
    listAt(read, operation.target).push({ atMs: beginMs, revision, source: operation })
  }
  for (const taken of takenAlong(ledger)) listAt(read, taken.session).push(taken)
  for (const [id, reads] of read) {
    const facts = (known.get(id) ?? []).sort((a, b) => a.atMs - b.atMs)
    reads.sort((a, b) => a.atMs - b.atMs)
    let next = 0
    let least: Revision | null = null
    for (const one of reads) {
      for (let fact = facts[next]; fact && fact.atMs < one.atMs; fact = facts[++next])
        if (!least || fact.revision > least.revision) least = fact
      if (!least) continue
      findings.lookedAt('I9', one.source.kind === 'submit' ? 'queries after a change' : 'sessions read after a change')
      if (one.revision < least.revision)
        findings.broken(
          'I9',
          id,
          `its properties were those of revision ${one.revision} when ${least.revision} was known already`,
          least.source,
          one.source,
        )
    }
  }
}

/** With which revision of its session's properties each query was submitted, at the earliest by the first request under its key. */
function* takenAlong({ queries, history }: Ledger): Generator<Revision & { readonly session: string }> {
  const begun = new Map<string, number>()
  const keyOf = ({ user, key, id }: Submit) => (key === null ? id : JSON.stringify([user, key]))
  for (const operation of history.operations)
    if (operation.kind === 'submit' && !begun.has(keyOf(operation))) begun.set(keyOf(operation), operation.beginMs)
  for (const { row, submissions } of queries.values()) {
    const [source] = submissions
    if (!row || !source) continue
    const { revision = 0 } = JSON.parse(row.properties as string)
    const atMs = begun.get(keyOf(source)) ?? source.beginMs
    yield { session: row.session_id as string, atMs, revision: Number(revision), source }
  }
}

/** A key stands for one session, as long as that is there. */
function checkKeys(ledger: Ledger, findings: Findings): void {
  const byKey = new Map<string, OpenSession[]>()
  for (const operation of ledger.history.operations)
    if (operation.kind === 'open-session' && operation.key !== null && succeeded(operation))
      listAt(byKey, JSON.stringify([operation.user, operation.key])).push(operation)
  for (const [key, opens] of byKey) {
    findings.lookedAt('I9', 'keys of sessions')
    const [first, ...others] = opens.sort((a, b) => (a.endMs ?? 0) - (b.endMs ?? 0))
    const session = ledger.sessions.get(idOf(first as OpenSession))
    for (const other of others)
      if (idOf(other) !== session?.id && session && endOf(session).possibleMs > (other.endMs ?? 0))
        findings.broken('I9', key, `one key opened the sessions ${session.id} and ${idOf(other)}`, first, other)
  }
}

function idOf({ answer }: OpenSession): string {
  return answer && 'opened' in answer ? answer.opened : ''
}

function checkStored(ledger: Ledger, findings: Findings): void {
  const { rows, end } = ledger.history
  if (end === null) return
  const stored = new Map(rows.session.map(row => [row.id as string, row]))
  for (const session of ledger.sessions.values()) {
    const { possibleMs, certainMs } = endOf(session)
    const row = stored.get(session.id)
    findings.lookedAt('I9', 'sessions at the end')
    if (certainMs < Number.POSITIVE_INFINITY && row?.status === 'OPEN')
      findings.broken(
        'I9',
        session.id,
        'its closing was answered, and the database has it open',
        ...session.closes,
        row,
      )
    if (possibleMs === Number.POSITIVE_INFINITY && row?.status !== 'OPEN')
      findings.broken(
        'I9',
        session.id,
        `it was opened and never closed, and the database has it ${row?.status ?? 'no more'}`,
        row,
      )
  }
}

/** I11: a user is answered about their own, and about what is another's as if it did not exist. */
import type { Operation, SeenQuery } from '../history.ts'
import type { Findings } from './findings.ts'
import { type Ledger, queriesSeenBy, refusalOf, succeeded } from './ledger.ts'

/** Refusals that tell that there is something. */
const telling: ReadonlySet<string | null> = new Set(['FORBIDDEN', 'CONFLICT', 'RESULT_NOT_READY', 'RESULT_EXPIRED'])

export function checkPrivacy(ledger: Ledger, findings: Findings): void {
  for (const operation of ledger.history.operations) {
    const seen = queriesSeenBy(operation)
    for (const query of seen) checkSeen(ledger, operation, query, operation, findings)
    if (operation.kind === 'subscribe')
      for (const frame of ledger.history.frames.get(operation.id) ?? [])
        checkSeen(ledger, operation, frame.query, frame, findings)
    const owner = ownerOfTarget(ledger, operation)
    if (owner !== null && owner !== operation.user && !ledger.isAdmin(operation.user))
      checkTrespass(operation, owner, findings)
  }
}

/** Whose the session or query is that the operation names; null where nobody knows. */
function ownerOfTarget(ledger: Ledger, operation: Operation): string | null {
  if ('target' in operation) return ledger.sessions.get(operation.target)?.user ?? null
  if ('handle' in operation && operation.handle !== null) return ledger.queries.get(operation.handle)?.user ?? null
  return null
}

function checkSeen(
  ledger: Ledger,
  { user, kind, client }: Operation,
  query: SeenQuery,
  evidence: unknown,
  findings: Findings,
): void {
  findings.lookedAt('I11', 'queries shown')
  const owner = ledger.queries.get(query.handle)?.user ?? query.user
  if (query.user !== owner)
    findings.broken('I11', query.handle, `it was shown as ${query.user}'s and is ${owner}'s`, evidence)
  if (owner !== user && !ledger.isAdmin(user))
    findings.broken(
      'I11',
      query.handle,
      `${client}, who is ${user}, was shown it by ${kind}; it is ${owner}'s`,
      evidence,
    )
}

function checkTrespass(operation: Operation, owner: string, findings: Findings): void {
  const { kind, user } = operation
  findings.lookedAt('I11', 'questions about what is another’s')
  const subject = 'handle' in operation ? String(operation.handle) : 'target' in operation ? operation.target : user
  const accepted = kind === 'subscribe' ? operation.subscribedMs !== null : succeeded(operation)
  const code = kind === 'subscribe' ? operation.ended : (refusalOf(operation)?.code ?? null)
  if (accepted) findings.broken('I11', subject, `${user} was answered by ${kind} about what is ${owner}'s`, operation)
  else if (telling.has(code))
    findings.broken('I11', subject, `${user} learned by ${code} of what is ${owner}'s`, operation)
}

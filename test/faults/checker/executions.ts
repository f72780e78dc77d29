/** I5: what is not safe to repeat takes effect at most once, and what is said to have succeeded took effect; one key, one query. */
import { slotStatuses } from '../../../src/domain/index.ts'
import type { Submit } from '../history.ts'
import type { Findings } from './findings.ts'
import { handleOf, type Ledger, listAt, type Query } from './ledger.ts'

const holding: ReadonlySet<string> = new Set(slotStatuses)

export function checkExecutions(ledger: Ledger, findings: Findings): void {
  checkEffects(ledger, findings)
  checkKeys(ledger, findings)
  for (const query of ledger.queries.values()) checkAttempts(query, findings)
}

function checkEffects(ledger: Ledger, findings: Findings): void {
  const counts = new Map<string, number>()
  for (const { effect } of ledger.history.executions) counts.set(effect, (counts.get(effect) ?? 0) + 1)
  const submissions = new Map<string, Submit[]>()
  for (const operation of ledger.history.operations)
    if (operation.kind === 'submit' && operation.effect !== null) listAt(submissions, operation.effect).push(operation)
  for (const [effect, asked] of submissions) {
    findings.lookedAt('I5', 'statements with effect')
    const count = counts.get(effect) ?? 0
    findings.lookedAt('I5', 'executions', count)
    checkEffect(ledger, effect, asked, count, findings)
  }
  for (const effect of counts.keys())
    if (!submissions.has(effect)) findings.broken('I5', effect, 'it was executed and never submitted')
}

function checkEffect(
  ledger: Ledger,
  effect: string,
  asked: readonly Submit[],
  count: number,
  findings: Findings,
): void {
  if (count > 1 && !asked.every(({ onRecovery }) => onRecovery === 'rerun'))
    findings.broken('I5', effect, `it was executed ${count} times`, ...asked)
  for (const handle of new Set(asked.map(handleOf))) {
    const row = handle === null ? null : ledger.queries.get(handle)?.row
    if (!row || row.outcome === null) continue
    if (row.outcome === 'SUCCESSFUL' && count === 0)
      findings.broken('I5', effect, `${handle} is SUCCESSFUL and was never executed`, ...asked, row)
    if (row.outcome === 'CANCELED' && count > 0)
      findings.broken('I5', effect, `${handle} is CANCELED and was executed`, ...asked, row)
    if (errorOf(row.snapshot) === 'NODE_LOST' && count > 0)
      findings.broken(
        'I5',
        effect,
        `${handle} failed with NODE_LOST, which calls a repetition safe, and was executed`,
        ...asked,
        row,
      )
  }
}

/** All that a key was answered with is one query: else its statement ran twice. */
function checkKeys({ history }: Ledger, findings: Findings): void {
  const byKey = new Map<string, Submit[]>()
  for (const operation of history.operations)
    if (operation.kind === 'submit' && operation.key !== null && handleOf(operation) !== null)
      listAt(byKey, JSON.stringify([operation.user, operation.key])).push(operation)
  const stored = new Map<string, string>()
  for (const { user, kind, submission_key, handle } of history.rows.submission_key)
    if (kind === 'query') stored.set(JSON.stringify([user, submission_key]), handle as string)
  for (const [key, answered] of byKey) {
    findings.lookedAt('I5', 'keys')
    if (answered.length > 1) findings.lookedAt('I5', 'repetitions under a key', answered.length - 1)
    const handles = new Set(answered.map(handleOf))
    if (handles.size > 1)
      findings.broken(
        'I5',
        key,
        `one key was answered with ${handles.size} queries: ${[...handles].join(', ')}`,
        ...answered,
      )
    const kept = stored.get(key)
    if (!handles.has(kept ?? ''))
      findings.broken('I5', key, `its key stands for ${kept ?? 'nothing'} in the database`, ...answered)
  }
}

/** What the transitions alone forbid: what had its effect for certain is never launched again. */
function checkAttempts({ handle, row, transitions }: Query, findings: Findings): void {
  let safe = false
  let done = false
  let launches = 0
  let claimed = false
  for (const step of transitions) {
    const { event } = step
    if (event.type === 'LAUNCHED') {
      launches++
      if (done && row?.on_recovery !== 'rerun')
        findings.broken(
          'I5',
          handle,
          `it was executed for good, is not safe to repeat, and was launched again with version ${step.version}`,
          ...transitions,
        )
    } else if (event.type === 'CLAIMED') claimed = holding.has(step.to)
    else if (event.type === 'ATTEMPT_FAILED') {
      // Its client wants to know of a lost run, safe to repeat or not.
      if (claimed && row?.on_recovery === 'fail') findings.lookedAt('I5', 'runs that were lost and not to be repeated')
      if (claimed && row?.on_recovery === 'fail' && event.kind === 'node' && event.retryAt !== null)
        findings.broken(
          'I5',
          handle,
          `its run was lost with its node and is repeated, against its client's wish`,
          ...transitions,
        )
      claimed = false
    } else if (event.type === 'STARTED') safe = event.safeToRepeat
    else if (event.type === 'EXECUTED') done = !safe && event.columns.length === 0
  }
  findings.lookedAt('I5', 'launches', launches)
  if (launches > 1) findings.lookedAt('I5', 'launches again', launches - 1)
}

function errorOf(snapshot: unknown): string | null {
  try {
    return JSON.parse(snapshot as string).context.error?.code ?? null
  } catch {
    return null
  }
}

/** I2: in each epoch its owner writes, and nobody else; what the owner of an older epoch wrote left no trace. */
import type { Findings } from './findings.ts'
import { changesOwner, type Ledger, listAt, type Query, type Row, type Transition } from './ledger.ts'

export function checkWriters(ledger: Ledger, findings: Findings): void {
  const ids = new Map<string, string>()
  const failed = Map.groupBy(ledger.history.rows.failed_attempt, row => row.handle as string)
  for (const query of ledger.queries.values()) {
    findings.lookedAt('I2', 'transitions', query.transitions.length)
    checkEpochs(query, findings)
    checkRow(query, findings)
    checkFailedAttempts(query, failed.get(query.handle) ?? [], findings)
    for (const step of query.transitions) {
      const other = ids.get(step.id)
      if (other !== undefined)
        findings.broken('I2', query.handle, `its version ${step.version} has the id of a transition of ${other}`, step)
      ids.set(step.id, query.handle)
    }
  }
  for (const handle of failed.keys())
    if (!ledger.queries.has(handle))
      findings.broken('I2', handle, 'it has failed attempts and no row', ...(failed.get(handle) ?? []))
}

/** Who owns a query in each of its epochs, by the events that made them. */
export function ownersOf(transitions: readonly Transition[]): Map<number, string> {
  const owners = new Map<number, string>()
  for (const { event } of transitions) {
    if (event.type === 'SUBMITTED') owners.set(1, event.node)
    else if (event.type === 'CLAIMED' || event.type === 'HANDED_OVER') owners.set(event.epoch, event.node)
  }
  return owners
}

/** What has ended is nobody's: any node drops its result. Who accepts a query may give it to another node at once. */
const ofAnyNode: ReadonlySet<string> = new Set(['RESULT_DROPPED', 'SUBMITTED', 'CLAIMED', 'HANDED_OVER'])

function checkEpochs({ handle, transitions }: Query, findings: Findings): void {
  const owners = ownersOf(transitions)
  const byVersion = new Map<number, Transition[]>()
  let before: Transition | null = null
  for (const step of transitions) {
    listAt(byVersion, step.version).push(step)
    const expected: number = before === null ? 1 : before.epoch + (changesOwner(step) ? 1 : 0)
    if (step.epoch !== expected)
      findings.broken(
        'I2',
        handle,
        `version ${step.version} was written in epoch ${step.epoch}, where ${expected} was the epoch`,
        before,
        step,
      )
    if ((step.event.type === 'CLAIMED' || step.event.type === 'HANDED_OVER') && step.event.epoch !== step.epoch)
      findings.broken(
        'I2',
        handle,
        `version ${step.version} says epoch ${step.event.epoch} and was written in ${step.epoch}`,
        step,
      )
    const owner = owners.get(step.epoch)
    if (!ofAnyNode.has(step.event.type) && step.node !== owner)
      findings.broken(
        'I2',
        handle,
        `version ${step.version} was written by ${step.node} in epoch ${step.epoch}, which is ${owner}'s`,
        ...transitions.filter(changesOwner),
        step,
      )
    before = step
  }
  for (const [version, steps] of byVersion)
    if (steps.length > 1)
      findings.broken('I2', handle, `version ${version} was written ${steps.length} times`, ...steps)
}

function checkRow({ handle, row, transitions }: Query, findings: Findings): void {
  const last = transitions.at(-1)
  if (!row) return
  if (!last) {
    findings.broken('I2', handle, 'it has a row and no transition', row)
    return
  }
  const owner = ownersOf(transitions).get(last.epoch)
  if (row.transition_id !== last.id || Number(row.epoch) !== last.epoch || row.status !== last.to)
    findings.broken(
      'I2',
      handle,
      `its row (${row.status}, epoch ${row.epoch}) is not what its last transition made (${last.to}, epoch ${last.epoch})`,
      row,
      last,
    )
  else if (row.owner_node !== owner)
    findings.broken(
      'I2',
      handle,
      `its row belongs to ${row.owner_node}, its epoch to ${owner}`,
      row,
      ...transitions.filter(changesOwner),
    )
}

/** The inserts that go with a transition: those of a fenced writer must not be there. */
function checkFailedAttempts({ handle, row, transitions }: Query, failed: readonly Row[], findings: Findings): void {
  findings.lookedAt('I2', 'failed attempts', failed.length)
  const last = transitions.at(-1)
  if (!row || !last) return
  let known: readonly { attempt: number; node: string }[]
  try {
    known = JSON.parse(row.snapshot as string).context.failedAttempts
  } catch {
    return
  }
  for (const attempt of failed) {
    const same = known.find(one => one.attempt === Number(attempt.attempt))
    if (!same || same.node !== attempt.node)
      findings.broken(
        'I2',
        handle,
        `attempt ${attempt.attempt} is noted as failed on ${attempt.node}, the query knows ${same ? `of its failure on ${same.node}` : 'nothing of it'}`,
        attempt,
        row,
      )
  }
}

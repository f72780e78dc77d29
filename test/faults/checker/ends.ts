/** I1: every acknowledged query ends exactly once and is in exactly one place. */
import type { Findings } from './findings.ts'
import { type Ledger, type Query, queriesSeenBy, terminal } from './ledger.ts'

export function checkEnds(ledger: Ledger, findings: Findings): void {
  const outcomes = outcomesSeen(ledger)
  for (const query of ledger.queries.values()) {
    if (query.submissions.length > 0) findings.lookedAt('I1', 'acknowledged queries')
    findings.lookedAt('I1', 'queries in the database', query.row ? 1 : 0)
    checkPlace(query, findings)
    checkEnd(query, ledger.history.end !== null, findings)
    for (const outcome of outcomes.get(query.handle) ?? [])
      if (query.row && outcome !== query.row.outcome)
        findings.broken(
          'I1',
          query.handle,
          `a client was told that it ended ${outcome}, its row says ${query.row.outcome}`,
          query.row,
        )
  }
}

function checkPlace(query: Query, findings: Findings): void {
  const { handle, current, finished, submissions, transitions } = query
  const places = current.length + finished.length
  const evidence = [...submissions, ...current, ...finished]
  if (places === 0)
    findings.broken(
      'I1',
      handle,
      submissions.length > 0 ? 'it was acknowledged and is in no table' : 'it has transitions and no row',
      ...submissions,
      ...transitions,
    )
  else if (places > 1)
    findings.broken(
      'I1',
      handle,
      `it is ${current.length} times in current_query and ${finished.length} times in finished_query`,
      ...evidence,
    )
}

function checkEnd(query: Query, isOver: boolean, findings: Findings): void {
  const { handle, current, finished, transitions } = query
  const ends = transitions.filter(({ to, from }) => terminal.has(to) && to !== from)
  if (ends.length > 1)
    findings.broken('I1', handle, `it ended ${ends.length} times: ${ends.map(({ to }) => to).join(', ')}`, ...ends)
  if (isOver && current.length > 0)
    findings.broken(
      'I1',
      handle,
      `it had not ended when the run was over: ${current[0]?.status}`,
      ...current,
      ...transitions,
    )
  for (const row of finished)
    if (ends.length === 0 || ends[0]?.to !== row.outcome)
      findings.broken(
        'I1',
        handle,
        `it is finished as ${row.outcome}, its transitions say ${ends[0]?.to ?? 'that it never ended'}`,
        row,
        ...transitions,
      )
  for (const row of current)
    if (ends.length > 0) findings.broken('I1', handle, `it ended ${ends[0]?.to} and is still unfinished`, row, ...ends)
}

/** What clients were told of each query's end. */
function outcomesSeen({ history }: Ledger): Map<string, Set<string>> {
  const outcomes = new Map<string, Set<string>>()
  const note = ({ handle, outcome }: { handle: string; outcome: string | null }) => {
    if (outcome === null) return
    const seen = outcomes.get(handle)
    if (seen) seen.add(outcome)
    else outcomes.set(handle, new Set([outcome]))
  }
  for (const operation of history.operations) queriesSeenBy(operation).forEach(note)
  for (const frames of history.frames.values()) for (const { query } of frames) note(query)
  return outcomes
}

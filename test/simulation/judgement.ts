/**
 * The end of a world: the database, what the engines executed, and what the clients were answered, compared with each other
 * and with what each statement says of itself.
 */
import type { Outcome } from '../../src/domain/index.ts'
import { faultsOfHoldings, type Holdings } from '../support/invariants.ts'
import { type EngineRun, hadEffect } from './engine-server.ts'
import type { History, Invariant, QueryRecord } from './history.ts'
import { parseStatement } from './statement.ts'

type Row = Record<string, any>

export function judge(
  holdings: Holdings,
  executions: readonly (readonly [string, EngineRun[]])[],
  history: History,
): void {
  for (const fault of faultsOfHoldings(holdings, [...history.queries.keys()]))
    history.violated(invariantOf(fault), fault)
  for (const row of holdings.current)
    history.violated('I1', `${row.handle} is still ${row.status} (version ${row.version}, owner ${row.owner_node})`)
  const runs = new Map<string, EngineRun[]>()
  for (const [handle, of] of executions) runs.set(handle, [...(runs.get(handle) ?? []), ...of])
  const events = (handle: string) => (holdings.transitions.get(handle) ?? []).map(({ event }) => event)
  for (const row of [...holdings.finished, ...holdings.current]) {
    const record = history.queries.get(row.handle)
    judgeExecutions(row, runs.get(row.handle) ?? [], history)
    if (row.outcome) judgeOutcome(row, record, runs.get(row.handle) ?? [], events(row.handle), history)
    if (record) judgeAnswers(row, record, history)
  }
  for (const [handle] of runs)
    if (![...holdings.finished, ...holdings.current].some(row => row.handle === handle))
      history.violated('I5', `${handle} was executed, and is in no table`)
}

function invariantOf(fault: string): Invariant {
  if (/its transitions give|replaying/.test(fault)) return 'I4'
  if (/tables|terminal|outcome|no row/.test(fault)) return 'I1'
  if (/gap/.test(fault)) return 'I3'
  if (/epoch|writer/.test(fault)) return 'I2'
  if (/page/.test(fault)) return 'I6'
  if (/counts/.test(fault)) return 'I10'
  return 'I4'
}

/** At most once, unless it is safe to repeat or its client asked for more. */
function judgeExecutions(row: Row, runs: readonly EngineRun[], history: History): void {
  const effects = runs.filter(hadEffect)
  if (effects.length > 1 && row.on_recovery !== 'rerun')
    history.violated(
      'I5',
      `${row.handle} had its effect ${effects.length} times (${effects.map(run => `${run.id} by ${run.by}`).join(', ')}): ${row.sql_text}`,
    )
}

function judgeOutcome(
  row: Row,
  record: QueryRecord | undefined,
  runs: readonly EngineRun[],
  events: readonly { type: string }[],
  history: History,
): void {
  const { handle, operation } = row
  const outcome = row.outcome as Outcome
  const snapshot = JSON.parse(row.snapshot) as { context: { error: { code: string; message: string } | null } }
  const code = snapshot.context.error?.code ?? null
  const statement = parseStatement(row.sql_text)
  const effects = runs.filter(hadEffect).length
  const say = (invariant: Invariant, what: string) =>
    history.violated(
      invariant,
      `${handle} (${row.sql_text}) is ${outcome}${code ? ` ${code} ${snapshot.context.error?.message}` : ''}, and ${what}; ${events.map(({ type }) => type).join(' ')}`,
    )
  if (code === 'INTERNAL') say('defect', 'that is a defect')
  if (!statement || operation !== 'execute') return
  const writes = statement.kind !== 'select'
  switch (outcome) {
    case 'SUCCESSFUL':
      if (writes && effects === 0) say('I5', 'was not executed')
      if (statement.fails) say('I1', 'its statement fails')
      if (!runs.some(run => run.state === 'done')) say('I5', 'no run of it was done')
      break
    case 'CANCELED':
      if (record && !record.cancelAsked && !record.session.endsQueries) say('I1', 'nobody asked for that')
      if (statement.kind === 'insert' && effects > 0 && row.on_recovery !== 'rerun') say('I5', 'its effect is there')
      break
    case 'FAILED':
      judgeFailure()
  }

  function judgeFailure(): void {
    switch (code) {
      case 'SQL_INVALID':
        if (!(writes && row.engine === 'local')) say('I1', 'its statement is right')
        break
      case 'EXECUTION_FAILED':
        if (!statement?.fails) say('I7', 'its statement does not fail')
        break
      case 'NODE_LOST':
        if (statement?.kind === 'insert' && effects > 0 && row.on_recovery !== 'rerun') say('I5', 'its effect is there')
        if (row.on_recovery !== 'fail' && !(row.mode === 'sync' && row.idempotency_key === null))
          say('I1', 'somebody waits for it')
        break
      case 'EXECUTION_UNKNOWN':
        if (!writes) say('I5', 'it is safe to repeat')
        break
      case 'RECOVERY_FAILED':
      case 'ENGINE_UNAVAILABLE':
        break
      case 'DEADLINE_EXCEEDED':
        if (row.deadline_at === null) say('I1', 'it has no deadline')
        if (statement?.kind === 'insert' && effects > 0 && row.on_recovery !== 'rerun') say('I5', 'its effect is there')
        break
      default:
        say('I1', 'that is no reason')
    }
  }
}

function judgeAnswers(row: Row, record: QueryRecord, history: History): void {
  const { handle } = record
  if (row.user !== record.user)
    history.violated('I11', `${handle} is of ${row.user}, and was answered to ${record.user}`)
  if (Number(row.version) < record.seen.version)
    history.violated('I9', `${handle}: version ${record.seen.version} was answered, and the row has ${row.version}`)
  if (record.dropAnswered && row.status !== 'CLOSED') history.violated('I9', `${handle}: dropped, and ${row.status}`)
  if (row.sql_text !== record.request.sql) history.violated('I11', `${handle} has the text of another query`)
}

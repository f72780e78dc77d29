/** Versions of a query never go back in real time, whoever asks whichever node, and each says the same to everybody. */
import type { FrameRecord, Operation, SeenQuery } from '../history.ts'
import type { Findings } from './findings.ts'
import { type Ledger, listAt, queriesSeenBy, succeeded } from './ledger.ts'
import { wasZombie } from './silences.ts'

/** From `atMs` on the query is known to have this version. */
interface Known {
  readonly atMs: number
  readonly version: number
  readonly source: Operation | FrameRecord
}

/** Asked at `atMs`, it was said to have this version. */
interface Said {
  readonly atMs: number
  readonly version: number
  readonly source: Operation | FrameRecord
  readonly node: string | null
}

export function checkQueriesInTime(ledger: Ledger, findings: Findings): void {
  const known = new Map<string, Known[]>()
  const said = new Map<string, Said[]>()
  for (const operation of ledger.history.operations) gather(ledger, operation, known, said, findings)
  for (const [handle, answers] of said) compare(ledger, handle, known.get(handle) ?? [], answers, findings)
}

function gather(
  ledger: Ledger,
  operation: Operation,
  known: Map<string, Known[]>,
  said: Map<string, Said[]>,
  findings: Findings,
): void {
  const { beginMs, endMs, node } = operation
  if (operation.kind === 'subscribe') {
    const began = new Set<string>()
    for (const frame of ledger.history.frames.get(operation.id) ?? []) {
      const { handle, version } = frame.query
      listAt(known, handle).push({ atMs: frame.atMs, version, source: frame })
      // The state at the beginning is no older than what was known then; what was asked for by version may be.
      if (operation.topic === 'query' && !began.has(handle) && operation.after[handle] === undefined)
        listAt(said, handle).push({ atMs: beginMs, version, source: frame, node })
      began.add(handle)
    }
    return
  }
  if (endMs === null) return
  for (const query of queriesSeenBy(operation)) {
    const { handle, version } = query
    listAt(known, handle).push({ atMs: endMs, version, source: operation })
    listAt(said, handle).push({ atMs: beginMs, version, source: operation, node })
    checkMeaning(ledger, operation, query, findings)
  }
  if (operation.kind === 'drop' && succeeded(operation)) {
    const dropped = ledger.queries
      .get(operation.handle)
      ?.transitions.find(({ event }) => event.type === 'RESULT_DROPPED')
    if (dropped) listAt(known, operation.handle).push({ atMs: endMs, version: dropped.version, source: operation })
    else
      findings.broken(
        'I9',
        operation.handle,
        'the dropping of its result was answered and is not in the database',
        operation,
      )
  }
}

/** A version is one state: that of its transition. */
function checkMeaning(ledger: Ledger, operation: Operation, query: SeenQuery, findings: Findings): void {
  findings.lookedAt('I9', 'states answered')
  const step = ledger.queries.get(query.handle)?.transitions[query.version - 1]
  if (!step)
    findings.broken('I9', query.handle, `version ${query.version} was answered and is not in the database`, operation)
  else if (step.to !== query.status || step.epoch !== query.epoch)
    findings.broken(
      'I9',
      query.handle,
      `version ${query.version} was answered as ${query.status} in epoch ${query.epoch}, it is ${step.to} in ${step.epoch}`,
      operation,
      step,
    )
}

function compare(ledger: Ledger, handle: string, known: Known[], said: Said[], findings: Findings): void {
  known.sort((a, b) => a.atMs - b.atMs)
  said.sort((a, b) => a.atMs - b.atMs)
  let next = 0
  let least: Known | null = null
  for (const answer of said) {
    for (let fact = known[next]; fact && fact.atMs < answer.atMs; fact = known[++next])
      if (!least || fact.version > least.version) least = fact
    if (!least) continue
    findings.lookedAt('I9', 'answers with something known before')
    if (answer.version >= least.version) continue
    const words = `${answer.node ?? 'a node'} answered version ${answer.version} when version ${least.version} was known already`
    findings.broken('I9', handle, words, least.source, answer.source)
    if (wasZombie(ledger, answer.node, answer.atMs))
      findings.broken('I8', handle, `${words}; it had been cut off or frozen`, least.source, answer.source)
  }
}

/** I7: engines work only for queries that are under way and for their owners, and a cancel that was answered takes effect. */
import type { Cancel } from '../history.ts'
import type { Findings } from './findings.ts'
import { changesOwner, type Ledger, type Query, succeeded } from './ledger.ts'
import { ownersOf } from './writers.ts'

/** Two clocks of one machine, compared once at the beginning. */
const clocksApartMs = 50
/** What a takeover may take beyond the lease, and an engine to end a statement. */
const takeoverMs = 5_000

export function checkEngines(ledger: Ledger, findings: Findings): void {
  for (const operation of ledger.history.operations)
    if (operation.kind === 'cancel' && succeeded(operation)) checkCancel(ledger, operation, findings)
  checkSamples(ledger, findings)
}

function checkCancel(ledger: Ledger, operation: Cancel, findings: Findings): void {
  const query = ledger.queries.get(operation.handle)
  const { answer, endMs } = operation
  if (!query || endMs === null || !answer || !('query' in answer)) return
  findings.lookedAt('I7', 'cancels')
  const seen = answer.query
  if (seen.outcome === null) findings.lookedAt('I7', 'cancels of unfinished queries')
  // The wish was durable before it was answered: no launch commits after it, so none was even begun after its answer.
  const launched = query.transitions.find(
    ({ event, at, version }) =>
      event.type === 'LAUNCHED' &&
      (ledger.monotonic(at) > endMs + clocksApartMs || (version > seen.version && seen.status === 'QUEUED')),
  )
  if (launched)
    findings.broken(
      'I7',
      query.handle,
      `its cancel was answered while it was ${seen.status} in version ${seen.version}, and it was launched with version ${launched.version}`,
      operation,
      launched,
    )
  if (ledger.history.end !== null && query.finished.length === 0)
    findings.broken('I7', query.handle, 'its cancel was answered, and it never ended', operation, ...query.current)
}

function checkSamples(ledger: Ledger, findings: Findings): void {
  const { engineSamples, end, run } = ledger.history
  const graceMs = run.leaseMs + takeoverMs
  const last = new Map<string, (typeof engineSamples)[number]>()
  for (const sample of engineSamples) {
    findings.lookedAt('I7', 'engine samples')
    last.set(`${sample.node} ${sample.engine}`, sample)
    for (const handle of sample.handles ?? []) {
      findings.lookedAt('I7', 'statements seen on engines')
      const reason = whyNotToRun(ledger, ledger.queries.get(handle), sample.node, sample.atMs - graceMs)
      if (reason !== null)
        findings.broken('I7', handle, `${sample.engine} ran it at ${sample.node ?? 'no node'} ${reason}`, sample)
    }
  }
  if (end === null) return
  for (const sample of last.values()) {
    if (sample.atMs < end.atMs) continue
    findings.lookedAt('I7', 'engine samples at the end')
    if (sample.running > 0)
      findings.broken(
        'I7',
        sample.engine,
        `every query had ended, and it still runs ${sample.running} at ${sample.node ?? 'no node'}`,
        sample,
      )
  }
}

/** Already so at `byMs`, on the clients' clock. */
function whyNotToRun(ledger: Ledger, query: Query | undefined, node: string | null, byMs: number): string | null {
  if (!query) return 'and nobody knows it'
  const then = query.transitions.filter(({ at }) => ledger.monotonic(at) <= byMs)
  const ended = query.finished.length > 0 && then.length === query.transitions.length
  if (ended) return `long after it had ended ${query.finished[0]?.outcome}`
  const change = then.findLast(changesOwner)
  if (change && node !== null) {
    const later = query.transitions.some(step => changesOwner(step) && step.version > change.version)
    const owner = ownersOf(query.transitions).get(change.epoch)
    if (!later && owner !== node) return `long after it had become ${owner}'s`
  }
  return null
}

/** I3: versions without a gap in the database, and at every subscriber from where it asked to the end. */
import type { FrameRecord, Subscribe } from '../history.ts'
import type { Findings } from './findings.ts'
import { type Ledger, listAt, type Query } from './ledger.ts'

/** How long a frame may be under way when a run is over. */
const underWayMs = 2_000
/** How far the database's clock and the clients' may have drifted apart in a run. */
const driftMs = 100

export function checkVersions(ledger: Ledger, findings: Findings): void {
  for (const query of ledger.queries.values()) checkStored(query, findings)
  const bySession = new Map<string, Query[]>()
  for (const query of ledger.queries.values())
    if (query.row) listAt(bySession, query.row.session_id as string).push(query)
  for (const operation of ledger.history.operations)
    if (operation.kind === 'subscribe')
      checkSubscription(ledger, operation, bySession.get(operation.session ?? '') ?? [], findings)
}

function checkStored({ handle, row, transitions }: Query, findings: Findings): void {
  findings.lookedAt('I3', 'stored versions', transitions.length)
  let before: string | null = null
  for (const [index, step] of transitions.entries()) {
    if (step.version !== index + 1) {
      findings.broken('I3', handle, `version ${index + 1} is missing or there twice`, ...transitions)
      return
    }
    if (step.from !== (before ?? 'NEW'))
      findings.broken(
        'I3',
        handle,
        `version ${step.version} begins in ${step.from}, the one before ended in ${before ?? 'NEW'}`,
        ...transitions,
      )
    before = step.to
  }
  if (row && Number(row.version) !== transitions.length)
    findings.broken(
      'I3',
      handle,
      `its row has version ${row.version}, its transitions reach ${transitions.length}`,
      row,
      ...transitions,
    )
}

function checkSubscription(
  ledger: Ledger,
  subscription: Subscribe,
  ofSession: readonly Query[],
  findings: Findings,
): void {
  const frames = ledger.history.frames.get(subscription.id) ?? []
  findings.lookedAt('I3', 'subscriptions')
  if (Object.keys(subscription.after).length > 0) findings.lookedAt('I3', 'subscriptions that resumed')
  findings.lookedAt('I3', 'frames', frames.length)
  const byHandle = Map.groupBy(frames, ({ query }) => query.handle)
  for (const [handle, seen] of byHandle) checkSequence(ledger, subscription, handle, seen, findings)
  checkCompleteness(ledger, subscription, byHandle, ofSession, findings)
}

/** Each version once and in order, beginning where it was asked to, and saying what that version is. */
function checkSequence(
  ledger: Ledger,
  subscription: Subscribe,
  handle: string,
  frames: readonly FrameRecord[],
  findings: Findings,
): void {
  const query = ledger.queries.get(handle)
  const versions = () => frames.map(frame => frame.query.version).join(' ')
  let expected = firstExpected(ledger, subscription, query, handle)
  for (const frame of frames) {
    const { version } = frame.query
    if (expected !== null && version !== expected) {
      const words = version < expected ? 'was shown again' : `came where ${expected} was due`
      findings.broken(
        'I3',
        handle,
        `at subscriber ${subscription.client} version ${version} ${words}: ${versions()}`,
        subscription,
        frame,
      )
      return
    }
    expected = version + 1
    const step = query?.transitions[version - 1]
    if (step && (step.to !== frame.query.status || step.epoch !== frame.query.epoch))
      findings.broken(
        'I3',
        handle,
        `a frame of version ${version} says ${frame.query.status} in epoch ${frame.query.epoch}, that version is ${step.to} in ${step.epoch}`,
        frame,
        step,
      )
    if (!step)
      findings.broken('I3', handle, `a subscriber saw version ${version}, which the database does not hold`, frame)
  }
}

/** The version that has to come first; null: the state as it was then. */
function firstExpected(
  ledger: Ledger,
  { after, subscribedMs, topic }: Subscribe,
  query: Query | undefined,
  handle: string,
): number | null {
  const asked = after[handle]
  if (asked !== undefined) return asked + 1
  const submitted = query?.transitions[0]
  const isNew = submitted && subscribedMs !== null && ledger.monotonic(submitted.at) > subscribedMs + driftMs
  return topic === 'session' && isNew ? 1 : null
}

/** A subscriber that was there to the end has seen the last version of all that it follows. */
function checkCompleteness(
  ledger: Ledger,
  subscription: Subscribe,
  byHandle: ReadonlyMap<string, readonly FrameRecord[]>,
  ofSession: readonly Query[],
  findings: Findings,
): void {
  const { end } = ledger.history
  const { subscribedMs, endMs, topic, client } = subscription
  if (end === null || subscribedMs === null || endMs !== null) return
  findings.lookedAt('I3', 'subscriptions that lasted to the end')
  const due = end.atMs - underWayMs
  const followed: Query[] = []
  if (topic === 'query') {
    const query = ledger.queries.get(subscription.handle ?? '')
    if (query) followed.push(query)
  } else
    for (const query of ofSession) {
      const submitted = query.transitions[0]
      const isNew = submitted !== undefined && ledger.monotonic(submitted.at) > subscribedMs + driftMs
      if (isNew || byHandle.has(query.handle)) followed.push(query)
    }
  for (const { handle, transitions } of followed) {
    // What has ended moves for a session's subscriber only by the dropping of its result, of which a hint tells: not promised.
    const owed = transitions.findLast(
      ({ at, event }) => ledger.monotonic(at) < due && (topic === 'query' || event.type !== 'RESULT_DROPPED'),
    )
    const seen = byHandle.get(handle)?.at(-1)?.query.version ?? subscription.after[handle] ?? 0
    if (owed && seen < owed.version)
      findings.broken(
        'I3',
        handle,
        `subscriber ${client} saw version ${seen} last, and was connected when version ${owed.version} was made and long after`,
        subscription,
        owed,
      )
  }
}

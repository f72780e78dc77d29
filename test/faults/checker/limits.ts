/**
 * I10: limits hold for the cluster. A transition's time is read before its commit, so a query holds its place for certain from
 * the transition after the one that took it (which had seen it committed) to the one that gives it back: where more hold theirs
 * for certain than the limit allows, it was exceeded, however long commits took.
 */
import { slotStatuses } from '../../../src/domain/index.ts'
import type { Findings } from './findings.ts'
import { type Ledger, listAt, type Query, type Transition } from './ledger.ts'

interface Held {
  readonly fromMs: number
  readonly toMs: number
  readonly subject: string
}

const holding: ReadonlySet<string> = new Set(slotStatuses)
const forEver = Number.POSITIVE_INFINITY

export function checkLimits(ledger: Ledger, findings: Findings): void {
  const { limits, slots } = ledger.history.run
  const held = new Map<string, Held[]>()
  for (const query of ledger.queries.values()) if (query.row) gatherQuery(query, held)
  gatherSessions(ledger, held)
  const limitOf: Readonly<Record<string, number>> = {
    'queued of user': limits.queuedPerUser,
    'queued of lane': limits.queuedPerLane,
    'running of user': limits.runningPerUser,
    'sessions of user': limits.sessionsPerUser,
  }
  for (const [scope, holds] of held) {
    const [kind = '', ...who] = scope.split(':')
    const limit = kind === 'slots of' ? (slots[who[0] ?? '']?.[who[1] ?? ''] ?? 0) : (limitOf[kind] ?? 0)
    if (limit > 0) checkScope(scope.replace(':', ' '), limit, kind, holds, findings)
  }
}

function checkScope(scope: string, limit: number, kind: string, holds: readonly Held[], findings: Findings): void {
  const edges = holds
    .filter(({ fromMs, toMs }) => fromMs < toMs)
    .flatMap(one => [
      { atMs: one.fromMs, by: 1, one },
      { atMs: one.toMs, by: -1, one },
    ])
    .sort((a, b) => a.atMs - b.atMs || a.by - b.by)
  findings.lookedAt('I10', `places taken: ${kind}`, holds.length)
  const now = new Set<Held>()
  let most = 0
  let exceeded = false
  for (const { by, one } of edges) {
    if (by > 0) now.add(one)
    else now.delete(one)
    most = Math.max(most, now.size)
    if (now.size <= limit) exceeded = false
    else if (!exceeded) {
      exceeded = true
      findings.broken('I10', scope, `${now.size} at once, where ${limit} are allowed`, ...now)
    }
  }
  const full = most >= limit ? 1 : 0
  findings.lookedAt('I10', `limits reached: ${kind}`, full)
}

function gatherQuery({ handle, row, transitions }: Query, held: Map<string, Held[]>): void {
  const user = row?.user as string
  let lane = row?.requested_lane as string
  let engine = ''
  let running: { launch: Transition; engine: string; lane: string } | null = null
  for (const [index, step] of transitions.entries()) {
    const { event } = step
    if (event.type === 'ESTIMATED') lane = event.lane
    if (event.type === 'LAUNCHED') engine = event.engine
    if (event.type === 'SUBMITTED') gatherQueued(handle, user, lane, transitions, held)
    if (!running && holding.has(step.to)) running = { launch: step, engine, lane }
    if (!running || holding.has(step.to)) continue
    const fromMs = transitions[transitions.indexOf(running.launch) + 1]?.at ?? forEver
    listAt(held, `running of user:${user}`).push({ fromMs, toMs: step.at, subject: handle })
    // The slots of a dead owner are free when its queries are claimed; what is not reattached runs nowhere from then on.
    const claim = transitions.slice(0, index).findLast(({ event }) => event.type === 'CLAIMED')
    const ranOn = !claim || claim.version !== step.version - 1 || claim.version < running.launch.version
    listAt(held, `slots of:${running.engine}:${slotLane(running.lane)}`).push({
      fromMs,
      toMs: ranOn ? step.at : claim.at,
      subject: handle,
    })
    running = null
  }
}

/** From the acceptance, which the limit may refuse, to where it first leaves the queue; what comes back to it is never refused. */
function gatherQueued(
  handle: string,
  user: string,
  lane: string,
  transitions: readonly Transition[],
  held: Map<string, Held[]>,
): void {
  const fromMs = transitions[1]?.at ?? forEver
  const left = transitions.find(({ to }) => to !== 'QUEUED')
  const toMs = left?.at ?? forEver
  listAt(held, `queued of user:${user}`).push({ fromMs, toMs, subject: handle })
  // An estimate may move it to another lane's queue, which cannot refuse it.
  const moved = transitions.find(({ event }) => event.type === 'ESTIMATED' && event.lane !== slotLane(lane))
  listAt(held, `queued of lane:${slotLane(lane)}`).push({
    fromMs,
    toMs: Math.min(toMs, moved?.at ?? forEver),
    subject: handle,
  })
}

/** A query whose lane is not chosen yet counts as light. */
function slotLane(lane: string): string {
  return lane === 'auto' ? 'light' : lane
}

/** By what clients were answered: from the answer of the opening to the begin of the first closing. */
function gatherSessions({ sessions }: Ledger, held: Map<string, Held[]>): void {
  for (const { id, user, openedMs, closes, expiredMs } of sessions.values()) {
    const toMs = Math.min(expiredMs, ...closes.map(({ beginMs }) => beginMs))
    listAt(held, `sessions of user:${user}`).push({ fromMs: openedMs, toMs, subject: id })
  }
}

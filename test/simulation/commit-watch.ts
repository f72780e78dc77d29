/**
 * Looks at the database after every commit: whatever rule a statement should have kept is asked of the rows themselves, at
 * the very step at which it was broken.
 */
import { isFinished, legalMoves, type QueryStatus } from '../../src/domain/index.ts'
import type { SimulatedDatabase } from './database-contract.ts'
import type { History } from './history.ts'

export interface WatchedLimits {
  /** 0 = unlimited. */
  readonly runningPerUser: number
  /** Slots of `engine lane`. */
  readonly slots: ReadonlyMap<string, number>
}

interface TransitionRow {
  readonly rowid: number
  readonly handle: string
  readonly version: number
  readonly epoch: number
  readonly node: string
  readonly event: string
  readonly from_status: string
  readonly to_status: string
}

interface QueryPlace {
  readonly finished: number
  readonly handle: string
  readonly status: string
  readonly version: number
  readonly epoch: number
  readonly owner_incarnation: string
  readonly owner_state: string | null
  readonly cancel_requested: number
}

interface Known {
  version: number
  epoch: number
  node: string
  status: string
  handedOver: boolean
  type: string
}

const gives = new Set(['SUBMITTED', 'HANDED_OVER', 'CLAIMED'])
const inSlots = "('LAUNCHED', 'RUNNING', 'EXECUTED')"

export class CommitWatch {
  /** Durable transitions that were looked at. */
  transitions = 0
  readonly #database: SimulatedDatabase
  readonly #history: History
  readonly #limits: WatchedLimits
  readonly #known = new Map<string, Known>()
  readonly #holders = new Map<number, string>()
  readonly #states = new Map<string, string>()
  #term = 0
  #commits = 0
  #lastRow = 0

  constructor(database: SimulatedDatabase, history: History, limits: WatchedLimits) {
    this.#database = database
    this.#history = history
    this.#limits = limits
  }

  /** Cheap when nothing was committed. */
  look(): void {
    if (this.#database.commits === this.#commits) return
    this.#commits = this.#database.commits
    this.#lookAtLease()
    const rows = this.#database.committed<TransitionRow>(
      'SELECT rowid, handle, version, epoch, node, event, from_status, to_status FROM query_transition WHERE rowid > ? ORDER BY rowid',
      this.#lastRow,
    )
    if (rows.length === 0) return
    this.#lookAtMembers()
    this.#lastRow = (rows.at(-1) as TransitionRow).rowid
    for (const row of rows.toSorted((a, b) =>
      a.handle === b.handle ? a.version - b.version : a.handle < b.handle ? -1 : 1,
    ))
      this.#step(row)
    for (const handle of new Set(rows.map(row => row.handle))) this.#place(handle)
    this.#lookAtLimits()
  }

  #step(row: TransitionRow): void {
    this.transitions++
    const { handle, version, epoch, node, from_status: from, to_status: to } = row
    const type = (JSON.parse(row.event) as { type: string }).type
    const say = (invariant: Parameters<History['violated']>[0], what: string) =>
      this.#history.violated(invariant, `${handle}: version ${version} (${type}, epoch ${epoch}, by ${node}) ${what}`)
    const known = this.#known.get(handle)
    const changesOwner = type === 'CLAIMED' || type === 'HANDED_OVER'
    if (version !== (known?.version ?? 0) + 1) say('I3', `follows version ${known?.version ?? 0}`)
    if (known) {
      if (from !== known.status) say('I4', `begins in ${from}, the one before ended in ${known.status}`)
      if (epoch !== known.epoch + (changesOwner ? 1 : 0)) say('I2', `has a wrong epoch after ${known.epoch}`)
      if (!changesOwner && type !== 'RESULT_DROPPED' && !known.handedOver && known.version > 1 && node !== known.node)
        say('I2', `has another writer than the one before, ${known.node}`)
      if (isFinished(known.status as QueryStatus) && type !== 'RESULT_DROPPED')
        say('I1', `follows its end ${known.status}`)
    } else if (epoch !== 1) say('I2', 'begins with a wrong epoch')
    if (from !== to && !legalMoves[from as QueryStatus]?.includes(to as QueryStatus))
      say('I4', `moves from ${from} to ${to}`)
    this.#known.set(handle, { version, epoch, node, status: to, handedOver: type === 'HANDED_OVER', type })
  }

  #place(handle: string): void {
    const known = this.#known.get(handle)
    const places = ['current_query', 'finished_query'].flatMap((table, finished) =>
      this.#database.committed<QueryPlace>(
        `SELECT ${finished} AS finished, q.handle, q.status, q.version, q.epoch, q.owner_incarnation, q.cancel_requested, m.state AS owner_state FROM ${table} q LEFT JOIN member m ON m.incarnation = q.owner_incarnation WHERE q.handle = ?`,
        handle,
      ),
    )
    const [place] = places
    if (places.length !== 1 || !place) {
      this.#history.violated('I1', `${handle} is in ${places.length} tables`)
      return
    }
    if (Boolean(place.finished) !== isFinished(place.status as QueryStatus))
      this.#history.violated('I1', `${handle}, ${place.status}, is in the wrong table`)
    if (place.version !== known?.version || place.epoch !== known.epoch || place.status !== known.status)
      this.#history.violated(
        'I2',
        `${handle}: its row is ${place.status}, version ${place.version}, epoch ${place.epoch}; its last transition ${known?.status}, ${known?.version}, ${known?.epoch}`,
      )
    // Nobody is given a query, or takes one in, when it is dead. (What it owned is its own until the claim: that raises the epoch.)
    if (place.owner_state === 'dead' && known && gives.has(known.type))
      this.#history.violated('I8', `${handle}: version ${place.version} was written for a dead member`)
    if (
      place.status === 'LAUNCHED' &&
      place.version === known?.version &&
      place.cancel_requested &&
      !this.#wasLaunched(handle)
    )
      this.#history.violated('I7', `${handle} was launched after its cancel was asked for`)
  }

  /** The cancel may come after LAUNCHED; but the step to it is not written when the cancel is there. */
  #wasLaunched(handle: string): boolean {
    const [last] = this.#database.committed<{ event: string }>(
      'SELECT event FROM query_transition WHERE handle = ? ORDER BY version DESC LIMIT 1',
      handle,
    )
    return !last?.event.includes('"type":"LAUNCHED"')
  }

  #lookAtLease(): void {
    const [lease] = this.#database.committed<{ term: number; holder_incarnation: string | null }>(
      'SELECT term, holder_incarnation FROM lease',
    )
    if (!lease) return
    if (lease.term < this.#term) this.#history.violated('I2', `the term went from ${this.#term} back to ${lease.term}`)
    this.#term = lease.term
    const holder = lease.holder_incarnation
    if (!holder) return
    const before = this.#holders.get(lease.term)
    if (before !== undefined && before !== holder)
      this.#history.violated('I2', `term ${lease.term} was of ${before}, and is of ${holder}`)
    this.#holders.set(lease.term, holder)
  }

  #lookAtMembers(): void {
    for (const { incarnation, state } of this.#database.committed<{ incarnation: string; state: string }>(
      'SELECT incarnation, state FROM member',
    )) {
      if (this.#states.get(incarnation) === 'dead' && state !== 'dead')
        this.#history.violated('I8', `the dead member ${incarnation} is ${state}`)
      this.#states.set(incarnation, state)
    }
  }

  #lookAtLimits(): void {
    const { runningPerUser, slots } = this.#limits
    this.#lookAtCounters('queued', "('QUEUED')")
    if (runningPerUser > 0) this.#lookAtCounters('running', inSlots, runningPerUser)
    for (const { engine, lane, count } of this.#database.committed<{ engine: string; lane: string; count: number }>(
      `SELECT engine, lane, count(*) AS count FROM current_query WHERE status IN ${inSlots} GROUP BY engine, lane`,
    )) {
      const limit = slots.get(`${engine} ${lane}`)
      if (limit !== undefined && count > limit)
        this.#history.violated('I10', `${engine} ${lane} runs ${count} of ${limit} in the database`)
    }
  }

  /** Each changes in the transaction of what it counts. */
  #lookAtCounters(name: 'queued' | 'running', statuses: string, limit = Number.POSITIVE_INFINITY): void {
    const prefix = `${name}:user:`
    const rows = this.#database.committed<{ user: string; count: number; counter: number | null }>(
      `SELECT q.user, count(*) AS count, c.value AS counter FROM current_query q LEFT JOIN usage_counter c ON c.scope = '${prefix}' || q.user WHERE q.status IN ${statuses} GROUP BY q.user`,
    )
    for (const { user, count, counter } of rows) {
      if (count > limit) this.#history.violated('I10', `${user} runs ${count} of ${limit}`)
      if (count !== (counter ?? 0))
        this.#history.violated('I10', `${user} has ${count} ${name}, its counter says ${counter}`)
    }
  }
}

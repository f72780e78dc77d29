/** Stores, members, sessions and queries as the conformance suite needs them; queries move as their machine says. */
import { randomUUID } from 'node:crypto'
import type { ExecutionContext, TestFn } from 'ava'
import { uuidv7 } from 'uuidv7'
import { systemClock, systemRandom } from '../../src/async/index.ts'
import {
  isFinished,
  type Lane,
  outcomeOf,
  type QueryEvent,
  queryMachineVersion,
  replay,
  type StoredSnapshot,
  statusOf,
} from '../../src/domain/index.ts'
import type { LeaseStore } from '../../src/store/contract.ts'
import {
  type NewQuery,
  type NewSession,
  type OpenStoreOptions,
  openStore,
  type QueryLimits,
  type StepGroup,
  type Store,
} from '../../src/store/index.ts'
import { openLeaseStore } from '../../src/store/lease.ts'
import type { Teardown } from '../support/folders.ts'

/** A database in which the suite runs. */
export interface StoreUnderTest {
  readonly name: string
  /** URL of a new, empty database. */
  fresh(t: Teardown): Promise<string>
  /** One statement in the database of a URL, behind the back of the store. */
  execute(url: string, sql: string): Promise<void>
}

export type StoreTest = (title: string, run: (t: ExecutionContext, stores: StoreUnderTest) => Promise<void>) => void

export function storeTests(test: TestFn, stores: StoreUnderTest): StoreTest {
  return (title, run) => test(`${stores.name}: ${title}`, t => run(t, stores))
}

export const noLimits: QueryLimits = { queuedPerUser: 0, runningPerUser: 0, queuedPerLane: 0 }

/** How a newer version of the program writes for this one, and who is told of the ends of queries. */
export type StoreExtras = Pick<OpenStoreOptions, 'downgrades' | 'webhooks'>

/** A way to databases that the store itself has no URL for. */
export interface StoreWay {
  storeOf(url: string, retryMs: number, more: StoreExtras): Store
  leasesOf(url: string, attemptMs: number): LeaseStore
}

const ways = new Map<string, StoreWay>()

/** From now on URLs that begin with this scheme and a colon go this way. */
export function addWay(scheme: string, way: StoreWay): void {
  ways.set(scheme, way)
}

const wayOf = (url: string) => ways.get(url.slice(0, url.indexOf(':')))

/** The heartbeat's store on this database. */
export function leasesOn(url: string, attemptMs: number): LeaseStore {
  return wayOf(url)?.leasesOf(url, attemptMs) ?? openLeaseStore({ url, attemptMs })
}

/** An open store on this database, closed with the test. */
export async function storeOn(t: Teardown, url: string, retryMs = 15_000, more: StoreExtras = {}): Promise<Store> {
  const store =
    wayOf(url)?.storeOf(url, retryMs, more) ??
    openStore({ url, connectionsMax: 8, retryMs, clock: systemClock, random: systemRandom, ...more })
  t.teardown(() => store.close())
  await store.open()
  return store
}

export interface Member {
  readonly incarnation: string
  readonly node: string
}

/** A member whose lease outlasts the test, unless `leaseMs` says otherwise. */
export async function joined(store: Store, node = 'node-1', leaseMs = 600_000, snapshotVersion = 1): Promise<Member> {
  const incarnation = randomUUID()
  const answer = await store.cluster.join({
    incarnation,
    nodeId: node,
    address: `http://${node}`,
    softwareVersion: '0.1.0',
    snapshotVersion,
    leaseMs,
    earlyTakeoverAfterMs: null,
  })
  if (!answer.joined) throw new Error(`${node} is there already`)
  return { incarnation, node }
}

/** Makes the member the leader, whoever was; gives its term. */
export async function leading(store: Store, { incarnation, node }: Member, leaseMs = 600_000): Promise<number> {
  const { lease } = await store.cluster.members()
  const term = await store.cluster.acquireLease(
    { incarnation, node, leaseMs },
    lease && { incarnation: lease.holderIncarnation, term: lease.term },
  )
  if (term === null) throw new Error('the lease was not to be had')
  return term
}

export function newSession(over: Partial<NewSession> = {}): NewSession {
  return {
    id: randomUUID(),
    user: 'alice',
    secretHash: 'a'.repeat(64),
    database: 'main',
    properties: { 'a.b': 'ä' },
    idleMs: 600_000,
    node: 'node-1',
    idempotencyKey: null,
    requestHash: null,
    ...over,
  }
}

export async function opened(store: Store, over: Partial<NewSession> = {}): Promise<string> {
  const session = newSession(over)
  const answer = await store.sessions.open(session, 0)
  if (answer.kind !== 'opened') throw new Error(`not opened: ${answer.kind}`)
  return session.id
}

let clockMs = Date.UTC(2026, 0, 1)

/** A query as a node holds it: makes its submission and its steps, and remembers where it is. */
export class TestQuery {
  readonly handle = uuidv7()
  readonly user: string
  readonly #member: Member
  readonly #sessionId: string
  readonly #lane: Lane
  readonly #events: QueryEvent[] = []
  readonly #submittedAt: string
  key: string | null = null
  requestHash: string | null = null
  sql = "SELECT '?' -- returning \u0000 \\ ' 🦆"

  constructor(member: Member, sessionId: string, options: { user?: string; lane?: Lane; submittedAt?: string } = {}) {
    this.#member = member
    this.#sessionId = sessionId
    this.user = options.user ?? 'alice'
    this.#lane = options.lane ?? 'auto'
    clockMs += 1000
    this.#submittedAt = options.submittedAt ?? new Date(clockMs).toISOString()
  }

  get #now() {
    const steps = [...replay({ handle: this.handle, lane: this.#lane, engine: null }, this.#events)]
    const last = steps.at(-1)
    if (!last) throw new Error('not submitted')
    return last
  }

  get version(): number {
    return this.#now.context.version
  }

  get snapshot(): StoredSnapshot {
    return { machineVersion: queryMachineVersion, value: this.#now.value, context: this.#now.context }
  }

  submission(): NewQuery {
    const event: QueryEvent = { type: 'SUBMITTED', node: this.#member.node, at: this.#submittedAt }
    if (this.#events.length === 0) this.#events.push(event)
    return {
      specification: {
        handle: this.handle,
        sessionId: this.#sessionId,
        user: this.user,
        name: 'a name',
        sql: this.sql,
        operation: 'execute',
        mode: 'async',
        priority: 'normal',
        onRecovery: 'auto',
        database: 'main',
        properties: { 'a.b': 'ä' },
        parameters: [1, 'x', null, { y: [true] }],
        requestedLane: this.#lane,
        requestedEngine: null,
        idempotencyKey: this.key,
        deadlineAt: null,
        submittedAt: this.#submittedAt,
      },
      transition: {
        id: `first-of-${this.handle}`,
        handle: this.handle,
        version: 1,
        epoch: 1,
        machineVersion: queryMachineVersion,
        node: this.#member.node,
        event,
        from: 'NEW',
        to: 'QUEUED',
      },
      snapshot: this.snapshot,
      ownerIncarnation: this.#member.incarnation,
      ownerNode: this.#member.node,
      requestHash: this.requestHash,
    }
  }

  /** The group of these events, which the query has then taken. */
  step(...events: QueryEvent[]): StepGroup {
    const before = this.#now
    const transitions: StepGroup['transitions'][number][] = []
    for (const event of events) {
      const from = statusOf(this.#now.value)
      this.#events.push(event)
      const { value, context } = this.#now
      transitions.push({
        id: randomUUID(),
        handle: this.handle,
        version: context.version,
        epoch: context.owner.epoch,
        machineVersion: queryMachineVersion,
        node: this.#member.node,
        event,
        from,
        to: statusOf(value),
      })
    }
    const { value, context } = this.#now
    const status = statusOf(value)
    const handedOver = events.find(event => event.type === 'HANDED_OVER')
    return {
      handle: this.handle,
      user: this.user,
      fromVersion: before.context.version,
      epoch: before.context.owner.epoch,
      transitions,
      snapshot: this.snapshot,
      status,
      outcome: outcomeOf(status, context),
      launches: events.some(event => event.type === 'LAUNCHED'),
      finishes: isFinished(status),
      ...(handedOver ? { newOwner: { incarnation: 'new-owner', node: handedOver.node } } : {}),
    }
  }

  estimate(lane: 'light' | 'heavy'): StepGroup {
    return this.step({ type: 'ESTIMATED', lane, cost: 1, rows: 1, at: at() })
  }

  launch(): StepGroup {
    return this.step({ type: 'LAUNCHED', engine: 'duckdb', at: at() })
  }

  start(): StepGroup {
    return this.step({ type: 'STARTED', engineHandle: { pid: 1 }, safeToRepeat: true, at: at() })
  }

  execute(): StepGroup {
    const columns = [{ name: 'a', type: 'INTEGER' }]
    return this.step({ type: 'EXECUTED', rowCount: 1, columns, plan: null, estimate: null, at: at() })
  }

  succeed(expiresAt: string | null = null): StepGroup {
    return this.step({ type: 'STORED', bytes: 2, pages: 1, expiresAt, at: at() })
  }

  cancel(): StepGroup {
    return this.step({ type: 'STOP_REQUESTED', reason: 'cancel', at: at() })
  }

  /** From QUEUED to SUCCESSFUL in one group. */
  run(expiresAt: string | null = null, endedAt = at()): StepGroup {
    const columns = [{ name: 'a', type: 'INTEGER' }]
    return this.step(
      { type: 'LAUNCHED', engine: 'duckdb', at: at() },
      { type: 'STARTED', engineHandle: null, safeToRepeat: true, at: at() },
      { type: 'EXECUTED', rowCount: 1, columns, plan: null, estimate: null, at: at() },
      { type: 'STORED', bytes: 2, pages: 1, expiresAt, at: endedAt },
    )
  }

  /** Takes a claim that another node committed. */
  claimed(node: string, epoch: number): void {
    this.#events.push({ type: 'CLAIMED', node, epoch, at: at() })
  }
}

export function at(): string {
  return new Date(clockMs).toISOString()
}

/** Submits; every one must be accepted. */
export async function submitted(store: Store, ...queries: TestQuery[]): Promise<void> {
  const answers = await store.queries.submit(
    queries.map(query => query.submission()),
    noLimits,
  )
  for (const { kind } of answers) if (kind !== 'accepted') throw new Error(`not accepted: ${kind}`)
}

/** Commits; every one must count. */
export async function committed(store: Store, ...groups: StepGroup[]): Promise<void> {
  const answers = await store.queries.commit(groups, noLimits)
  for (const { kind } of answers) if (kind !== 'committed') throw new Error(`not committed: ${kind}`)
}

export async function rowOf(store: Store, handle: string) {
  const [row, ...more] = await store.queries.read([handle])
  if (!row || more.length > 0) throw new Error(`${more.length + (row ? 1 : 0)} rows for one handle`)
  return row
}

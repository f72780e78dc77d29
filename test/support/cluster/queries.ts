/** Queries as rows, made durable through the real store, for tests of who owns them. */
import { uuidv7 } from 'uuidv7'
import {
  type Lane,
  type QueryEvent,
  queryMachineVersion,
  replay,
  type StoredSnapshot,
} from '../../../src/domain/index.ts'
import type { QuerySpecificationRow, Store } from '../../../src/store/index.ts'

const noLimits = { queuedPerUser: 0, runningPerUser: 0, queuedPerLane: 0 }

/** Opens a session of `user`; gives its id. */
export async function openSession(store: Store, user = 'ada', idleMs = 3_600_000): Promise<string> {
  const id = uuidv7()
  await store.sessions.open(
    {
      id,
      user,
      secretHash: '0'.repeat(64),
      database: null,
      properties: {},
      idleMs,
      node: 'test',
      idempotencyKey: null,
      requestHash: null,
    },
    0,
  )
  return id
}

/** What the queries ask for; by default an engine that no node has. */
export interface AskedFor {
  readonly sql?: string
  readonly lane?: Lane
  readonly engine?: string | null
}

/** Submits `count` queries that wait in the heavy lane of the member, unless they ask for another; gives their handles. */
export async function submitQueries(
  store: Store,
  sessionId: string,
  owner: { readonly incarnation: string; readonly node: string },
  count: number,
  { sql = 'select 1', lane = 'heavy', engine = 'main' }: AskedFor = {},
): Promise<readonly string[]> {
  const at = new Date(Date.UTC(2026, 0, 1)).toISOString()
  const queries = Array.from({ length: count }, () => {
    const handle = uuidv7()
    const specification: QuerySpecificationRow = {
      handle,
      sessionId,
      user: 'ada',
      name: null,
      sql,
      operation: 'execute',
      mode: 'async',
      priority: 'normal',
      onRecovery: 'auto',
      database: null,
      properties: {},
      parameters: [],
      requestedLane: lane,
      requestedEngine: engine === 'main' ? null : engine,
      idempotencyKey: null,
      deadlineAt: null,
      submittedAt: at,
    }
    const event: QueryEvent = { type: 'SUBMITTED', node: owner.node, at }
    const [state] = replay({ handle, lane, engine }, [event])
    if (!state) throw new Error('the machine gave no state')
    const snapshot: StoredSnapshot = { machineVersion: queryMachineVersion, ...state }
    return {
      specification,
      transition: {
        id: uuidv7(),
        handle,
        version: 1,
        epoch: 1,
        machineVersion: queryMachineVersion,
        node: owner.node,
        event,
        from: 'NEW' as const,
        to: 'QUEUED' as const,
      },
      snapshot,
      ownerIncarnation: owner.incarnation,
      ownerNode: owner.node,
      requestHash: null,
    }
  })
  for (let begin = 0; begin < queries.length; begin += 100) {
    const answers = await store.queries.submit(queries.slice(begin, begin + 100), noLimits)
    const refused = answers.find(answer => answer.kind !== 'accepted')
    if (refused) throw new Error(`a query was not accepted: ${JSON.stringify(refused)}`)
  }
  return queries.map(query => query.specification.handle)
}

/** Gives one queued query to another member, as its owner does in a drain. */
export async function handOver(
  store: Store,
  handle: string,
  target: { readonly incarnation: string; readonly node: string },
): Promise<void> {
  const [row] = await store.queries.read([handle])
  if (!row) throw new Error('there is no such query')
  const stored = row.snapshot as StoredSnapshot
  const event: QueryEvent = { type: 'HANDED_OVER', node: target.node, epoch: row.epoch + 1, at: row.submittedAt }
  const [state] = replay({ handle, lane: 'heavy', engine: 'main' }, [event], stored)
  if (!state) throw new Error('the machine gave no state')
  await store.queries.commit(
    [
      {
        handle,
        fromVersion: row.version,
        epoch: row.epoch,
        transitions: [
          {
            id: uuidv7(),
            handle,
            version: row.version + 1,
            epoch: row.epoch + 1,
            machineVersion: queryMachineVersion,
            node: row.ownerNode,
            event,
            from: row.status,
            to: row.status,
          },
        ],
        snapshot: { machineVersion: queryMachineVersion, ...state },
        status: row.status,
        outcome: null,
        launches: false,
        finishes: false,
        newOwner: target,
      },
    ],
    noLimits,
  )
}

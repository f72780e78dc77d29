/**
 * What becomes of a row that no actor can live on: it is failed with its reason, by two steps of their own, and harms
 * nothing else.
 */

import {
  holdsSlot,
  type QueryContext,
  type QueryEvent,
  type QueryInput,
  type QueryStatus,
  queryMachineVersion,
  replay,
  type StoredSnapshot,
} from '../domain/index.ts'
import { aboutQuery } from '../observability/index.ts'
import type { OwedEnd, QueryRow } from '../store/index.ts'
import { type ActorEnvironment, isoNow } from './environment.ts'

export class Restoration {
  readonly #environment: ActorEnvironment

  constructor(environment: ActorEnvironment) {
    this.#environment = environment
  }

  /** The store takes no further step of the query that was alive here. */
  async failUnwritable(handle: string): Promise<void> {
    const { store, logger, membership } = this.#environment
    try {
      const [row] = await store.queries.read([handle])
      if (row && !row.finished && row.ownerIncarnation === membership.incarnation())
        await this.fail(row, 'the store refuses its next state')
    } catch (error) {
      logger.error({ err: error, handle }, 'a query whose steps cannot be written could not be failed')
    }
  }

  async fail(row: QueryRow, reason: string): Promise<void> {
    const { store, settings, membership, random, logger, events } = this.#environment
    const { handle, epoch, status } = row
    logger.error({ ...aboutQuery(row), reason }, 'a query cannot be restored')
    const at = isoNow(this.#environment)
    const node = membership.nodeId
    const message = `Its state could not be restored: ${reason}.`
    const failing: QueryContext = {
      ...contextOf(row),
      version: row.version + 1,
      error: { code: 'RECOVERY_FAILED', message },
    }
    const failed: QueryContext = { ...failing, version: row.version + 2, finishedAt: at }
    const snapshotOf = (value: QueryStatus, context: QueryContext): StoredSnapshot => ({
      machineVersion: queryMachineVersion,
      value,
      context,
    })
    const record = (event: QueryEvent, version: number, from: QueryStatus, to: QueryStatus) => ({
      ...{ id: random.uuid(), handle, epoch, machineVersion: queryMachineVersion, node, event, version, from, to },
    })
    const snapshot = snapshotOf('FAILED', failed)
    const attemptFailed = {
      type: 'ATTEMPT_FAILED',
      kind: 'statement',
      code: 'RECOVERY_FAILED',
      message,
      node,
      retryAt: null,
      at,
    } as const
    const gaveUp = { type: 'GAVE_UP', at } as const
    const [answer] = await store.queries.commit(
      [
        {
          handle,
          user: row.user,
          fromVersion: row.version,
          epoch,
          transitions: [
            record(attemptFailed, failing.version, status, 'FAILING'),
            record(gaveUp, failed.version, 'FAILING', 'FAILED'),
          ],
          snapshot,
          status: 'FAILED',
          outcome: 'FAILED',
          launches: false,
          finishes: true,
          owedEnds: owedEndsOf(row),
        },
      ],
      settings.limits,
    )
    if (answer?.kind !== 'committed') return
    events.committed([
      { specification: row, event: attemptFailed, epoch, snapshot: snapshotOf('FAILING', failing) },
      { specification: row, event: gaveUp, epoch, snapshot },
    ])
  }
}

/** What is still known of a query whose snapshot cannot be read: what stands in its columns. */
function contextOf(row: QueryRow): QueryContext {
  const input: QueryInput = { handle: row.handle, lane: row.lane, engine: row.engine }
  const [first] = replay(input, [{ type: 'SUBMITTED', node: row.ownerNode, at: row.submittedAt }])
  if (!first) throw new Error('the replay of a submission gives a state')
  return {
    ...first.context,
    owner: { node: row.ownerNode, epoch: row.epoch },
    attempt: row.attempt,
    version: row.version,
  }
}

/** Its engine may still run it, and nobody follows it any more. */
function owedEndsOf({ status, attempt, engine, snapshot }: QueryRow): readonly OwedEnd[] {
  const context = (snapshot as Partial<StoredSnapshot> | null)?.context as Partial<QueryContext> | undefined
  const engineHandle = context?.engineHandle
  if (!holdsSlot(status) || engine === null || typeof engineHandle !== 'object' || engineHandle === null) return []
  return [{ attempt, engine, engineHandle }]
}

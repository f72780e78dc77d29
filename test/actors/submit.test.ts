/**
 * The order of things between a query and an engine that gives identities: real actors, journal and store (SQLite), and an engine whose
 * every step waits for the test.
 */
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { uuidv7 } from 'uuidv7'
import { type ActorEnvironment, QueryHost } from '../../src/actors/index.ts'
import { deferred, systemClock, systemRandom } from '../../src/async/index.ts'
import { type EngineHandle, LensError } from '../../src/domain/index.ts'
import type { EngineDriver, Engines, Run } from '../../src/engines/index.ts'
import { createLogger } from '../../src/observability/index.ts'
import type { PageStore, QuerySpecificationRow, Store } from '../../src/store/index.ts'
import { joined, noLimits, opened, storeOn } from '../conformance/store-fixtures.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'

/** Opens a session for a statement, and sends it only when its identity was taken; both as slowly as the test wants. */
class SlowEngine implements EngineDriver {
  readonly name = 'slow'
  readonly driver = 'slow'
  readonly group = null
  readonly capabilities = {
    ...{ reattach: false, cancel: true, progress: false, estimate: false, transactional: true, endsWithNode: false },
  }
  readonly slots = { light: 1, heavy: 1 }
  readonly submitted = deferred<void>()
  readonly identify = deferred<void>()
  /** Whether the identity was taken. */
  readonly identified = deferred<boolean>()
  sent = 0
  batches = 0
  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  healthy(): boolean {
    return true
  }
  async estimate() {
    return { cost: 0, rows: null }
  }
  async explain() {
    return ''
  }
  async prepare() {
    return { parameterCount: 0, columns: [] }
  }
  async submit(_: unknown, onIdentity: (engineHandle: EngineHandle) => Promise<void>): Promise<Run> {
    this.submitted.resolve()
    await this.identify.promise
    try {
      await onIdentity({ id: '1' })
    } catch (error) {
      this.identified.resolve(false)
      throw error
    }
    this.identified.resolve(true)
    this.sent++
    const { batches } = this
    return {
      engineHandle: { id: '1' },
      safeToRepeat: false,
      columns: async () => (batches > 0 ? [{ name: 'n', type: 'BIGINT' }] : []),
      async *rows() {
        for (let row = 0; row < batches; row++)
          yield { rowCount: 1, bytes: 4, data: zstdCompressSync(Buffer.from(`[${row}]\n`)) }
      },
      progress: () => ({ fraction: null, message: '' }),
      cancel: async () => {},
      detach: async () => {},
    }
  }
  async attach() {
    return null
  }
  async inquire() {
    return this.sent > 0 ? ('committed' as const) : ('ended' as const)
  }
  async tables() {
    return []
  }
}

async function launched(t: ExecutionContext, pagesOf = (store: Store): PageStore => store.pages) {
  const store = await storeOn(t, `sqlite:${join(await temporaryFolder(t), 'lens.db')}`)
  const member = await joined(store)
  const sessionId = await opened(store)
  const engine = new SlowEngine()
  const engines: Engines = { drivers: [engine], choose: () => engine, start: async () => {}, stop: async () => {} }
  const environment: ActorEnvironment = {
    ...{ clock: systemClock, random: systemRandom, logger: createLogger({ level: 'silent' }) },
    ...{ store, pages: pagesOf(store), engines },
    membership: {
      nodeId: member.node,
      incarnation: () => member.incarnation,
      leaseValid: () => true,
      doubt: () => {},
      databaseNow: () => Date.now(),
    },
    settings: {
      ...{ heavyFromCost: 1_000, limits: noLimits, resultBytesMax: 0, resultRetentionMs: 0, resultDirectory: null },
      failurePolicy: { engineFailuresMax: 3, engineDeathsMax: 3, nodeDeathsMax: 3, retryDelayMs: 1 },
      ...{ progressMs: 1_000, journalFlightsMax: 1, journalBatchMax: 8 },
    },
    events: { committed: () => {}, revived: () => {}, progressed: () => {}, handedOver: () => {} },
  }
  const host = new QueryHost(environment, () => 1)
  t.teardown(() => host.stop())
  host.budgetsChanged()
  const specification: QuerySpecificationRow = {
    ...{ handle: uuidv7(), sessionId, user: 'alice', name: null, sql: 'insert', operation: 'execute', mode: 'async' },
    ...{
      priority: 'normal',
      onRecovery: 'auto',
      database: null,
      properties: {},
      parameters: [],
      requestedLane: 'auto',
    },
    ...{ requestedEngine: null, idempotencyKey: null, deadlineAt: null, submittedAt: new Date().toISOString() },
  }
  const { answer } = await host.submit(specification, null)
  t.is(answer.kind, 'accepted')
  await engine.submitted.promise
  const { handle } = specification
  const row = async () => (await store.queries.read([handle]))[0]
  return { store, host, engine, handle, row }
}

test('a statement whose identity comes when it is already being stopped is never sent', async t => {
  const { store, host, engine, handle, row } = await launched(t)
  await store.queries.requestCancel(handle)
  host.cancel([handle])
  await eventually(async () => JSON.stringify((await row())?.snapshot).includes('"stopping"'))
  engine.identify.resolve()
  t.false(await engine.identified.promise)
  const ended = await eventually(row, found => found?.finished === true)
  t.deepEqual([ended?.status, engine.sent], ['CANCELED', 0])
})

test('one whose identity is durable is sent, and ends as what the engine made of it', async t => {
  const { engine, row } = await launched(t)
  engine.identify.resolve()
  t.true(await engine.identified.promise)
  const ended = await eventually(row, found => found?.finished === true)
  t.deepEqual([ended?.status, engine.sent], ['SUCCESSFUL', 1])
})

test('a page that the store took before it went away is not taken for the loss of the query', async t => {
  let lost = 0
  const forgetful = (store: Store): PageStore => ({
    append: async (page, epoch, again) => {
      const taken = await store.pages.append(page, epoch, again)
      if (lost++ > 0) return taken
      throw new LensError('STORE_UNAVAILABLE', 'The answer to the commit is lost, and the store away for long.')
    },
    reset: (...given) => store.pages.reset(...given),
    from: (...given) => store.pages.from(...given),
    expire: (...given) => store.pages.expire(...given),
  })
  const { store, engine, handle, row } = await launched(t, forgetful)
  engine.batches = 3
  engine.identify.resolve()
  const ended = await eventually(row, found => found?.finished === true)
  t.deepEqual([ended?.status, ended?.attempt, ended?.storedRows, engine.sent], ['SUCCESSFUL', 1, 3, 1])
  t.deepEqual(
    (await store.pages.from(handle, 1, 0, 9)).map(({ page, firstRow }) => [page, firstRow]),
    [0, 1, 2].map(page => [page, page]),
  )
})

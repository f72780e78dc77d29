/** Actors of one node over a real store (SQLite), with one engine whose every step waits for the test. */
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import type { ExecutionContext } from 'ava'
import { uuidv7 } from 'uuidv7'
import { type ActorEnvironment, QueryHost } from '../../src/actors/index.ts'
import { deferred, systemClock, systemRandom } from '../../src/async/index.ts'
import type { EngineAnswer, EngineHandle } from '../../src/domain/index.ts'
import {
  type EngineDriver,
  EngineError,
  type Engines,
  type Run,
  type StatementRequest,
} from '../../src/engines/index.ts'
import { createLogger } from '../../src/observability/index.ts'
import type { PageStore, QuerySpecificationRow, Store } from '../../src/store/index.ts'
import { joined, noLimits, opened, storeOn } from '../conformance/store-fixtures.ts'
import { temporaryFolder } from './folders.ts'

/** Opens a session for a statement, and sends it only when its identity was taken; both as slowly as the test wants. */
export class SlowEngine implements EngineDriver {
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
  /** What is sent has its end only then. */
  readonly end = deferred<void>()
  cancels = 0
  /** The way to it breaks before the rows have come. */
  isLost = false
  /** Its word about what was sent; null: it cannot be asked. */
  word: EngineAnswer | null = 'committed'
  isHealthy = true
  safeToRepeat = false
  /** So many statements it does not take at all. */
  refusals = 0
  /** A cancel does not reach it. */
  isDeaf = false
  /** What it was asked about. */
  readonly inquired: StatementRequest[] = []

  constructor(runs: 'briefly' | 'until-ended') {
    if (runs === 'briefly') this.end.resolve()
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  healthy(): boolean {
    return this.isHealthy
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
    if (this.refusals-- > 0) throw away()
    await this.identify.promise
    try {
      await onIdentity({ id: '1' })
    } catch (error) {
      this.identified.resolve(false)
      throw error
    }
    this.identified.resolve(true)
    this.sent++
    const { batches, isLost, safeToRepeat } = this
    return {
      engineHandle: { id: '1' },
      safeToRepeat,
      columns: async () => {
        await this.end.promise
        return batches > 0 ? [{ name: 'n', type: 'BIGINT' }] : []
      },
      async *rows() {
        for (let row = 0; row < batches; row++)
          yield { rowCount: 1, bytes: 4, data: zstdCompressSync(Buffer.from(`[${row}]\n`)) }
        if (isLost) throw away()
      },
      progress: () => ({ fraction: null, message: '' }),
      cancel: async () => {
        this.cancels++
        if (this.isDeaf) throw away()
      },
      detach: async () => {},
    }
  }
  async attach() {
    return null
  }
  async inquire(request: StatementRequest) {
    this.inquired.push(request)
    if (this.word === null) throw away()
    return this.sent > 0 ? this.word : 'ended'
  }
  async tables() {
    return []
  }
}

const away = () => new EngineError('unavailable', 'the engine is away')

export interface Submitting {
  readonly pagesOf?: (store: Store) => PageStore
  readonly runs?: 'briefly' | 'until-ended'
  readonly mode?: 'async' | 'sync'
  /** 0: it stays in the queue. */
  readonly slots?: number
  readonly enginePatienceMs?: number
  /** What the engine is like before it is asked for anything. */
  readonly prepare?: (engine: SlowEngine) => void
}

/** A query that was submitted; with a slot it waits for the engine's identity. */
export async function submittedQuery(t: ExecutionContext, options: Submitting = {}) {
  const {
    pagesOf = store => store.pages,
    runs = 'briefly',
    mode = 'async',
    slots = 1,
    enginePatienceMs = 0,
    prepare = () => {},
  } = options
  const store = await storeOn(t, `sqlite:${join(await temporaryFolder(t), 'lens.db')}`)
  const member = await joined(store)
  const sessionId = await opened(store)
  const engine = new SlowEngine(runs)
  prepare(engine)
  const engines: Engines = {
    drivers: [engine],
    choose: () => engine,
    candidates: () => [engine],
    start: async () => {},
    stop: async () => {},
  }
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
      failurePolicy: { engineFailuresMax: 3, enginePatienceMs, engineDeathsMax: 3, nodeDeathsMax: 3, retryDelayMs: 1 },
      ...{ progressMs: 1_000, journalFlightsMax: 1, journalBatchMax: 8 },
    },
    events: { committed: () => {}, revived: () => {}, progressed: () => {}, handedOver: () => {} },
    changeSession: async () => {},
  }
  const host = new QueryHost(environment, () => slots)
  t.teardown(() => host.stop())
  host.budgetsChanged()
  const specification: QuerySpecificationRow = {
    ...{ handle: uuidv7(), sessionId, user: 'alice', name: null, sql: 'insert', operation: 'execute', mode },
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
  if (slots > 0 && engine.isHealthy) await engine.submitted.promise
  const { handle } = specification
  const row = async () => (await store.queries.read([handle]))[0]
  return { store, host, engine, handle, row, environment }
}

/** Durable transitions per second: live actors, the journal and the store of one node, without HTTP. */
import { setImmediate as nextTick } from 'node:timers/promises'
import { uuidv7 } from 'uuidv7'
import type { ActorEnvironment } from '../../../src/actors/index.ts'
import { Journal } from '../../../src/actors/journal.ts'
import { LiveQuery } from '../../../src/actors/live-query.ts'
import { systemClock, systemRandom } from '../../../src/async/index.ts'
import { queryMachine } from '../../../src/domain/index.ts'
import { enginesOf } from '../../../src/engines/index.ts'
import { silentLogger } from '../../../src/observability/index.ts'
import { openStore } from '../../../src/store/index.ts'
import type { Bench } from '../bench.ts'
import { Floors } from '../floors.ts'
import { closedLoop } from '../load.ts'
import { inTurns, rateRow } from '../report.ts'

const actors = 1_024

export async function measureJournal(bench: Bench): Promise<void> {
  const storeUrl = await bench.database('journal')
  const floors = new Floors(storeUrl, bench.roundMs)
  await floors.prepare()
  const store = openStore({
    url: storeUrl,
    connectionsMax: 16,
    retryMs: 5_000,
    clock: systemClock,
    random: systemRandom,
  })
  await store.open()
  const incarnation = systemRandom.uuid()
  await store.cluster.join({
    ...{ incarnation, nodeId: 'bench', address: 'http://127.0.0.1:1', softwareVersion: '0', snapshotVersion: 1 },
    ...{ leaseMs: 3_600_000, earlyTakeoverAfterMs: null },
  })
  await store.actAs(incarnation)
  const limits = { queuedPerUser: 0, runningPerUser: 0, queuedPerLane: 0 }
  const session = { id: systemRandom.uuid(), user: 'bench', secretHash: '0'.repeat(64), database: null, properties: {} }
  await store.sessions.open(
    { ...session, idleMs: 3_600_000, node: 'bench', idempotencyKey: null, requestHash: null },
    0,
  )
  const environment: ActorEnvironment = {
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    store,
    pages: store.pages,
    engines: enginesOf([]),
    membership: {
      nodeId: 'bench',
      incarnation: () => incarnation,
      leaseValid: () => true,
      doubt: () => {},
      databaseNow: () => Date.now(),
    },
    settings: {
      ...{
        heavyFromCost: 1,
        limits,
        resultBytesMax: 0,
        resultRetentionMs: 0,
        resultDirectory: null,
        progressMs: 1_000,
      },
      failurePolicy: {
        ...{ engineFailuresMax: 3, enginePatienceMs: 0, engineDeathsMax: 3, nodeDeathsMax: 20, retryDelayMs: 0 },
      },
      ...{ journalFlightsMax: 4, journalBatchMax: 128 },
    },
    events: { committed: () => {}, revived: () => {}, progressed: () => {}, handedOver: () => {} },
    changeSession: async () => {},
  }
  const journal = new Journal(environment, {
    landed: () => {},
    refused: (live, refusal) => {
      throw new Error(`${live.handle}: ${refusal.kind}`)
    },
  })
  const lives: LiveQuery[] = []
  for (let from = 0; from < actors; from += 128) {
    const batch = Array.from({ length: 128 }, () => submitted(environment, session, journal.add))
    const queries = batch.map(live => ({
      ...{ specification: live.specification, ownerIncarnation: incarnation, ownerNode: 'bench', requestHash: null },
      ...live.submission(),
    }))
    for (const answer of await store.queries.submit(queries, limits))
      if (answer.kind !== 'accepted') throw new Error(answer.kind)
    for (const live of batch) live.accepted()
    lives.push(...batch)
  }
  for (const live of lives) {
    live.send({ type: 'LAUNCHED', engine: 'bench' })
    live.send({ type: 'STARTED', engineHandle: { id: live.handle }, safeToRepeat: true })
  }
  await Promise.all(lives.map(live => live.durable()))
  let step = 0
  const rounds = await inTurns(
    bench.rounds,
    () => floors.autocommitUpdates(),
    () =>
      bench.here(() =>
        closedLoop(actors, bench.roundMs, async worker => {
          const live = lives[worker] as LiveQuery
          live.send({ type: 'ADVANCED', engineHandle: { id: live.handle, step: step++ } })
          await live.durable()
        }),
      ),
  )
  journal.stop()
  for (const live of lives) live.detach()
  await nextTick()
  await store.close()
  await floors.close()
  bench.tell(rateRow('durable transitions of one node (actors, journal, store)', rounds, 'bare single-row updates', 2))
}

function submitted(
  environment: ActorEnvironment,
  session: { id: string; user: string },
  ready: (live: LiveQuery) => void,
): LiveQuery {
  const live = LiveQuery.submitted(
    environment,
    queryMachine,
    {
      ...{
        handle: uuidv7(),
        sessionId: session.id,
        user: session.user,
        name: null,
        sql: 'select 42 as answer',
        operation: 'execute',
      },
      ...{ mode: 'async', priority: 'normal', onRecovery: 'auto', database: null, properties: {}, parameters: [] },
      ...{ requestedLane: 'light', requestedEngine: null, idempotencyKey: null, deadlineAt: null },
      submittedAt: new Date().toISOString(),
    },
    ready,
  )
  live.start()
  live.send({ type: 'SUBMITTED', node: 'bench' })
  return live
}

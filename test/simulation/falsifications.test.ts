/**
 * The checks bite: for each invariant a rule is broken on purpose (a predicate taken out of a statement on its way to the
 * database, a part of a node or an engine that lies), and the simulation has to find it.
 */
import test from 'ava'
import { QueryHost } from '../../src/actors/index.ts'
import { Lanes } from '../../src/actors/lanes.ts'
import { Cluster } from '../../src/cluster/index.ts'
import type { QueryFrame } from '../../src/domain/index.ts'
import { Feed } from '../../src/gateway/feed.ts'
import { Lookups } from '../../src/gateway/lookups.ts'
import { Views } from '../../src/gateway/views.ts'
import { DatabaseServer, type ServerRequest } from './database-server.ts'
import { SimulatedDriver } from './engine-driver.ts'
import { EngineServer } from './engine-server.ts'
import type { Invariant } from './history.ts'
import type { FaultKind, OperationKind } from './plan.ts'
import { planOf } from './run-world.ts'
import { World } from './world.ts'

interface Broken {
  readonly invariant: Invariant
  readonly rule: string
  /** Breaks it; gives back how it is mended. */
  readonly break: () => () => void
  /** What the worlds need to meet it. */
  readonly faults?: readonly FaultKind[]
  readonly operations?: readonly OperationKind[]
  readonly minutes?: number
}

/** Statements are changed on their way to the database. */
function rewriting(rewrite: (sql: string, values: readonly unknown[]) => string | null): () => void {
  const { execute } = DatabaseServer.prototype
  DatabaseServer.prototype.execute = function (connection, request, reply) {
    let sent: ServerRequest = request
    if (request.type === 'statement') {
      const sql = rewrite(request.sql, request.values)
      // Taken out: a statement that finds its row takes its place.
      sent =
        sql === null
          ? { type: 'statement', sql: 'UPDATE lease SET id = 1 WHERE id = 1', values: [] }
          : { ...request, sql }
    }
    execute.call(this, connection, sent, reply)
  }
  return () => {
    DatabaseServer.prototype.execute = execute
  }
}

function replacing(prototype: any, method: string, by: (original: (...given: any[]) => any) => unknown): () => void {
  const original = prototype[method]
  prototype[method] = by(original)
  return () => {
    prototype[method] = original
  }
}

const all =
  (...mends: (() => void)[]) =>
  () => {
    for (const mend of mends) mend()
  }

const brokenRules: readonly Broken[] = [
  {
    invariant: 'I1',
    rule: 'finishing deletes from current_query',
    break: () => rewriting(sql => (/^DELETE FROM `?current_query/.test(sql) ? null : sql)),
  },
  {
    invariant: 'I2',
    rule: 'a claim raises the epoch',
    faults: ['crash'],
    break: () => rewriting(sql => sql.replace(/`epoch` = `epoch` \+ 1/g, '`epoch` = `epoch` + 2')),
  },
  {
    invariant: 'I2',
    rule: 'a step of an older epoch finds no row (a zombie writes on)',
    faults: ['freeze'],
    minutes: 3,
    break: () =>
      rewriting(sql =>
        sql
          .replace(/`epoch` = \? AND `version` = \?/g, '(`epoch` = ? OR 1 = 1) AND (`version` = ? OR 1 = 1)')
          // The key of the transitions would refuse it too.
          .replace(/^INSERT INTO `query_transition`/, 'INSERT OR REPLACE INTO `query_transition`'),
      ),
  },
  {
    invariant: 'I3',
    rule: 'every transition is recorded',
    break: () => {
      let inserts = 0
      return rewriting(sql => (/^INSERT INTO `?query_transition/.test(sql) && ++inserts % 40 === 0 ? null : sql))
    },
  },
  {
    invariant: 'I3',
    rule: 'a subscriber is not handed a version beyond the next',
    faults: ['bus-loss'],
    break: () =>
      replacing(
        Feed.prototype,
        'deliver',
        deliver =>
          function (this: Feed, frames: readonly QueryFrame[]) {
            deliver.call(
              this,
              frames.map(frame => (frame.version === 3 ? { ...frame, query: { ...frame.query, version: 4 } } : frame)),
            )
          },
      ),
  },
  {
    invariant: 'I4',
    rule: 'the event is the one that made the snapshot',
    break: () => {
      const { execute } = DatabaseServer.prototype
      DatabaseServer.prototype.execute = function (connection, request, reply) {
        const values =
          request.type === 'statement' && /^INSERT INTO `?query_transition/.test(request.sql)
            ? request.values.map(value =>
                typeof value === 'string'
                  ? value.replace('"type":"LAUNCHED","engine":"local"', '"type":"LAUNCHED","engine":"loca1"')
                  : value,
              )
            : null
        execute.call(this, connection, values && request.type === 'statement' ? { ...request, values } : request, reply)
      }
      return () => {
        DatabaseServer.prototype.execute = execute
      }
    },
  },
  {
    invariant: 'I5',
    rule: 'an engine is believed only when it knows (here it lies)',
    faults: ['crash', 'engine-death'],
    break: () =>
      all(
        replacing(SimulatedDriver.prototype, 'attach', () => async () => null),
        replacing(SimulatedDriver.prototype, 'inquire', () => async () => 'ended'),
      ),
  },
  {
    invariant: 'I6',
    rule: 'every page is stored',
    break: () => rewriting(sql => (/^INSERT INTO `?result_page/.test(sql) ? null : sql)),
  },
  {
    invariant: 'I7',
    rule: 'a cancel reaches the engine',
    operations: ['endless'],
    break: () => replacing(EngineServer.prototype, 'end', () => () => undefined),
  },
  {
    invariant: 'I8',
    rule: 'an incarnation that is dead writes nothing',
    faults: ['freeze', 'database-cut'],
    minutes: 3,
    break: () =>
      all(
        // Who was fenced does not hear of it, and its writes find their rows whatever the epoch.
        rewriting(sql =>
          sql
            .replaceAll("<> 'dead'", "<> 'nobody'")
            .replace(/`owner_incarnation` = \?/g, '(`owner_incarnation` = ? OR 1 = 1)'),
        ),
        replacing(QueryHost.prototype, 'abandon', () => async () => undefined),
      ),
  },
  {
    invariant: 'I9',
    rule: 'memory answers only with the version that the row has',
    break: () =>
      replacing(
        Views.prototype,
        'at',
        at =>
          async function (this: Views & { first?: Map<string, unknown> }, version: { handle: string }) {
            this.first ??= new Map()
            const view = this.first.get(version.handle) ?? (await at.call(this, version))
            this.first.set(version.handle, view)
            return view
          },
      ),
  },
  {
    invariant: 'I10',
    rule: 'a lane launches within its budget',
    operations: ['burst'],
    break: () =>
      replacing(
        Lanes.prototype,
        'request',
        () =>
          function (this: Lanes, engine: string, lane: 'light', waiting: { granted: (slot: unknown) => void }) {
            waiting.granted(this.occupy(engine, lane))
            return () => undefined
          },
      ),
  },
  {
    invariant: 'I10',
    rule: 'who is given running queries acknowledges their slots',
    faults: ['crash', 'bus-loss'],
    operations: ['burst', 'query'],
    minutes: 3,
    // And the hint is always lost: then the new owner does not look for up to a lease.
    break: () =>
      all(
        rewriting(sql => (sql.includes('excluded.`acknowledged`') ? null : sql)),
        replacing(Cluster.prototype, 'tellToLook', () => () => undefined),
      ),
  },
  {
    invariant: 'I11',
    rule: 'a handle is shown to its user alone',
    operations: ['intruder', 'query'],
    break: () =>
      replacing(
        Lookups.prototype,
        'visible',
        () =>
          function (this: Lookups, _: unknown, handle: string) {
            return this.version(handle)
          },
      ),
  },
]

for (const broken of brokenRules)
  test.serial(`${broken.invariant} is found broken: ${broken.rule}`, async t => {
    const found: string[] = []
    const mend = broken.break()
    try {
      for (let seed = 1; seed <= 4 && !found.includes(broken.invariant); seed++) {
        const { faults, operations, minutes = 1.5 } = broken
        const plan = planOf(`broken-${seed}`, {
          ...{ minutes, operationsPerHour: 3_000, faultsPerHour: faults ? 600 : 0 },
          ...{ faults, operations },
        })
        const forMs = minutes * 60_000
        const world = await World.make({ seed: `broken-${seed}`, plan, forMs, nodes: 3, stopsWhen: broken.invariant })
        const report = await world.run()
        found.push(...report.violations.map(({ invariant }) => invariant))
      }
    } finally {
      mend()
    }
    t.true(found.includes(broken.invariant), `found instead: ${[...new Set(found)].join(', ')}`)
  })

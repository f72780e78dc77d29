/** Each fault of the simulated database does what it says, to the real store on top of it. */
import test from 'ava'
import { LensError } from '../../src/domain/index.ts'
import type { Store } from '../../src/store/index.ts'
import { committed, joined, leading, noLimits, opened, submitted, TestQuery } from '../conformance/store-fixtures.ts'
import { simulatedDatabase } from './database.ts'
import type { DatabaseFault, DatabaseFaultKind } from './database-contract.ts'
import { Scheduler } from './scheduler.ts'

const budgetMs = 600_000

/** Two nodes with a store each, on one database. */
async function world(seed = '1', retryMs = 10_000) {
  const scheduler = new Scheduler({ seed })
  const database = await simulatedDatabase(scheduler)
  const does = <T>(work: Promise<T>) => scheduler.settled(work, { untilMs: scheduler.nowMs + budgetMs })
  const processes = [scheduler.process('a'), scheduler.process('b')] as const
  const stores = processes.map(process => database.storeOf(process, { retryMs })) as [Store, Store]
  for (const store of stores) await does(store.open())
  const [a, b] = stores
  const member = await does(joined(a, 'a'))
  const session = await does(opened(a))
  const transitions = (query: TestQuery) =>
    database.committed('SELECT version FROM query_transition WHERE handle = ?', query.handle).length
  const passes = (ms: number) => scheduler.run({ untilMs: scheduler.nowMs + ms })
  return { scheduler, database, faults: database.faults, does, processes, a, b, member, session, transitions, passes }
}

const repeated: readonly DatabaseFault[] = [
  { kind: 'deadlock', statements: ['commit'], times: 1 },
  { kind: 'deadlock', statements: ['write'], times: 2 },
  { kind: 'lock-timeout', statements: ['locking-read'], times: 1 },
  { kind: 'no-majority', statements: ['begin'], times: 3 },
  { kind: 'no-majority', statements: ['commit'], times: 1 },
  { kind: 'lost-before', statements: ['commit'], times: 1 },
  { kind: 'lost-before', statements: ['write'], containing: 'query_transition', times: 1 },
  { kind: 'lost-after', statements: ['commit'], times: 1 },
  { kind: 'lost-after', statements: ['write'], times: 1 },
  { kind: 'read-only', forMs: 300 },
  { kind: 'read-only', statements: ['commit'], times: 1 },
]

for (const fault of repeated)
  test(`${fault.kind} of ${fault.statements ?? 'anything'} ${fault.containing ?? ''}: repeated, and done once`, async t => {
    const { faults, does, a, member, session, transitions } = await world()
    const query = new TestQuery(member, session)
    query.key = 'key'
    query.requestHash = 'hash'
    const injected = faults.inject(fault)
    await does(submitted(a, query))
    t.is(transitions(query), 1)
    t.true(injected.hits >= (fault.times ?? 1))
    if (fault.times !== undefined) t.is(injected.hits, fault.times)
    const again = faults.inject(fault)
    await does(committed(a, query.launch()))
    t.is(transitions(query), 2)
    if (fault.statements?.[0] !== 'locking-read' && fault.containing === undefined) t.true(again.hits > 0)
  })

const lost: readonly [DatabaseFaultKind, done: number][] = [
  ['lost-before', 0],
  ['lost-after', 1],
]
for (const [kind, done] of lost)
  test(`a commit ${kind === 'lost-before' ? 'lost before it was done' : 'whose answer is lost'}: the client cannot tell`, async t => {
    const { faults, processes, a, member, session, transitions, passes } = await world()
    const query = new TestQuery(member, session)
    faults.inject({ kind, statements: ['commit'], processes: ['a'] })
    const submitting = a.queries.submit([query.submission()], noLimits)
    let settled = false
    submitting.then(
      () => {
        settled = true
      },
      () => {
        settled = true
      },
    )
    await passes(5)
    t.false(settled)
    processes[0].crash()
    await passes(1000)
    t.is(transitions(query), done)
    t.false(settled)
  })

test('read-only refuses what writes and lets others read; the store says when it has waited long enough', async t => {
  const { faults, does, a, b, session, scheduler } = await world('1', 500)
  faults.inject({ kind: 'read-only' })
  t.is((await does(b.sessions.check([session]))).length, 1)
  const startedAtMs = scheduler.nowMs
  const error = await t.throwsAsync(does(opened(a)), { instanceOf: LensError })
  t.is((error as LensError).code, 'STORE_UNAVAILABLE')
  t.true(scheduler.nowMs - startedAtMs > 200)
  faults.clear()
  t.truthy(await does(opened(a)))
})

test('a fault hits only whom, what, how often and how long it says', async t => {
  const { faults, does, a, b, session, passes } = await world()
  const read = (store: Store) => does(store.sessions.check([session]))
  const ofA = faults.inject({ kind: 'lost-before', processes: ['a'], statements: ['read'], times: 2 })
  await read(b)
  t.is(ofA.hits, 0)
  await read(a)
  t.is(ofA.hits, 2)
  const brief = faults.inject({ kind: 'lost-before', forMs: 50 })
  await passes(51)
  await read(a)
  t.is(brief.hits, 0)
  const ended = faults.inject({ kind: 'lost-before' })
  ended.end()
  await read(a)
  t.is(ended.hits, 0)
  const sometimes = faults.inject({ kind: 'answer-late', delayMs: 1, chance: 0.5, statements: ['read'] })
  for (let count = 0; count < 40; count++) await read(a)
  t.true(sometimes.hits > 5 && sometimes.hits < 35)
})

test('late answers and late requests take their time; a late answer holds its locks', async t => {
  const { faults, does, a, b, member, session, scheduler } = await world()
  const took = async (work: () => Promise<unknown>) => {
    const startedAtMs = scheduler.nowMs
    await does(work())
    return scheduler.nowMs - startedAtMs
  }
  for (const kind of ['answer-late', 'request-late'] as const) {
    faults.inject({ kind, statements: ['read'], delayMs: 400, times: 1 })
    t.true((await took(() => a.sessions.check([session]))) > 400)
    t.true((await took(() => a.sessions.check([session]))) < 50)
  }
  const query = new TestQuery(member, session)
  await does(submitted(a, query))
  faults.inject({ kind: 'answer-late', statements: ['write'], containing: 'current_query', delayMs: 700, times: 1 })
  const launching = committed(a, query.launch())
  launching.catch(() => undefined)
  await scheduler.run({ untilMs: scheduler.nowMs + 20 })
  t.true((await took(() => b.queries.requestCancel(query.handle))) > 500)
  await does(launching)
})

test('a connection that stays silent is given up, and another one asked', async t => {
  const { faults, does, a, session, scheduler } = await world('1', 2000)
  faults.inject({ kind: 'answer-late', statements: ['read'], delayMs: 3_600_000, times: 1 })
  const startedAtMs = scheduler.nowMs
  const error = await t.throwsAsync(does(a.sessions.check([session])), { instanceOf: LensError })
  t.is((error as LensError).code, 'STORE_UNAVAILABLE')
  t.true(scheduler.nowMs - startedAtMs < 4000)
  t.is((await does(a.sessions.check([session]))).length, 1)
})

test('a restart undoes what is open and refuses connections until it is over', async t => {
  const { database, faults, does, a, b, member, session, transitions, scheduler, passes } = await world()
  const query = new TestQuery(member, session)
  faults.inject({ kind: 'request-late', statements: ['commit'], delayMs: 100, times: 1 })
  const submitting = submitted(a, query)
  submitting.catch(() => undefined)
  await passes(50)
  const startedAtMs = scheduler.nowMs
  faults.restart(2000)
  t.is(transitions(query), 0)
  t.is(faults.breakConnections(), 0)
  const reading = b.sessions.check([session])
  reading.catch(() => undefined)
  await does(submitting)
  t.true(scheduler.nowMs - startedAtMs > 2000)
  t.is(transitions(query), 1)
  t.is((await does(reading)).length, 1)
  t.true(database.statements > 0)
})

test('a stalled server answers everybody afterwards', async t => {
  const { faults, does, a, b, session, scheduler } = await world()
  faults.stall(1500)
  const startedAtMs = scheduler.nowMs
  await does(Promise.all([a, b].map(store => store.sessions.check([session]))))
  t.true(scheduler.nowMs - startedAtMs >= 1500)
  t.true(scheduler.nowMs - startedAtMs < 1600)
})

test('who is cut off is heard after the cut, also of what it had given up; the others notice nothing', async t => {
  const { faults, does, a, b, member, session, transitions, scheduler, passes } = await world('1', 1000)
  const query = new TestQuery(member, session)
  faults.inject({ kind: 'request-late', statements: ['commit'], delayMs: 5, times: 1 })
  const submitting = submitted(a, query)
  submitting.catch(() => undefined)
  await passes(4)
  faults.cutOff(['a'], 5000)
  const startedAtMs = scheduler.nowMs
  t.is((await does(b.sessions.check([session]))).length, 1)
  t.true(scheduler.nowMs - startedAtMs < 50)
  await t.throwsAsync(does(submitting), { instanceOf: LensError })
  t.true(scheduler.nowMs - startedAtMs < 4900)
  t.is(transitions(query), 1)
  await passes(6000)
  t.is((await does(a.sessions.check([session]))).length, 1)
})

test('a node that is frozen in a transaction holds its locks until its connections are killed, and is told so', async t => {
  const { faults, does, processes, a, b, member, session, transitions, passes } = await world()
  await does(a.actAs(member.incarnation))
  const query = new TestQuery(member, session)
  await does(submitted(a, query))
  faults.inject({ kind: 'answer-late', statements: ['write'], containing: 'current_query', delayMs: 50, times: 1 })
  const launch = query.launch()
  const launching = a.queries.commit([launch], noLimits)
  launching.catch(() => undefined)
  await passes(20)
  processes[0].freeze()
  const other = await does(joined(b, 'b'))
  const term = await does(leading(b, other))
  const cancelling = b.queries.requestCancel(query.handle)
  let cancelled = false
  cancelling.then(
    () => {
      cancelled = true
    },
    () => undefined,
  )
  await passes(3000)
  t.false(cancelled)
  t.is(transitions(query), 1)
  t.truthy(await does(b.cluster.fence(term, member.incarnation, 'test', null)))
  t.true(await does(cancelling))
  const target = { incarnation: other.incarnation, node: 'b' }
  t.is((await does(b.cluster.claim(term, member.incarnation, target, 10)))?.claimed.length, 1)
  processes[0].resume()
  t.deepEqual(await does(launching), [{ kind: 'fenced' }])
  t.is(transitions(query), 2)
})

test('a process that crashes is never answered; what it had sent is done or not; its locks go', async t => {
  const outcomes = new Set<number>()
  for (let seed = 0; seed < 30; seed++) {
    const { does, processes, a, b, member, session, transitions, scheduler, passes } = await world(String(seed))
    const query = new TestQuery(member, session)
    await does(submitted(a, query))
    let answered = false
    void a.queries.commit([query.launch()], noLimits).then(() => {
      answered = true
    })
    await passes(scheduler.random.between(0, 6))
    const wasAnswered = answered
    processes[0].crash()
    await passes(100)
    t.is(answered, wasAnswered)
    const startedAtMs = scheduler.nowMs
    t.true(await does(b.queries.requestCancel(query.handle)))
    t.true(scheduler.nowMs - startedAtMs < 100)
    outcomes.add(transitions(query))
    if (wasAnswered) t.is(transitions(query), 2)
  }
  t.deepEqual([...outcomes].sort(), [1, 2])
})

test('a fail-over gives the server another identity, a jump its clock another time', async t => {
  const { database, faults, does, processes, member, passes } = await world()
  const leases = database.leasesOf(processes[0], 1000)
  const beat = () =>
    does(leases.renew({ incarnation: member.incarnation, leaseMs: 2000, running: 0, queued: 0, term: null }))
  const before = await beat()
  t.true(before.member)
  faults.failOver(100)
  await t.throwsAsync(beat())
  await passes(200)
  const after = await beat()
  t.not(after.serverIdentity, before.serverIdentity)
  faults.jumpClock(3_600_000)
  t.true((await beat()).databaseNow - after.databaseNow >= 3_600_000)
})

test('the same seed gives the same world again, with all its faults', async t => {
  const live = async (seed: string) => {
    const { scheduler, database, faults, does, processes, a, b, member, session } = await world(seed)
    const { random } = scheduler
    const kinds: DatabaseFaultKind[] = ['deadlock', 'lost-before', 'lost-after', 'answer-late', 'no-majority']
    const nemesis = () => {
      faults.inject({ kind: random.pick(kinds), times: 1, delayMs: 5 })
      if (random.chance(0.05)) faults.restart(20)
      scheduler.schedule(random.between(0, 50), 'nemesis', nemesis)
    }
    nemesis()
    const queries = Array.from({ length: 12 }, () => new TestQuery(member, session))
    await does(
      Promise.all(
        queries.map(async (_query, index) => {
          const session = await opened(index % 2 === 0 ? a : b, { id: processes[0].random.uuid() })
          await (index % 2 === 0 ? b : a).sessions.check([session])
        }),
      ),
    )
    return { hash: scheduler.hash, steps: scheduler.steps, statements: database.statements }
  }
  const [once, again, other] = [await live('1'), await live('1'), await live('2')]
  t.deepEqual(again, once)
  t.true(once.statements > 100)
  t.not(other.hash, once.hash)
})

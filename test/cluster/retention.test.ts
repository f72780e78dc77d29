/** The leader's sweeps keep what the limits allow, and nothing else goes. */
import test from 'ava'
import { systemClock } from '../../src/async/index.ts'
import { Pace } from '../../src/cluster/duties/pace.ts'
import { Sweeps } from '../../src/cluster/duties/sweeps.ts'
import { committed, joined, leading, opened, storeOn, submitted, TestQuery } from '../conformance/store-fixtures.ts'
import { page } from '../conformance/store-steps.ts'
import { quietLog } from '../support/cluster/quiet-log.ts'
import { eventually } from '../support/conditions.ts'
import { temporaryFolder } from '../support/folders.ts'

test('by number of queries and by bytes of their rows: the oldest go, in batches, with their files', async t => {
  const store = await storeOn(t, `sqlite:${await temporaryFolder(t, 'retention')}/lens.db`)
  const member = await joined(store)
  const number = await leading(store, member)
  const session = await opened(store)
  const queries = Array.from({ length: 60 }, () => new TestQuery(member, session))
  const unfinished = new TestQuery(member, session)
  await submitted(store, ...queries, unfinished)
  for (const [index, query] of queries.entries()) {
    await store.pages.append(page(query.handle, 0), 1)
    await committed(store, query.run(`${2100 + index}-01-01T00:00:00.000Z`, `${1970 + index}-01-01T00:00:00.000Z`))
  }
  const handles = queries.map(({ handle }) => handle)
  const listed = handles.slice(-40)
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const files: string[] = []
  const sweeps = new Sweeps({
    stores: store,
    clock: systemClock,
    periods: { sweepMs: 20, recountMs: 20, owedEndsMs: 20, leftoversMs: 20 },
    log: quietLog,
    retention: { queryMs: 0, finishedMax: 40, resultBytesMax: 10 * page('', 0).bytes },
    onResultExpired: async handle => void files.push(handle),
    onLeftovers: async () => {},
    onOwedEnds: async () => {},
    onSessionsEnded: () => {},
  })
  sweeps.start({ number, signal: abort.signal, valid: () => !abort.signal.aborted })
  const left = async () => (await store.queries.versions(handles)).map(({ handle }) => handle)
  await eventually(async () => (await left()).length === listed.length && files.length === 50)
  abort.abort()
  await sweeps.stop()
  t.deepEqual((await left()).sort(), [...listed].sort())
  // The rows that would have expired last are those that stay; nobody was told twice.
  t.deepEqual([...files].sort(), handles.slice(0, 50).sort())
  for (const handle of handles.slice(50)) t.is((await store.pages.from(handle, 1, 0, 5)).length, 1)
  t.is((await store.queries.versions([unfinished.handle])).length, 1)
})

test('batches grow while they are short, shrink when they are not, and pause for longer than they took', async t => {
  let now = 0
  const pauses: number[] = []
  const clock = { ...systemClock, monotonic: () => now, sleep: async (ms: number) => void pauses.push(ms) }
  const pace = new Pace(clock, 25)
  const sizes: number[] = []
  const batch = (tookMs: number) =>
    pace.batch(new AbortController().signal, async limit => {
      sizes.push(limit)
      now += tookMs
    })
  for (const tookMs of [1, 1, 1, 1, 7, 40, 40, 40, 40, 40, 40]) await batch(tookMs)
  t.deepEqual(sizes, [5, 10, 20, 25, 25, 25, 12, 6, 3, 1, 1])
  t.deepEqual(pauses.slice(4, 6), [21, 120])
})

/** What a takeover of a Trino query finds, whichever line its owner died at. */
import test, { type ExecutionContext } from 'ava'
import type { Run } from '../../src/engines/index.ts'
import { failureOf, request, valuesOf } from '../conformance/engines.ts'
import type { TrinoServer } from '../support/trino/index.ts'
import { Durable, trinoStage } from './trino-support.ts'

const count = 10_000
const sql = `SELECT range AS n FROM range(${count})`
const all = Array.from({ length: count }, (_, index) => `${index}`)

const batchesOf = (run: Run) => run.rows()[Symbol.asyncIterator]()

/** How often each statement that was submitted has begun. */
async function begun(server: TrinoServer): Promise<number[]> {
  return (await server.queries()).map(({ began }) => began)
}

async function ranOnce(t: ExecutionContext, server: TrinoServer, about = ''): Promise<void> {
  t.deepEqual(await begun(server), [1], about)
}

test('nothing runs before its identity is durable, and a refused one never does', async t => {
  const { server, owner } = await trinoStage(t)
  await t.throwsAsync(
    owner.submit(request(sql), async () => {
      t.deepEqual(await begun(server), [0])
      throw new Error('owned elsewhere')
    }),
    { message: 'owned elsewhere' },
  )
  await server.asked({ kind: 'cancel' })
  t.deepEqual(await begun(server), [0])
})

test('submitted, and nothing asked yet: the claimant begins it, once', async t => {
  const { server, owner, claimant } = await trinoStage(t)
  const [asked, durable] = [request(sql), new Durable()]
  await durable.begin(owner, asked)
  t.deepEqual(await durable.rest(await claimant.attach(asked, durable.handle, 0)), all)
  await ranOnce(t, server)
})

for (const lost of ['the handle behind them', 'nothing', 'the rows'] as const)
  test(`between any two pages, ${lost} not being durable: no row is lost, none comes twice, and it ran once`, async t => {
    // The owner dies after each of the batches in turn.
    for (let dies = 1; ; dies++) {
      const { server, owner, claimant } = await trinoStage(t)
      const [asked, durable] = [request(sql), new Durable()]
      const batches = batchesOf(await durable.begin(owner, asked))
      let isOver = false
      for (let taken = 1; taken <= dies && !isOver; taken++) {
        const { value, done } = await batches.next()
        isOver = done === true
        if (!value) break
        const isLast = taken === dies
        if (!(isLast && lost === 'the rows')) for (const [n] of valuesOf(value)) durable.rows.push(String(n))
        if (!(isLast && lost !== 'nothing') && value.continues) durable.handle = value.continues
      }
      if (isOver) {
        t.true(dies > 4, `${dies} batches`)
        return
      }
      const run = await claimant.attach(asked, durable.handle, durable.rows.length)
      t.deepEqual(await durable.rest(run), all, `died after ${dies}`)
      await ranOnce(t, server, `died after ${dies}`)
    }
  })

test('an answer that the owner had, and stored nothing of, is given to the claimant again', async t => {
  const { server, owner, claimant } = await trinoStage(t)
  const [asked, durable] = [request(sql), new Durable()]
  const batches = batchesOf(await durable.begin(owner, asked))
  const { value } = await batches.next()
  if (value) {
    durable.handle = value.continues ?? null
    for (const [n] of valuesOf(value)) durable.rows.push(String(n))
  }
  await batches.next()
  t.deepEqual(await durable.rest(await claimant.attach(asked, durable.handle, durable.rows.length)), all)
  await ranOnce(t, server)
})

test('the owner’s request is still held by the server when the claimant asks for the same page', async t => {
  const { server, owner, claimant } = await trinoStage(t)
  const [asked, durable] = [request(sql), new Durable()]
  await server.fault({ what: 'hold-answer', match: { kind: 'executing', token: 2 } })
  const run = await durable.begin(owner, asked)
  const following = (async () => {
    for await (const batch of run.rows()) {
      for (const [n] of valuesOf(batch)) durable.rows.push(String(n))
      if (batch.continues) durable.handle = batch.continues
    }
  })()
  await server.asked({ kind: 'executing', token: 2 })
  await run.detach()
  await t.throwsAsync(following)
  t.deepEqual(await durable.rest(await claimant.attach(asked, durable.handle, durable.rows.length)), all)
  await ranOnce(t, server)
})

test('answers that are lost, cut short, late or refused are asked for again', async t => {
  const { server, owner } = await trinoStage(t)
  for (const kind of ['queued', 'executing'] as const) {
    await server.fault({ what: 'lost', match: { kind } })
    await server.fault({ what: 'half', match: { kind } })
    await server.fault({ what: 'cut', match: { kind } })
    await server.fault({ what: 'slow', ms: 20, match: { kind } })
    for (const status of [502, 503, 504, 429] as const) await server.fault({ what: 'status', status, match: { kind } })
  }
  const durable = new Durable()
  t.deepEqual(await durable.rest(await durable.begin(owner, request(sql))), all)
  await ranOnce(t, server)
})

test('a submission that was refused is made again; one whose answer was lost leaves nothing that runs', async t => {
  const { server, owner } = await trinoStage(t)
  await server.fault({ what: 'status', status: 503, retryAfter: 0, match: { kind: 'post' } })
  await server.fault({ what: 'lost', match: { kind: 'post' } })
  await server.fault({ what: 'cut', match: { kind: 'post' } })
  const durable = new Durable()
  t.deepEqual(await durable.rest(await durable.begin(owner, request(sql))), all)
  t.deepEqual((await begun(server)).sort(), [0, 1])
})

test('a pause that the server asks for is kept', async t => {
  const { server, owner } = await trinoStage(t)
  await server.fault({ what: 'status', status: 503, retryAfter: 1, match: { kind: 'executing', token: 1 } })
  const durable = new Durable()
  const rows = durable.rest(await durable.begin(owner, request(sql)))
  await server.asked({ kind: 'executing', token: 1 })
  const refusedAt = performance.now()
  await server.asked({ kind: 'executing', token: 1 }, 2)
  t.true(performance.now() - refusedAt > 900)
  t.deepEqual(await rows, all)
})

test('an error that is none of the protocol’s, in the middle: the statement has failed, and says how', async t => {
  const { server, owner } = await trinoStage(t)
  await server.fault({ what: 'status', status: 500, match: { kind: 'executing', token: 2 } })
  const durable = new Durable()
  const error = await failureOf(async () => durable.rest(await durable.begin(owner, request(sql))))
  t.is(error.failure, 'failed')
  t.regex(error.message, /HTTP 500/)
})

test('a server that is not there for a while is waited for in the middle of a statement', async t => {
  const { server, owner } = await trinoStage(t)
  const durable = new Durable()
  const batches = batchesOf(await durable.begin(owner, request(sql)))
  for (let taken = 0; taken < 4; taken++) await batches.next()
  await server.refuse()
  const next = batches.next()
  await server.accept()
  t.false((await next).done)
})

test('a token that is gone, and a server that knows nothing any more: it is lost, and its outcome unknown', async t => {
  const { server, owner, claimant } = await trinoStage(t)
  const [asked, durable] = [request(sql), new Durable()]
  const batches = batchesOf(await durable.begin(owner, asked))
  for (let taken = 0; taken < 4; taken++) {
    const { value } = await batches.next()
    if (taken < 2) durable.handle = value?.continues ?? null
  }
  t.is(await claimant.attach(asked, durable.handle, 0), null)
  await server.restart()
  t.is(await claimant.attach(asked, durable.handle, 0), null)
  t.is(await claimant.inquire(asked, durable.handle), 'unknown')
  t.is((await failureOf(() => batches.next())).failure, 'unavailable')
})

test('what is asked about is over: a query had no effect, of a write nobody knows', async t => {
  const { server, owner, claimant } = await trinoStage(t)
  await server.sql('CREATE TABLE written (a BIGINT)')
  const durable = new Durable()
  const read = request(sql)
  await batchesOf(await durable.begin(owner, read)).next()
  t.is(await claimant.inquire(read, durable.handle), 'ended')
  const write = request('INSERT INTO written SELECT range FROM range(10)')
  await durable.rest(await durable.begin(owner, write))
  t.is(await claimant.inquire(write, durable.handle), 'committed')
  // Cancelled before it began: who did it knows that.
  const unbegun = await durable.begin(owner, write)
  await unbegun.cancel()
  t.is((await failureOf(() => batchesOf(unbegun).next())).failure, 'canceled')
  t.is(await owner.inquire(write, durable.handle), 'ended')
  t.is(await claimant.inquire(write, durable.handle), 'unknown')
  // Cancelled while it ran.
  const long = request('INSERT INTO written SELECT count(*) FROM range(1000000000) a, range(1000000000) b')
  const running = await durable.begin(owner, long)
  const following = failureOf(() => durable.rest(running))
  await server.asked({ kind: 'executing', sql: long.sql })
  await running.cancel()
  t.is((await following).failure, 'canceled')
  for (const driver of [owner, claimant]) t.is(await driver.inquire(long, durable.handle), 'unknown')
  t.deepEqual(await server.sql('SELECT count(*) FROM written'), [['10']])
})

test('cancelled by one node while another follows it: it ends everywhere', async t => {
  const { owner, claimant } = await trinoStage(t)
  const [asked, durable] = [request('SELECT range AS n FROM range(100000000)'), new Durable()]
  const batches = batchesOf(await durable.begin(owner, asked))
  const { value } = await batches.next()
  const other = await claimant.attach(asked, durable.handle, value?.rowCount ?? 0)
  await other?.cancel()
  t.is(
    (
      await failureOf(async () => {
        for (;;) await batches.next()
      })
    ).failure,
    'canceled',
  )
})

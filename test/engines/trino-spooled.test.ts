/** Rows that the server lays aside, and others that stand in its answers: a client sees no difference. */
import test from 'ava'
import { failureOf, request, valuesOf } from '../conformance/engines.ts'
import { Durable, trinoStage } from './trino-support.ts'

const count = 10_000
const sql = `SELECT range AS n FROM range(${count})`
const all = Array.from({ length: count }, (_, index) => `${index}`)

for (const spooling of ['inline', 'spooled', 'mixed'] as const) {
  test(`${spooling}: they come whole, and are let go of when they are durable`, async t => {
    const { server, owner } = await trinoStage(t, { spooling })
    const durable = new Durable()
    t.deepEqual(await durable.rest(await durable.begin(owner, request(sql))), all)
    const history = await server.history()
    const taken = history.filter(({ kind }) => kind === 'segment').length
    t.is(taken > 0, spooling !== 'inline')
    // Those of the last answer are not: the query is over, and so are they.
    const [last] = history.filter(({ kind }) => kind === 'segment').slice(-1)
    if (last) await server.asked({ kind: 'ack' }, 1)
  })

  test(`${spooling}: its owner dies between two pages: none is lost, none comes twice`, async t => {
    const { server, owner, claimant } = await trinoStage(t, { spooling })
    const [asked, durable] = [request(sql), new Durable()]
    const batches = (await durable.begin(owner, asked)).rows()[Symbol.asyncIterator]()
    for (let taken = 0; taken < 4; taken++) {
      const { value } = await batches.next()
      if (!value) break
      for (const [n] of valuesOf(value)) durable.rows.push(String(n))
      // The third one is stored, and what follows it is not: its rows come again, and are left out.
      if (value.continues && taken !== 3) durable.handle = value.continues
    }
    t.true(durable.rows.length > 0)
    t.deepEqual(await durable.rest(await claimant.attach(asked, durable.handle, durable.rows.length)), all)
    t.deepEqual(
      (await server.queries()).map(({ began }) => began),
      [1],
    )
  })
}

test('a segment that is refused or cut short is asked for again; one that is gone fails the statement', async t => {
  const { server, owner } = await trinoStage(t, { spooling: 'spooled' })
  const disturbed = { match: { kind: 'segment' } } as const
  for (const status of [502, 503] as const) await server.fault({ what: 'status', status, ...disturbed })
  await server.fault({ what: 'half', ...disturbed })
  await server.fault({ what: 'lost', ...disturbed })
  const durable = new Durable()
  t.deepEqual(await durable.rest(await durable.begin(owner, request(sql))), all)
  await server.fault({ what: 'status', status: 404, ...disturbed })
  const error = await failureOf(async () => durable.rest(await durable.begin(owner, request(sql))))
  t.is(error.failure, 'failed')
  t.regex(error.message, /laid aside/)
})

/** Buckets that hold for the cluster: never more than they give, whoever takes, and full again by themselves. */
import { randomUUID } from 'node:crypto'
import type { TestFn } from 'ava'
import { eventually } from '../support/conditions.ts'
import { type StoreUnderTest, storeOn, storeTests } from './store-fixtures.ts'

/** So slow that no token comes back while a test runs. */
const hourly = 1 / 3600

export function rateConformance(ava: TestFn, stores: StoreUnderTest): void {
  const test = storeTests(ava, stores)

  test('a bucket gives what it holds, to all stores together', async (t, { fresh }) => {
    const url = await fresh(t)
    const all = [await storeOn(t, url), await storeOn(t, url)]
    const bucket = randomUUID()
    const takes = Array.from({ length: 30 }, (_, index) =>
      (all[index % 2] as (typeof all)[number]).rates.take([{ bucket, tokens: 1, perSecond: hourly, burst: 10 }]),
    )
    const grants = (await Promise.all(takes)).flat()
    t.is(
      grants.reduce((sum, { granted }) => sum + granted, 0),
      10,
    )
    const refused = grants.filter(({ granted }) => granted === 0)
    t.is(refused.length, 20)
    t.true(refused.every(({ retryAfterMs }) => retryAfterMs > 3_590_000 && retryAfterMs <= 3_600_000))
  })

  test('several buckets in one call, some of them the same, some given less than wished', async (t, { fresh }) => {
    const { rates } = await storeOn(t, await fresh(t))
    const [a, b] = ['b', 'a']
    const wish = (bucket: string, tokens: number) => ({ bucket, tokens, perSecond: hourly, burst: 5 })
    const grants = await rates.take([wish(a, 3), wish(b, 7), wish(a, 3), wish(a, 1)])
    t.deepEqual(
      grants.map(({ granted }) => granted),
      [3, 5, 2, 0],
    )
    t.deepEqual(await rates.take([]), [])
  })

  test('what is put back can be taken again, and no bucket holds more than its burst', async (t, { fresh }) => {
    const { rates } = await storeOn(t, await fresh(t))
    const take = async (tokens: number) =>
      (await rates.take([{ bucket: 'x', tokens, perSecond: hourly, burst: 3 }]))[0]?.granted
    t.is(await take(3), 3)
    t.is(await take(1), 0)
    t.is(await take(-1), 0)
    t.is(await take(2), 1)
    await take(-9)
    t.is(await take(9), 3)
  })

  test('tokens come back with time, and full buckets are swept', async (t, { fresh }) => {
    const { rates } = await storeOn(t, await fresh(t))
    const take = async (bucket: string, tokens: number, perSecond: number) =>
      (await rates.take([{ bucket, tokens, perSecond, burst: 2 }]))[0] as { granted: number; retryAfterMs: number }
    t.is((await take('fast', 2, 20)).granted, 2)
    t.is((await take('slow', 1, hourly)).granted, 1)
    const refused = await take('fast', 1, 20)
    t.true(refused.granted === 1 || (refused.retryAfterMs > 0 && refused.retryAfterMs <= 50))
    await eventually(async () => (await take('fast', 1, 20)).granted === 1)
    t.is((await take('slow', 2, hourly)).granted, 1)
    await eventually(async () => (await rates.sweep(10)) === 1)
    t.is((await take('slow', 2, hourly)).granted, 0, 'the one that is not full is still known')
    t.is(await rates.sweep(10), 0)
  })
}

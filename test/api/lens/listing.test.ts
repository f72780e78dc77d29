/** What is done to each of a list, some of which somebody else does away with meanwhile. */
import test from 'ava'
import { eachStillThere } from '../../../src/api/lens/listing.ts'
import { LensError } from '../../../src/domain/index.ts'

test('what went away meanwhile counts as not done, and the rest is done; any other failure is the answer', async t => {
  const seen: string[] = []
  const act = async (handle: string) => {
    seen.push(handle)
    if (handle === 'gone') throw new LensError('NOT_FOUND', 'gone')
    return handle !== 'ended'
  }
  t.is(await eachStillThere(['a', 'gone', 'ended', 'b'], act), 2)
  t.deepEqual(seen, ['a', 'gone', 'ended', 'b'])
  const away = async () => Promise.reject(new LensError('STORE_UNAVAILABLE', 'away'))
  await t.throwsAsync(eachStillThere(['a'], away), { message: /away/ })
})

/**
 * Bad input of every kind against one real node, a little of each; `npm run fuzz` is the same for as long as one likes. Always an
 * answer that a client can act on, never a 5xx, a crash, a hung request, or something that stays behind.
 */
import test, { type ExecutionContext } from 'ava'
import { fuzzStream } from './frames.ts'
import { fuzzLensBodies } from './lens-bodies.ts'
import { fuzzOversized } from './oversized.ts'
import { fuzzPeerBus } from './peers.ts'
import { fuzzRequests } from './requests.ts'
import { fuzzSockets, holdIdle } from './sockets.ts'
import { type Held, Target } from './target.ts'

/** Another with every run; a failure says which it was. */
const seed = Number(process.env.LENS_FUZZ_SEED ?? Date.now() % 2 ** 31)
let target: Target
let before: Held

test.before(async () => {
  target = await Target.start()
  before = await target.held()
})
test.after.always(() => target?.stop())
test.afterEach(t => t.log(`LENS_FUZZ_SEED=${seed}`))

/** The node serves, and of all that was sent to it so far nothing stays. */
async function unharmed(t: ExecutionContext): Promise<void> {
  await t.notThrowsAsync(target.isWell())
  await t.notThrowsAsync(target.letsGo(before))
}

test.serial('requests of every operation, wrong in every place', async t => {
  t.true((await fuzzRequests(target, seed, 12)) > 0)
  await unharmed(t)
})

test.serial('a body that is too large, at every operation', async t => {
  t.true((await fuzzOversized(target)) > 0)
  await unharmed(t)
})

test.serial('bodies of the Lens protocol, nearly right', async t => {
  t.true((await fuzzLensBodies(target, seed, 60)) > 0)
  await unharmed(t)
})

test.serial('frames of the stream and of inspections, wrong in form and in bytes', async t => {
  t.true((await fuzzStream(target, seed, 60)) > 0)
  await unharmed(t)
})

test.serial('strangers on the peer bus, and peers that speak nonsense', async t => {
  t.true((await fuzzPeerBus(target, seed, 60)) > 0)
  await unharmed(t)
})

test.serial('bytes that are no request, or never become one', async t => {
  t.true((await fuzzSockets(target)) > 0)
  await unharmed(t)
})

test.serial('ten thousand idle connections', async t => {
  await holdIdle(target, 10_000)
  await unharmed(t)
})

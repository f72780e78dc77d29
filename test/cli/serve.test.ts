/** `lens serve`: signals, and leaving when drained. */
import test from 'ava'
import { LensClient } from '../../src/client/index.ts'
import { endlessSql } from '../client/support.ts'
import { eventually, TestCluster } from '../support/nodes.ts'
import { run } from './support.ts'

test('SIGTERM ends a node in order, a second signal at once', async t => {
  const cluster = new TestCluster(null, { LENS_DRAIN_READINESS_MS: '600000' })
  t.teardown(() => cluster.stop())
  const [first] = await cluster.startAll(1)
  if (!first) return t.fail()
  first.signal('SIGTERM')
  await eventually('it says that it leaves', () =>
    first.log.some(line => line.msg?.includes('SIGTERM: handing work over')),
  )
  t.true(first.running)
  first.signal('SIGTERM')
  t.is((await first.exited).code, 143)
})

test('a node that is drained through another leaves, and its process ends with 0', async t => {
  const cluster = new TestCluster(null)
  t.teardown(() => cluster.stop())
  const [first, second] = await cluster.startAll(2)
  if (!first || !second) return t.fail()
  await using client = new LensClient({ endpoints: [first.url], user: 'ada' })
  await client.submit(endlessSql, { deadlineMs: 60_000 })
  const { code, out } = await run(t, ['drain', second.name, '--user', 'admin', '--server', first.url])
  t.deepEqual([code, out], [0, `${second.name} is draining: it hands its work over, then stops\n`])
  t.deepEqual(await second.exited, { code: 0, signal: null })
  await client.close({ cancelQueries: true })
})

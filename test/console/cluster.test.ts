/** What the Cluster page computes of what it has seen: lines of load, who has gone, how leases and takeovers run. */
import test from 'ava'
import type { ClusterView, FailoverView, OwnershipChangeView } from '../../src/client/index.ts'
import { durationMs, durationsOf } from '../../src/console/cluster/durations.ts'
import { leaseLeft, nothingSeen, spanMs, withChanges, withCluster } from '../../src/console/cluster/history.ts'

const second = 1_000
const minute = 60 * second

/** A cluster whose leases run out at `expiresMs`; a node's name may carry its incarnation: `n1/b`. */
function view(names: readonly string[], running = 0, expiresMs = 0): ClusterView {
  const nodes = names.map(name => {
    const [node = '', incarnation = 'a'] = name.split('/')
    const leaseExpiresAt = new Date(expiresMs).toISOString()
    const rest = { version: '1', startedAt: leaseExpiresAt, leaseExpiresAt, running, queued: 2 * running }
    return { node, incarnation, address: `http://${node}`, state: 'alive' as const, ...rest }
  })
  return { now: new Date(0).toISOString(), leader: null, nodes }
}

test('a line has a point for each reading of the last five minutes, and goes on over a restart', t => {
  let history = nothingSeen
  for (let at = 0; at <= 400; at++) history = withCluster(history, view([at < 200 ? 'n1/a' : 'n1/b'], at), at * second)
  const line = history.samples.get('n1') ?? []
  t.deepEqual(line[0], { at: 101 * second, running: 101, queued: 202 })
  t.deepEqual(line.at(-1), { at: 400 * second, running: 400, queued: 800 })
  t.is(line.length, 300)
})

test('two readings of one instant are one point, the later one', t => {
  const history = withCluster(withCluster(nothingSeen, view(['n1'], 1), 5), view(['n1'], 2), 5)
  t.deepEqual(history.samples.get('n1'), [{ at: 5, running: 2, queued: 4 }])
})

test('a member that is no longer told of has gone, with the incarnation that it had, until it is back', t => {
  const both = withCluster(nothingSeen, view(['n1', 'n2/x']), 0)
  t.deepEqual(both.gone, [])
  const one = withCluster(withCluster(both, view(['n1']), second), view(['n1']), 2 * second)
  t.deepEqual(one.gone, [{ node: 'n2', incarnation: 'x', at: new Date(second).toISOString() }])
  t.is(one.samples.get('n2')?.length, 1, 'its line is kept')
  t.deepEqual(withCluster(one, view(['n1', 'n2/y']), 3 * second).gone, [])
  t.is(
    withCluster(one, view(['n1']), 6 * minute).samples.get('n2'),
    undefined,
    'and forgotten once nothing of it is shown',
  )
})

test('changes of hands stand with the latest first, and no more than a hundred', t => {
  const change = (count: number): OwnershipChangeView => {
    return { kind: 'takeover', from: 'n1', to: 'n2', count, handles: [], at: new Date(count).toISOString() }
  }
  const counts = (changes: readonly OwnershipChangeView[]) => changes.map(({ count }) => count)
  const few = withChanges(withChanges(nothingSeen, [change(1), change(2)]), [change(3)])
  t.deepEqual(counts(few.changes), [3, 2, 1])
  const many = withChanges(
    few,
    Array.from({ length: 150 }, (_, index) => change(index)),
  )
  t.is(many.changes.length, 100)
  t.is(many.changes[0]?.count, 149)
  t.is(withChanges(few, []), few)
})

test('a lease is measured by the longest that was seen, and never below nothing', t => {
  const history = withCluster(withCluster(nothingSeen, view(['n1'], 0, 2_000), 0), view(['n1'], 0, 2_000), 1_500)
  t.is(history.leaseSeenMs, 2_000)
  const node = { leaseExpiresAt: new Date(2_000).toISOString() }
  t.deepEqual(leaseLeft(node, history.leaseSeenMs, 1_500), { leftMs: 500, fraction: 0.25 })
  t.deepEqual(leaseLeft(node, history.leaseSeenMs, 9_000), { leftMs: 0, fraction: 0 })
  t.is(leaseLeft(node, 0, 0).fraction, 0)
})

test('a line is drawn over whole minutes, five at the most', t => {
  const from = (at: number) => [{ at, running: 0, queued: 0 }]
  t.is(spanMs([], 7), minute)
  t.is(spanMs(from(0), 10 * second), minute)
  t.is(spanMs(from(0), 61 * second), 2 * minute)
  t.is(spanMs(from(0), 60 * minute), 5 * minute)
})

test('durations are those of takeovers that are done', t => {
  const failover = (tookMs: number | null): FailoverView => {
    const detectedAt = new Date(0).toISOString()
    const doneAt = tookMs === null ? null : new Date(tookMs).toISOString()
    return { node: 'n1', incarnation: `${tookMs}`, cause: 'lease-expired', detectedAt, doneAt, queries: 1 }
  }
  t.is(durationMs(failover(null)), null)
  t.is(durationsOf([]), null)
  t.is(durationsOf([failover(null)]), null)
  t.deepEqual(durationsOf([30, null, 10, 200].map(failover)), { medianMs: 30, longestMs: 200 })
  t.deepEqual(durationsOf([30, 10].map(failover)), { medianMs: 20, longestMs: 30 })
})

test('a clock that seems to step back leaves a line that goes forward', t => {
  let history = nothingSeen
  for (const at of [1_000, 2_000, 1_990, 3_000]) history = withCluster(history, view(['n1'], at), at)
  t.deepEqual(
    history.samples.get('n1')?.map(({ at }) => at),
    [1_000, 1_990, 3_000],
  )
})

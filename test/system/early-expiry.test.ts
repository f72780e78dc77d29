/** Rows beyond the bytes that are kept go before their time: 410 on every node, while the query stays as it ended. */
import test from 'ava'
import { eventually } from '../support/conditions.ts'
import { type NodeProcess, TestCluster } from '../support/nodes.ts'

test('what is too much for results.bytesMax answers 410 on every node, the oldest first, and the status stays', async t => {
  const cluster = new TestCluster(null, { LENS_RESULTS_BYTES_MAX: '60000' })
  t.teardown(() => cluster.stop())
  const nodes = await cluster.startAll(2)
  const [first, second] = nodes as [NodeProcess, NodeProcess]
  const { token } = await first.session('ada')
  const sql = "select range n, repeat('x', 100) filler from range(400)"
  const handles: string[] = []
  for (const node of [first, second]) {
    const { handle } = await node.submit(token, { sql })
    const { result } = await node.ended(token, handle)
    t.true(result.bytes > 30_000 && result.bytes < 60_000)
    handles.push(handle)
  }
  const [old, recent] = handles as [string, string]
  for (const node of nodes) {
    const answer = await eventually(
      () => node.call('GET', `/api/v1/queries/${old}/results`, { token }),
      ({ status }) => status !== 200,
      { what: `the rows are gone on ${node.name}` },
    )
    t.like(answer, { status: 410, body: { code: 'RESULT_EXPIRED' } })
    for (const accept of ['text/csv', 'application/x-ndjson', 'application/vnd.apache.arrow.stream'])
      t.is((await node.call('GET', `/api/v1/queries/${old}/results`, { token, headers: { accept } })).status, 410)
    t.like(await node.query(token, old), { status: 'SUCCESSFUL', outcome: 'SUCCESSFUL', error: null })
    t.is((await node.rows(token, recent)).length, 400)
  }
})
